//! Certificates of a running server are renewed before they end; connections that exist go on.

use std::sync::Arc;
use std::time::Duration;

use everynode_apiserver::{Lifetime, RotatingCertificate};
use everynode_store::MemoryStore;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::*;

/// Issued for so long, a certificate is renewed about four seconds later.
const VALIDITY: SignedDuration = SignedDuration::from_secs(6);
const LIMIT: Duration = Duration::from_secs(30);

async fn short_lived() -> Server {
    Server::start_with(Arc::new(MemoryStore::new()), |config| config.certificate_validity = VALIDITY).await
}

/// The certificate that a new connection is shown.
async fn shown(server: &Server) -> CertificateDer<'static> {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(tls(server.api.pki().ca_pem(), None)));
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

async fn until<T>(what: &str, mut asked: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            match asked().await {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(LIMIT, found).await.unwrap_or_else(|_| panic!("waited too long: {what}"))
}

fn metric(text: &str, name: &str) -> i64 {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_connection_sees_the_new_certificate_and_an_old_one_continues() {
    let server = short_lived().await;
    let (first, admin) = (shown(&server).await, server.api.pki().admin());
    let first_end = Lifetime::of(&admin.certificate).unwrap().until;
    let mut watch = server.watch(&format!("{CONFIG_MAPS}?watch=1")).await;
    let mut renewed = server.api.pki().renewed();

    until("another serving certificate", async || (shown(&server).await != first).then_some(())).await;
    assert!(Timestamp::now() < first_end, "it is renewed before it ends");
    until("another administrator's", async || {
        (server.api.pki().admin().certificate != admin.certificate).then_some(())
    })
    .await;
    tokio::time::timeout(LIMIT, renewed.changed()).await.expect("who holds copies is told").unwrap();
    let text = String::from_utf8(server.get("/metrics").await.body.to_vec()).unwrap();
    assert!(metric(&text, "everynode_certificate_renewals_total{result=\"success\"}") >= 3, "{text}");
    assert_eq!(metric(&text, "everynode_certificate_renewals_total{result=\"error\"}"), 0);
    assert!(
        metric(&text, "everynode_certificate_expiration_timestamp_seconds{name=\"apiserver\"}") > first_end.as_second()
    );
    assert!(metric(&text, "apiserver_client_certificate_expiration_seconds_count") > 0);

    // When the first ones have ended: the watch that was made with them goes on, new connections
    // take the new ones.
    until("the first certificates have ended", async || (Timestamp::now() > first_end).then_some(())).await;
    server.post(CONFIG_MAPS, &config_map("later")).await.expect(201);
    assert_eq!(watch.summary().await, "ADDED later");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_see_the_new_client_certificate() {
    let server = short_lived().await.with_default_account().await;
    let agent = server.api.pki().node_certificate("n1").unwrap();
    let (port, mut callers) = callers(&agent, server.api.pki().ca_pem()).await;
    let status = serde_json::json!({"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                                    "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}});
    let node = serde_json::json!({"metadata": {"name": "n1"}, "status": status});
    server.post("/api/v1/nodes", &node).await.expect(201);
    let first_of_agent = agent.credentials().certificate;
    // The agent hangs up after the handshake; who called is what counts.
    let mut caller = async || {
        server.get("/api/v1/nodes/n1/proxy/healthz").await.expect(502);
        callers.recv().await.unwrap()
    };
    let first = caller().await;
    until("another client certificate", async || (caller().await != first).then_some(())).await;
    until("another certificate of the agent", async || {
        (agent.credentials().certificate != first_of_agent).then_some(())
    })
    .await;
}

/// Tells with which certificate each client came.
async fn callers(
    agent: &Arc<RotatingCertificate>,
    ca: &str,
) -> (u16, tokio::sync::mpsc::UnboundedReceiver<CertificateDer<'static>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(agent.server_config(ca).unwrap()));
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let stream = acceptor.accept(stream).await.unwrap();
            let _ = sender.send(stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned());
        }
    });
    (port, receiver)
}
