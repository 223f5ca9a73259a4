//! The canonical form of an answer: what differs from server to server is replaced by what it is.

use std::sync::LazyLock;

use everynode_common::base64;
use regex::{Captures, Regex};
use serde_json::{Map, Value, json};

use super::scenario::Names;

/// Letters of generated names.
const SUFFIX: &str = "bcdfghjklmnpqrstvwxz2456789";
/// ConfigMaps that controllers put into every namespace.
const PUBLISHED: [&str; 2] = ["kube-root-ca.crt", "openshift-service-ca.crt"];
/// Headers that are compared.
const HEADERS: [&str; 6] = ["content-type", "warning", "retry-after", "allow", "www-authenticate", "location"];

fn expression(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

/// Replacements in texts, in order.
static TEXTS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let versions = "((?:resource version|resourceVersion|ResourceVersion|Current:|current:)[^0-9\\n\"]{0,60}?)";
    vec![
        (expression(r#"(?s)Invalid value: "\{.*\\"apiVersion\\".*\}": "#), r#"Invalid value: "<object>": "#),
        (expression(r"(?s)(if it was previously negative\))\n.*"), "$1\n<difference>"),
        (expression(r#"in scheme "[^"]*""#), r#"in scheme "<scheme>""#),
        (expression(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<uid>"),
        (expression(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"), "<time>"),
        (expression(&format!(r"{versions}\d+ \(\d+\)")), "$1<rv> (<rv>)"),
        (expression(&format!(r"{versions}\d+")), "$1<rv>"),
        (expression(&format!(r"kube-api-access-[{SUFFIX}]{{5}}\b")), "kube-api-access-<5>"),
        (expression(r"https?://(127\.0\.0\.1|localhost)(:\d+)?"), "<server>"),
    ]
});
static AGE: LazyLock<Regex> = LazyLock::new(|| expression(r"^(\d+(y|d|h|m|s))+$|^<invalid>$"));
static AGO: LazyLock<Regex> = LazyLock::new(|| expression(r"\((\d+[ydhms])+ ago\)"));
static GENERATED: LazyLock<Regex> = LazyLock::new(|| expression(r#""generateName": ?"([^"]+)""#));
static CONTROLLER: LazyLock<Regex> =
    LazyLock::new(|| expression(r"^(kube-controller-manager|kube-scheduler|everynode.*)$"));

/// What one request's answer is read with.
pub(super) struct Canonical {
    namespaces: Vec<(String, String)>,
    generated: Vec<(String, Regex)>,
}

impl Canonical {
    /// Names that are replaced, and the body of the request: names may be generated from it.
    pub(super) fn new(names: &Names, body: &str) -> Canonical {
        let namespaces = names.iter().filter(|(name, _)| name.starts_with("ns"));
        let mut namespaces: Vec<_> = namespaces.map(|(name, value)| (value.clone(), format!("<{name}>"))).collect();
        namespaces.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        let bases = GENERATED.captures_iter(body).map(|found| found[1].chars().take(58).collect::<String>());
        // Expressions have no look-ahead: the letter behind is kept.
        let pattern = |base: &str| expression(&format!("{}[{SUFFIX}]{{5}}([^a-z0-9]|$)", regex::escape(base)));
        let generated = bases.map(|base| (base.clone(), pattern(&base))).collect();
        Canonical { namespaces, generated }
    }

    pub(super) fn text(&self, text: &str) -> String {
        let mut text = self.namespaces.iter().fold(text.to_owned(), |text, (value, name)| text.replace(value, name));
        for (base, pattern) in &self.generated {
            text = pattern.replace_all(&text, |found: &Captures<'_>| format!("{base}<5>{}", &found[1])).into_owned();
        }
        TEXTS.iter().fold(text, |text, (pattern, replacement)| pattern.replace_all(&text, *replacement).into_owned())
    }

    pub(super) fn headers(&self, headers: &http::HeaderMap) -> Value {
        let mut kept = Map::new();
        for name in HEADERS {
            let all = headers.get_all(name).iter().map(|value| self.text(&String::from_utf8_lossy(value.as_bytes())));
            let all: Vec<String> = all.collect();
            match name {
                _ if all.is_empty() => None,
                "warning" => kept.insert(name.into(), all.into()),
                _ => kept.insert(name.into(), all.join(", ").into()),
            };
        }
        if headers.contains_key("etag") {
            kept.insert("etag".into(), "<etag>".into());
        }
        Value::Object(kept)
    }

    pub(super) fn value(&self, value: &Value, path: &[&str]) -> Value {
        match value {
            Value::Object(fields) => self.object(fields, path),
            Value::Array(items) => {
                let path = [path, &["*"]].concat();
                let items = compared(items, &path[..path.len() - 1]);
                items.into_iter().map(|item| self.value(item, &path)).collect()
            }
            Value::String(text) => self.text(text).into(),
            other => other.clone(),
        }
    }

    fn object(&self, fields: &Map<String, Value>, path: &[&str]) -> Value {
        let mut kept = Map::new();
        for (key, value) in fields.iter().filter(|(key, _)| *key != "node.alpha.kubernetes.io/ttl") {
            let pointer: Vec<&str> = key.split('/').skip(1).collect();
            let path = if key.starts_with('/') { pointer } else { [path, &[key.as_str()]].concat() };
            let canonical = self.field(value, &path, fields);
            if key == "annotations" && canonical == json!({}) && *value != canonical {
                continue;
            }
            kept.insert(self.text(key), canonical);
        }
        Value::Object(kept)
    }

    fn field(&self, value: &Value, path: &[&str], owner: &Map<String, Value>) -> Value {
        let key = path.last().copied().unwrap_or_default();
        let parent = path.len().checked_sub(2).map_or("", |index| path[index]);
        match (key, value) {
            ("resourceVersion", Value::String(text)) if !matches!(text.as_str(), "" | "0") => "<rv>".into(),
            ("resourceVersion", Value::String(text)) => text.as_str().into(),
            ("token", Value::String(token)) if parent == "status" && token.matches('.').count() == 2 => {
                self.token(token)
            }
            ("storageVersionHash", _) => "<hash>".into(),
            ("continue", Value::String(text)) if !text.is_empty() => "<continue>".into(),
            ("clusterIP", value) if is_cluster_address(value) => "<ip>".into(),
            ("clusterIPs", Value::Array(all)) => {
                all.iter().map(|one| if is_cluster_address(one) { "<ip>".into() } else { one.clone() }).collect()
            }
            ("nodePort" | "healthCheckNodePort", Value::Number(port)) if is_chosen_port(port.as_i64()) => {
                "<port>".into()
            }
            ("observedGeneration", Value::Number(_)) if parent == "status" => "<observed>".into(),
            ("name", Value::String(name)) => self.name(name, owner),
            ("description", _) if path.len() > 2 && path[path.len() - 3] == "columnDefinitions" => "<text>".into(),
            ("cells", Value::Array(cells)) => cells.iter().map(|cell| self.cell(cell, path)).collect(),
            _ => self.value(value, path),
        }
    }

    /// A name that was made from a base: how many letters were added is recorded.
    fn name(&self, name: &str, owner: &Map<String, Value>) -> Value {
        let base = owner.get("generateName").and_then(Value::as_str);
        let base = base.map(|base| base.chars().take(58).collect::<String>());
        let added = base.as_ref().and_then(|base| Some((base, name.strip_prefix(base.as_str())?)));
        match added {
            Some((base, added)) if !added.is_empty() && added.chars().all(|letter| SUFFIX.contains(letter)) => {
                format!("{}<{}>", self.text(base), added.len()).into()
            }
            _ => self.text(name).into(),
        }
    }

    fn cell(&self, cell: &Value, path: &[&str]) -> Value {
        match cell.as_str() {
            Some(text) if AGE.is_match(text) => "<age>".into(),
            Some(text) if text.ends_with(" ago)") => AGO.replace_all(text, "(<age> ago)").into_owned().into(),
            _ => self.value(cell, &[path, &["*"]].concat()),
        }
    }

    /// The claims of a token, and its life in seconds.
    fn token(&self, token: &str) -> Value {
        let part = |part: &str| serde_json::from_slice::<Value>(&base64::decode_url(part)?).ok();
        let Some(mut claims) = token.split('.').nth(1).and_then(part) else { return "<token>".into() };
        let life = claims["exp"].as_i64().unwrap_or(0) - claims["iat"].as_i64().unwrap_or(0);
        for name in ["exp", "iat", "nbf", "jti"] {
            if let Some(claim) = claims.get_mut(name) {
                *claim = format!("<{name}>").into();
            }
        }
        if let Some(claim) = claims.pointer_mut("/kubernetes.io/warnafter") {
            *claim = "<warnafter>".into();
        }
        json!({"<token>": {"claims": self.value(&claims, &[]), "life": life}})
    }
}

/// The items of a list that are compared, in the order in which they are.
fn compared<'a>(items: &'a [Value], path: &[&str]) -> Vec<&'a Value> {
    let text = |item: &Value, pointer: &str| item.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
    let keeps = |item: &&Value| match path {
        [.., "managedFields"] => !CONTROLLER.is_match(&text(item, "/manager")),
        [.., "items"] => !is_published(&text(item, "/metadata/name")),
        [.., "rows"] => !is_published(&text(item, "/object/metadata/name")),
        [.., "projected", "sources"] => text(item, "/configMap/name") != PUBLISHED[1],
        _ => true,
    };
    let mut kept: Vec<&Value> = items.iter().filter(keeps).collect();
    if path.last() == Some(&"managedFields") {
        kept.sort_by_key(|item| ["/operation", "/subresource", "/manager", "/apiVersion"].map(|key| text(item, key)));
    }
    kept
}

pub(super) fn is_published(name: &str) -> bool {
    PUBLISHED.contains(&name)
}

fn is_cluster_address(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with("10.96."))
}

/// Ports that the server chose; scenarios choose two themselves.
fn is_chosen_port(port: Option<i64>) -> bool {
    port.is_some_and(|port| (30000..=32999).contains(&port) && !matches!(port, 30007 | 31234))
}

/// Sorts the causes of a refusal, and its message with them.
pub(super) fn sort_causes(answer: &mut Value) {
    let Some(fields) = answer.as_object_mut() else { return };
    let key = if fields.contains_key("details") { "details" } else { "/details" };
    let causes = fields.get_mut(key).and_then(|details| details.get_mut("causes")).and_then(Value::as_array_mut);
    let Some(causes) = causes.filter(|causes| !causes.is_empty()) else { return };
    let text = |cause: &Value, key: &str| cause[key].as_str().unwrap_or("").to_owned();
    causes.sort_by_key(|cause| [text(cause, "field"), text(cause, "message")]);
    let sentences: Vec<String> =
        causes.iter().map(|cause| format!("{}: {}", text(cause, "field"), text(cause, "message"))).collect();
    for key in ["message", "/message"] {
        let Some(Value::String(message)) = fields.get_mut(key) else { continue };
        if message.starts_with("Apply failed") {
            let (head, rest) = message.split_once(": ").unwrap_or((message, ""));
            let mut lines: Vec<&str> = rest.split('\n').collect();
            lines.sort_unstable();
            *message = format!("{head}: {}", lines.join("\n"));
        } else if let Some((head, _)) = message.split_once(": [") {
            *message = format!("{head}: [{}]", sentences.join(", "));
        }
    }
}

#[test]
fn what_differs_from_server_to_server_is_replaced() {
    let names = Names::from([("ns".into(), "o001-x".into()), ("ns2".into(), "o001-x-b".into())]);
    let canonical = Canonical::new(&names, r#"{"metadata": {"generateName": "web-"}}"#);
    let text = "o001-x-b/web-bcd45 resourceVersion: 12 (13), 2026-01-02T03:04:05Z";
    assert_eq!(canonical.text(text), "<ns2>/web-<5> resourceVersion: <rv> (<rv>), <time>");
    let object = json!({"metadata": {"generateName": "web-", "name": "web-bcd45", "resourceVersion": "7",
        "annotations": {"node.alpha.kubernetes.io/ttl": "0"}}, "status": {"observedGeneration": 3}});
    let form = json!({"metadata": {"generateName": "web-", "name": "web-<5>", "resourceVersion": "<rv>"},
        "status": {"observedGeneration": "<observed>"}});
    assert_eq!(canonical.value(&object, &[]), form);
    let table =
        json!({"rows": [{"cells": ["a", "5m3s", "1 (2m ago)"]}, {"object": {"metadata": {"name": PUBLISHED[0]}}}]});
    assert_eq!(canonical.value(&table, &[]), json!({"rows": [{"cells": ["a", "<age>", "1 (<age> ago)"]}]}));
}
