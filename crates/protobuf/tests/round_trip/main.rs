//! What is written is read as the same: objects made up for every kind, what a kube-apiserver
//! answered, and what is left of both after damage.

#![allow(clippy::disallowed_methods, reason = "recorded answers are files")]

mod daemon_pod;
mod damage;
mod generated;
mod recorded;
mod size;

use everynode_protobuf::{Limits, from_json, kind, to_json};
use serde_json::Value;

const LIMITS: Limits = Limits { size_max: 4 << 20, depth_max: 100 };

/// An object in its envelope.
fn written(object: &Value) -> Vec<u8> {
    let (version, name) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let kind = kind(version, name).unwrap_or_else(|| panic!("no message for {version} {name}"));
    from_json(version, name, kind, object.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}: {object}"))
}

fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(&to_json(bytes, LIMITS).unwrap().json).unwrap()
}
