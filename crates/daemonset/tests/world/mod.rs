//! A little pure world that carries plans out: an API server of maps, agents, a scheduler, garbage
//! collection, and users who change things at random. One seed, one history.

pub mod trouble;

use std::collections::BTreeMap;

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::ports::PatchType;
use everynode_api::reconcile::{Action, Reconciler};
use everynode_api::time::rfc3339;
use everynode_api::view::{Item, Pod, View};
use everynode_common::random::Random;
use everynode_daemonset::{DaemonSetController, DaemonSetInput, DaemonSetMemory, Options, Plan};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub const NAMESPACE: &str = "x";
pub const HASH: &str = "controller-revision-hash";

pub struct World {
    pub random: Random,
    pub controller: DaemonSetController,
    pub memory: DaemonSetMemory,
    pub now: Timestamp,
    pub view: View,
    objects: BTreeMap<(String, Key), Value>,
    revision: u64,
    uids: u64,
    /// Images that never become ready.
    pub bad_images: Vec<String>,
    pub history: Vec<String>,
}

impl World {
    pub fn new(seed: u64, options: Options, set: Value) -> World {
        let mut world = World {
            random: Random::new(seed),
            controller: DaemonSetController::new(options),
            memory: DaemonSetMemory::default(),
            now: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(500_000),
            view: View::default(),
            objects: BTreeMap::new(),
            revision: 0,
            uids: 0,
            bad_images: Vec::new(),
            history: vec![format!("seed {seed}")],
        };
        world.create(&kinds::DAEMON_SET, set);
        world
    }

    pub fn log(&mut self, text: String) {
        self.history.push(text);
    }

    pub fn keys(&self, kind: &Kind) -> Vec<Key> {
        self.objects.keys().filter(|(plural, _)| *plural == *kind.plural).map(|(_, key)| key.clone()).collect()
    }

    pub fn get(&self, kind: &Kind, key: &Key) -> Option<&Value> {
        self.objects.get(&(kind.plural.to_string(), key.clone()))
    }

    /// False if the name is taken.
    pub fn create(&mut self, kind: &Kind, mut object: Value) -> bool {
        let namespace = if kind.namespaced { NAMESPACE } else { "" };
        let key = Key::new(namespace, object["metadata"]["name"].as_str().unwrap());
        if self.get(kind, &key).is_some() {
            return false;
        }
        self.uids += 1;
        object["metadata"]["uid"] = format!("uid-{}", self.uids).into();
        object["metadata"]["creationTimestamp"] = rfc3339(self.now).into();
        if kind.namespaced {
            object["metadata"]["namespace"] = NAMESPACE.into();
        }
        self.put(kind, key, object);
        true
    }

    fn put(&mut self, kind: &Kind, key: Key, mut object: Value) {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        self.view.upsert(kind, Item::parse(kind, object.to_string().as_bytes()).unwrap());
        self.view.observe_revision(&kinds::DAEMON_SET, self.revision);
        self.objects.insert((kind.plural.to_string(), key), object);
    }

    pub fn change(&mut self, kind: &Kind, key: &Key, change: impl FnOnce(&mut Value)) {
        let Some(mut object) = self.get(kind, key).cloned() else { return };
        change(&mut object);
        self.put(kind, key.clone(), object);
    }

    pub fn remove(&mut self, kind: &Kind, key: &Key) {
        self.revision += 1;
        self.objects.remove(&(kind.plural.to_string(), key.clone()));
        self.view.remove(kind, key, self.revision);
    }

    /// Begins a graceful deletion; a pod that no agent runs goes at once.
    pub fn delete(&mut self, kind: &Kind, key: &Key) {
        let Some(object) = self.get(kind, key) else { return };
        let bound = object["spec"]["nodeName"].is_string();
        if *kind != kinds::POD || !bound {
            return self.remove(kind, key);
        }
        let now = rfc3339(self.now);
        self.change(kind, key, |object| {
            if object["metadata"]["deletionTimestamp"].is_null() {
                object["metadata"]["deletionTimestamp"] = now.into();
            }
        });
    }

    pub fn set_key(&self) -> Key {
        Key::new(NAMESPACE, "web")
    }

    pub fn gather(&self) -> DaemonSetInput {
        self.controller.gather(&self.view, &self.set_key()).expect("the set is there")
    }

    /// One pass. `lossy`: some writes fail.
    pub fn pass(&mut self, lossy: bool) -> (DaemonSetInput, Plan) {
        let seen = self.gather();
        let plan = self.controller.plan(&seen, &self.memory, self.now);
        let anew = self.controller.plan(&seen, &self.memory.without_shortcuts(), self.now);
        assert!(plan == anew, "judging only what changed gives another plan\n{}\n{plan:#?}\n{anew:#?}", self.story());
        let violations = self.controller.audit(&seen, &plan);
        for note in &plan.notes {
            self.history.push(format!("  {note}"));
        }
        assert!(violations.is_empty(), "{}\n{violations:#?}", self.story());
        self.memory = plan.memory.clone();
        for action in &plan.actions {
            if !(lossy && self.random.percent(10)) {
                self.carry_out(action);
            }
        }
        self.assert_sums(&plan);
        if let Some(write) = plan.status.clone().filter(|_| !(lossy && self.random.percent(20))) {
            let key = self.set_key();
            self.change(&kinds::DAEMON_SET, &key, |set| set["status"] = write.status);
        }
        (seen, plan)
    }

