//! The statements that describe a cluster. A statement replaces what it names.
//!
//! - `ds NAME …`: `rev=N` (the template; revisions 1 to N exist, with hashes `r1` … unless
//!   `revision` statements say otherwise), `gen=N`, `maxUnavailable=`, `maxSurge=`, `OnDelete`,
//!   `minReady=SECONDS`, `limit=N`, `select=k:v`, `select-all`, `select-none`, `label=k:v`,
//!   `nolabels`, `nodeSelector=k:v`, `tolerate=KEY[:EFFECT]`, `tolerate-all`, `hostNetwork`,
//!   `hostPort=N`, `cpu=Q`, `nodeName=`, `scheduler=`, `annotation=k:v`, `templateGeneration=N`,
//!   `respect-cordon`, `terminating`, `collisions=N`, `template=JSON` (members merged into the
//!   template), `status=JSON` (the written status).
//! - `node NAME …`: `label=k:v`, `taint=KEY[=VALUE]:EFFECT`, `cordoned`, `silent`, `silent=SECONDS`
//!   (for so long), `notready`, `terminating`, `uid=`, `age=SECONDS`, `cpu=Q`.
//! - `pod NAME …`: `on=NODE`, `rev=N` or `hash=H`, one of `ready`, `ready=SECONDS` (for so long),
//!   `started` (running, not ready), `failed`, `succeeded`, nothing (pending); `unbound`,
//!   `terminating`, `age=SECONDS`, `orphan`, `owner=UID`, `label=k:v`, `nolabel` (no selector
//!   label), `templateGeneration=N`, `cpu=Q`, `port=N`, `uid=`.
//! - `revision NAME of=N number=N …`: `hash=H`, `nohash`, `age=SECONDS`, `started=SECONDS` (its
//!   rollout began so long ago), `orphan`, `owner=UID`, `nolabel`.
//! - `gone KIND NAME`; `options strict | bind | burst=N | class=C`; `show status | wake |
//!   conditions | reports | body | PATH`.
//! - `sets-known-to N`: the caches' progress; without it everything is known.

use std::collections::BTreeMap;

use everynode_api::kinds::{self, Kind};
use everynode_api::time::rfc3339;
use everynode_api::view::{Item, View};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::revision::STARTED_ANNOTATION;
use crate::{Bind, CLASS_ANNOTATION, Options, RESPECT_CORDON_ANNOTATION};

use super::objects::{
    NAMESPACE, SET_UID, Words, controller, owner, pod_spec, revision, selector, split, strategy, template,
};

/// A described cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub options: Options,
    pub now: Timestamp,
    objects: BTreeMap<(&'static str, String), Value>,
    show: Vec<String>,
    sets_known_to: u64,
    revision: u64,
}

impl Default for Cluster {
    fn default() -> Self {
        Cluster {
            options: Options::default(),
            now: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(500_000),
            objects: BTreeMap::new(),
            show: Vec::new(),
            sets_known_to: u64::MAX,
            revision: 0,
        }
    }
}

impl Cluster {
    /// Whether a case asked to see this.
    pub fn shows(&self, what: &str) -> bool {
        self.show.iter().any(|shown| shown == what)
    }

    /// The path of pods' bodies that a case asked to see.
    pub fn shown_path(&self) -> Option<&str> {
        self.show.iter().map(String::as_str).find(|shown| shown.starts_with("spec") || shown.starts_with("metadata"))
    }

    /// Lets time pass: `5s`.
    pub fn pass_time(&mut self, text: &str) -> Result<(), String> {
        let seconds: i64 = match text.trim_end_matches('s') {
            "" => 0,
            number => number.parse().map_err(|_| format!("`+++ {text}` is no number of seconds"))?,
        };
        self.now += SignedDuration::from_secs(seconds);
        Ok(())
    }

    /// Applies one statement; an empty one and a comment do nothing.
    pub fn apply(&mut self, statement: &str) -> Result<(), String> {
        let statement = statement.trim();
        let mut words = statement.split_whitespace();
        let verb = match words.next() {
            None => return Ok(()),
            Some(verb) if verb.starts_with('#') => return Ok(()),
            Some(verb) => verb,
        };
        let rest: Vec<&str> = words.collect();
        let name = rest.first().copied().unwrap_or_default();
        let words = Words(rest.iter().skip(1).map(|word| split(word)).collect());
        self.revision += 1;
        match verb {
            "ds" => self.set(name, &words),
            "node" => self.node(name, &words),
            "pod" => self.pod(name, &words),
            "revision" => self.revision(name, &words),
            "gone" => self.gone(&rest),
            "options" => self.options(&rest),
            "show" => {
                self.show = rest.iter().map(ToString::to_string).collect();
                Ok(())
            }
            "sets-known-to" => name.parse().map(|known| self.sets_known_to = known).map_err(|_| "a number".into()),
            _ => Err("unknown statement".into()),
        }
    }

