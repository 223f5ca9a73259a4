//! What a kube-apiserver 1.36.2 answered (`crates/apiserver/tests/oracle`).

use std::collections::HashMap;
use std::path::Path;

use everynode_protobuf::{MemberType, kind};
use serde_json::{Value, json};

use crate::{read, written};

/// What the recorder put in place of times and numbers that differ from run to run.
const PLACEHOLDERS: [(&str, &str); 3] =
    [("\"<time>\"", "\"2026-01-02T03:04:05Z\""), ("\"<observed>\"", "1"), ("\"<port>\"", "30000")];

/// All objects in the answers whose kind is known, tables excepted.
fn objects() -> Vec<Value> {
    let answers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../apiserver/tests/oracle/answers");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(answers).unwrap() {
        let mut text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for (placeholder, value) in PLACEHOLDERS {
            text = text.replace(placeholder, value);
        }
        collect(&serde_json::from_str(&text).unwrap(), &mut found);
    }
    found
}

fn collect(value: &Value, found: &mut Vec<Value>) {
    let (version, name) = (value["apiVersion"].as_str(), value["kind"].as_str());
    // The recorder shows what is in a token in its place.
    let is_whole = value["metadata"].is_object() && !value["status"]["token"].is_object();
    if is_whole && version.zip(name).is_some_and(|(version, name)| kind(version, name).is_some()) {
        found.push(value.clone());
    }
    match value {
        Value::Object(members) => members.values().for_each(|value| collect(value, found)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

/// An object as the wire knows it: without lists and maps that are empty, without zeros that Go
/// leaves out, and without members that have no number.
fn as_known(object: &Value, members: Members) -> Value {
    let members: HashMap<&str, MemberType> = members.collect();
    let known = object.as_object().into_iter().flatten().filter_map(|(name, value)| {
        let member = members.get(name.as_str())?;
        let value = value_as_known(&member.notation(), value, *member);
        let says_something = match (&value, member.notation().starts_with(['[', '{'])) {
            (Value::Null, _) => false,
            (Value::Array(items), _) => !items.is_empty(),
            (Value::Object(entries), true) => !entries.is_empty(),
            (zero, _) => member.keeps_zero() || ![json!(0), json!(false), json!("")].contains(zero),
        };
        says_something.then(|| (name.clone(), value))
    });
    known.collect()
}

fn value_as_known(notation: &str, value: &Value, member: MemberType) -> Value {
    if let (Some(inner), Some(items)) = (notation.strip_prefix("[]"), value.as_array()) {
        return items.iter().map(|item| value_as_known(inner, item, member)).collect();
    }
    if let (Some(inner), Some(entries)) = (notation.strip_prefix("{}"), value.as_object()) {
        let known = entries.iter().map(|(key, value)| (key.clone(), value_as_known(inner, value, member)));
        return known.collect();
    }
    match member.members() {
        Some(members) if value.is_object() => as_known(value, Box::new(members)),
        _ => value.clone(),
    }
}

type Members = Box<dyn Iterator<Item = (&'static str, MemberType)>>;

fn expected(object: &Value) -> Value {
    let (version, name) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let mut expected = as_known(object, Box::new(kind(version, name).unwrap().members()));
    expected["apiVersion"] = version.into();
    expected["kind"] = name.into();
    expected
}

#[test]
fn recorded_answers_are_read_as_they_were_written() {
    let objects = objects();
    assert!(objects.len() > 500, "{}", objects.len());
    for object in &objects {
        let again = read(&written(object)).to_string().replace(".000000Z", "Z");
        let again: Value = serde_json::from_str(&again).unwrap();
        assert!(again == expected(object), "{again:#}\n{:#}", expected(object));
    }
}
