//! Reading members of decoded objects, and the checks that every validator repeats.

use everynode_api::field::{BadValue, FieldError, Path};
use everynode_api::int_or_string::IntOrString;
use everynode_api::names;
use everynode_api::selector::LabelSelector;
use serde::Deserialize;
use serde_json::Value;

pub(super) type Errors = Vec<FieldError>;

/// A string member; empty where absent.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn int(value: &Value, name: &str) -> Option<i64> {
    value.get(name).and_then(Value::as_i64)
}

pub(super) fn flag(value: &Value, name: &str) -> bool {
    value.get(name) == Some(&Value::Bool(true))
}

/// The elements of a list member; none where absent.
pub(super) fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The entries of a map member; none where absent.
pub(super) fn entries<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = (&'v str, &'v Value)> {
    value.get(name).and_then(Value::as_object).into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// A member that is there and not null.
pub(super) fn present<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    value.get(name).filter(|value| !value.is_null())
}

/// One `Invalid` per complaint.
pub(super) fn invalid_each(errors: &mut Errors, path: &Path, value: &str, complaints: Vec<String>) {
    errors.extend(complaints.into_iter().map(|complaint| FieldError::invalid(path, value, complaint)));
}

/// A member that must not be empty.
pub(super) fn required(errors: &mut Errors, value: &Value, path: &Path, name: &'static str) -> bool {
    let given = !text(value, name).is_empty();
    if !given {
        errors.push(FieldError::required(&path.child(name), ""));
    }
    given
}

/// A member that must not be empty and must pass a check of names.
pub(super) fn required_name(
    errors: &mut Errors,
    value: &Value,
    path: &Path,
    name: &'static str,
    check: fn(&str) -> Vec<String>,
) {
    if required(errors, value, path, name) {
        optional_name(errors, value, path, name, check);
    }
}

/// A member that, if given, must pass a check of names.
pub(super) fn optional_name(
    errors: &mut Errors,
    value: &Value,
    path: &Path,
    name: &'static str,
    check: fn(&str) -> Vec<String>,
) {
    let given = text(value, name);
    if !given.is_empty() {
        let complaints = check(given);
        if !complaints.is_empty() {
            invalid_each(errors, &path.child(name), given, complaints);
        }
    }
}

/// A member that must be one of some words.
pub(super) fn one_of(errors: &mut Errors, value: &Value, path: &Path, name: &'static str, words: &[&str]) {
    let given = text(value, name);
    if !words.contains(&given) {
        errors.push(FieldError::not_supported(&path.child(name), given, words));
    }
}

/// The same, and an empty one is missing.
pub(super) fn required_one_of(errors: &mut Errors, value: &Value, path: &Path, name: &'static str, words: &[&str]) {
    if required(errors, value, path, name) {
        one_of(errors, value, path, name, words);
    }
}

/// The same, for a pointer: absent is fine.
pub(super) fn optional_one_of(errors: &mut Errors, value: &Value, path: &Path, name: &'static str, words: &[&str]) {
    if present(value, name).is_some() {
        one_of(errors, value, path, name, words);
    }
}

