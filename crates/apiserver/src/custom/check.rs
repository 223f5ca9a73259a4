//! Validation of custom objects by their schema, in the original's words.

use std::collections::BTreeSet;

use everynode_api::field::{BadValue, FieldError, Path, not_checked};
use serde_json::{Map, Value};

use super::format;
use super::schema::{Additional, JsonType, ListType, Schema, type_name};

/// How many mistakes are reported at once, and in how many bytes. A few short words in a schema and
/// in an object can make as many mistakes as their product.
const ERRORS_MAX: usize = 500;
const ERROR_BYTES_MAX: usize = 128 << 10;
/// Of the values that an enumeration allows, those that fit in here are named.
const ALLOWED_BYTES_MAX: usize = 32 << 10;
/// Of a value that is refused, so many bytes are shown.
const SHOWN_BYTES_MAX: usize = 16 << 10;

/// The mistakes of a value, as far as one answer has room for them. `path` is `None` for the object
/// itself.
pub(crate) fn check(schema: &Schema, value: &Value, path: Option<&Path>) -> Vec<FieldError> {
    let mut check = Check::new(ERRORS_MAX);
    check.value(schema, value, path);
    if check.is_full() {
        check.errors.push(not_checked());
    }
    check.errors
}

fn fits(schema: &Schema, value: &Value, path: Option<&Path>) -> bool {
    let mut check = Check::new(1);
    check.value(schema, value, path);
    check.errors.is_empty()
}

struct Check {
    errors: Vec<FieldError>,
    errors_max: usize,
    bytes_left: usize,
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

/// The beginning of a text.
fn beginning(text: &str) -> &str {
    let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= SHOWN_BYTES_MAX);
    end.map_or(text, |end| &text[..end])
}

/// A value as a refusal shows it: what is long is cut.
fn shown_value(value: &Value) -> BadValue {
    match value {
        Value::String(text) => beginning(text).into(),
        Value::Array(_) | Value::Object(_) => {
            let text = value.to_string();
            match beginning(&text) {
                cut if cut.len() < text.len() => BadValue::Raw(cut.to_owned()),
                _ => value.clone().into(),
            }
        }
        value => value.clone().into(),
    }
}

impl Check {
    fn new(errors_max: usize) -> Check {
        Check { errors: Vec::new(), errors_max, bytes_left: ERROR_BYTES_MAX }
    }

    /// Nothing more is looked at.
    fn is_full(&self) -> bool {
        self.errors.len() >= self.errors_max || self.bytes_left == 0
    }

    fn push(&mut self, error: FieldError) {
        if !self.is_full() {
            self.bytes_left = self.bytes_left.saturating_sub(error.field.len() + error.body().len());
            self.errors.push(error);
        }
    }

    fn value(&mut self, schema: &Schema, value: &Value, path: Option<&Path>) {
        if self.is_full() || value.is_null() && schema.nullable {
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
        self.push(FieldError::type_invalid(&or_nil(path), found, detail));
        false
    }

    fn invalid(&mut self, path: Option<&Path>, value: impl Into<Value>, detail: &str) {
        let detail = format!("{} in body {detail}", shown(path));
        self.push(FieldError::invalid(&or_nil(path), shown_value(&value.into()), detail));
    }

    fn limits(&mut self, schema: &Schema, value: &Value, path: Option<&Path>) {
        let allowed = &schema.limits.allowed;
        if allowed.is_empty() || allowed.contains(value) {
            return;
        }
        let words = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut bytes = 0;
        let fits = |words: &String| {
            bytes += words.len();
            bytes <= ALLOWED_BYTES_MAX
        };
        let allowed: Vec<String> = allowed.iter().map(words).take_while(fits).collect();
        self.push(FieldError::not_supported(&or_nil(path), shown_value(value), &allowed));
    }

    fn text(&mut self, schema: &Schema, text: &str, path: Option<&Path>) {
        let limits = &schema.limits;
        let length = text.chars().count() as u64;
        if let Some(max) = limits.length_max.filter(|max| length > *max) {
            self.push(FieldError::too_long(&or_nil(path), usize::try_from(max).unwrap_or(usize::MAX)));
        }
        if let Some(min) = limits.length_min.filter(|min| length < *min) {
            self.invalid(path, text, &format!("should be at least {min} chars long"));
        }
        if let Some(pattern) = &limits.pattern
            && !pattern.is_match(text)
        {
            self.invalid(path, text, &format!("should match '{}'", pattern.written));
        }
        if let Some(name) = &limits.format
            && !format::fits(name, text)
        {
            let quoted = everynode_api::field::go_quote(beginning(text));
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
            self.push(FieldError::too_many(&or_nil(path), found, max));
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
                self.push(FieldError::duplicate(&or_nil(path).index(index), shown_value(&identity)));
            }
        }
    }