    fn gone(&mut self, rest: &[&str]) -> Result<(), String> {
        let [kind, name] = rest else { return Err("gone KIND NAME".into()) };
        let key = self.objects.keys().find(|(k, n)| k == kind && n == name).cloned();
        key.and_then(|key| self.objects.remove(&key)).map(drop).ok_or("there is no such object".into())
    }

    fn options(&mut self, rest: &[&str]) -> Result<(), String> {
        for word in rest {
            match split(word) {
                ("strict", _) => self.options = Options { bind: self.options.bind, ..Options::strict() },
                ("bind", _) => self.options.bind = Bind::WhereFits,
                ("burst", Some(number)) => self.options.burst = number.parse().map_err(|_| "burst=N")?,
                ("class", Some(class)) => self.options.class = Some(class.into()),
                _ => return Err(format!("unknown option {word}")),
            }
        }
        Ok(())
    }

    fn ago(&self, seconds: i64) -> String {
        rfc3339(self.now - SignedDuration::from_secs(seconds))
    }

    fn put(&mut self, kind: &'static str, name: &str, mut object: Value) {
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        self.objects.insert((kind, name.to_owned()), object);
    }

    fn set(&mut self, name: &str, words: &Words<'_>) -> Result<(), String> {
        let rev = words.number("rev")?.unwrap_or(1);
        let mut annotations = words.map("annotation");
        if words.has("respect-cordon") {
            annotations[RESPECT_CORDON_ANNOTATION] = "true".into();
        }
        if let Some(class) = words.value("class") {
            annotations[CLASS_ANNOTATION] = class.into();
        }
        if let Some(generation) = words.value("templateGeneration") {
            annotations["deprecated.daemonset.template.generation"] = generation.into();
        }
        let labels = match () {
            () if words.has("nolabels") => json!({}),
            () if words.has("label") => words.map("label"),
            () => json!({ "app": name }),
        };
        let select = if words.has("select") { words.map("select") } else { json!({ "app": name }) };
        let mut object = json!({
            "metadata": {
                "name": name, "namespace": NAMESPACE, "uid": words.value("uid").unwrap_or(SET_UID),
                "generation": words.number("gen")?.unwrap_or(rev), "annotations": annotations,
            },
            "spec": {
                "selector": selector(words, select),
                "template": template(rev, labels, words)?,
                "updateStrategy": strategy(words),
                "minReadySeconds": words.number("minReady")?.unwrap_or(0),
                "revisionHistoryLimit": words.number("limit")?.unwrap_or(10),
            },
            "status": words.value("status").map_or(Ok(json!({})), serde_json::from_str).map_err(|e| e.to_string())?,
        });
        if let Some(count) = words.number("collisions")? {
            object["status"]["collisionCount"] = count.into();
        }
        if words.has("terminating") {
            object["metadata"]["deletionTimestamp"] = self.ago(0).into();
        }
        self.put("ds", name, object);
        Ok(())
    }

    fn node(&mut self, name: &str, words: &Words<'_>) -> Result<(), String> {
        let taint = |text: &str| {
            let (rest, effect) = text.rsplit_once(':').unwrap_or((text, "NoSchedule"));
            let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
            json!({ "key": key, "value": value, "effect": effect })
        };
        let ready = match () {
            () if words.has("silent") => "Unknown",
            () if words.has("notready") => "False",
            () => "True",
        };
        let mut object = json!({
            "metadata": {
                "name": name, "uid": words.value("uid").unwrap_or(name), "labels": words.map("label"),
                "creationTimestamp": self.ago(words.number("age")?.unwrap_or(100_000)),
            },
            "spec": { "taints": words.all("taint").map(taint).collect::<Vec<_>>(), "unschedulable": words.has("cordoned") },
            "status": {
                "allocatable": { "cpu": words.value("cpu").unwrap_or("4"), "memory": "8Gi", "pods": "110" },
                "conditions": [{ "type": "Ready", "status": ready }],
            },
        });
        if let Some(seconds) = words.number("silent")? {
            object["status"]["conditions"][0]["lastTransitionTime"] = self.ago(seconds).into();
        }
        if words.has("terminating") {
            object["metadata"]["deletionTimestamp"] = self.ago(0).into();
        }
        self.put("node", name, object);
        Ok(())
    }

