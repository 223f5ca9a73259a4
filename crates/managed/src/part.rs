//! One field of an object that has a form of its own, as the replicas in a scale.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::element::Path;
use crate::entry::{Entry, Managed};
use crate::set::FieldSet;

/// Where the field is in the object, and where in the form of its own.
#[derive(Clone, Debug)]
pub struct Part {
    /// By API version in which the kind of the object is served; `None`: that version has no such
    /// field.
    pub in_whole: BTreeMap<String, Option<Path>>,
    /// The API version in which the object is written.
    pub whole_version: String,
    pub in_part: Path,
    pub part_version: String,
}

impl Part {
    /// The entries of the form of its own: of every writer of the object that owns the field.
    pub fn of_whole(&self, whole: &Managed) -> Managed {
        let entries = whole.entries.iter().filter(|entry| self.is_owner(entry)).map(|entry| Entry {
            api_version: self.part_version.clone(),
            fields: only(&self.in_part),
            ..entry.clone()
        });
        Managed { entries: entries.collect() }
    }

    /// The entries of the object once the form of its own has these: the field is taken from
    /// writers that have it there no longer, and given to those that are new there.
    pub fn into_whole(&self, whole: &Managed, mut part: Managed) -> Managed {
        let mut result = Managed::default();
        for entry in &whole.entries {
            let Some(path) = self.in_whole.get(&entry.api_version) else { continue };
            let as_part = Entry { api_version: self.part_version.clone(), ..entry.clone() };
            match path {
                Some(path) if self.is_owner(entry) && part.remove(&as_part).is_none() => {
                    let left = FieldSet::clone(&entry.fields).difference(&only(path));
                    if !left.is_empty() {
                        result.entries.push(Entry { fields: Arc::new(left), ..entry.clone() });
                    }
                }
                _ => result.entries.push(entry.clone()),
            }
        }
        let Some(Some(path)) = self.in_whole.get(&self.whole_version) else { return result };
        for entry in part.entries.into_iter().filter(|entry| entry.fields.contains(&self.in_part)) {
            let entry = Entry { api_version: self.whole_version.clone(), fields: only(path), ..entry };
            match result.position(&entry) {
                Some(place) => result.entries[place] = entry,
                None => result.entries.push(entry),
            }
        }
        result
    }

    fn is_owner(&self, entry: &Entry) -> bool {
        let path = self.in_whole.get(&entry.api_version).and_then(Option::as_ref);
        path.is_some_and(|path| entry.fields.contains(path))
    }
}

fn only(path: &Path) -> Arc<FieldSet> {
    let mut set = FieldSet::default();
    set.insert(path);
    Arc::new(set)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::element::Element;

    fn part() -> Part {
        let path = |names: &[&str]| names.iter().map(|name| Element::field(name)).collect::<Path>();
        Part {
            in_whole: BTreeMap::from([("x/v1".into(), Some(path(&["spec", "n"]))), ("x/v2".into(), None)]),
            whole_version: "x/v1".into(),
            in_part: path(&["spec", "replicas"]),
            part_version: "autoscaling/v1".into(),
        }
    }

    fn entry(manager: &str, operation: &str, version: &str, fields: serde_json::Value) -> serde_json::Value {
        json!({"manager": manager, "operation": operation, "apiVersion": version,
            "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": fields}})
    }

    fn managed(entries: &[serde_json::Value]) -> Managed {
        Managed::decode(Some(&entries.into())).unwrap()
    }

    #[test]
    fn owners_of_the_field_own_it_in_its_own_form() {
        let whole = managed(&[
            entry("a", "Apply", "x/v1", json!({"f:n": {}, "f:m": {}})),
            entry("b", "Update", "x/v1", json!({"f:m": {}})),
            entry("c", "Update", "x/v2", json!({"f:n": {}})),
        ]);
        let seen = part().of_whole(&whole);
        assert_eq!(seen, managed(&[entry("a", "Apply", "autoscaling/v1", json!({"f:replicas": {}}))]));
        assert_eq!(part().into_whole(&whole, seen), whole, "nothing changed");
    }

    #[test]
    fn a_new_owner_takes_the_field_and_nothing_else() {
        let whole = managed(&[
            entry("a", "Apply", "x/v1", json!({"f:n": {}, "f:m": {}})),
            entry("b", "Update", "x/v1", json!({"f:n": {}})),
            entry("gone", "Update", "x/v0", json!({"f:n": {}})),
        ]);
        let written = managed(&[entry("new", "Update", "autoscaling/v1", json!({"f:replicas": {}}))]);
        let expected = managed(&[
            entry("a", "Apply", "x/v1", json!({"f:m": {}})),
            entry("new", "Update", "x/v1", json!({"f:n": {}})),
        ]);
        assert_eq!(part().into_whole(&whole, written), expected);
    }
}
