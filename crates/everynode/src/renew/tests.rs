//! A control plane on the loopback whose certificates last seconds, and a node of it.

use std::path::Path;
use std::time::Duration;

use clap::Parser;
use everynode_api::kinds;
use everynode_api::ports::{
    Api, ApiError, PatchType, Preconditions, Request, Selection, Target, WatchEvent, WatchRequest,
};
use everynode_apiserver::Lifetime;
use everynode_runtime::Env;
use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::args::{Cli, Command};
use crate::control::ControlPlane;
use crate::data::DataDir;

/// Issued for so long, a certificate is renewed about four seconds later.
const VALIDITY: Duration = Duration::from_secs(6);

async fn control_plane(data: &DataDir) -> ControlPlane {
    let Command::Server(mut args) = Cli::parse_from(["everynode", "server", "--listen", "127.0.0.1:0"]).command else {
        panic!("it is a server")
    };
    args.api.certificate_validity_period = VALIDITY;
    ControlPlane::start(&args.api, data).await.unwrap()
}

async fn until(what: &str, asked: impl Fn() -> bool) {
    let found = async {
        while !asked() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), found).await.is_ok(), "waited too long: {what}");
}

fn node() -> Target {
    Target::new(kinds::NODE, "", "n1")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_agent_renews_its_certificate_and_its_watches_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let data = DataDir::new(directory.path());
    let control = control_plane(&data).await;
    let (url, kubeconfig) = (control.url(), std::fs::read(data.admin_kubeconfig()).unwrap());
    let joined = join::join(&data.agent_pki(), &url, control.server.pki().join_token(), "n1").await.unwrap();
    let end = Lifetime::of(&joined.certificate).unwrap().until;
    let api = Arc::new(HttpApi::connect(&server_config(&joined), Env::real()).await.unwrap());
    api.call(Request::Create { target: node(), body: json!({"metadata": {"name": "n1"}}) }).await.unwrap();
    let selection = Selection { field_selector: Some("metadata.name=n1".into()), ..Selection::default() };
    let request = WatchRequest { kind: kinds::NODE, selection, resource_version: None, bookmarks: false };
    let mut watch = api.watch(request).await.unwrap();
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Added(_)))));

    let certificate = RotatingCertificate::new(joined.pair()).unwrap();
    let renewal = Renewal::new(data.agent_pki(), None, joined.clone(), certificate.clone(), api.clone());
    let story = async {
        until("another certificate", || certificate.credentials().certificate != joined.certificate).await;
        assert!(Timestamp::now() < end, "it is renewed before it ends");
        until("the next start finds it", || kept(&data.agent_pki()) == certificate.credentials().certificate).await;
        until("the administrator's kubeconfig, too", || std::fs::read(data.admin_kubeconfig()).unwrap() != kubeconfig)
            .await;
        until("the first one has ended", || Timestamp::now() > end).await;
        // New connections are the new certificate's: the old one is used no longer.
        api.call(Request::Get(node())).await.unwrap();
        let old = HttpApi::connect(&server_config(&joined), Env::real()).await.unwrap();
        assert!(old.call(Request::Get(node())).await.is_err(), "a certificate that has ended is refused");
        // The watch is still the first one's.
        let body = json!({"metadata": {"labels": {"later": "yes"}}});
        let preconditions = Preconditions::default();
        api.call(Request::Patch { target: node(), patch: PatchType::Merge, body, preconditions }).await.unwrap();
        loop {
            match watch.next().await.expect("the watch goes on").unwrap() {
                WatchEvent::Modified(json) if String::from_utf8_lossy(&json).contains("\"later\":\"yes\"") => return,
                _ => {}
            }
        }
    };
    tokio::select! {
        () = renewal.run() => {}
        () = story => {}
    }
    drop(watch);
    control.stop().await;
}

fn kept(directory: &Path) -> String {
    join::former(directory, "n1").map(|former| former.certificate).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_certificate_is_renewed_by_the_token_only() {
    let directory = tempfile::tempdir().unwrap();
    let data = DataDir::new(directory.path());
    let control = control_plane(&data).await;
    let token = control.server.pki().join_token().to_owned();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut held = join::by_token(&control.url(), &token, "n1", &key).await.unwrap();
    // The right key, and a certificate that names no identity.
    let stranger = rcgen::CertificateParams::new(vec!["n1".to_owned()]).unwrap();
    held.certificate = stranger.self_signed(&key).unwrap().pem();
    let certificate = RotatingCertificate::new(held.pair()).unwrap();
    let api = Arc::new(HttpApi::connect(&server_config(&held), Env::real()).await.unwrap());
    let renewal = |token| Renewal::new(data.agent_pki(), token, held.clone(), certificate.clone(), api.clone());

    assert!(renewal(None).renew().await.is_err());
    assert_eq!(
        (kept(&data.agent_pki()), certificate.credentials().certificate),
        (String::new(), held.certificate.clone())
    );
    assert!(renewal(Some(token)).renew().await.is_ok());
    assert_eq!(join::former(&data.agent_pki(), "n1").map(|former| former.key), Some(held.key.clone()));
    assert_eq!(kept(&data.agent_pki()), certificate.credentials().certificate);
    // A node may ask for itself; that there is none yet is an answer.
    let answer = api.call(Request::Get(node())).await.unwrap_err();
    assert!(matches!(&answer, ApiError::Status(status) if status.code == 404), "{answer}");
    control.stop().await;
}
