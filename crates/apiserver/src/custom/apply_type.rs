//! The types of custom resources as server-side apply sees them, from the schema as it was written.

use std::collections::BTreeMap;
use std::sync::Arc;

use everynode_managed as managed;
use everynode_managed::{Atom, Key, List, Relation, Root, Scalar, ScalarType, Schema, TypeId, Versions};
use serde_json::Value;

use crate::object::items;

/// A schema, and the type of the whole object in it.
#[derive(Debug)]
pub(crate) struct ApplyType {
    schema: Schema,
    id: TypeId,
}

/// The types of a kind, by the API versions in which it is served.
pub(crate) type ApplyTypes = BTreeMap<String, ApplyType>;

/// A kind in all its versions, which differ in nothing but their name.
#[derive(Clone, Copy)]
pub(crate) struct AllVersions<'a>(pub(crate) &'a ApplyTypes);

impl Versions for AllVersions<'_> {
    fn root(&self, api_version: &str) -> Option<Root<'_>> {
        self.0.get(api_version).map(ApplyType::root)
    }

    fn convert(&self, object: &Value, api_version: &str) -> Option<Value> {
        let mut converted = object.clone();
        converted.as_object_mut()?.insert("apiVersion".into(), api_version.into());
        self.0.contains_key(api_version).then_some(converted)
    }
}

impl ApplyType {
    /// Of `openAPIV3Schema`, which was accepted; `null`: objects are known by their values only.
    pub(crate) fn parse(document: &Value) -> ApplyType {
        let mut builder = Builder { schema: Schema::new() };
        let mut map = builder.map(document, document.is_null());
        map.fields.extend(builder.of_objects());
        let id = builder.schema.map(map);
        ApplyType { schema: builder.schema, id }
    }

    pub(crate) fn root(&self) -> Root<'_> {
        Root { schema: &self.schema, id: self.id }
    }
}

struct Builder {
    schema: Schema,
}

impl Builder {
    /// What every object has.
    fn of_objects(&mut self) -> Vec<(Arc<str>, TypeId)> {
        let text = self.schema.scalar(ScalarType::Text);
        let metadata = self.metadata(text);
        vec![("apiVersion".into(), text), ("kind".into(), text), ("metadata".into(), metadata)]
    }

    /// `ObjectMeta`, as the published OpenAPI documents have it.
    fn metadata(&mut self, text: TypeId) -> TypeId {
        let number = self.schema.scalar(ScalarType::Number);
        let time = self.schema.scalar(ScalarType::Untyped);
        let texts = self.schema.map(managed::Map { others: Some(text), ..managed::Map::default() });
        let finalizers = self.schema.list(text, Relation::Set);
        let keys = vec![Key { name: "uid".into(), default: None }];
        let owners = self.schema.list(Schema::UNTYPED_ATOMIC, Relation::Map(keys));
        let mut map = managed::Map::default();
        for name in ["name", "generateName", "namespace", "selfLink", "uid", "resourceVersion"] {
            map.fields.insert(name.into(), text);
        }
        let others = [
            ("annotations", texts),
            ("creationTimestamp", time),
            ("deletionGracePeriodSeconds", number),
            ("deletionTimestamp", time),
            ("finalizers", finalizers),
            ("generation", number),
            ("labels", texts),
            ("managedFields", Schema::UNTYPED_ATOMIC),
            ("ownerReferences", owners),
        ];
        map.fields.extend(others.into_iter().map(|(name, id)| (name.into(), id)));
        self.schema.map(map)
    }

    /// The type of a value. Below `x-kubernetes-preserve-unknown-fields` nothing is unknown.
    fn of(&mut self, node: &Value, preserve: bool) -> TypeId {
        let preserve = preserve || node["x-kubernetes-preserve-unknown-fields"] == true;
        if node["x-kubernetes-int-or-string"] == true {
            return self.schema.scalar(ScalarType::Untyped);
        }
        match node["type"].as_str() {
            Some("string") => self.schema.scalar(ScalarType::Text),
            Some("boolean") => self.schema.scalar(ScalarType::Boolean),
            Some("integer" | "number") => self.schema.scalar(ScalarType::Number),
            Some("array") => {
                let list = self.list(node, preserve);
                self.schema.add(Atom { list: Some(list), ..Atom::default() })
            }
            Some("object") => {
                let mut map = self.map(node, preserve);
                if node["x-kubernetes-embedded-resource"] == true {
                    map.fields.extend(self.of_objects());
                }
                self.schema.map(map)
            }
            _ => Schema::DEDUCED,
        }
    }

