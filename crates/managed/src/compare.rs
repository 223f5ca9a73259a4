//! What changed between two values of a type, as sets of fields.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::element::{Element, Path};
use crate::items::{TypedError, element_of};
use crate::schema::{List, Map, Relation, Schema, TypeId};
use crate::set::FieldSet;
use crate::value::{Form, entries, form, items, same};

/// The fields that are new, have another value, or are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    pub added: FieldSet,
    pub modified: FieldSet,
    pub removed: FieldSet,
}

impl Comparison {
    /// Without these fields and what is below them.
    #[must_use]
    pub(crate) fn without(self, fields: &FieldSet) -> Comparison {
        Comparison {
            added: self.added.recursive_difference(fields),
            modified: self.modified.recursive_difference(fields),
            removed: self.removed.recursive_difference(fields),
        }
    }
}

/// Compares two objects of a type. Errors: an item of a list has no keys, so that nothing can be
/// said about the list.
pub fn compare(schema: &Schema, id: TypeId, old: &Value, new: &Value) -> Result<Comparison, TypedError> {
    let mut walk = Walk { schema, path: Vec::new(), found: Comparison::default(), faults: Vec::new() };
    walk.visit(id, Some(old), Some(new));
    match walk.faults.is_empty() {
        true => Ok(walk.found),
        false => Err(TypedError { faults: walk.faults }),
    }
}

/// Two values, at least one of which is there.
type Pair<'a> = (Option<&'a Value>, Option<&'a Value>);

struct Walk<'a> {
    schema: &'a Schema,
    path: Path,
    found: Comparison,
    faults: Vec<(Path, String)>,
}

