//! A machine: registers as a node, keeps its lease, and runs its pods by the agent's own decisions.
//!
//! Containers are made up (`hollow::RealPod`); what the agent decides and writes, and when, is not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use everynode_api::kinds::{LEASE, NODE, POD};
use everynode_api::ports::{Api, ApiError, PatchType, Preconditions, Request, Selection, Target};
use everynode_api::time::{rfc3339, rfc3339_micro};
use everynode_hollow::{Delay, Dice, Failures, PodTimes, Probability, RealPod, World};
use everynode_runtime::Env;
use everynode_runtime::clock::later;
use everynode_runtime::follow::{Follower, Heard, Source};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::read::{ObjectChange, Reader};
use crate::wire::{Client, Wire};

const RENEW_EVERY: Duration = Duration::from_secs(10);
const STATUS_EVERY: Duration = Duration::from_secs(20);
/// How often the pods are listed although nothing is amiss (see `controller_process`).
const LIST_EVERY: Duration = crate::controller_process::LIST_EVERY;
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Images whose name contains this cannot be pulled.
pub(crate) const BAD: &str = "bad";

/// How a machine is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Condition {
    pub(crate) on: bool,
    /// Everything takes so many times as long.
    pub(crate) slowness: u32,
    pub(crate) crash_percent: u64,
}

pub(crate) fn name(number: usize) -> String {
    format!("n{number}")
}

/// What an agent that has just started follows its pods with.
fn follower(number: usize, wire: &Arc<Wire>, env: &Env) -> Follower<Reader> {
    let (api, env) = (Arc::new(Client(wire.clone())), env.clone());
    let selection = Selection::of_node(&name(number));
    Follower::new(Source { api, env, kind: POD, selection, list_every: Some(LIST_EVERY), batch_max: 1 }, Reader)
}

/// The agent of one machine.
pub(crate) struct Machine {
    number: usize,
    wire: Arc<Wire>,
    env: Env,
    condition: watch::Receiver<Condition>,
    dice: Dice,
    pods: BTreeMap<String, Hosted>,
    images: BTreeSet<u64>,
    sequence: u32,
    registered: bool,
    beat_at: Timestamp,
    renew_at: Timestamp,
    status_at: Timestamp,
    follower: Follower<Reader>,
}

/// A pod on this machine.
struct Hosted {
    real: RealPod,
    target: Target,
    written: Option<(String, bool)>,
    wants_deletion: bool,
    /// After a failure nothing is written before.
    hold_until: Timestamp,
    wake_at: Timestamp,
}

impl Machine {
    pub(crate) fn new(
        number: usize,
        wire: Arc<Wire>,
        env: Env,
        condition: watch::Receiver<Condition>,
        seed: u64,
    ) -> Self {
        let now = env.now();
        let follower = follower(number, &wire, &env);
        Machine {
            number,
            wire,
            env,
            condition,
            dice: Dice::new(seed),
            pods: BTreeMap::new(),
            images: BTreeSet::new(),
            sequence: 0,
            registered: false,
            beat_at: now,
            renew_at: now,
            status_at: now,
            follower,
        }
    }

    /// Lives, goes down and boots again; for ever.
    pub(crate) async fn run(mut self) {
        loop {
            let mut power = self.condition.clone();
            let _on = power.wait_for(|condition| condition.on).await.map(drop);
            tokio::select! {
                biased;
                _ = power.wait_for(|condition| !condition.on) => {}
                () = self.live() => {}
            }
            self.went_down();
        }
    }

    fn went_down(&mut self) {
        let now = self.env.now();
        self.follower = follower(self.number, &self.wire, &self.env);
        self.registered = false;
        (self.beat_at, self.renew_at, self.status_at) = (now, now, now);
        for pod in self.pods.values_mut() {
            pod.real.rebooted(now);
            (pod.written, pod.wants_deletion, pod.hold_until, pod.wake_at) = (None, false, now, now);
        }
    }

    async fn live(&mut self) {
        loop {
            if self.env.now() >= self.beat_at {
                self.beat().await;
            }
            self.tend().await;
            let due = self.next_due();
            let heard = tokio::select! {
                biased;
                heard = self.follower.next() => heard,
                () = self.env.sleep_until(due) => continue,
            };
            self.on_heard(heard);
        }
    }

    fn next_due(&self) -> Timestamp {
        let pods = self.pods.values().map(|pod| pod.wake_at);
        pods.fold(self.beat_at, Timestamp::min)
    }

    fn client(&self) -> Client {
        Client(self.wire.clone())
    }

    /// Registers, renews the lease, posts the status: whatever is due.
    async fn beat(&mut self) {
        let now = self.env.now();
        let worked = match () {
            () if !self.registered => self.register(now).await,
            () if now >= self.renew_at => self.renew(now).await,
            () => self.post_status(now).await,
        };
        let now = self.env.now();
        self.beat_at = match worked {
            Ok(()) if self.registered => self.renew_at.min(self.status_at).max(now),
            _ => later(now, RETRY_AFTER),
        };
    }

