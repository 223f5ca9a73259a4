//! The fields that an applied configuration says, and whether it is of its type.

use std::collections::BTreeMap;

use everynode_api::field::go_quote;
use serde_json::Value;

use crate::element::{Element, Path};
use crate::items::{TypedError, element_of};
use crate::schema::{List, Map, Relation, ScalarType, Schema, TypeId};
use crate::set::FieldSet;
use crate::value::{Form, entries, form, items};

/// The fields of an object: its values without parts, its items, its entries of maps, and what is
/// empty. Fields that hold others are not among them.
///
/// Errors: an item of a list has no keys.
pub fn field_set(schema: &Schema, id: TypeId, object: &Value) -> Result<FieldSet, TypedError> {
    let mut walk = Walk { schema, path: Vec::new(), found: FieldSet::default(), faults: Vec::new(), strict: false };
    walk.visit(id, object);
    walk.finish()
}

/// Whether an object that is applied is of its type.
///
/// Errors: every fault with its path.
pub fn validate(schema: &Schema, id: TypeId, object: &Value) -> Result<FieldSet, TypedError> {
    let mut walk = Walk { schema, path: Vec::new(), found: FieldSet::default(), faults: Vec::new(), strict: true };
    walk.visit(id, object);
    walk.finish()
}

struct Walk<'a> {
    schema: &'a Schema,
    path: Path,
    found: FieldSet,
    faults: Vec<(Path, String)>,
    /// Types are checked, and an item may be there once only.
    strict: bool,
}

impl Walk<'_> {
    fn finish(self) -> Result<FieldSet, TypedError> {
        match self.faults.is_empty() {
            true => Ok(self.found),
            false => Err(TypedError { faults: self.faults }),
        }
    }

    fn fault(&mut self, message: String) {
        self.faults.push((self.path.clone(), message));
    }

    /// A value of another type than said: `null` is of every type.
    fn check(&mut self, fits: bool, expected: &str, value: &Value) {
        if self.strict && !fits && !value.is_null() {
            self.fault(format!("expected {expected}, got &value.valueUnstructured{{Value:{}}}", go_value(value)));
        }
    }

    fn visit(&mut self, id: TypeId, value: &Value) {
        match form(self.schema, id, Some(value)) {
            Some(Form::Map(map)) => self.map(map, value),
            Some(Form::List(list)) => self.list(list, value),
            Some(Form::Scalar(scalar)) => self.scalar(scalar, value),
            None => self.found.insert(&self.path),
        }
    }

    fn scalar(&mut self, scalar: ScalarType, value: &Value) {
        match scalar {
            ScalarType::Text => self.check(value.is_string(), "string", value),
            ScalarType::Number => self.check(value.is_number(), "numeric (int or float)", value),
            ScalarType::Boolean => self.check(value.is_boolean(), "boolean", value),
            ScalarType::Untyped => {}
        }
        self.found.insert(&self.path);
    }

    fn map(&mut self, map: &Map, value: &Value) {
        self.check(value.is_object(), "map", value);
        if map.atomic {
            self.found.insert(&self.path);
        }
        for (name, value) in entries(Some(value)).into_iter().flatten() {
            let known = map.fields.contains_key(name.as_str());
            let described = known || map.others.is_some();
            if map.atomic {
                self.inside_atomic(Element::field(name), described.then(|| map.entry(name)), value);
                continue;
            }
            self.path.push(Element::field(name));
            match described || !self.strict {
                true => self.visit(map.entry(name), value),
                false => self.fault("field not declared in schema".into()),
            }
            let empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
            if empty || !known {
                self.found.insert(&self.path);
            }
            self.path.pop();
        }
    }

    /// What is inside one value is checked, but has no fields.
    fn inside_atomic(&mut self, element: Element, id: Option<TypeId>, value: &Value) {
        if !self.strict {
            return;
        }
        self.path.push(element);
        let found = std::mem::take(&mut self.found);
        match id {
            Some(id) => self.visit(id, value),
            None => self.fault("field not declared in schema".into()),
        }
        self.found = found;
        self.path.pop();
    }

    fn list(&mut self, list: &List, value: &Value) {
        self.check(value.is_array(), "list", value);
        let Some(items) = items(Some(value)) else {
            if list.relation == Relation::Atomic {
                self.found.insert(&self.path);
            }
            return;
        };
        if list.relation == Relation::Atomic {
            self.found.insert(&self.path);
            for (index, item) in (0..).zip(items) {
                self.inside_atomic(Element::Index(index), Some(list.items), item);
            }
            return;
        }
        let mut elements: BTreeMap<Element, Vec<&Value>> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            match element_of(list, item) {
                Ok(element) => elements.entry(element).or_default().push(item),
                Err(fault) => return self.fault(format!("element {index}: {fault}")),
            }
        }
        for (element, items) in elements {
            if self.strict && items.len() > 1 {
                self.fault(format!("duplicate entries for key {element}"));
            }
            self.path.push(element);
            self.found.insert(&self.path);
            if let [item] = items[..] {
                self.visit(list.items, item);
            }
            self.path.pop();
        }
    }
}

