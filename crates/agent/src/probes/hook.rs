//! The HTTP GET of a lifecycle hook: a probe's request, by another name, and any answer will do
//! (DS-H19).

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};

use super::check::{Check, USER_AGENT};
use super::http::HttpClient;

const HOOK_USER_AGENT: &str = "kube-lifecycle/1.36";

/// Sends the GET of a hook. Without a time limit of its own. `ip` is the pod's address, the node's
/// for host-network pods.
///
/// # Errors
/// It cannot be sent, or nothing answers.
pub(crate) async fn get(action: &HTTPGetAction, container: &Container, ip: Option<IpAddr>) -> Result<(), String> {
    let probe = Probe { http_get: Some(action.clone()), ..Probe::default() };
    let Check::Http(mut get) = Check::of(&probe, container, ip)? else {
        return Err(format!("container {}: not an httpGet hook", container.name));
    };
    for (_, value) in get.headers.iter_mut().filter(|(_, value)| value == USER_AGENT) {
        HOOK_USER_AGENT.clone_into(value);
    }
    HttpClient::new().reach(&get).await
}
