//! An object of any kind: typed metadata and raw JSON.

use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::Value;

use crate::meta::Meta;

/// An object of a kind that has no view of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    pub meta: Meta,
    /// The whole object.
    pub value: Value,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let meta = match value.get("metadata") {
            Some(metadata) => Meta::deserialize(metadata).map_err(serde::de::Error::custom)?,
            None => Meta::default(),
        };
        Ok(Object { meta, value })
    }
}

impl Object {
    /// A member by path, `Null` when it is absent.
    pub fn at(&self, path: &[&str]) -> &Value {
        path.iter().fold(&self.value, |value, name| &value[*name])
    }
}
