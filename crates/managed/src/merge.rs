//! What an applied object makes of one that is there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use crate::element::Element;
use crate::items::{TypedError, element_of};
use crate::schema::{List, Map, Relation, Schema, TypeId};
use crate::value::{Form, entries, form, items};

/// The live object with the values of the applied one. Items that both have are in the order of the
/// applied one.
///
/// Errors: an item of a list has no keys.
pub(crate) fn merge(schema: &Schema, id: TypeId, live: &Value, applied: &Value) -> Result<Value, TypedError> {
    let merge = Merge { schema };
    Ok(merge.values(id, Some(live), Some(applied))?.unwrap_or_else(|| Value::Object(serde_json::Map::new())))
}

struct Merge<'a> {
    schema: &'a Schema,
}

/// The merged value; `None`: nothing is left.
type Merged = Result<Option<Value>, TypedError>;

impl Merge<'_> {
    fn values(&self, id: TypeId, live: Option<&Value>, applied: Option<&Value>) -> Merged {
        let rule = match applied {
            Some(_) => form(self.schema, id, applied),
            None => form(self.schema, id, live),
        };
        match rule {
            Some(Form::Map(map)) => self.maps(map, live, applied),
            Some(Form::List(list)) => self.lists(list, live, applied),
            Some(Form::Scalar(_)) | None => Ok(applied.or(live).cloned()),
        }
    }

    fn maps(&self, map: &Map, live: Option<&Value>, applied: Option<&Value>) -> Merged {
        let (old, new) = (entries(live), entries(applied));
        let vacant = old.is_none_or(serde_json::Map::is_empty) && new.is_none_or(serde_json::Map::is_empty);
        if map.atomic || vacant {
            return Ok(applied.or(live).cloned());
        }
        let names: BTreeSet<&String> = old.into_iter().chain(new).flat_map(serde_json::Map::keys).collect();
        let mut merged = serde_json::Map::new();
        for name in names {
            let pair = (old.and_then(|old| old.get(name)), new.and_then(|new| new.get(name)));
            if let Some(value) = self.values(map.entry(name), pair.0, pair.1)? {
                merged.insert(name.clone(), value);
            }
        }
        Ok((!merged.is_empty()).then_some(Value::Object(merged)))
    }

    fn lists(&self, list: &List, live: Option<&Value>, applied: Option<&Value>) -> Merged {
        let (old, new) = (items(live), items(applied));
        let vacant = old.is_none_or(Vec::is_empty) && new.is_none_or(Vec::is_empty);
        if list.relation == Relation::Atomic || vacant {
            return Ok(applied.or(live).cloned());
        }
        let old = Indexed::new(list, old.map_or(&[][..], Vec::as_slice))?;
        let new = Indexed::new(list, new.map_or(&[][..], Vec::as_slice))?;
        let mut merged = Vec::new();
        for place in order(&old, &new) {
            let (live, applied) = match place {
                Place::Live(index) => (Some(old.items[index].1), None),
                Place::Applied(index) => {
                    let (element, item) = &new.items[index];
                    (old.only(element), Some(*item))
                }
            };
            merged.extend(self.values(list.items, live, applied)?);
        }
        Ok((!merged.is_empty()).then_some(Value::Array(merged)))
    }
}

/// Items of a list with their elements, and where each element is first.
struct Indexed<'a> {
    items: Vec<(Element, &'a Value)>,
    places: BTreeMap<Element, Vec<usize>>,
}

impl<'a> Indexed<'a> {
    fn new(list: &List, values: &'a [Value]) -> Result<Indexed<'a>, TypedError> {
        let mut indexed = Indexed { items: Vec::with_capacity(values.len()), places: BTreeMap::new() };
        for (index, item) in values.iter().enumerate() {
            let element =
                element_of(list, item).map_err(|fault| TypedError::at(&[], format!("element {index}: {fault}")))?;
            indexed.places.entry(element.clone()).or_default().push(index);
            indexed.items.push((element, item));
        }
        Ok(indexed)
    }

    fn has(&self, element: &Element) -> bool {
        self.places.contains_key(element)
    }

    /// The item of an element, if there is one only.
    fn only(&self, element: &Element) -> Option<&'a Value> {
        match self.places.get(element).map(Vec::as_slice) {
            Some([index]) => Some(self.items[*index].1),
            _ => None,
        }
    }
}

