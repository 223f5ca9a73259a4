//! How a machine becomes a node: a join token (or the node's own certificate, to renew it) and a
//! certificate request are answered with a certificate for `system:node:NAME`.
//!
//! `POST /everynode.dev/v1/join` with `{"nodeName": "a", "csr": "-----BEGIN CERTIFICATE
//! REQUEST-----…"}` answers `{"nodeName", "certificate", "ca", "expires"}`, all PEM. The
//! certificate serves as client and as server certificate; its only server name is the node's name,
//! which is what the API server verifies when it speaks to the agent. Addresses are not in it:
//! there is no proof that they are the machine's.
//!
//! The token proves membership and nothing else: names of the API server, and names that belong to
//! another machine's key (`registry/node_keys`), are refused.

use everynode_api::kinds::NODE;
use everynode_api::status::Status;
use serde_json::{Value, json};

use super::User;
use crate::object::text;
use crate::pki::Request;
use crate::registry::node_keys::Claimant;
use crate::server::ApiServer;

pub(crate) const PATH: &str = "/everynode.dev/v1/join";

/// Answers a join request.
pub(crate) async fn answer(server: &ApiServer, user: &User, body: &Value) -> Result<Value, Status> {
    let name = text(body, &["nodeName"]);
    let problems = everynode_api::names::dns1123_subdomain(name);
    if !problems.is_empty() {
        return Err(Status::bad_request(format!("nodeName {name:?} is no node name: {}", problems.join("; "))));
    }
    let claimant = claimant(user, name)?;
    let request = Request::read(text(body, &["csr"]), name);
    let request = request.map_err(|error| Status::bad_request(format!("csr: {error}")))?;
    if server.pki.is_the_servers(name) {
        let text = "this is a name or an address of the API server; give the machine another one (--node-name)";
        return Err(Status::forbidden(&NODE, name, text));
    }
    server.registry.take_node_name(name, &request.key, claimant).await?;
    let now = server.registry.env.now();
    let signed =
        server.pki.sign_node(name, request, now).map_err(|error| Status::bad_request(format!("csr: {error}")))?;
    Ok(
        json!({"nodeName": name, "certificate": signed.certificate, "ca": server.pki.ca_pem(), "expires": signed.expires}),
    )
}

fn claimant(user: &User, name: &str) -> Result<Claimant, Status> {
    // A user that merely acts as a node has no key of it.
    if user.node() == Some(name) && !user.certificate_key.is_empty() {
        return Ok(Claimant::Node);
    }
    if user.is_in("system:bootstrappers") || user.is_in(super::MASTERS) {
        return Ok(Claimant::Anybody);
    }
    let text = format!("User \"{}\" cannot join as node \"{name}\"", user.name);
    Err(Status::failure(403, "Forbidden", text))
}
