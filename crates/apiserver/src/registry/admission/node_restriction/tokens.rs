//! Tokens that an agent asks for: of an account of a pod that runs there, bound to that pod, for an
//! audience that the pod names.

use everynode_api::status::Status;
use serde_json::Value;

use super::ByNode;
use crate::auth::authorize::{Attributes, allowed};
use crate::auth::node::references;
use crate::catalogue::built_in;
use crate::object::{self, at, items, text};
use crate::registry::Target;

/// How long a token lives at most whose audience a role grants, and no volume of the pod names: a
/// day.
const ROLE_SECONDS_MAX: i64 = 24 * 3600;
/// What a volume gets that names no life, as in Kubernetes.
const SOURCE_SECONDS_DEFAULT: i64 = 3600;

pub(super) fn create(by_node: &ByNode<'_>) -> Result<(), Status> {
    let reference = at(by_node.asked.new, &["spec", "boundObjectRef"]);
    let (name, uid) = (text(reference, &["name"]), text(reference, &["uid"]));
    if text(reference, &["apiVersion"]) != "v1" || text(reference, &["kind"]) != "Pod" || name.is_empty() {
        return by_node.refuse("node requested token not bound to a pod");
    }
    if uid.is_empty() {
        return by_node.refuse("node requested token with a pod binding without a uid");
    }
    let info = &built_in::POD;
    let namespace = by_node.asked.target.namespace.clone();
    let pod = Target { info: info.into(), namespace, name: name.to_owned(), subresource: "" };
    let (_, pod) = by_node.asked.registry.current_value(&pod)?;
    if object::meta(&pod, "uid") != uid {
        return by_node.refuse(&format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted \
             and then recreated"
        ));
    }
    if text(&pod, &["spec", "nodeName"]) != by_node.node {
        return by_node.refuse("node requested token bound to a pod scheduled on a different node");
    }
    audience(by_node, &pod)
}

/// The audience must be one that a volume of the pod names (none: the API's own), or that a role
/// grants.
fn audience(by_node: &ByNode<'_>, pod: &Value) -> Result<(), Status> {
    let audience = match items(by_node.asked.new, &["spec", "audiences"]) {
        [] => "",
        [audience] => audience.as_str().unwrap_or(""),
        _ => return by_node.refuse("node may only request 0 or 1 audiences"),
    };
    if references::token_sources(pod).any(|source| text(source, &["audience"]) == audience) {
        return Ok(());
    }
    let (target, user) = (&by_node.asked.target, by_node.asked.user);
    let asked = Attributes {
        verb: "request-serviceaccounts-token-audience".into(),
        version: "v1".into(),
        resource: audience.into(),
        namespace: target.namespace.clone(),
        name: target.name.clone(),
        ..Attributes::default()
    };
    // Attributes without a resource would be about a path.
    match !audience.is_empty() && allowed(by_node.asked.registry, user, &asked) {
        true => Ok(()),
        false => by_node.refuse(&format!(
            "audience {audience:?} not found in pod spec volume, {} is not authorized to request tokens for this audience",
            user.name
        )),
    }
}

/// How long a token may live that an agent asks for, in seconds: as long as the pod's volumes say
/// for this audience.
pub(in crate::registry) fn longest_life(pod: &Value, audience: &str) -> i64 {
    let sources = references::token_sources(pod).filter(|source| text(source, &["audience"]) == audience);
    let lives = sources.map(|source| source["expirationSeconds"].as_i64().unwrap_or(SOURCE_SECONDS_DEFAULT));
    lives.max().unwrap_or(ROLE_SECONDS_MAX)
}
