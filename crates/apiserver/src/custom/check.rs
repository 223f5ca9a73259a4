//! Validation of custom objects by their schema, in the original's words.

use std::collections::BTreeSet;

use everynode_api::field::{BadValue, FieldError, Path};
use serde_json::{Map, Value};

use super::format;
use super::schema::{Additional, JsonType, ListType, Schema, type_name};

/// Every mistake of a value. `path` is `None` for the object itself.
pub(crate) fn check(schema: &Schema, value: &Value, path: Option<&Path>) -> Vec<FieldError> {
    let mut check = Check { errors: Vec::new() };
    check.value(schema, value, path);
    check.errors
}

struct Check {
    errors: Vec<FieldError>,
}

fn below(path: Option<&Path>, name: &str) -> Path {
    match path {
        Some(path) => path.child(name.to_owned()),
        None => Path::new(name.to_owned()),
    }
}

/// The path as messages begin with it.
fn shown(path: Option<&Path>) -> String {
    path.map(ToString::to_string).unwrap_or_default()
}

fn or_nil(path: Option<&Path>) -> Path {
    path.cloned().unwrap_or_else(Path::nil)
}

impl Check {
    fn value(&mut self, schema: &Schema, value: &Value, path: Option<&Path>) {
        if value.is_null() && schema.nullable {
            return;
        }
        if !self.has_type(schema, value, path) {
            return;
        }
        self.limits(schema, value, path);
        match value {
            Value::String(text) => self.text(schema, text, path),
            Value::Number(_) => self.number(schema, value, path),
            Value::Array(items) => self.list(schema, items, path),
            Value::Object(members) => self.object(schema, members, path),
            Value::Null | Value::Bool(_) => {}
        }
        self.combinations(schema, value, path);
    }

    fn has_type(&mut self, schema: &Schema, value: &Value, path: Option<&Path>) -> bool {
        let wanted = match (schema.int_or_string, schema.kind) {
            (true, _) => vec![JsonType::Integer, JsonType::String],
            (false, Some(kind)) => vec![kind],
            (false, None) => return true,
        };
        if wanted.iter().any(|kind| kind.fits(value)) {
            return true;
        }
        let names: Vec<&str> = wanted.into_iter().map(JsonType::as_str).collect();
        let found = type_name(value);
        let detail = format!("{} in body must be of type {}: \"{found}\"", shown(path), names.join(","));
        self.errors.push(FieldError::type_invalid(&or_nil(path), found, detail));
        false
    }

    fn invalid(&mut self, path: Option<&Path>, value: impl Into<BadValue>, detail: &str) {
        let detail = format!("{} in body {detail}", shown(path));
        self.errors.push(FieldError::invalid(&or_nil(path), value, detail));
    }

    fn limits(&mut self, schema: &Schema, value: &Value, path: Option<&Path>) {
        let allowed = &schema.limits.allowed;
        if allowed.is_empty() || allowed.contains(value) {
            return;
        }
        let words = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let allowed: Vec<String> = allowed.iter().map(words).collect();
        self.errors.push(FieldError::not_supported(&or_nil(path), value.clone(), &allowed));
    }

    fn text(&mut self, schema: &Schema, text: &str, path: Option<&Path>) {
        let limits = &schema.limits;
        let length = text.chars().count() as u64;
        if let Some(max) = limits.length_max.filter(|max| length > *max) {
            self.errors.push(FieldError::too_long(&or_nil(path), usize::try_from(max).unwrap_or(usize::MAX)));
        }
        if let Some(min) = limits.length_min.filter(|min| length < *min) {
            self.invalid(path, text, &format!("should be at least {min} chars long"));
        }
        if let Some((written, pattern)) = &limits.pattern
            && !pattern.is_match(text)
        {
            self.invalid(path, text, &format!("should match '{written}'"));
        }
        if let Some(name) = &limits.format
            && !format::fits(name, text)
        {
            let quoted = everynode_api::field::go_quote(text);
            self.invalid(path, text, &format!("must be of type {name}: {quoted}"));
        }
    }