    fn pod(&mut self, name: &str, words: &Words<'_>) -> Result<(), String> {
        let age = words.number("age")?.unwrap_or(1000);
        let mut labels = if words.has("label") { words.map("label") } else { json!({ "app": "web" }) };
        if words.has("nolabel") {
            labels = json!({});
        }
        if let Some(generation) = words.value("templateGeneration") {
            labels["pod-template-generation"] = generation.into();
        }
        match (words.value("rev"), words.value("hash")) {
            (_, Some(hash)) => labels["controller-revision-hash"] = hash.into(),
            (Some(rev), None) => labels["controller-revision-hash"] = format!("r{rev}").into(),
            (None, None) => {}
        }
        let mut object = json!({
            "metadata": {
                "name": name, "namespace": NAMESPACE, "uid": words.value("uid").unwrap_or(name), "labels": labels,
                "creationTimestamp": self.ago(age), "ownerReferences": owner(words, "DaemonSet"),
            },
            "spec": pod_spec(words),
            "status": self.pod_status(words)?,
        });
        if words.has("terminating") {
            object["metadata"]["deletionTimestamp"] = self.ago(0).into();
        }
        self.put("pod", name, object);
        Ok(())
    }

    fn pod_status(&self, words: &Words<'_>) -> Result<Value, String> {
        let since = words.number("ready").ok().flatten().unwrap_or(900);
        let (phase, ready) = match () {
            () if words.has("ready") => ("Running", "True"),
            () if words.has("started") => ("Running", "False"),
            () if words.has("failed") => ("Failed", "False"),
            () if words.has("succeeded") => ("Succeeded", "False"),
            () => return Ok(json!({ "phase": "Pending" })),
        };
        Ok(json!({
            "phase": phase, "startTime": self.ago(900), "containerStatuses": [{}],
            "conditions": [{ "type": "Ready", "status": ready, "lastTransitionTime": self.ago(since) }],
        }))
    }

    fn revision(&mut self, name: &str, words: &Words<'_>) -> Result<(), String> {
        let rev = words.number("of")?.unwrap_or(1);
        let hash = words.value("hash").map_or_else(|| format!("r{rev}"), str::to_owned);
        let mut object = revision(name, rev, words.number("number")?.unwrap_or(rev), &hash);
        object["metadata"]["ownerReferences"] = owner(words, "DaemonSet");
        if words.has("nolabel") {
            object["metadata"]["labels"] = json!({});
        }
        if let Some(seconds) = words.number("age")? {
            object["metadata"]["creationTimestamp"] = self.ago(seconds).into();
        }
        if let Some(seconds) = words.number("started")? {
            object["metadata"]["annotations"] = json!({ STARTED_ANNOTATION: self.ago(seconds) });
        }
        if words.has("nohash") {
            object["metadata"]["labels"] = json!({ "app": "web" });
        }
        if let Some(template) = words.value("template") {
            let template: Value = serde_json::from_str(template).map_err(|error| error.to_string())?;
            object["data"] = json!({ "spec": { "template": template } });
        }
        self.put("revision", name, object);
        Ok(())
    }

    /// The cluster as an informer cache would hold it.
    pub fn view(&self) -> View {
        let mut view = View::default();
        let kind_of = |word: &str| -> Kind {
            match word {
                "ds" => kinds::DAEMON_SET,
                "node" => kinds::NODE,
                "pod" => kinds::POD,
                _ => kinds::CONTROLLER_REVISION,
            }
        };
        let mut insert = |word: &str, object: &Value| {
            let kind = kind_of(word);
            if let Ok(item) = Item::parse(&kind, object.to_string().as_bytes()) {
                view.upsert(&kind, item);
            }
        };
        let explicit = self.objects.keys().any(|(kind, _)| *kind == "revision");
        for ((kind, _), object) in &self.objects {
            insert(kind, object);
            if *kind == "ds" && !explicit {
                self.implied_revisions(object).iter().for_each(|revision| insert("revision", revision));
            }
        }
        let known = match self.sets_known_to {
            u64::MAX => self.revision,
            known => known,
        };
        view.observe_revision(&kinds::DAEMON_SET, known);
        view
    }

    fn implied_revisions(&self, set: &Value) -> Vec<Value> {
        let last = set["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
        let last: i64 = last.trim_start_matches("img:").parse().unwrap_or(0);
        let name = set["metadata"]["name"].as_str().unwrap_or_default();
        let make = |rev: i64| {
            let mut revision = revision(&format!("{name}-r{rev}"), rev, rev, &format!("r{rev}"));
            revision["metadata"]["ownerReferences"] = json!([controller(SET_UID, "DaemonSet")]);
            if rev == last {
                revision["data"] = json!({ "spec": { "template": set["spec"]["template"] } });
            }
            revision
        };
        (1..=last).map(make).collect()
    }
}
