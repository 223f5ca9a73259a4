//! An object of any kind: typed metadata, and the rest as it came.

use std::sync::OnceLock;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::Error;
use serde_json::Value;

use crate::meta::Meta;

/// An object of a kind that has no view of its own.
///
/// Of most of them only the metadata is ever looked at (of 5,000 leases that change 500 times a
/// second, nothing else), so the rest is text until it is asked for.
#[derive(Clone, Debug)]
pub struct Object {
    pub meta: Meta,
    /// When this state of it was heard of, by our own clock; long ago where that is not known.
    pub heard_at: Timestamp,
    text: Box<str>,
    value: OnceLock<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MetaOnly {
    metadata: Meta,
}

impl Object {
    /// Reads an object. The error names what is wrong with its metadata, or where it is no JSON.
    pub(super) fn parse(json: &[u8], heard_at: Timestamp) -> Result<Object, serde_json::Error> {
        let text = std::str::from_utf8(json).map_err(serde_json::Error::custom)?;
        let MetaOnly { metadata: meta } = serde_json::from_str(text)?;
        Ok(Object { meta, heard_at, text: text.into(), value: OnceLock::new() })
    }

    /// A member by path, `Null` when it is absent.
    pub fn at(&self, path: &[&str]) -> &Value {
        path.iter().fold(self.value(), |value, name| &value[*name])
    }

    /// The whole object. Its text was read once before: it is JSON.
    fn value(&self) -> &Value {
        self.value.get_or_init(|| serde_json::from_str(&self.text).unwrap_or_default())
    }
}

/// Two objects are the same if they say the same, whenever that was heard.
impl PartialEq for Object {
    fn eq(&self, other: &Object) -> bool {
        self.text == other.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_when_asked_for() {
        let json = br#"{"metadata":{"name":"a","resourceVersion":"7"},"spec":{"n":[1]},"rest":{"s":"\u00e4"}}"#;
        let object = Object::parse(json, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((&*object.meta.name, object.meta.resource_version), ("a", 7));
        assert_eq!(object.at(&["spec", "n"])[0], 1);
        assert_eq!(
            (object.at(&["rest", "s"]).as_str(), object.at(&["spec", "x", "y"])),
            (Some("\u{e4}"), &Value::Null)
        );
        assert_eq!(object, Object::parse(json, Timestamp::MAX).unwrap());
        for bad in [&br#"{"metadata":{"name":1}}"#[..], br#"{"metadata":{}"#, b"{\"x\":\"\xff\"}"] {
            assert!(Object::parse(bad, Timestamp::MAX).is_err());
        }
    }
}
