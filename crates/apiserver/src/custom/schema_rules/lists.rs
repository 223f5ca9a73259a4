//! Lists and maps that are merged by `x-kubernetes-list-type` and `x-kubernetes-map-type`.

use std::collections::BTreeSet;

use everynode_api::field::{BadValue, FieldError, Path};
use serde_json::Value;

use super::{SchemaRules, flag, text};
use crate::object::items;

const LIST_TYPE: &str = "x-kubernetes-list-type";
const MAP_TYPE: &str = "x-kubernetes-map-type";
const MAP_KEYS: &str = "x-kubernetes-list-map-keys";

impl SchemaRules {
    pub(super) fn maps(&mut self, schema: &Value, path: &Path) {
        let Some(given) = schema[MAP_TYPE].as_str() else { return };
        self.typed(schema, "object", &format!("must be object if {MAP_TYPE} is specified"), path);
        if !matches!(given, "atomic" | "granular") {
            self.errors.push(FieldError::not_supported(&path.child(MAP_TYPE), given, &["atomic", "granular"]));
        }
    }

    /// The type that an extension demands.
    fn typed(&mut self, schema: &Value, wanted: &str, detail: &str, path: &Path) {
        let path = path.child("type");
        match text(schema, "type") {
            "" => self.required(&path, detail),
            given if given != wanted => self.invalid(&path, given, detail),
            _ => {}
        }
    }

    pub(super) fn lists(&mut self, schema: &Value, path: &Path) {
        if schema["type"] == "array" && schema["items"].is_null() {
            self.required(&path.child("items"), "must be specified");
        }
        let has_keys = !items(schema, &[MAP_KEYS]).is_empty();
        let needs_map = format!("must be map if {MAP_KEYS} is non-empty");
        let at = path.child(LIST_TYPE);
        let Some(list) = schema[LIST_TYPE].as_str() else {
            if has_keys {
                self.required(&at, &needs_map);
            }
            return;
        };
        self.typed(schema, "array", &format!("must be array if {LIST_TYPE} is specified"), path);
        if !matches!(list, "atomic" | "set" | "map") {
            self.errors.push(FieldError::not_supported(&at, list, &["atomic", "set", "map"]));
        }
        if has_keys && list != "map" {
            self.invalid(&at, list, &needs_map);
        }
        match list {
            "set" => self.set(schema, path),
            "map" => self.map(schema, path),
            _ => {}
        }
        if matches!(list, "set" | "map") && flag(&schema["items"], "nullable") {
            let at = path.child("items").child("nullable");
            self.forbidden(&at, &format!("cannot be nullable when {LIST_TYPE} is {list}"));
        }
    }

    /// The items of a set are compared as wholes, so they are changed as wholes.
    fn set(&mut self, schema: &Value, path: &Path) {
        let of_items = &schema["items"];
        let (name, is_atomic) = match text(of_items, "type") {
            "array" => (LIST_TYPE, matches!(text(of_items, LIST_TYPE), "" | "atomic")),
            "object" => (MAP_TYPE, of_items[MAP_TYPE] == "atomic"),
            _ => return,
        };
        if !is_atomic {
            let detail = format!("must be atomic as item of a list with {LIST_TYPE}=set");
            // The original shows the list type of the items, whichever it is about.
            let shown = of_items[LIST_TYPE].as_str().map_or(BadValue::NULL, BadValue::from);
            self.errors.push(FieldError::invalid(&path.child("items").child(name), shown, detail));
        }
    }

    /// The items of a map are found by keys, which they have always.
    fn map(&mut self, schema: &Value, path: &Path) {
        let (keys, of_items) = (items(schema, &[MAP_KEYS]), &schema["items"]);
        let at = path.child(MAP_KEYS);
        if keys.is_empty() {
            self.required(&at, &format!("must not be empty if {LIST_TYPE} is map"));
        }
        let in_items = path.child("items");
        match text(of_items, "type") {
            _ if of_items.is_null() => {
                self.required(&in_items, &format!("must have a schema if {LIST_TYPE} is map"));
                return;
            }
            "object" => {}
            kind => {
                let detail = format!("must be object if parent array's {LIST_TYPE} is map");
                self.invalid(&in_items.child("type"), kind, &detail);
                return;
            }
        }
        let mut seen = BTreeSet::new();
        for key in keys.iter().filter_map(Value::as_str) {
            let property = &of_items["properties"][key];
            match property.is_null() {
                true => self.invalid(&at, keys.to_vec(), "entries must all be names of item properties"),
                false => self.key(of_items, key, &in_items.child("properties").key(key)),
            }
            if !seen.insert(key) {
                self.invalid(&at, keys.to_vec(), "must not contain duplicate entries");
            }
        }
    }

    fn key(&mut self, of_items: &Value, key: &str, path: &Path) {
        let property = &of_items["properties"][key];
        if matches!(text(property, "type"), "array" | "object") {
            let detail = format!("must be a scalar type if parent array's {LIST_TYPE} is map");
            self.invalid(&path.child("type"), text(of_items, "type"), &detail);
        }
        if !items(of_items, &["required"]).iter().any(|name| name == key) && property["default"].is_null() {
            let detail = format!("this property is in {MAP_KEYS}, so it must have a default or be a required property");
            self.required(&path.child("default"), &detail);
        }
        if flag(property, "nullable") {
            let detail = format!("this property is in {MAP_KEYS}, so it cannot be nullable");
            self.forbidden(&path.child("nullable"), &detail);
        }
    }
}