    fn number(&mut self, schema: &Schema, value: &Value, path: Option<&Path>) {
        let limits = &schema.limits;
        let number = value.as_f64().unwrap_or_default();
        if let Some(max) = limits.maximum
            && (number > max || limits.exclusive_maximum && number >= max)
        {
            let or_equal = if limits.exclusive_maximum { "" } else { " or equal to" };
            self.invalid(path, value.clone(), &format!("should be less than{or_equal} {max}"));
        }
        if let Some(min) = limits.minimum
            && (number < min || limits.exclusive_minimum && number <= min)
        {
            let or_equal = if limits.exclusive_minimum { "" } else { " or equal to" };
            self.invalid(path, value.clone(), &format!("should be greater than{or_equal} {min}"));
        }
        if let Some(factor) = limits.multiple_of.filter(|factor| *factor != 0.0)
            && (number / factor).fract() != 0.0
        {
            self.invalid(path, value.clone(), &format!("should be a multiple of {factor}"));
        }
    }

    /// How many `parts` (items or properties) there are, against the least and the most.
    fn count(&mut self, (min, max): (Option<u64>, Option<u64>), found: usize, parts: &str, path: Option<&Path>) {
        let length = found as u64;
        if let Some(max) = max.filter(|max| length > *max) {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            self.errors.push(FieldError::too_many(&or_nil(path), found, max));
        }
        if let Some(min) = min.filter(|min| length < *min) {
            self.invalid(path, found, &format!("should have at least {min} {parts}"));
        }
    }

    fn list(&mut self, schema: &Schema, items: &[Value], path: Option<&Path>) {
        let limits = &schema.limits;
        self.count((limits.items_min, limits.items_max), items.len(), "items", path);
        if let Some(of_items) = &schema.items {
            for (index, item) in items.iter().enumerate() {
                self.value(of_items, item, Some(&or_nil(path).index(index)));
            }
        }
        self.unique(schema, items, path);
    }

    /// The items of a set, or the keys of a map, occur once.
    fn unique(&mut self, schema: &Schema, items: &[Value], path: Option<&Path>) {
        let identity = |item: &Value| match &schema.list {
            ListType::Atomic => None,
            ListType::Set => Some(item.clone()),
            ListType::Map(keys) => {
                let key = |name: &String| item.get(name).map(|value| (name.clone(), value.clone()));
                Some(Value::Object(keys.iter().filter_map(key).collect()))
            }
        };
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let Some(identity) = identity(item) else { return };
            if !seen.insert(identity.to_string()) {
                self.errors.push(FieldError::duplicate(&or_nil(path).index(index), identity));
            }
        }
    }

    fn object(&mut self, schema: &Schema, members: &Map<String, Value>, path: Option<&Path>) {
        let limits = &schema.limits;
        self.count((limits.members_min, limits.members_max), members.len(), "properties", path);
        if schema.embedded {
            for name in ["apiVersion", "kind"].into_iter().filter(|name| !members.contains_key(*name)) {
                self.errors.push(FieldError::required(&below(path, name), ""));
            }
        }
        for name in limits.required.iter().filter(|name| !members.contains_key(*name)) {
            self.errors.push(FieldError::required(&below(path, name), ""));
        }
        for (name, value) in members {
            match (schema.properties.get(name), &schema.additional) {
                (Some(property), _) => self.value(property, value, Some(&below(path, name))),
                (None, Additional::Each(each)) => self.value(each, value, Some(&below(path, name))),
                (None, Additional::Any | Additional::Unknown) => {}
            }
        }
    }

    fn combinations(&mut self, schema: &Schema, value: &Value, path: Option<&Path>) {
        let fits = |schema: &Schema| check(schema, value, path).is_empty();
        let mut refuse = |detail: String| {
            let detail = format!("\"{}\" {detail}", shown(path));
            self.errors.push(FieldError::invalid(&or_nil(path), "", detail));
        };
        if !schema.all_of.is_empty() && !schema.all_of.iter().all(fits) {
            refuse("must validate all the schemas (allOf)".to_owned());
        }
        if !schema.any_of.is_empty() && !schema.any_of.iter().any(fits) {
            refuse("must validate at least one schema (anyOf)".to_owned());
        }
        match schema.one_of.iter().filter(|schema| fits(schema)).count() {
            0 if !schema.one_of.is_empty() => {
                refuse("must validate one and only one schema (oneOf). Found none valid".to_owned());
            }
            0 | 1 => {}
            count => refuse(format!("must validate one and only one schema (oneOf). Found {count} valid alternatives")),
        }
        if schema.not.as_deref().is_some_and(fits) {
            refuse("must not validate the schema (not)".to_owned());
        }
    }
}
