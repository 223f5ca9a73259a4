//! The types of built-in kinds as server-side apply sees them (see [`everynode_managed`]).

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use everynode_api::kinds::Kind;
use everynode_managed as managed;
use everynode_managed::{Atom, Relation, Root, ScalarType, Schema, TypeId};
use serde_json::{Map, Value};

use super::types::{Definition, Emission, Field, ListType, Type, Types, types};

/// Maps that are one value, as the published OpenAPI documents mark them
/// (`x-kubernetes-map-type: atomic`), by type and field.
const ATOMIC_MAPS: [(&str, &str); 4] = [
    ("PodSpec", "nodeSelector"),
    ("ReplicationControllerSpec", "selector"),
    ("Scheduling", "nodeSelector"),
    ("ServiceSpec", "selector"),
];

/// Key fields that have a default there, by type and field.
const KEY_DEFAULTS: [(&str, &str, &str); 2] =
    [("ContainerPort", "protocol", "TCP"), ("ServicePort", "protocol", "TCP")];

struct Built {
    schema: Schema,
    /// By the index of the definition.
    ids: Vec<TypeId>,
}

/// All types, made at first use.
fn built() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| Built::new(types()))
}

/// The type of a kind. A kind without one is known by its values only.
pub(crate) fn root(kind: &Kind) -> Root<'static> {
    let Built { schema, ids } = built();
    let id = types().index_of(kind).map_or(Schema::DEDUCED, |index| ids[index]);
    Root { schema, id }
}

/// The object of a kind that has nothing in it but what Go always writes.
pub(crate) fn empty(kind: &Kind) -> Value {
    let mut members = types().of(kind).map(|definition| always(types(), definition)).unwrap_or_default();
    members.insert("apiVersion".into(), kind.api_version().into());
    members.insert("kind".into(), Value::String(kind.kind.to_string()));
    members.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    Value::Object(members)
}

fn always(types: &Types, definition: &Definition) -> Map<String, Value> {
    let fields = definition.fields.iter().filter(|field| field.emission == Emission::Always);
    let member = |field: &Field| match &field.kind {
        Type::Object(index) => Value::Object(always(types, types.get(*index))),
        kind => kind.zero(),
    };
    fields.map(|field| (field.name.clone(), member(field))).collect()
}

impl Built {
    fn new(types: &Types) -> Built {
        let mut schema = Schema::new();
        // Types refer to each other, and to themselves: first all have a name.
        let ids: Vec<TypeId> = (0..types.len()).map(|_| schema.declare()).collect();
        let mut built = Built { schema, ids };
        for index in 0..types.len() {
            let definition = types.get(index);
            let fields: BTreeMap<Arc<str>, TypeId> = definition
                .fields
                .iter()
                .map(|field| (field.name.as_str().into(), built.field(types, definition, field)))
                .collect();
            let map = managed::Map { fields, others: None, atomic: definition.atomic };
            built.schema.define(built.ids[index], Atom { map: Some(map), ..Atom::default() });
        }
        built
    }

    fn field(&mut self, types: &Types, owner: &Definition, field: &Field) -> TypeId {
        match &field.kind {
            Type::List(item) => {
                let relation = relation(types, item, &field.list);
                let item = self.of(item);
                self.schema.list(item, relation)
            }
            Type::Map(item) => {
                let atomic =
                    field.list == ListType::Atomic || ATOMIC_MAPS.contains(&(owner.short_name(), field.name.as_str()));
                let item = self.of(item);
                self.schema.map(managed::Map { others: Some(item), atomic, ..managed::Map::default() })
            }
            kind => self.of(kind),
        }
    }

    fn of(&mut self, kind: &Type) -> TypeId {
        match kind {
            Type::Object(index) | Type::ObjectOr(index) => self.ids[*index],
            Type::List(item) => {
                let item = self.of(item);
                self.schema.list(item, Relation::Atomic)
            }
            Type::Map(item) => {
                let item = self.of(item);
                self.schema.map(managed::Map { others: Some(item), ..managed::Map::default() })
            }
            Type::String | Type::Bytes => self.schema.scalar(ScalarType::Text),
            Type::Bool => self.schema.scalar(ScalarType::Boolean),
            Type::Int32 | Type::Int64 | Type::Double => self.schema.scalar(ScalarType::Number),
            Type::Time | Type::MicroTime | Type::Quantity | Type::IntOrString => {
                self.schema.scalar(ScalarType::Untyped)
            }
            Type::Any => Schema::DEDUCED,
        }
    }
}

