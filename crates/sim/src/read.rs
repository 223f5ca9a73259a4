//! Objects as they come from the server, by uid.

use bytes::Bytes;
use everynode_runtime::follow::{Decode, Observed, revision_of};
use serde_json::Value;

/// What is heard of an object.
#[derive(Debug)]
pub(crate) enum ObjectChange {
    Set(Value),
    /// Its uid.
    Gone(String),
}

/// Reads whole objects.
pub(crate) struct Reader;

impl Decode for Reader {
    type Object = Value;
    type Change = ObjectChange;

    fn object(&self, json: Bytes) -> Option<Value> {
        serde_json::from_slice(&json).ok()
    }

    fn change(&self, json: Bytes, is_gone: bool) -> Observed<ObjectChange> {
        let revision = revision_of(&json).unwrap_or(0);
        let Some(object) = self.object(json) else { return Observed { revision, change: None } };
        let change = match is_gone {
            true => ObjectChange::Gone(object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()),
            false => ObjectChange::Set(object),
        };
        Observed { revision, change: Some(change) }
    }
}
