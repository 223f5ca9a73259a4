//! A schema with every kind of type, and sets written as paths.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use crate::element::{Element, Path, Scalar};
use crate::schema::{Key, Map, Relation, ScalarType, Schema, TypeId};
use crate::set::FieldSet;

fn fields(types: &[(&str, TypeId)]) -> Map {
    let fields: BTreeMap<_, _> = types.iter().map(|(name, id)| ((*name).into(), *id)).collect();
    Map { fields, ..Map::default() }
}

/// Fields: `data` a map, `set`, `list` atomic, `ports` by port and protocol, `named` by name,
/// `choice` an atomic struct, `any`, `nested` with `data`, `replicas`; metadata.
pub(crate) fn schema() -> (Schema, TypeId) {
    let mut schema = Schema::new();
    let text = schema.scalar(ScalarType::Text);
    let number = schema.scalar(ScalarType::Number);
    let data = schema.map(Map { others: Some(text), ..Map::default() });
    let set = schema.list(text, Relation::Set);
    let list = schema.list(text, Relation::Atomic);
    let port = schema.map(fields(&[("port", number), ("protocol", text), ("name", text)]));
    let key = |name: &str, default: Option<Scalar>| Key { name: name.into(), default };
    let keys = vec![key("port", None), key("protocol", Some(Scalar::Text("TCP".into())))];
    let ports = schema.list(port, Relation::Map(keys));
    let item = schema.map(fields(&[("name", text), ("value", text)]));
    let named = schema.list(item, Relation::Map(vec![key("name", None)]));
    let choice = schema.map(Map { atomic: true, ..fields(&[("a", number), ("b", number)]) });
    let nested = schema.map(fields(&[("data", data), ("x", text)]));
    let metadata = schema.map(fields(&[
        ("name", text),
        ("namespace", text),
        ("uid", text),
        ("labels", data),
        ("annotations", data),
        ("managedFields", Schema::UNTYPED_ATOMIC),
    ]));
    let root = schema.map(fields(&[
        ("apiVersion", text),
        ("kind", text),
        ("metadata", metadata),
        ("data", data),
        ("set", set),
        ("list", list),
        ("ports", ports),
        ("named", named),
        ("choice", choice),
        ("any", Schema::DEDUCED),
        ("nested", nested),
        ("replicas", number),
    ]));
    (schema, root)
}

/// A set from printed paths with spaces between them.
pub(crate) fn text_set(text: &str) -> FieldSet {
    let mut set = FieldSet::default();
    for path in text.split_whitespace() {
        set.insert(&read_path(path));
    }
    set
}

fn read_path(mut rest: &str) -> Path {
    let scalar = |text: &str| Scalar::of(&serde_json::from_str::<Value>(text).unwrap()).unwrap();
    let mut path = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (inside, after) = after.split_once(']').unwrap();
            path.push(match inside.strip_prefix('=') {
                Some(value) => Element::Value(scalar(value)),
                None => Element::Key(
                    inside
                        .split(',')
                        .map(|pair| pair.split_once('=').unwrap())
                        .map(|(name, value)| (name.into(), scalar(value)))
                        .collect(),
                ),
            });
            rest = after;
        } else {
            let name = rest.strip_prefix('.').unwrap();
            let end = name.find(['.', '[']).unwrap_or(name.len());
            path.push(Element::field(&name[..end]));
            rest = &name[end..];
        }
    }
    path
}

fn any_scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        any::<i64>().prop_map(Scalar::Int),
        (0..3_i64).prop_map(Scalar::Int),
        (-4..4_i32).prop_map(|number| Scalar::Float(f64::from(number) + 0.5)),
        "[a-c\"\\\\]{0,2}".prop_map(|text| Scalar::Text(text.into())),
        any::<bool>().prop_map(Scalar::Bool),
        Just(Scalar::Null),
    ]
}

fn any_element() -> impl Strategy<Value = Element> {
    prop_oneof![
        4 => "[a-c.]{1,2}".prop_map(|name| Element::field(&name)),
        1 => proptest::collection::btree_map("[a-c]", any_scalar(), 1..3)
            .prop_map(|keys| Element::Key(keys.into_iter().map(|(name, value)| (name.into(), value)).collect())),
        1 => any_scalar().prop_map(Element::Value),
        1 => (0..4_i64).prop_map(Element::Index),
    ]
}

/// Sets of up to 12 paths with up to 4 elements.
pub(crate) fn any_set() -> impl Strategy<Value = FieldSet> {
    let path = proptest::collection::vec(any_element(), 1..5);
    proptest::collection::vec(path, 0..12).prop_map(|paths| {
        let mut set = FieldSet::default();
        paths.iter().for_each(|path| set.insert(path));
        set
    })
}
