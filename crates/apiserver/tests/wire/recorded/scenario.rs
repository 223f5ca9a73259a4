//! The form of the scenarios: `tests/oracle/README.md` describes each key.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// Texts that a step's placeholders `<<name>>` stand for.
pub(super) type Names = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    pub(super) scenario: String,
    #[serde(rename = "does")]
    _does: String,
    #[serde(default)]
    pub(super) objects: BTreeMap<String, Value>,
    #[serde(default = "yes")]
    pub(super) namespace: bool,
    pub(super) steps: Vec<Step>,
    /// The server of a scenario ends with it: nothing is to be cleaned up.
    #[serde(default, rename = "cleanup")]
    _cleanup: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    #[serde(default)]
    pub(super) note: String,
    pub(super) call: Option<String>,
    #[serde(default)]
    pub(super) query: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Option<String>>,
    #[serde(rename = "as")]
    pub(super) user: Option<String>,
    pub(super) groups: Option<Vec<String>>,
    #[serde(default)]
    pub(super) anonymous: bool,
    body: Option<Value>,
    #[serde(rename = "use")]
    object: Option<String>,
    #[serde(default)]
    set: BTreeMap<String, Value>,
    #[serde(default)]
    remove: Vec<String>,
    text: Option<Text>,
    pub(super) watch: Option<WatchLimits>,
    pub(super) until: Option<Until>,
    pub(super) pause: Option<f64>,
    #[serde(default)]
    pub(super) save: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) check: BTreeMap<String, (String, String, String)>,
    pub(super) keep: Option<Vec<String>>,
    #[serde(default)]
    pub(super) drop: Vec<String>,
    pub(super) pick: Option<Pick>,
    #[serde(default, rename = "any order")]
    pub(super) any_order: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Whole(String),
    Repeated {
        #[serde(default)]
        before: String,
        repeat: String,
        times: usize,
        #[serde(default)]
        after: String,
    },
}

/// How much of a watch is read: events, and seconds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WatchLimits {
    #[serde(default = "hundred")]
    pub(super) events: usize,
    #[serde(default = "three")]
    pub(super) seconds: f64,
    #[serde(default)]
    pub(super) bookmark: bool,
}

/// What a repeated request waits for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Until {
    pub(super) status: Option<u16>,
    pub(super) path: Option<String>,
    #[serde(default)]
    pub(super) value: Value,
    pub(super) seconds: f64,
}

/// The entries of a list that are recorded.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pick {
    pub(super) list: String,
    pub(super) key: String,
    pub(super) only: Vec<String>,
}

fn yes() -> bool {
    true
}

fn hundred() -> usize {
    100
}

fn three() -> f64 {
    3.0
}

impl Step {
    /// The bytes of the request's body.
    pub(super) fn content(&self, objects: &BTreeMap<String, Value>, names: &Names) -> Option<String> {
        match &self.text {
            Some(Text::Whole(text)) => return Some(fill_text(text, names)),
            Some(Text::Repeated { before, repeat, times, after }) => {
                return Some(fill_text(&format!("{before}{}{after}", repeat.repeat(*times)), names));
            }
            None => {}
        }
        let mut body = match &self.object {
            Some(name) => objects[name].clone(),
            None => self.body.clone()?,
        };
        self.remove.iter().for_each(|pointer| take(&mut body, pointer));
        self.set.iter().for_each(|(pointer, value)| put(&mut body, pointer, value.clone()));
        Some(fill(&body, names).to_string())
    }
}

/// A value with the placeholders in its texts replaced.
pub(super) fn fill(value: &Value, names: &Names) -> Value {
    match value {
        Value::String(text) => fill_text(text, names).into(),
        Value::Array(items) => items.iter().map(|item| fill(item, names)).collect(),
        Value::Object(fields) => {
            let filled = fields.iter().map(|(key, value)| (fill_text(key, names), fill(value, names)));
            Value::Object(filled.collect())
        }
        other => other.clone(),
    }
}

pub(super) fn fill_text(text: &str, names: &Names) -> String {
    if !text.contains("<<") {
        return text.to_owned();
    }
    let named = names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("<<{name}>>"), value));
    let mut filled = String::new();
    let mut rest = named.as_str();
    while let Some((before, repeat)) = rest.split_once("<<repeat:") {
        let (inner, after) = repeat.split_once(">>").expect("a placeholder ends");
        let (part, times) = inner.rsplit_once(':').expect("a text and a number");
        filled.push_str(before);
        filled.push_str(&part.repeat(times.parse().expect("a number")));
        rest = after;
    }
    filled + rest
}

/// The keys of a JSON pointer.
fn keys(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~")).collect()
}

/// Sets a value, with the objects and lists on the way to it: `-`, or the index behind the last,
/// appends.
fn put(document: &mut Value, pointer: &str, value: Value) {
    let keys = keys(pointer);
    let (last, parents) = keys.split_last().expect("not the whole document");
    let mut place = document;
    for (index, key) in parents.iter().enumerate() {
        let next = &keys[index + 1];
        let empty = if next == "-" || next == "0" { Value::Array(vec![]) } else { Value::Object(Default::default()) };
        place = child(place, key, empty);
    }
    *child(place, last, Value::Null) = value;
}

fn child<'a>(parent: &'a mut Value, key: &str, empty: Value) -> &'a mut Value {
    match parent {
        Value::Array(items) => {
            let index = key.parse().unwrap_or(items.len());
            if index == items.len() {
                items.push(empty);
            }
            &mut items[index]
        }
        parent => {
            let place = &mut parent[key];
            if place.is_null() {
                *place = empty;
            }
            place
        }
    }
}

/// Removes what a pointer leads to, if it is there.
pub(super) fn take(document: &mut Value, pointer: &str) {
    let (parent, _) = pointer.rsplit_once('/').expect("a pointer");
    let last = keys(pointer).pop().expect("a key");
    match document.pointer_mut(parent) {
        Some(Value::Array(items)) => drop(items.remove(last.parse().expect("an index"))),
        Some(Value::Object(fields)) => drop(fields.remove(&last)),
        _ => {}
    }
}

#[test]
fn placeholders_and_pointers() {
    let names = Names::from([("ns".to_owned(), "one".to_owned())]);
    assert_eq!(fill_text("/a/<<ns>>/<<repeat:xy:2>>-<<repeat:z:1>>", &names), "/a/one/xyxy-z");
    let mut object = serde_json::json!({"a": {"list": [1]}});
    put(&mut object, "/a/list/-", 2.into());
    put(&mut object, "/b~1c/0/d", "x".into());
    take(&mut object, "/a/list/0");
    take(&mut object, "/nothing/here");
    assert_eq!(object, serde_json::json!({"a": {"list": [2]}, "b/c": [{"d": "x"}]}));
}