    async fn register(&mut self, now: Timestamp) -> Result<(), ApiError> {
        let body = node(self.number, now);
        match self.client().call(Request::Create { target: Target::new(NODE, "", ""), body }).await {
            Ok(_) => {}
            Err(error) if error.is_already_exists() => {}
            Err(error) => return Err(error),
        }
        self.registered = true;
        (self.renew_at, self.status_at) = (now, now);
        Ok(())
    }

    async fn renew(&mut self, now: Timestamp) -> Result<(), ApiError> {
        let name = name(self.number);
        let spec = json!({"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": rfc3339_micro(now)});
        let target = Target::new(LEASE, "kube-node-lease", &name);
        let body = json!({ "spec": spec });
        let preconditions = Preconditions::default();
        let patch = Request::Patch { target: target.clone(), patch: PatchType::Merge, body, preconditions };
        match self.client().call(patch).await {
            Err(error) if error.is_not_found() => {
                let metadata = json!({"name": name, "namespace": "kube-node-lease"});
                let body = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata,
                                  "spec": spec});
                self.client().call(Request::Create { target, body }).await?;
            }
            result => drop(result?),
        }
        self.renew_at = later(now, RENEW_EVERY);
        Ok(())
    }

    async fn post_status(&mut self, now: Timestamp) -> Result<(), ApiError> {
        let body = json!({"status": status(self.number, now)});
        let target = Target::new(NODE, "", &name(self.number)).subresource("status");
        let preconditions = Preconditions::default();
        match self.client().call(Request::Patch { target, patch: PatchType::Strategic, body, preconditions }).await {
            Err(error) if error.is_not_found() => {
                self.registered = false;
                Ok(())
            }
            result => {
                result?;
                self.status_at = later(now, STATUS_EVERY);
                Ok(())
            }
        }
    }

    fn on_heard(&mut self, heard: Heard<Value, ObjectChange>) {
        match heard {
            Heard::Listed(listed) => {
                let there: Vec<String> = listed.objects.into_iter().filter_map(|pod| self.hear(pod)).collect();
                let gone: Vec<String> = self.pods.keys().filter(|uid| !there.contains(uid)).cloned().collect();
                gone.iter().for_each(|uid| self.pod_gone(uid));
            }
            Heard::Changed(changes) => {
                for change in changes {
                    match change {
                        ObjectChange::Set(pod) => drop(self.hear(pod)),
                        ObjectChange::Gone(uid) => self.pod_gone(&uid),
                    }
                }
            }
            Heard::Begins | Heard::Opened | Heard::Ended | Heard::Failed(_) => {}
        }
    }

    fn pod_gone(&mut self, uid: &str) {
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.real.gone();
            pod.wake_at = self.env.now();
        }
    }

    /// Answers the pod's uid.
    fn hear(&mut self, json: Value) -> Option<String> {
        let now = self.env.now();
        let pod: Pod = serde_json::from_value(json).ok()?;
        let metadata = &pod.metadata;
        let uid = metadata.uid.clone()?;
        let known = summary(pod.status.as_ref()?);
        let is_outdated = |real: &RealPod| {
            let terminating = metadata.deletion_timestamp.is_some();
            real.is_outdated(metadata.generation?, terminating, metadata.deletion_grace_period_seconds).then_some(())
        };
        let Some(hosted) = self.pods.get_mut(&uid) else {
            self.meet(uid.clone(), pod, now);
            return Some(uid);
        };
        let is_overwritten = hosted.written.as_ref().is_some_and(|written| *written != known);
        if is_outdated(&hosted.real).is_some() || is_overwritten {
            hosted.real.heard(pod);
            hosted.wake_at = now;
        }
        if is_overwritten {
            hosted.real.overwritten();
        }
        Some(uid)
    }

    fn meet(&mut self, uid: String, pod: Pod, now: Timestamp) {
        self.sequence += 1;
        let spec = pod.spec.as_ref();
        let image = spec.and_then(|spec| spec.containers.first()?.image.clone()).unwrap_or_default();
        let target = Target::new(
            POD,
            pod.metadata.namespace.as_deref().unwrap_or_default(),
            pod.metadata.name.as_deref().unwrap_or_default(),
        );
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, self.number as u8 + 1));
        let real = RealPod::new(pod, address, self.sequence, image.contains(BAD));
        let hosted = Hosted { real, target, written: None, wants_deletion: false, hold_until: now, wake_at: now };
        self.pods.insert(uid, hosted);
    }

    /// Every pod that is due decides and writes.
    async fn tend(&mut self) {
        let now = self.env.now();
        let due: Vec<String> =
            self.pods.iter().filter(|(_, pod)| pod.wake_at <= now).map(|(uid, _)| uid.clone()).collect();
        for uid in due {
            while self.turn(&uid).await {}
        }
    }

    /// One turn of one pod; whether it wants another at once.
    async fn turn(&mut self, uid: &str) -> bool {
        let now = self.env.now();
        let condition = *self.condition.borrow();
        let Some(pod) = self.pods.get_mut(uid) else { return false };
        let (times, failures) = (times(condition), failures(condition));
        let mut world =
            World { now, dice: &mut self.dice, times: &times, failures: &failures, images: &mut self.images };
        let turn = pod.real.turn(&mut world);
        if turn.done {
            self.pods.remove(uid);
            return false;
        }
        pod.wants_deletion |= turn.delete;
        pod.wake_at = turn.wake_at.unwrap_or(Timestamp::MAX);
        if pod.hold_until > now {
            if turn.status.is_some() || pod.wants_deletion {
                pod.wake_at = pod.wake_at.min(pod.hold_until);
            }
            return false;
        }
        let deletes = pod.wants_deletion;
        match turn.status {
            Some(status) => self.write(uid, status).await,
            None if deletes => self.delete(uid).await,
            None => false,
        }
    }

    async fn write(&mut self, uid: &str, status: PodStatus) -> bool {
        let Some(target) = self.pods.get(uid).map(|pod| pod.target.clone()) else { return false };
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let body = json!({"status": status});
        let target = target.subresource("status");
        let result =
            self.client().call(Request::Patch { target, patch: PatchType::Strategic, body, preconditions }).await;
        let now = self.env.now();
        let Some(pod) = self.pods.get_mut(uid) else { return false };
        match result {
            Ok(_) => {
                pod.written = Some(summary(&status));
                pod.real.written(status);
                true
            }
            // Not written again until the watch has news.
            Err(error) if is_not_there(&error) => {
                pod.real.written(status);
                true
            }
            Err(_) => pod.hold(now),
        }
    }

    async fn delete(&mut self, uid: &str) -> bool {
        let Some(target) = self.pods.get(uid).map(|pod| pod.target.clone()) else { return false };
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let request = Request::Delete { target, preconditions, grace_period_seconds: Some(0), propagation: None };
        let result = self.client().call(request).await;
        let now = self.env.now();
        let Some(pod) = self.pods.get_mut(uid) else { return false };
        match result {
            Err(error) if !is_not_there(&error) => pod.hold(now),
            _ => {
                pod.wants_deletion = false;
                pod.real.deleted(now);
                true
            }
        }
    }
}