/// A value as Go prints it in its own notation.
fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".into(),
        Value::String(text) => go_quote(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_value).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("{}:{}", go_quote(name), go_value(value))).collect();
            format!("map[string]interface {{}}{{{}}}", fields.join(", "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testkit::{schema, text_set};

    fn fields(object: &Value) -> FieldSet {
        let (schema, root) = schema();
        let found = field_set(&schema, root, object).unwrap();
        assert_eq!(validate(&schema, root, object).as_ref(), Ok(&found), "{object}");
        found
    }

    fn faults(object: &Value) -> String {
        let (schema, root) = schema();
        validate(&schema, root, object).unwrap_err().to_string()
    }

    #[test]
    fn what_an_applied_object_says() {
        assert_eq!(fields(&json!({"data": {"x": "1"}})), text_set(".data.x"));
        assert_eq!(fields(&json!({"data": {}})), text_set(".data"));
        assert_eq!(fields(&json!({"set": [], "data": null})), text_set(".data"));
        assert_eq!(fields(&json!({"list": [], "choice": {"a": 1}})), text_set(".list .choice"));
        assert_eq!(
            fields(&json!({"ports": [{"port": 1, "name": "a"}], "set": ["a"], "any": {"a": [1]}})),
            text_set(
                r#".ports[port=1,protocol="TCP"] .ports[port=1,protocol="TCP"].port .ports[port=1,protocol="TCP"].name
                .set[="a"] .any.a"#
            )
        );
    }

    #[test]
    fn several_items_of_one_key_are_one_field() {
        let (schema, root) = schema();
        let twice = json!({"set": ["a", "a"]});
        assert_eq!(field_set(&schema, root, &twice), Ok(text_set(r#".set[="a"]"#)));
        assert_eq!(faults(&twice), r#".set: duplicate entries for key [="a"]"#);
    }

    #[test]
    fn faults_are_said_as_the_original_says_them() {
        assert_eq!(faults(&json!({"foo": 1})), ".foo: field not declared in schema");
        assert_eq!(
            faults(&json!({"data": {"x": 3}})),
            ".data.x: expected string, got &value.valueUnstructured{Value:3}"
        );
        assert_eq!(
            faults(&json!({"ports": [{"port": "a"}], "data": []})),
            "errors:\n  .data: expected map, got &value.valueUnstructured{Value:[]interface {}{}}\n  \
             .ports[port=\"a\",protocol=\"TCP\"].port: expected numeric (int or float), got \
             &value.valueUnstructured{Value:\"a\"}"
        );
        assert_eq!(
            faults(&json!({"choice": {"a": true}, "list": [1]})),
            "errors:\n  .choice.a: expected numeric (int or float), got &value.valueUnstructured{Value:true}\n  \
             .list[0]: expected string, got &value.valueUnstructured{Value:1}"
        );
        assert_eq!(
            faults(&json!({"named": [{}]})),
            ".named: element 0: associative list with keys has an element that omits all key fields [\"name\"] (and \
             doesn't have default values for any key fields)"
        );
    }
}
