//! How a machine becomes a node: a join token (or the node's own certificate, to renew it) and a
//! certificate request are answered with a certificate for `system:node:NAME`.
//!
//! `POST /everynode.dev/v1/join` with `{"nodeName": "a", "csr": "-----BEGIN CERTIFICATE REQUEST-----…"}`
//! answers `{"nodeName", "certificate", "ca", "expires"}`, all PEM. The certificate serves as client and
//! as server certificate; its only server name is the node's name, which is what the API server
//! verifies when it speaks to the agent.

use everynode_api::status::Status;
use serde_json::{Value, json};

use super::User;
use crate::object::text;
use crate::pki::Pki;

pub(crate) const PATH: &str = "/everynode.dev/v1/join";

/// Answers a join request.
pub(crate) fn answer(pki: &Pki, user: &User, body: &Value, now: jiff::Timestamp) -> Result<Value, Status> {
    let name = text(body, &["nodeName"]);
    let problems = everynode_api::names::dns1123_subdomain(name);
    if !problems.is_empty() {
        return Err(Status::bad_request(format!("nodeName {name:?} is no node name: {}", problems.join("; "))));
    }
    if !user.is_in("system:bootstrappers") && !user.is_in(super::MASTERS) && user.node() != Some(name) {
        let text = format!("User \"{}\" cannot join as node \"{name}\"", user.name);
        return Err(Status::failure(403, "Forbidden", text));
    }
    let signed =
        pki.sign_node(name, text(body, &["csr"]), now).map_err(|error| Status::bad_request(format!("csr: {error}")))?;
    Ok(json!({"nodeName": name, "certificate": signed.certificate, "ca": pki.ca_pem(), "expires": signed.expires}))
}
