//! What a kube-apiserver 1.36.2 answered to writes of several managers, against the same writes
//! here.
//!
//! `recorded/*.json` has the writes of four recorded scenarios with what mattered of the answers:
//! the status, the entries (their times as `<time>`, sorted by operation, subresource and manager),
//! data and spec, and for refusals the message and its causes, which the recorder sorted.

use std::collections::BTreeMap;

use everynode_managed::{
    ApplyError, Atom, Configuration, FieldSet, Key, Managed, Map, NoOtherVersion, Relation, Root, ScalarType, Schema,
    TypeId, Writer, apply, reset_requested, update,
};
use serde_json::{Value, json};

const SCENARIOS: [(&str, &str); 4] = [
    ("after-updates", include_str!("recorded/apply-after-updates.json")),
    ("configmap", include_str!("recorded/apply-configmap.json")),
    ("managers-by-agent", include_str!("recorded/apply-managers-by-agent.json")),
    ("crd", include_str!("recorded/crd-patch-and-apply.json")),
];

fn fields(types: &[(&str, TypeId)]) -> Map {
    let fields: BTreeMap<_, _> = types.iter().map(|(name, id)| ((*name).into(), *id)).collect();
    Map { fields, ..Map::default() }
}

/// The types of the recorded kinds: `ConfigMap`, and `Thing` as the scenario defines it.
fn schema() -> (Schema, TypeId) {
    let mut schema = Schema::new();
    let text = schema.scalar(ScalarType::Text);
    let texts = schema.map(Map { others: Some(text), ..Map::default() });
    let metadata = schema.map(fields(&[
        ("name", text),
        ("namespace", text),
        ("uid", text),
        ("annotations", texts),
        ("managedFields", Schema::UNTYPED_ATOMIC),
    ]));
    let item = schema.map(fields(&[("k", text), ("v", text)]));
    let items = schema.list(item, Relation::Map(vec![Key { name: "k".into(), default: None }]));
    let (set, list) = (schema.list(text, Relation::Set), schema.list(text, Relation::Atomic));
    let pair = schema.map(fields(&[("a", text), ("b", text)]));
    let atomic = schema.map(Map { atomic: true, ..fields(&[("a", text), ("b", text)]) });
    let spec = schema.map(fields(&[("m", items), ("set", set), ("l", list), ("o", pair), ("at", atomic)]));
    let object =
        fields(&[("apiVersion", text), ("kind", text), ("metadata", metadata), ("data", texts), ("spec", spec)]);
    let root = schema.add(Atom { map: Some(object), ..Atom::default() });
    (schema, root)
}

/// One object of a server.
struct Server {
    schema: Schema,
    id: TypeId,
    api_version: String,
    kind: String,
    object: Option<Value>,
    managed: Managed,
    seconds: u32,
}

impl Server {
    fn new(first: &Value) -> Server {
        let (schema, id) = schema();
        let text = |name: &str| first["body"][name].as_str().unwrap().to_owned();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        Server { schema, id, api_version, kind, object: None, managed: Managed::default(), seconds: 0 }
    }

    /// Status and answer of a write.
    fn answer(&mut self, step: &Value) -> (u16, Value) {
        self.seconds += 1;
        let now = format!("2026-01-01T00:00:{:02}Z", self.seconds);
        let reset = FieldSet::default();
        let writer = Writer {
            manager: step["manager"].as_str().unwrap(),
            api_version: &self.api_version.clone(),
            subresource: "",
            now: &now,
            reset: &reset,
        };
        match step["how"].as_str().unwrap() {
            "apply" => self.apply(step, writer),
            _ => self.update(step, &writer),
        }
    }

    fn apply(&mut self, step: &Value, writer: Writer<'_>) -> (u16, Value) {
        let versions = self.versions();
        let empty = json!({"apiVersion": self.api_version, "kind": self.kind, "metadata": {}});
        let live = self.object.clone().unwrap_or_else(|| empty.clone());
        let force = step["force"] == true;
        let configuration = Configuration { object: &step["body"], kind: &self.kind, writer, force };
        match apply(&versions, &empty, &live, &self.managed, &configuration) {
            Ok(applied) => {
                let status = if self.object.is_some() { 200 } else { 201 };
                let object = applied.object.unwrap_or(live);
                self.keep(object, applied.managed);
                (status, json!({}))
            }
            Err(ApplyError::Conflicts(conflicts)) => {
                let mut causes: Vec<_> = conflicts.iter().map(|found| [found.field(), found.message()]).collect();
                causes.sort();
                (409, json!({"message": conflicts.to_string(), "causes": causes}))
            }
            Err(error @ (ApplyError::OtherKind(_) | ApplyError::WithEntries)) => {
                (400, json!({"message": error.to_string()}))
            }
            Err(error) => (500, json!({"message": error.to_string()})),
        }
    }

