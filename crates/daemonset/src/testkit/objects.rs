//! The objects that statements describe, as JSON.

use serde_json::{Value, json};

pub(super) const SET_UID: &str = "set-uid";
pub(super) const NAMESPACE: &str = "default";

/// The words of a statement after its verb and name.
pub(super) struct Words<'t>(pub Vec<(&'t str, Option<&'t str>)>);

impl<'t> Words<'t> {
    pub fn value(&self, name: &str) -> Option<&'t str> {
        self.0.iter().find(|(word, _)| *word == name).and_then(|(_, value)| *value)
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(word, _)| *word == name)
    }

    pub fn number(&self, name: &str) -> Result<Option<i64>, String> {
        let parse = |text: &str| text.parse().map_err(|_| format!("{name}={text} is no number"));
        self.value(name).map(parse).transpose()
    }

    /// All `name=k:v` words as a map.
    pub fn map(&self, name: &str) -> Value {
        let values = self.0.iter().filter(|(word, _)| *word == name).filter_map(|(_, value)| *value);
        let pairs = values.map(|value| value.split_once(':').unwrap_or((value, "")));
        Value::Object(pairs.map(|(key, value)| (key.to_owned(), value.into())).collect())
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &'t str> {
        self.0.iter().filter(move |(word, _)| *word == name).filter_map(|(_, value)| *value)
    }
}

pub(super) fn split(word: &str) -> (&str, Option<&str>) {
    match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    }
}

pub(super) fn selector(words: &Words<'_>, labels: Value) -> Value {
    match () {
        () if words.has("select-all") => json!({}),
        () if words.has("select-none") => Value::Null,
        () => json!({ "matchLabels": labels }),
    }
}

pub(super) fn strategy(words: &Words<'_>) -> Value {
    if words.has("OnDelete") {
        return json!({ "type": "OnDelete" });
    }
    let number = |name: &str, default: i64| match words.value(name) {
        None => json!(default),
        Some(text) => text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number)),
    };
    let unavailable = number("maxUnavailable", i64::from(!words.has("maxSurge")));
    json!({
        "type": "RollingUpdate",
        "rollingUpdate": { "maxUnavailable": unavailable, "maxSurge": number("maxSurge", 0) },
    })
}

pub(super) fn template(rev: i64, labels: Value, words: &Words<'_>) -> Result<Value, String> {
    let mut container = json!({ "name": "main", "image": format!("img:{rev}") });
    if let Some(cpu) = words.value("cpu") {
        container["resources"] = json!({ "requests": { "cpu": cpu } });
    }
    if let Some(port) = words.number("hostPort")? {
        container["ports"] = json!([{ "containerPort": port, "hostPort": port }]);
    }
    let mut tolerations: Vec<Value> = words.all("tolerate").map(toleration).collect();
    if words.has("tolerate-all") {
        tolerations.push(json!({ "operator": "Exists" }));
    }
    let mut spec = json!({ "containers": [container] });
    if !tolerations.is_empty() {
        spec["tolerations"] = tolerations.into();
    }
    if words.has("nodeSelector") {
        spec["nodeSelector"] = words.map("nodeSelector");
    }
    if words.has("hostNetwork") {
        spec["hostNetwork"] = true.into();
    }
    for (word, member) in [("nodeName", "nodeName"), ("scheduler", "schedulerName")] {
        if let Some(value) = words.value(word) {
            spec[member] = value.into();
        }
    }
    let mut template = json!({ "metadata": { "labels": labels }, "spec": spec });
    if let Some(extra) = words.value("template") {
        merge(&mut template, serde_json::from_str(extra).map_err(|error| format!("template: {error}"))?);
    }
    Ok(template)
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn toleration(text: &str) -> Value {
    let (key, effect) = text.split_once(':').unwrap_or((text, ""));
    let mut toleration = json!({ "key": key, "operator": "Exists" });
    if !effect.is_empty() {
        toleration["effect"] = effect.into();
    }
    toleration
}

pub(super) fn pod_spec(words: &Words<'_>) -> Value {
    let mut container = json!({ "name": "main" });
    if let Some(cpu) = words.value("cpu") {
        container["resources"] = json!({ "requests": { "cpu": cpu } });
    }
    if let Some(port) = words.value("port").and_then(|port| port.parse::<u16>().ok()) {
        container["ports"] = json!([{ "hostPort": port }]);
    }
    let mut spec = json!({ "containers": [container] });
    match words.value("on") {
        Some(node) if words.has("unbound") => {
            let field = json!({ "key": "metadata.name", "operator": "In", "values": [node] });
            let required = json!({ "nodeSelectorTerms": [{ "matchFields": [field] }] });
            spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = required;
        }
        Some(node) => spec["nodeName"] = node.into(),
        None => {}
    }
    spec
}

pub(super) fn owner(words: &Words<'_>, kind: &str) -> Value {
    match words.value("owner") {
        _ if words.has("orphan") => json!([]),
        Some(uid) => json!([controller(uid, kind)]),
        None => json!([controller(SET_UID, kind)]),
    }
}

pub(super) fn controller(uid: &str, kind: &str) -> Value {
    json!({ "apiVersion": "apps/v1", "kind": kind, "name": "web", "uid": uid, "controller": true, "blockOwnerDeletion": true })
}

pub(super) fn revision(name: &str, rev: i64, number: i64, hash: &str) -> Value {
    let labels = json!({ "app": "web", "controller-revision-hash": hash });
    let container = json!({ "name": "main", "image": format!("img:{rev}") });
    let template = json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [container] } });
    json!({
        "metadata": { "name": name, "namespace": NAMESPACE, "uid": name, "labels": labels },
        "data": { "spec": { "template": template } },
        "revision": number,
    })
}
