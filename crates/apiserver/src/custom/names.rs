//! The names of definitions: whether they are well-formed, and which are taken.

use std::collections::BTreeMap;

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use serde_json::{Value, json};

use crate::object::{items, text};

/// Every mistake of the names of a definition.
pub(super) fn check(errors: &mut Vec<FieldError>, given: &Value, path: &Path) {
    for name in ["plural", "singular", "kind", "listKind"] {
        if text(given, &[name]).is_empty() {
            errors.push(FieldError::required(&path.child(name), ""));
        }
    }
    let label = |errors: &mut Vec<FieldError>, path: &Path, name: &str, shown: &str| {
        errors.extend(names::dns1035_label(name).into_iter().map(|text| FieldError::invalid(path, shown, text)));
    };
    for name in ["plural", "singular"] {
        let value = text(given, &[name]);
        if !value.is_empty() {
            label(errors, &path.child(name), value, value);
        }
    }
    for name in ["kind", "listKind"] {
        let value = text(given, &[name]);
        if !value.is_empty() {
            let lower = value.to_lowercase();
            let path = path.child(name);
            let complaints = names::dns1035_label(&lower).into_iter();
            errors.extend(complaints.map(|complaint| {
                FieldError::invalid(
                    &path,
                    value,
                    format!("may have mixed case, but should otherwise match: {complaint}"),
                )
            }));
        }
    }
    for name in ["shortNames", "categories"] {
        for (index, value) in items(given, &[name]).iter().enumerate() {
            let value = value.as_str().unwrap_or_default();
            label(errors, &path.child(name).index(index), value, value);
        }
    }
    let kind = text(given, &["kind"]);
    if !kind.is_empty() && kind == text(given, &["listKind"]) {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(&path.child("listKind"), kind, detail));
    }
}

/// The names that are taken in a group: of resources, and of kinds.
#[derive(Debug, Default)]
pub(super) struct Taken {
    resources: Names,
    kinds: Names,
}

/// Names, and how many definitions have each.
type Names = BTreeMap<String, usize>;

impl Taken {
    /// Takes the names that were accepted for a definition.
    pub(super) fn take(&mut self, accepted: &Value) {
        for name in of_resource(accepted) {
            *self.resources.entry(name.to_owned()).or_default() += 1;
        }
        for name in of_kind(accepted) {
            *self.kinds.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// Gives back names that were taken.
    pub(super) fn release(&mut self, accepted: &Value) {
        of_resource(accepted).for_each(|name| release(&mut self.resources, name));
        of_kind(accepted).for_each(|name| release(&mut self.kinds, name));
    }

    /// Which of the names asked for are accepted, on top of those that were before; and why not
    /// all of them.
    pub(super) fn accept(&self, asked: &Value, before: &Value) -> (Value, Option<(&'static str, String)>) {
        let mut accepted = before.clone();
        let mut refusal = None;
        for (name, taken, reason) in [
            ("plural", &self.resources, "PluralConflict"),
            ("singular", &self.resources, "SingularConflict"),
            ("kind", &self.kinds, "KindConflict"),
            ("listKind", &self.kinds, "ListKindConflict"),
        ] {
            let wanted = text(asked, &[name]);
            match taken.contains_key(wanted) {
                true => refusal = refusal.or(Some((reason, format!("{wanted:?} is already in use")))),
                false => accepted[name] = wanted.into(),
            }
        }
        let taken: Vec<&str> = short_names(asked).filter(|name| self.resources.contains_key(*name)).collect();
        match taken.first() {
            Some(name) => refusal = refusal.or(Some(("ShortNamesConflict", format!("{name:?} is already in use")))),
            None => copy_list(&mut accepted, asked, "shortNames"),
        }
        copy_list(&mut accepted, asked, "categories");
        (accepted, refusal)
    }
}

fn release(names: &mut Names, name: &str) {
    match names.get_mut(name) {
        Some(count) if *count > 1 => *count -= 1,
        _ => drop(names.remove(name)),
    }
}

fn of_resource(names: &Value) -> impl Iterator<Item = &str> {
    let own = ["plural", "singular"].into_iter().map(|name| text(names, &[name]));
    own.filter(|name| !name.is_empty()).chain(short_names(names))
}

fn of_kind(names: &Value) -> impl Iterator<Item = &str> {
    ["kind", "listKind"].into_iter().map(|name| text(names, &[name])).filter(|name| !name.is_empty())
}

fn short_names(names: &Value) -> impl Iterator<Item = &str> {
    items(names, &["shortNames"]).iter().filter_map(Value::as_str)
}

/// A list is as it was asked for; an empty one is absent.
fn copy_list(accepted: &mut Value, asked: &Value, name: &str) {
    match items(asked, &[name]).is_empty() {
        true => drop(crate::object::remove(accepted, name)),
        false => accepted[name] = json!(items(asked, &[name])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_taken_are_not_accepted() {
        let mut taken = Taken::default();
        let first = json!({"plural": "as", "singular": "a", "kind": "A", "listKind": "AList", "shortNames": ["x"]});
        taken.take(&first);
        let asked = json!({"plural": "bs", "singular": "b", "kind": "A", "listKind": "BList", "shortNames": ["x"]});
        let (accepted, refusal) = taken.accept(&asked, &json!({"plural": "", "kind": ""}));
        assert_eq!(refusal, Some(("KindConflict", "\"A\" is already in use".to_owned())));
        assert_eq!(accepted, json!({"plural": "bs", "singular": "b", "kind": "", "listKind": "BList"}));
        let (accepted, refusal) = Taken::default().accept(&first, &json!({}));
        assert_eq!((accepted, refusal), (first, None));
    }
}