/// An item of the merged list: one that only the live list has, or one of the applied list.
enum Place {
    Live(usize),
    Applied(usize),
}

/// The order of the merged list. Shared items are in the order of the applied list; others stay as
/// near as they can to where they were.
fn order(old: &Indexed<'_>, new: &Indexed<'_>) -> Vec<Place> {
    let mut places = Vec::with_capacity(old.items.len().max(new.items.len()));
    let mut shared: VecDeque<&Element> =
        new.items.iter().map(|(element, _)| element).filter(|element| old.has(element)).collect();
    let mut taken = BTreeSet::new();
    let (mut at_old, mut at_new) = (0, 0);
    while at_old < old.items.len() || at_new < new.items.len() {
        let live = old.items.get(at_old).map(|(element, _)| element);
        let applied = new.items.get(at_new).map(|(element, _)| element);
        if let (Some(element), Some(wanted)) = (live, applied) {
            if element == wanted {
                places.push(Place::Applied(at_new));
                taken.insert(element);
                shared.pop_front();
                at_old += 1;
                at_new += 1;
                continue;
            }
            let other_is_next = shared.front().is_some_and(|next| *next != element);
            if new.has(element) && other_is_next {
                at_old += 1;
                continue;
            }
        }
        if let Some(element) = live {
            if !new.has(element) {
                places.push(Place::Live(at_old));
                at_old += 1;
                continue;
            }
            if taken.contains(element) {
                at_old += 1;
            }
        }
        if let Some(element) = applied {
            places.push(Place::Applied(at_new));
            taken.insert(element);
            at_new += 1;
            if shared.front() == Some(&element) {
                shared.pop_front();
            }
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testkit::schema;

    fn check(live: Value, applied: Value, expected: Value) {
        let (schema, root) = schema();
        assert_eq!(merge(&schema, root, &live, &applied).unwrap(), expected, "{live} with {applied}");
    }

    #[test]
    fn what_is_applied_replaces_and_the_rest_stays() {
        check(
            json!({"data": {"a": "1", "b": "2"}, "list": ["x"], "choice": {"a": 1}}),
            json!({"data": {"b": "3"}, "list": ["y"], "choice": {"b": 2}}),
            json!({"data": {"a": "1", "b": "3"}, "list": ["y"], "choice": {"b": 2}}),
        );
        check(json!({"any": {"a": 1}}), json!({"any": 5}), json!({"any": 5}));
        check(json!({"data": {"a": "1"}}), json!({"data": {"a": null}}), json!({"data": {"a": null}}));
        check(json!({}), json!({"set": []}), json!({"set": []}));
    }

    #[test]
    fn items_are_merged_by_their_keys() {
        check(
            json!({"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "b"}]}),
            json!({"ports": [{"port": 2, "protocol": "TCP"}, {"port": 3}]}),
            json!({"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "b", "protocol": "TCP"}, {"port": 3}]}),
        );
    }

    #[test]
    fn shared_items_are_in_the_order_of_the_applied_list() {
        let set = |items: &[&str]| json!({ "set": items });
        check(set(&["a", "b", "c"]), set(&["c", "a"]), set(&["b", "c", "a"]));
        check(set(&["a", "b"]), set(&["x", "a"]), set(&["x", "a", "b"]));
        check(set(&["1", "2", "3"]), set(&["3", "2", "1"]), set(&["3", "2", "1"]));
        check(set(&["1", "2", "3", "4", "5"]), set(&["a", "4", "2", "b"]), set(&["1", "3", "a", "4", "5", "2", "b"]));
    }

    #[test]
    fn items_that_are_there_twice_stay_twice_unless_applied() {
        check(json!({"set": ["a", "a", "b"]}), json!({"set": ["b"]}), json!({"set": ["a", "a", "b"]}));
        check(json!({"set": ["a", "a", "b"]}), json!({"set": ["a"]}), json!({"set": ["a", "b"]}));
    }
}
