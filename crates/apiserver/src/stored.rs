//! The stored form of an object (see [`everynode_api::canonical`]) and the way back.
//!
//! Most writes of a fleet are reports about pods and their deletions: they change status and
//! metadata, and the spec is more than half of a pod. [`decode_spec_aside`] leaves it as the text
//! that it is.

use bytes::Bytes;
use everynode_api::canonical;
use everynode_api::status::Status;
use everynode_store::Revision;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// Encodes an object for the store. It is held for long, in many versions: in no more memory than
/// it needs.
pub(crate) fn encode(value: &Value) -> Bytes {
    canonical::encode_stored(value).into_boxed_slice().into()
}

/// Parses stored bytes and puts the resourceVersion in.
pub(crate) fn decode(bytes: &[u8], revision: Revision) -> Result<Value, Status> {
    let mut value: Value = serde_json::from_slice(bytes).map_err(|error| corrupt(&error))?;
    crate::object::set_meta(&mut value, "resourceVersion", revision.0.to_string());
    Ok(value)
}

pub(crate) fn corrupt(error: &serde_json::Error) -> Status {
    Status::internal(format!("a stored object cannot be decoded: {error}"))
}

/// The stored bytes with the resourceVersion put in.
pub(crate) fn splice(stored: &[u8], revision: Revision) -> Bytes {
    canonical::splice_resource_version(stored, revision.0).into()
}

/// A stored object whose spec stays text.
pub(crate) struct SpecAside {
    /// The object with its resourceVersion, and with nothing in its spec but `nodeName` and
    /// `terminationGracePeriodSeconds`.
    pub(crate) value: Value,
    /// The whole spec.
    pub(crate) spec: Bytes,
}

/// Parses a stored pod for a write that leaves the spec alone. `None`: there is no spec, or it
/// names no node.
pub(crate) fn decode_spec_aside(bytes: &Bytes, revision: Revision) -> Result<Option<SpecAside>, Status> {
    let Parts { mut members, spec } = serde_json::from_slice(bytes).map_err(|error| corrupt(&error))?;
    let Some(spec) = spec else { return Ok(None) };
    let bound: Bound = serde_json::from_str(spec.get()).map_err(|error| corrupt(&error))?;
    if bound.node_name.is_empty() {
        return Ok(None);
    }
    let mut kept = json!({"nodeName": bound.node_name});
    if let Some(seconds) = bound.termination_grace_period_seconds {
        kept["terminationGracePeriodSeconds"] = seconds.into();
    }
    members.insert("spec".to_owned(), kept);
    let mut value = Value::Object(members);
    crate::object::set_meta(&mut value, "resourceVersion", revision.0.to_string());
    Ok(Some(SpecAside { value, spec: bytes.slice_ref(spec.get().as_bytes()) }))
}

/// As [`encode`], with the spec if it was left aside.
pub(crate) fn encode_whole(value: &Value, spec: Option<&Bytes>) -> Bytes {
    match spec {
        Some(spec) => canonical::encode_stored_with(value, "spec", spec).into_boxed_slice().into(),
        None => encode(value),
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Bound {
    node_name: Box<str>,
    termination_grace_period_seconds: Option<i64>,
}

/// The members of an object, the spec as text.
struct Parts<'a> {
    members: Map<String, Value>,
    spec: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Parts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PartsVisitor)
    }
}

struct PartsVisitor;

impl<'de> Visitor<'de> for PartsVisitor {
    type Value = Parts<'de>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parts<'de>, A::Error> {
        let mut parts = Parts { members: Map::new(), spec: None };
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "spec" => parts.spec = Some(map.next_value()?),
                _ => drop(parts.members.insert(key, map.next_value()?)),
            }
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_is_left_aside_and_put_back() {
        let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"},
            "spec": {"containers": [{"name": "c", "env": [{"name": "X", "value": "é\n"}]}], "nodeName": "n",
                     "terminationGracePeriodSeconds": 7},
            "status": {"phase": "Running"}});
        let bytes = encode(&pod);
        let SpecAside { value, spec } = decode_spec_aside(&bytes, Revision(7)).unwrap().unwrap();
        assert_eq!(value["spec"], json!({"nodeName": "n", "terminationGracePeriodSeconds": 7}));
        assert_eq!(value["metadata"], json!({"name": "a", "resourceVersion": "7"}));
        assert_eq!(serde_json::from_slice::<Value>(&spec).unwrap(), pod["spec"]);
        assert_eq!(encode_whole(&value, Some(&spec)), bytes);
    }

    #[test]
    fn what_has_no_node_is_read_whole() {
        for spec in [json!({"containers": []}), json!({"nodeName": ""}), json!({})] {
            assert!(decode_spec_aside(&encode(&json!({"metadata": {}, "spec": spec})), Revision(1)).unwrap().is_none());
        }
        assert!(decode_spec_aside(&encode(&json!({"metadata": {}})), Revision(1)).unwrap().is_none());
        assert!(decode_spec_aside(&Bytes::from_static(b"{\"metadata\":{}"), Revision(1)).is_err());
    }
}