    fn map(&mut self, node: &Value, preserve: bool) -> managed::Map {
        let preserve = preserve || node["x-kubernetes-preserve-unknown-fields"] == true;
        let mut map = managed::Map { atomic: node["x-kubernetes-map-type"] == "atomic", ..managed::Map::default() };
        for (name, property) in node["properties"].as_object().into_iter().flatten() {
            let id = self.of(property, preserve);
            map.fields.insert(name.as_str().into(), id);
        }
        map.others = match &node["additionalProperties"] {
            Value::Object(_) => Some(self.of(&node["additionalProperties"], preserve)),
            Value::Bool(true) => Some(Schema::DEDUCED),
            _ => preserve.then_some(Schema::DEDUCED),
        };
        map
    }

    fn list(&mut self, node: &Value, preserve: bool) -> List {
        let of_items = &node["items"];
        let relation = match node["x-kubernetes-list-type"].as_str() {
            Some("set") => Relation::Set,
            Some("map") => {
                let names = items(node, &["x-kubernetes-list-map-keys"]).iter().filter_map(Value::as_str);
                let default = |name: &str| Scalar::of(of_items["properties"][name].get("default")?);
                Relation::Map(names.map(|name| Key { name: name.into(), default: default(name) }).collect())
            }
            _ => Relation::Atomic,
        };
        let items = if of_items.is_null() { Schema::DEDUCED } else { self.of(of_items, preserve) };
        List { items, relation }
    }
}

#[cfg(test)]
mod tests {
    use everynode_managed::validate;
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        let text = json!({"type": "string"});
        let item = json!({"type": "object", "properties": {"k": text, "p": {"type": "string", "default": "TCP"}}});
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "map": {"type": "array", "items": item, "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k", "p"]},
            "set": {"type": "array", "items": text, "x-kubernetes-list-type": "set"},
            "list": {"type": "array", "items": text},
            "atomic": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": text}},
            "each": {"type": "object", "additionalProperties": text},
            "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"n": text}},
            "port": {"x-kubernetes-int-or-string": true},
            "object": {"type": "object", "x-kubernetes-embedded-resource": true},
        }}}})
    }

    /// The fields that an applied object sets, as FieldsV1, or why it is refused.
    fn fields_of(object: &Value) -> Result<String, String> {
        let ApplyType { schema, id } = ApplyType::parse(&document());
        validate(&schema, id, object).map(|set| set.to_text()).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_of_list_and_map() {
        let object = json!({"metadata": {"name": "a", "finalizers": ["f"]}, "spec": {
            "map": [{"k": "a"}], "set": ["s"], "list": ["l"], "atomic": {"a": "1"}, "each": {"x": "y"},
            "any": {"n": "1", "o": {"p": 1}}, "port": "http", "object": {"kind": "Pod", "metadata": {"labels": {"l": "1"}}},
        }});
        assert_eq!(
            fields_of(&object).unwrap(),
            concat!(
                r#"{"f:metadata":{"f:finalizers":{"v:\"f\"":{}},"f:name":{}},"f:spec":{"f:any":{"f:n":{},"#,
                r#""f:o":{".":{},"f:p":{}}},"f:atomic":{},"f:each":{"f:x":{}},"f:list":{},"#,
                r#""f:map":{"k:{\"k\":\"a\",\"p\":\"TCP\"}":{".":{},"f:k":{}}},"#,
                r#""f:object":{"f:kind":{},"f:metadata":{"f:labels":{"f:l":{}}}},"f:port":{},"f:set":{"v:\"s\"":{}}}}"#
            )
        );
    }

    #[test]
    fn what_is_not_described_is_refused_unless_it_is_preserved() {
        assert_eq!(fields_of(&json!({"spec": {"foo": 1}})).unwrap_err(), ".spec.foo: field not declared in schema");
        let wrong = fields_of(&json!({"spec": {"each": {"x": 5}}})).unwrap_err();
        assert_eq!(wrong, ".spec.each.x: expected string, got &value.valueUnstructured{Value:5}");
        let ApplyType { schema, id } = ApplyType::parse(&Value::Null);
        assert!(validate(&schema, id, &json!({"spec": {"foo": [1]}})).is_ok());
    }
}