    fn update(&mut self, step: &Value, writer: &Writer<'_>) -> (u16, Value) {
        let empty = json!({"apiVersion": self.api_version, "kind": self.kind, "metadata": {}});
        let live = self.object.clone().unwrap_or(empty);
        let new = match step["how"].as_str().unwrap() {
            "merge" => merge_patch(&live, &step["body"]),
            _ => step["body"].clone(),
        };
        let reset = reset_requested(new["metadata"].get("managedFields"));
        let managed = if reset { Managed::default() } else { self.managed.clone() };
        let new = canonical(new);
        let managed = update(&self.versions(), &live, &new, &managed, writer).unwrap();
        let status = if self.object.is_some() { 200 } else { 201 };
        self.keep(new, managed);
        (status, json!({}))
    }

    fn versions(&self) -> NoOtherVersion<'_> {
        NoOtherVersion { api_version: &self.api_version, root: Root { schema: &self.schema, id: self.id } }
    }

    fn keep(&mut self, object: Value, managed: Managed) {
        let mut object = canonical(object);
        object["metadata"]["uid"] = "1".into();
        self.object = Some(object);
        self.managed = managed;
    }
}

/// Without what Go does not write.
fn canonical(mut object: Value) -> Value {
    object["metadata"].as_object_mut().unwrap().remove("managedFields");
    let fields = object.as_object_mut().unwrap();
    fields.retain(|name, value| name != "data" || value.as_object().is_some_and(|data| !data.is_empty()));
    object
}

fn merge_patch(live: &Value, patch: &Value) -> Value {
    let Some(patch) = patch.as_object() else { return patch.clone() };
    let mut merged = live.as_object().cloned().unwrap_or_default();
    for (name, value) in patch {
        match value {
            Value::Null => _ = merged.remove(name),
            value => _ = merged.insert(name.clone(), merge_patch(live.get(name).unwrap_or(&Value::Null), value)),
        }
    }
    Value::Object(merged)
}

/// Entries in the form of the recording.
fn recorded_form(managed: &Managed) -> Value {
    let mut list = managed.encode();
    let entries = list.as_array_mut().unwrap();
    for entry in entries.iter_mut().filter(|entry| entry.get("time").is_some()) {
        entry["time"] = "<time>".into();
    }
    entries.sort_by_key(|entry| format!("{} {}", entry["operation"], entry["manager"]));
    if entries.is_empty() { Value::Null } else { list }
}

/// The lines of a message, sorted as the recorder sorted them.
fn sorted_lines(message: &Value) -> Vec<String> {
    let text = message.as_str().unwrap_or_default().replace("conflicts: ", "conflicts: \n");
    let mut lines: Vec<String> = text.split('\n').map(|line| line.trim().to_owned()).collect();
    lines.sort();
    lines
}

#[test]
fn writes_are_answered_as_recorded() {
    let mut compared = 0;
    for (scenario, text) in SCENARIOS {
        let steps: Vec<Value> = serde_json::from_str(text).unwrap();
        let mut server = Server::new(&steps[0]);
        for (index, step) in steps.iter().enumerate() {
            let at = format!("{scenario}, step {index}: {}", step["note"]);
            let (status, answer) = server.answer(step);
            assert_eq!(step["status"], status, "{at}: {answer}");
            assert_eq!(sorted_lines(&answer["message"]), sorted_lines(&step["message"]), "{at}");
            assert_eq!(answer["causes"], step["causes"], "{at}");
            if status < 300 {
                let object = server.object.as_ref().unwrap();
                assert_eq!(recorded_form(&server.managed), step["managedFields"], "{at}");
                assert_eq!(object.get("data"), step.get("data"), "{at}");
                assert_eq!(object.get("spec"), step.get("spec"), "{at}");
                let annotations = step.get("annotations").unwrap_or(&Value::Null);
                assert_eq!(&object["metadata"]["annotations"], annotations, "{at}");
            }
            compared += 1;
        }
    }
    assert!(compared > 40, "only {compared} writes were compared");
}