impl Hosted {
    fn hold(&mut self, now: Timestamp) -> bool {
        self.hold_until = later(now, RETRY_AFTER);
        self.wake_at = self.wake_at.min(self.hold_until);
        false
    }
}

/// Gone, or another pod has the name; a server that refuses for another reason is asked again.
fn is_not_there(error: &ApiError) -> bool {
    let other_uid = |error: &ApiError| {
        let details = error.status().and_then(|status| status.details.as_ref());
        error.status().is_some_and(|status| status.message.contains("uid")) || details.is_some_and(|d| d.name == "uid")
    };
    error.is_not_found() || (error.is_conflict() && other_uid(error))
}

/// Phase and readiness.
fn summary(status: &PodStatus) -> (String, bool) {
    let mut conditions = status.conditions.iter().flatten();
    let ready = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
    (status.phase.clone().unwrap_or_default(), ready)
}

fn times(condition: Condition) -> PodTimes {
    let slow = |ms: u64| Duration::from_millis(ms) * condition.slowness;
    let between = |min: u64, max: u64| Delay::Uniform { min: slow(min), max: slow(max) };
    PodTimes {
        sandbox: between(50, 300),
        pull: between(100, 2_000),
        start: between(50, 300),
        ready: between(200, 1_000),
        stop: between(100, 4_000),
    }
}

fn failures(condition: Condition) -> Failures {
    let crash_after = Delay::Uniform { min: Duration::from_millis(200), max: Duration::from_secs(10) };
    Failures { crash: Probability(condition.crash_percent as f64 / 100.0), crash_after, ..Failures::default() }
}

fn node(number: usize, now: Timestamp) -> Value {
    let name = name(number);
    let labels = json!({"kubernetes.io/hostname": name, "disk": if number == 0 { "hdd" } else { "ssd" }});
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
           "status": status(number, now)})
}

fn status(number: usize, now: Timestamp) -> Value {
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": reason,
               "lastHeartbeatTime": rfc3339(now), "lastTransitionTime": rfc3339(crate::clock::origin())})
    };
    let capacity = json!({"cpu": "4", "memory": "8Gi", "pods": "110"});
    json!({
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID"),
            condition("Ready", "True", "KubeletReady"),
        ],
        "addresses": [{"type": "Hostname", "address": name(number)}],
    })
}