    fn object(&mut self, schema: &Schema, members: &Map<String, Value>, path: Option<&Path>) {
        let limits = &schema.limits;
        self.count((limits.members_min, limits.members_max), members.len(), "properties", path);
        if schema.embedded {
            for name in ["apiVersion", "kind"].into_iter().filter(|name| !members.contains_key(*name)) {
                self.push(FieldError::required(&below(path, name), ""));
            }
        }
        for name in limits.required.iter().filter(|name| !members.contains_key(*name)) {
            self.push(FieldError::required(&below(path, name), ""));
        }
        for (name, value) in members {
            match (schema.properties.get(name), &schema.additional) {
                (Some(property), _) => self.value(property, value, Some(&below(path, name))),
                (None, Additional::Each(each)) => self.value(each, value, Some(&below(path, name))),
                (None, Additional::Forbidden) => {
                    let detail = format!("{}.{name} in body is a forbidden property", shown(path));
                    self.push(FieldError::invalid(&or_nil(path), name.as_str(), detail));
                }
                (None, Additional::Any | Additional::Unknown) => {}
            }
        }
    }

    fn combinations(&mut self, schema: &Schema, value: &Value, path: Option<&Path>) {
        let fits = |schema: &Schema| fits(schema, value, path);
        let mut refuse = |detail: String| {
            let detail = format!("\"{}\" {detail}", shown(path));
            self.push(FieldError::invalid(&or_nil(path), "", detail));
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bytes(errors: &[FieldError]) -> usize {
        errors.iter().map(|error| error.field.len() + error.body().len()).sum()
    }

    #[test]
    fn mistakes_are_reported_as_far_as_an_answer_has_room() {
        let allowed: Vec<String> = (0..5_000).map(|number| format!("v{number}")).collect();
        let schema = Schema::parse(&json!({"items": {"enum": allowed}}));
        let errors = check(&schema, &json!(vec!["x"; 5_000]), None);
        assert!(errors.len() > 1 && bytes(&errors) < 2 * ERROR_BYTES_MAX, "{}", errors.len());
        assert_eq!(errors.last(), Some(&not_checked()));
        let many = check(&Schema::parse(&json!({"items": {"type": "string"}})), &json!(vec![1; 100_000]), None);
        assert_eq!(many.len(), ERRORS_MAX + 1);
        let few = check(&schema, &json!(["v1", "x"]), None);
        assert_eq!(few.len(), 1, "all of a few");
    }

    #[test]
    fn a_long_value_is_shown_in_part() {
        let schema = Schema::parse(&json!({"pattern": "^a$", "enum": [1]}));
        let errors = check(&schema, &"é".repeat(1 << 20).into(), None);
        assert!(errors.len() == 2 && bytes(&errors) < 4 * SHOWN_BYTES_MAX);
        let errors = check(&Schema::parse(&json!({"enum": [1]})), &json!(vec!["x"; 1 << 18]), None);
        assert!(bytes(&errors) < 2 * SHOWN_BYTES_MAX);
    }

    #[test]
    fn members_may_be_forbidden() {
        let schema = Schema::parse(&json!({"properties": {"s": {"additionalProperties": false}}}));
        let errors = check(&schema, &json!({"s": {"a": 1}}), None);
        assert_eq!(errors[0].to_string(), "s: Invalid value: \"a\": s.a in body is a forbidden property");
    }
}