/// Numbers that must not be negative.
pub(super) fn non_negative(errors: &mut Errors, value: &Value, path: &Path, fields: &[&'static str]) {
    for name in fields {
        if let Some(number) = int(value, name).filter(|number| *number < 0) {
            errors.push(FieldError::invalid(&path.child(*name), number, "must be greater than or equal to 0"));
        }
    }
}

/// A number whose complaints come from a check.
pub(super) fn number(errors: &mut Errors, path: &Path, value: i64, check: fn(i64) -> Vec<String>) {
    errors.extend(check(value).into_iter().map(|complaint| FieldError::invalid(path, value, complaint)));
}

/// A member that an update must leave as it was.
pub(super) fn immutable(errors: &mut Errors, new: &Value, old: &Value, path: &Path, name: &'static str) {
    let (new, old) = (present(new, name), present(old, name));
    let (new_value, old_value) = (new.unwrap_or(&Value::Null), old.unwrap_or(&Value::Null));
    if !crate::schema::semantic_eq(new_value, old_value) {
        errors.push(FieldError::invalid(&path.child(name), new_value.clone(), "field is immutable"));
    }
}

/// Maps of labels: specs' selectors and metadata.
pub(super) fn labels(errors: &mut Errors, value: &Value, path: &Path, name: &'static str) {
    for (key, label) in entries(value, name) {
        let label = label.as_str().unwrap_or_default();
        let (bad_key, bad_value) = (label_key(key), names::label_value(label));
        if !bad_key.is_empty() || !bad_value.is_empty() {
            let path = path.child(name);
            invalid_each(errors, &path, key, bad_key);
            invalid_each(errors, &path, label, bad_value);
        }
    }
}

/// What is wrong with a label's key. Kubernetes calls by its name what has too many slashes.
fn label_key(key: &str) -> Vec<String> {
    let reword = |text: String| match text.strip_prefix("a qualified name ") {
        Some(rest) => format!("a valid label key {rest}"),
        None => text,
    };
    names::qualified_name(key).into_iter().map(reword).collect()
}

/// A label key at a path of its own.
pub(super) fn label_name(errors: &mut Errors, path: &Path, key: &str) {
    invalid_each(errors, path, key, label_key(key));
}

/// A structured label selector; an absent one is fine.
pub(super) fn label_selector(errors: &mut Errors, value: &Value, path: &Path, name: &'static str) {
    if let Some(selector) = selector(value, name) {
        errors.extend(selector.validate(&path.child(name)));
    }
}

pub(super) fn selector(value: &Value, name: &str) -> Option<LabelSelector> {
    present(value, name).and_then(|selector| LabelSelector::deserialize(selector).ok())
}

/// A port's number, or the name of one.
pub(super) fn port_or_name(errors: &mut Errors, value: &Value, path: &Path, name: &'static str) {
    match value.get(name).unwrap_or(&Value::Null) {
        Value::String(port) => invalid_each(errors, &path.child(name), port, names::port_name(port)),
        port => number(errors, &path.child(name), port.as_i64().unwrap_or(0), names::port_number),
    }
}

/// A number or percentage: not negative, at most 100 % (DS-A31, DS-A32).
pub(super) fn amount(errors: &mut Errors, value: &Value, path: &Path, name: &'static str) -> Option<IntOrString> {
    let amount = IntOrString::from_json(present(value, name)?)?;
    let path = path.child(name);
    errors.extend(amount.validate_non_negative_or_percent(&path));
    errors.extend(amount.validate_percent_max(&path));
    Some(amount)
}

/// A path that must stay inside its volume.
pub(super) fn local_path(errors: &mut Errors, value: &Value, path: &Path, name: &'static str) {
    optional_name(errors, value, path, name, names::local_descending_path);
}

/// An IP address where one is expected.
pub(super) fn ip_address(errors: &mut Errors, path: &Path, address: &str) {
    if address.parse::<std::net::IpAddr>().is_err() {
        let detail = match has_leading_zeros(address) {
            true => "must not have leading 0s",
            false => "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        };
        errors.push(FieldError::invalid(path, address, detail));
    }
}

/// Whether it would be an IPv4 address, were it not for zeros in front of its numbers.
fn has_leading_zeros(address: &str) -> bool {
    let without = |part: &str| match part.trim_start_matches('0') {
        "" if !part.is_empty() => "0".to_owned(),
        rest => rest.to_owned(),
    };
    let parts: Vec<String> = address.split('.').map(without).collect();
    parts.len() == 4 && parts.join(".").parse::<std::net::Ipv4Addr>().is_ok()
}

/// What is said of a text that is no range of addresses.
pub(super) const CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// Whether a text is a range of addresses.
pub(super) fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let max = match address.parse() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= max)
}

/// What a structure of Kubernetes prints as in an error about it: all its members, under the names
/// they have in Go.
pub(super) fn go_struct(members: &[(&str, &Value)]) -> BadValue {
    let member = |(name, value): &(&str, &Value)| format!("\"{name}\":{value}");
    BadValue::Raw(format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(",")))
}

/// What the object itself prints as, in errors about a whole struct.
pub(super) fn whole(value: &Value) -> BadValue {
    BadValue::Json(value.clone())
}