impl Walk<'_> {
    fn visit(&mut self, id: TypeId, old: Option<&Value>, new: Option<&Value>) {
        let old_form = form(self.schema, id, old);
        let new_form = form(self.schema, id, new);
        let leaf = match (old, new) {
            (None, None) => return,
            (_, None) => self.take_form(old_form, (old, new)),
            (Some(_), Some(_)) if old_form != new_form => {
                self.take_form(old_form, (old, new));
                self.take_form(new_form, (old, new))
            }
            _ => self.take_form(new_form, (old, new)),
        };
        match (old, new) {
            (None, Some(_)) if !leaf => self.found.added.insert(&self.path),
            (Some(_), None) if !leaf => self.found.removed.insert(&self.path),
            _ => {}
        }
    }

    /// Handles two values as one form. Whether they were compared as one value.
    fn take_form(&mut self, form: Option<Form<'_>>, pair: Pair<'_>) -> bool {
        match form {
            Some(Form::Map(map)) => self.map(map, pair),
            Some(Form::List(list)) => self.list(list, pair),
            Some(Form::Scalar(_)) | None => self.leaf(pair),
        }
    }

    fn leaf(&mut self, pair: Pair<'_>) -> bool {
        match pair {
            (None, _) => self.found.added.insert(&self.path),
            (_, None) => self.found.removed.insert(&self.path),
            (Some(old), Some(new)) if !same(old, new) => self.found.modified.insert(&self.path),
            _ => {}
        }
        true
    }

    /// Two empty maps are compared as one value: an empty one is another than none.
    fn map(&mut self, map: &Map, pair: Pair<'_>) -> bool {
        let (old, new) = (entries(pair.0), entries(pair.1));
        let vacant = old.is_none_or(serde_json::Map::is_empty) && new.is_none_or(serde_json::Map::is_empty);
        if map.atomic || vacant {
            return self.leaf(pair);
        }
        for (name, value) in old.into_iter().flatten() {
            self.descend(Element::field(name), map.entry(name), (Some(value), new.and_then(|new| new.get(name))));
        }
        let absent = |name: &String| old.is_none_or(|old| !old.contains_key(name));
        for (name, value) in new.into_iter().flatten().filter(|(name, _)| absent(name)) {
            self.descend(Element::field(name), map.entry(name), (None, Some(value)));
        }
        false
    }

    fn list(&mut self, list: &List, pair: Pair<'_>) -> bool {
        let (old, new) = (items(pair.0), items(pair.1));
        let vacant = old.is_none_or(Vec::is_empty) && new.is_none_or(Vec::is_empty);
        if list.relation == Relation::Atomic || vacant {
            return self.leaf(pair);
        }
        let mut grouped: BTreeMap<Element, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
        for (index, item) in old.into_iter().flatten().enumerate() {
            if let Some(element) = self.element(list, index, item) {
                grouped.entry(element).or_default().0.push(item);
            }
        }
        for (index, item) in new.into_iter().flatten().enumerate() {
            if let Some(element) = self.element(list, index, item) {
                grouped.entry(element).or_default().1.push(item);
            }
        }
        for (element, (old, new)) in grouped {
            self.items(list, element, &old, &new);
        }
        false
    }

    fn element(&mut self, list: &List, index: usize, item: &Value) -> Option<Element> {
        let found = element_of(list, item);
        found.map_err(|fault| self.faults.push((self.path.clone(), format!("element {index}: {fault}")))).ok()
    }

    /// The items of one element. Several of them are one value; where there were several and is one
    /// now, that one is new.
    fn items(&mut self, list: &List, element: Element, old: &[&Value], new: &[&Value]) {
        let (several_before, several_now) = (old.len() > 1, new.len() > 1);
        match (several_before, several_now) {
            (false, false) => {
                self.descend(element, list.items, (old.first().copied(), new.first().copied()));
            }
            (true, true) => {
                let equal = old.len() == new.len() && old.iter().zip(new).all(|(old, new)| same(old, new));
                if !equal {
                    self.mark(element, |found| &mut found.modified);
                }
            }
            (true, false) => match new.first() {
                Some(new) => self.descend(element, list.items, (None, Some(new))),
                None => self.mark(element, |found| &mut found.removed),
            },
            (false, true) => match old.first() {
                Some(old) => {
                    self.descend(element.clone(), list.items, (Some(old), None));
                    self.mark(element, |found| &mut found.added);
                }
                None => self.mark(element, |found| &mut found.added),
            },
        }
    }

    fn mark(&mut self, element: Element, set: impl FnOnce(&mut Comparison) -> &mut FieldSet) {
        self.path.push(element);
        set(&mut self.found).insert(&self.path);
        self.path.pop();
    }

    fn descend(&mut self, element: Element, id: TypeId, (old, new): Pair<'_>) {
        self.path.push(element);
        self.visit(id, old, new);
        self.path.pop();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testkit::{schema, text_set};

    fn check(old: Value, new: Value, added: &str, modified: &str, removed: &str) {
        let (schema, root) = schema();
        let found = compare(&schema, root, &old, &new).unwrap();
        let expected = Comparison { added: text_set(added), modified: text_set(modified), removed: text_set(removed) };
        assert_eq!(found, expected, "{old} became {new}");
    }

    #[test]
    fn maps_are_compared_entry_by_entry() {
        let (one, two) = (json!({"data": {"a": "1", "b": "2"}}), json!({"data": {"b": "3", "c": "4"}}));
        check(one.clone(), two, ".data.c", ".data.b", ".data.a");
        check(json!({}), one.clone(), ".data .data.a .data.b", "", "");
        check(one.clone(), json!({}), "", "", ".data .data.a .data.b");
        check(one, json!({"data": {}}), "", "", ".data.a .data.b");
        check(json!({"data": {}}), json!({}), "", "", ".data");
    }

    #[test]
    fn items_are_found_by_their_keys_wherever_they_are() {
        let one = json!({"ports": [{"port": 1, "name": "a"}, {"port": 2}]});
        let two = json!({"ports": [{"port": 2, "protocol": "TCP"}, {"port": 1, "name": "b"}]});
        check(one, two, r#".ports[port=2,protocol="TCP"].protocol"#, r#".ports[port=1,protocol="TCP"].name"#, "");
    }

    #[test]
    fn sets_and_atomic_values() {
        check(json!({"set": ["a", "b"]}), json!({"set": ["b", "c"]}), r#".set[="c"]"#, "", r#".set[="a"]"#);
        check(json!({"list": ["a", "b"]}), json!({"list": ["b"]}), "", ".list", "");
        check(json!({"choice": {"a": 1}}), json!({"choice": {"a": 1, "b": 2}}), "", ".choice", "");
    }

    #[test]
    fn several_items_of_one_key_are_one_value() {
        let twice = json!({"set": ["a", "a"]});
        check(twice.clone(), json!({"set": ["a", "a"]}), "", "", "");
        check(twice.clone(), json!({"set": ["a"]}), r#".set[="a"]"#, "", "");
        check(twice.clone(), json!({"set": ["b"]}), r#".set[="b"]"#, "", r#".set[="a"]"#);
        check(json!({"set": ["b"]}), twice, r#".set[="a"]"#, "", r#".set[="b"]"#);
    }

    #[test]
    fn a_value_of_any_type_may_change_its_form() {
        check(json!({"any": {"a": 1}}), json!({"any": 5}), "", ".any", ".any.a");
        check(json!({"any": {"a": 1}}), json!({"any": {"a": 1.0}}), "", "", "");
    }

    #[test]
    fn an_item_without_keys_is_an_error() {
        let (schema, root) = schema();
        let error = compare(&schema, root, &json!({"ports": [{"port": {}}]}), &json!({})).unwrap_err();
        assert!(error.to_string().starts_with(".ports: element 0: "), "{error}");
    }
}
