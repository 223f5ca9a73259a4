//! Of `allOf`, `anyOf`, `oneOf` and `not`, only what limits values: what is there is said outside
//! of them.

use everynode_api::field::Path;
use serde_json::{Value, json};

use super::{SchemaRules, members};
use crate::object::items;

/// What must not be given, and how that is said.
const STRUCTURAL: [(&str, &str); 14] = [
    ("type", "empty"),
    ("additionalProperties", "undefined"),
    ("default", "undefined"),
    ("title", "empty"),
    ("description", "empty"),
    ("nullable", "false"),
    ("externalDocs", "undefined"),
    ("x-kubernetes-preserve-unknown-fields", "false"),
    ("x-kubernetes-embedded-resource", "false"),
    ("x-kubernetes-int-or-string", "false"),
    ("x-kubernetes-list-map-keys", "empty"),
    ("x-kubernetes-list-type", "undefined"),
    ("x-kubernetes-map-type", "undefined"),
    ("x-kubernetes-validations", "empty"),
];

impl SchemaRules {
    pub(super) fn combinations(&mut self, schema: &Value, path: &Path) {
        // The two ways to say that a value is a number or a text.
        let number_or_text = json!([{"type": "integer"}, {"type": "string"}]);
        for name in ["allOf", "anyOf", "oneOf"] {
            for (index, part) in items(schema, &[name]).iter().enumerate() {
                let said_so = match name {
                    "anyOf" => schema[name] == number_or_text,
                    "allOf" => index == 0 && part["anyOf"] == number_or_text,
                    _ => false,
                };
                match (said_so, name) {
                    (true, "anyOf") => {}
                    (true, _) => {
                        let mut rest = part.clone();
                        rest.as_object_mut().map(|members| members.remove("anyOf"));
                        self.limits_only(&rest, &path.child(name).index(index));
                    }
                    (false, _) => self.limits_only(part, &path.child(name).index(index)),
                }
            }
        }
        if schema["not"].is_object() {
            self.limits_only(&schema["not"], &path.child("not"));
        }
    }

    fn limits_only(&mut self, part: &Value, path: &Path) {
        self.pattern(part, path);
        for (name, wanted) in STRUCTURAL {
            let given = &part[name];
            let is_given = match given {
                Value::Null => false,
                Value::Bool(given) => *given || name == "additionalProperties",
                Value::String(text) => !text.is_empty(),
                Value::Array(items) => !items.is_empty(),
                _ => true,
            };
            if is_given {
                self.forbidden(&path.child(name), &format!("must be {wanted} to be structural"));
            }
        }
        let properties = path.child("properties");
        for (name, property) in members(&part["properties"]) {
            self.limits_only(property, &properties.key(name.as_str()));
        }
        if part["properties"]["metadata"].is_object() {
            self.forbidden(&properties.key("metadata"), "must not be specified in a nested context");
        }
        if part["items"].is_object() {
            self.limits_only(&part["items"], &path.child("items"));
        }
        self.combinations(part, path);
    }

    /// What the combinations at the root limit is specified outside of them. As in the original,
    /// those further down are not looked at.
    pub(super) fn complete(&mut self, schema: &Value, path: &Path) {
        self.complete_below(schema, schema, path, path);
    }

    fn complete_below(&mut self, part: &Value, schema: &Value, path: &Path, part_path: &Path) {
        for name in ["allOf", "anyOf", "oneOf"] {
            for (index, nested) in items(part, &[name]).iter().enumerate() {
                self.complete_nested(nested, schema, path, &part_path.child(name).index(index));
            }
        }
        if part["not"].is_object() {
            self.complete_nested(&part["not"], schema, path, &part_path.child("not"));
        }
    }

    fn complete_nested(&mut self, part: &Value, schema: &Value, path: &Path, part_path: &Path) {
        if !schema.is_object() {
            self.required(path, &format!("because it is defined in {part_path}"));
            return;
        }
        self.complete_below(part, schema, path, part_path);
        if part["items"].is_object() {
            self.complete_nested(&part["items"], &schema["items"], &path.child("items"), &part_path.child("items"));
        }
        for (name, property) in members(&part["properties"]) {
            let path = path.child("properties").key(name.as_str());
            let part_path = part_path.child("properties").key(name.as_str());
            self.complete_nested(property, &schema["properties"][name], &path, &part_path);
        }
    }
}
