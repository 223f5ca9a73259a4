//! Reading a custom object: what its schema does not know is pruned, what is absent is defaulted.

use everynode_api::decode::unknown_field;
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
                (None, Additional::Any) => {}
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

/// Gives what is absent its default. `null` counts as absent where it is not allowed.
pub(crate) fn default(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, value| {
                !value.is_null() || schema.properties.get(name).is_none_or(|property| property.nullable)
            });
            for (name, property) in &schema.properties {
                if let Some(default) = property.default.as_ref().filter(|_| !members.contains_key(name)) {
                    members.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in members.iter_mut() {
                match (schema.properties.get(name), &schema.additional) {
                    (Some(property), _) => default(property, value),
                    (None, Additional::Each(each)) => default(each, value),
                    (None, Additional::Any | Additional::Unknown) => {}
                }
            }
        }
        Value::Array(items) => {
            if let Some(of_items) = &schema.items {
                items.iter_mut().for_each(|item| default(of_items, item));
            }
        }
        _ => {}
    }
}
