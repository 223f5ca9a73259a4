//! Reading a custom object: what its schema does not know is pruned, what is absent is defaulted.

use everynode_api::decode::unknown_field;
use everynode_store::limits::VALUE_BYTES_MAX;
use serde_json::{Map, Value};

use super::schema::{Additional, Schema};

/// Members of every object, whatever its schema says.
const OF_EVERY_OBJECT: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Removes what the schema does not know, and collects it: `unknown field "spec.foo"`.
pub(crate) struct Pruning {
    trail: String,
    pub(crate) findings: Vec<String>,
    /// Rewrites metadata, of the object itself and of objects in it: its path, and its members.
    metadata: fn(&str, &mut Map<String, Value>) -> Vec<String>,
}

impl Pruning {
    pub(crate) fn new(metadata: fn(&str, &mut Map<String, Value>) -> Vec<String>) -> Pruning {
        Pruning { trail: String::new(), findings: Vec::new(), metadata }
    }

    /// Prunes a whole object, root or embedded.
    pub(crate) fn object(&mut self, schema: &Schema, members: &mut Map<String, Value>) {
        if let Some(Value::Object(metadata)) = members.get_mut("metadata") {
            let path = self.path("metadata");
            self.findings.extend((self.metadata)(&path, metadata));
        }
        self.members(schema, members, true);
    }

    fn path(&self, name: &str) -> String {
        match self.trail.is_empty() {
            true => name.to_owned(),
            false => format!("{}.{name}", self.trail),
        }
    }

    fn members(&mut self, schema: &Schema, members: &mut Map<String, Value>, is_object: bool) {
        let mut gone = Vec::new();
        for (name, value) in members.iter_mut() {
            if is_object && OF_EVERY_OBJECT.contains(&name.as_str()) {
                continue;
            }
            let path = self.path(name);
            match (schema.properties.get(name), &schema.additional) {
                (Some(property), _) => self.below(property, value, path),
                (None, Additional::Each(each)) => self.below(each, value, path),
                (None, Additional::Any | Additional::Forbidden) => {}
                (None, Additional::Unknown) if schema.preserve => {}
                (None, Additional::Unknown) => {
                    self.findings.push(unknown_field(&path));
                    gone.push(name.clone());
                }
            }
        }
        for name in gone {
            members.remove(&name);
        }
    }

    fn below(&mut self, schema: &Schema, value: &mut Value, path: String) {
        let before = std::mem::replace(&mut self.trail, path);
        match value {
            Value::Object(members) if schema.embedded => self.object(schema, members),
            Value::Object(members) => self.members(schema, members, false),
            Value::Array(items) => {
                if let Some(of_items) = &schema.items {
                    for (index, item) in items.iter_mut().enumerate() {
                        let path = format!("{}[{index}]", self.trail);
                        self.below(of_items, item, path);
                    }
                }
            }
            _ => {}
        }
        self.trail = before;
    }
}

/// An object that is to be given more defaults than may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Gives what is absent its default. `null` counts as absent where it is not allowed.
///
/// # Errors
/// The defaults alone are larger than what may be stored: a short list whose items have long
/// defaults would be written out to many times its length.
pub(crate) fn default(schema: &Schema, value: &mut Value) -> Result<(), TooLarge> {
    Defaulting { bytes_left: VALUE_BYTES_MAX }.value(schema, value)
}

struct Defaulting {
    bytes_left: usize,
}

impl Defaulting {
    fn value(&mut self, schema: &Schema, value: &mut Value) -> Result<(), TooLarge> {
        match value {
            Value::Object(members) => self.object(schema, members),
            Value::Array(items) => match &schema.items {
                Some(of_items) => items.iter_mut().try_for_each(|item| self.value(of_items, item)),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn object(&mut self, schema: &Schema, members: &mut Map<String, Value>) -> Result<(), TooLarge> {
        members.retain(|name, value| {
            !value.is_null() || schema.properties.get(name).is_none_or(|property| property.nullable)
        });
        for (name, property) in &schema.properties {
            if let Some(default) = property.default.as_ref().filter(|_| !members.contains_key(name)) {
                self.take(name.len() + json_bytes(default))?;
                members.insert(name.clone(), default.clone());
            }
        }
        members.iter_mut().try_for_each(|(name, value)| match (schema.properties.get(name), &schema.additional) {
            (Some(property), _) => self.value(property, value),
            (None, Additional::Each(each)) => self.value(each, value),
            (None, Additional::Any | Additional::Forbidden | Additional::Unknown) => Ok(()),
        })
    }

    fn take(&mut self, bytes: usize) -> Result<(), TooLarge> {
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(TooLarge)?;
        Ok(())
    }
}

/// About how long a value is as JSON, never more than it is.
fn json_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| json_bytes(item) + 1).sum::<usize>() + 1,
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + json_bytes(value) + 4).sum(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_absent_gets_its_default_however_deep() {
        let schema = Schema::parse(&json!({"properties": {"a": {"default": {}, "properties": {
            "b": {"default": 1}, "c": {"nullable": true, "default": 2}}}}}));
        let mut value = json!({});
        default(&schema, &mut value).unwrap();
        assert_eq!(value, json!({"a": {"b": 1, "c": 2}}));
        let mut value = json!({"a": {"b": null, "c": null}});
        default(&schema, &mut value).unwrap();
        assert_eq!(value, json!({"a": {"b": 1, "c": null}}));
    }

    #[test]
    fn defaults_do_not_multiply_beyond_what_may_be_stored() {
        let long = "x".repeat(100_000);
        let schema = Schema::parse(&json!({"items": {"properties": {"a": {"default": long}}}}));
        let mut few = json!(vec![json!({}); 10]);
        assert_eq!(default(&schema, &mut few), Ok(()));
        let mut many = json!(vec![json!({}); 100_000]);
        assert_eq!(default(&schema, &mut many), Err(TooLarge));
        assert!(json_bytes(&many) < 3 * VALUE_BYTES_MAX, "it stopped");
    }
}
