//! An object without some of its fields.

use serde_json::Value;

use crate::element::Element;
use crate::items::element_of;
use crate::schema::{List, Map, Relation, Schema, TypeId};
use crate::set::{FieldSet, Node};
use crate::value::Form;
use crate::value::form;

/// An object without fields. An object or list of which nothing is left is `null`.
pub(crate) fn without(schema: &Schema, id: TypeId, value: &Value, fields: &FieldSet) -> Value {
    match (form(schema, id, Some(value)), value) {
        (Some(Form::Map(map)), Value::Object(object)) if !object.is_empty() => {
            without_entries(schema, map, object, fields)
        }
        (Some(Form::List(list)), Value::Array(items)) if !items.is_empty() => {
            without_items(schema, list, items, fields)
        }
        (Some(Form::Map(_)), _) | (Some(Form::List(_)), _) => Value::Null,
        _ => value.clone(),
    }
}

fn without_entries(schema: &Schema, map: &Map, object: &serde_json::Map<String, Value>, fields: &FieldSet) -> Value {
    if map.atomic {
        return Value::Null;
    }
    let mut left = serde_json::Map::new();
    for (name, value) in object {
        let element = Element::field(name);
        if fields.has_member(&element) {
            continue;
        }
        let value = match fields.below(&element) {
            Some(below) => without(schema, map.entry(name), value, below),
            None => value.clone(),
        };
        left.insert(name.clone(), value);
    }
    if left.is_empty() { Value::Null } else { Value::Object(left) }
}

fn without_items(schema: &Schema, list: &List, items: &[Value], fields: &FieldSet) -> Value {
    if list.relation == Relation::Atomic {
        return Value::Null;
    }
    let mut left = Vec::new();
    for item in items {
        // The lists were validated before: an item without keys is in no set.
        let element = element_of(list, item).ok();
        if element.as_ref().is_some_and(|element| fields.has_member(element)) {
            continue;
        }
        left.push(match element.and_then(|element| fields.below(&element)) {
            Some(below) => without(schema, list.items, item, below),
            None => item.clone(),
        });
    }
    if left.is_empty() { Value::Null } else { Value::Array(left) }
}

/// The set with the fields of structs on the way to its paths: with `a.b` also `a`, unless `a` is
/// an entry of a map or an item.
pub(crate) fn with_named_fields(schema: &Schema, id: TypeId, set: &FieldSet) -> FieldSet {
    let atom = schema.get(id);
    let nodes = set.nodes.iter().map(|(element, node)| {
        let map = atom.map.as_ref();
        let (named, below) = match element {
            Element::Field(name) => {
                (map.is_some_and(|map| map.fields.contains_key(name)), map.map(|map| map.entry(name)))
            }
            _ => (false, atom.list.as_ref().map(|list| list.items)),
        };
        let children = with_named_fields(schema, below.unwrap_or(Schema::DEDUCED), &node.children);
        let member = node.member || (named && !children.is_empty());
        (element.clone(), Node { member, children })
    });
    FieldSet { nodes: nodes.collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testkit::{schema, text_set};

    #[test]
    fn fields_items_and_entries_are_left_out() {
        let (schema, root) = schema();
        let object = json!({
            "data": {"a": "1", "b": "2"}, "set": ["x", "y"], "list": ["l"],
            "ports": [{"port": 1, "name": "a"}, {"port": 2}],
        });
        let fields = text_set(r#".data.a .set[="x"] .list .ports[port=1,protocol="TCP"].name"#);
        assert_eq!(
            without(&schema, root, &object, &fields),
            json!({"data": {"b": "2"}, "set": ["y"], "ports": [{"port": 1}, {"port": 2}]})
        );
        let all = text_set(r#".data.a .data.b .set[="x"] .set[="y"]"#);
        assert_eq!(without(&schema, root, &json!({"set": ["x"]}), &all), json!({"set": null}));
    }

    #[test]
    fn structs_on_the_way_are_members_and_entries_are_not() {
        let (schema, root) = schema();
        let set = text_set(r#".nested.data.x .any.a.b .ports[port=1,protocol="TCP"].name"#);
        let expected = set.clone().union(&text_set(".nested .nested.data .any .ports"));
        assert_eq!(with_named_fields(&schema, root, &set), expected);
    }
}