/// How items of a list are told apart; a list that says nothing is one value.
fn relation(types: &Types, item: &Type, list: &ListType) -> Relation {
    match list {
        ListType::Unspecified | ListType::Atomic => Relation::Atomic,
        ListType::Set => Relation::Set,
        ListType::Map(names) => {
            let owner = match item {
                Type::Object(index) => types.get(*index).short_name(),
                _ => "",
            };
            Relation::Map(names.iter().map(|name| key(owner, name)).collect())
        }
    }
}

fn key(owner: &str, name: &str) -> managed::Key {
    let default = KEY_DEFAULTS.iter().find(|(of, field, _)| *of == owner && *field == name);
    let default = default.map(|(_, _, value)| managed::Scalar::Text((*value).into()));
    managed::Key { name: name.into(), default }
}

#[cfg(test)]
mod tests {
    use everynode_api::kinds::{DAEMON_SET, POD, SERVICE};
    use everynode_managed::{FieldSet, compare, field_set};
    use serde_json::json;

    use super::*;

    fn fields_of(kind: &Kind, object: &Value) -> String {
        let Root { schema, id } = root(kind);
        field_set(schema, id, object).unwrap().to_text()
    }

    #[test]
    fn lists_maps_and_structs_are_as_published() {
        let pod = json!({"spec": {
            "nodeSelector": {"a": "b"}, "tolerations": [{"key": "a"}],
            "containers": [{"name": "c", "ports": [{"containerPort": 80}], "env": [{"name": "E", "valueFrom":
                {"secretKeyRef": {"name": "s", "key": "k"}}}], "args": ["x"], "resources": {"limits": {"cpu": 1}}}],
        }, "metadata": {"finalizers": ["f"], "labels": {"l": "1"}, "ownerReferences": [{"uid": "u"}]}});
        assert_eq!(
            fields_of(&POD, &pod),
            concat!(
                r#"{"f:metadata":{"f:finalizers":{"v:\"f\"":{}},"f:labels":{"f:l":{}},"#,
                r#""f:ownerReferences":{"k:{\"uid\":\"u\"}":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":"#,
                r#"{".":{},"f:args":{},"f:env":{"k:{\"name\":\"E\"}":{".":{},"f:name":{},"f:valueFrom":"#,
                r#"{"f:secretKeyRef":{}}}},"f:name":{},"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":"#,
                r#"{".":{},"f:containerPort":{}}},"f:resources":{"f:limits":{"f:cpu":{}}}}},"#,
                r#""f:nodeSelector":{},"f:tolerations":{}}}"#
            )
        );
        let service = json!({"spec": {"selector": {"a": "b"}, "ports": [{"port": 1, "protocol": "UDP"}]}});
        assert_eq!(
            fields_of(&SERVICE, &service),
            r#"{"f:spec":{"f:ports":{"k:{\"port\":1,\"protocol\":\"UDP\"}":{".":{},"f:port":{},"f:protocol":{}}},"f:selector":{}}}"#
        );
    }

    #[test]
    fn structs_held_by_value_are_in_the_empty_object() {
        let set = empty(&DAEMON_SET);
        assert_eq!(set["spec"]["template"]["spec"]["containers"], Value::Null);
        assert_eq!(set["status"]["numberReady"], 0);
        let Root { schema, id } = root(&DAEMON_SET);
        let mut new = set.clone();
        new["spec"]["template"]["metadata"] = json!({"labels": {"a": "b"}});
        let expected = r#"{"f:spec":{"f:template":{"f:metadata":{"f:labels":{".":{},"f:a":{}}}}}}"#;
        assert_eq!(compare(schema, id, &set, &new).unwrap().added.to_text(), expected);
        assert_eq!(compare(schema, id, &set, &set).unwrap().modified, FieldSet::default());
    }
}