    /// DS-E09
    fn assert_sums(&self, plan: &Plan) {
        let Some(status) = plan.status.as_ref().map(|write| &write.status) else { return };
        let number = |name: &str| status[name].as_i64().unwrap_or(0);
        let (desired, current) = (number("desiredNumberScheduled"), number("currentNumberScheduled"));
        let (ready, available) = (number("numberReady"), number("numberAvailable"));
        let sums = current <= desired && ready <= current && available <= ready;
        let sums = sums && available + number("numberUnavailable") == desired;
        assert!(sums && number("updatedNumberScheduled") <= current, "{status}\n{}", self.story());
    }

    pub fn story(&self) -> String {
        let start = self.history.len().saturating_sub(60);
        format!("{}\n{}", self.history[0], self.history[start..].join("\n"))
    }

    fn carry_out(&mut self, action: &Action) {
        match action {
            Action::Create { target, body, .. } => {
                self.create(&target.kind, body.clone());
            }
            Action::Delete { target, preconditions, .. } => {
                let key = Key::new(&target.namespace, &target.name);
                let same = self.get(&target.kind, &key).map(|object| object["metadata"]["uid"].clone());
                if same.is_some_and(|uid| uid.as_str() == preconditions.uid.as_deref()) {
                    self.delete(&target.kind, &key);
                }
            }
            Action::Patch { target, patch, body, .. } => {
                let key = Key::new(&target.namespace, &target.name);
                let strategic = *patch == PatchType::Strategic;
                self.change(
                    &target.kind,
                    &key,
                    |object| if strategic { reown(object, body) } else { merge(object, body) },
                );
            }
            Action::Emit(_) => {}
        }
    }

    /// Agents, scheduler, node lifecycle and pod garbage collection do some of their work.
    pub fn live(&mut self, percent: u64) {
        for key in self.keys(&kinds::POD) {
            if self.random.percent(percent) {
                self.live_pod(&key);
            }
        }
        self.now += SignedDuration::from_secs(1 + self.random.below(3) as i64);
    }

    fn live_pod(&mut self, key: &Key) {
        let Some(object) = self.get(&kinds::POD, key) else { return };
        let pod: Pod = serde_json::from_value(object.clone()).unwrap();
        let image = object["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned();
        let Some(target) = pod.target_node().map(str::to_owned) else { return };
        let Some(node) = self.view.node(&target).cloned() else {
            if !pod.spec.node_name.is_empty() {
                self.remove(&kinds::POD, key); // pod garbage collection
            }
            return;
        };
        let silent = node.condition("Ready").is_some_and(|ready| ready.status.as_ref() == "Unknown");
        let now = rfc3339(self.now);
        match () {
            () if pod.spec.node_name.is_empty() => {
                self.change(&kinds::POD, key, |pod| pod["spec"]["nodeName"] = target.into())
            }
            () if silent && pod.is_ready() => self.change(&kinds::POD, key, |pod| ready(pod, false, &now)),
            () if silent => {}
            () if pod.is_terminating() => self.remove(&kinds::POD, key),
            () if pod.is_terminal() => {}
            () if pod.status.start_time.is_none() => self.change(&kinds::POD, key, |pod| {
                pod["status"] = json!({ "phase": "Running", "startTime": now, "containerStatuses": [{}] });
                ready(pod, false, &now);
            }),
            () if !pod.is_ready() && !self.bad_images.contains(&image) => {
                self.change(&kinds::POD, key, |pod| ready(pod, true, &now));
            }
            () => {}
        }
    }
}

pub fn ready(pod: &mut Value, is: bool, now: &str) {
    let status = if is { "True" } else { "False" };
    pod["status"]["conditions"] = json!([{ "type": "Ready", "status": status, "lastTransitionTime": now }]);
}

fn reown(object: &mut Value, body: &Value) {
    let reference = &body["metadata"]["ownerReferences"][0];
    object["metadata"]["ownerReferences"] =
        if reference["$patch"] == "delete" { json!([]) } else { json!([reference]) };
}

fn merge(into: &mut Value, patch: &Value) {
    let Some(members) = patch.as_object() else { return *into = patch.clone() };
    for (name, value) in members {
        merge(&mut into[name.as_str()], value);
    }
}

pub fn set(update: Value, min_ready: i64) -> Value {
    json!({
        "metadata": { "name": "web", "generation": 1 },
        "spec": {
            "selector": { "matchLabels": { "app": "web" } },
            "minReadySeconds": min_ready,
            "revisionHistoryLimit": 2,
            "updateStrategy": update,
            "template": template("img:1"),
        },
        "status": {},
    })
}

pub fn template(image: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": "web" } },
        "spec": { "containers": [{ "name": "main", "image": image }] },
    })
}

pub fn node(name: &str) -> Value {
    json!({
        "metadata": { "name": name, "labels": { "disk": "ssd" } },
        "spec": {},
        "status": { "allocatable": { "pods": "110" }, "conditions": [{ "type": "Ready", "status": "True" }] },
    })
}
