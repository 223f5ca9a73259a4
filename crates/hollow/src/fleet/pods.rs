//! The pods of simulated nodes: from events to writes.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use everynode_api::ports::ApiError;
use everynode_runtime::clock::later;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::timers::Timer;
use super::{Change, Fleet, State};
use crate::head::Head;
use crate::options::Profile;
use crate::pod::{RealPod, World, running_and_ready};
use crate::template;
use crate::work::{Done, FastStatus, NodeId, PodKey, Work};

/// A pod on a simulated node.
pub(super) struct Tracked {
    node: NodeId,
    key: PodKey,
    body: Body,
    seen_at: Timestamp,
    is_running: bool,
    is_ready: bool,
    /// Its stages were measured: a pod is counted once.
    told_running: bool,
    told_ready: bool,
    /// A status write is under way.
    is_writing: bool,
    /// The object is to be removed.
    wants_deletion: bool,
    is_deleting: bool,
    failures: u32,
    /// After a failure nothing is written before.
    hold_until: Timestamp,
    armed: Option<Timestamp>,
}

enum Body {
    /// `Some` until it is written.
    Fast(Option<FastStatus>),
    Real(Box<RealPod>),
}

impl Fleet {
    /// Answers the pod's uid if it is one of ours.
    pub(super) fn pod_set(&mut self, json: Bytes, now: Timestamp) -> Option<Arc<str>> {
        let head = Head::parse(&json)?;
        let Some(name) = head.node() else {
            self.unbound.entry(head.metadata.uid.as_ref().into()).or_insert(now);
            return None;
        };
        let id = *self.by_name.get(name)?;
        if matches!(self.node(id).state, State::CutOff | State::Down | State::Planned | State::Registering) {
            let uid: Arc<str> = head.metadata.uid.as_ref().into();
            self.node(id).missed.insert(uid.clone(), Change::Set(Bytes::copy_from_slice(&json)));
            return Some(uid);
        }
        if matches!(self.node(id).state, State::Left | State::Dead) {
            return None;
        }
        Some(self.hear(id, &head, &json, now))
    }

    /// The node hears of its pod.
    fn hear(&mut self, id: NodeId, head: &Head<'_>, json: &[u8], now: Timestamp) -> Arc<str> {
        let uid = match self.pods.get_key_value(head.metadata.uid.as_ref()) {
            Some((uid, _)) => uid.clone(),
            None => self.meet(id, head, json, now),
        };
        let Some(pod) = self.pods.get_mut(&uid) else { return uid };
        match &mut pod.body {
            Body::Fast(_) => pod.wants_deletion |= head.is_terminating(),
            Body::Real(real) => {
                let meta = &head.metadata;
                let outdated =
                    real.is_outdated(meta.generation, head.is_terminating(), meta.deletion_grace_period_seconds);
                let foreign = head.spec.readiness_gates.is_some() || (head.is_terminal() && pod.is_running);
                if outdated || foreign {
                    match serde_json::from_slice::<Pod>(json) {
                        Ok(fresh) => real.heard(fresh),
                        Err(error) => tracing::warn!(%error, %uid, "cannot decode a pod"),
                    }
                } else {
                    return uid;
                }
            }
        }
        self.run_pod(&uid, now);
        uid
    }

    /// A pod that was not known before.
    fn meet(&mut self, id: NodeId, head: &Head<'_>, json: &[u8], now: Timestamp) -> Arc<str> {
        let uid: Arc<str> = head.metadata.uid.as_ref().into();
        let bound_after = self.unbound.remove(&uid).map(|seen_at| (seen_at, now));
        let Some(body) = self.body(id, head, json) else { return uid };
        self.tally.pods += 1;
        let (seen_at, _) = bound_after.unwrap_or((now, now));
        self.measure_start(id, head, seen_at, now);
        let key = PodKey {
            uid: uid.clone(),
            namespace: head.metadata.namespace.as_ref().into(),
            name: head.metadata.name.as_ref().into(),
        };
        // What ran before this process began is taken as it is.
        let adopted = head.phase() == "Running" && matches!(body, Body::Fast(_));
        let tracked = Tracked {
            node: id,
            key,
            body: if adopted { Body::Fast(None) } else { body },
            seen_at,
            is_running: adopted,
            is_ready: adopted,
            told_running: adopted,
            told_ready: adopted,
            is_writing: false,
            wants_deletion: false,
            is_deleting: false,
            failures: 0,
            hold_until: Timestamp::MIN,
            armed: None,
        };
        (self.running, self.ready) = (self.running + u64::from(adopted), self.ready + u64::from(adopted));
        self.pods.insert(uid.clone(), tracked);
        self.node(id).pods.insert(uid.clone());
        // A real pod acts on what it was made from; a fast one is run by the caller.
        if self.options.profile == Profile::Real {
            self.run_pod(&uid, now);
        }
        uid
    }

    fn body(&mut self, id: NodeId, head: &Head<'_>, json: &[u8]) -> Option<Body> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        if self.options.profile == Profile::Real {
            let pod: Pod =
                serde_json::from_slice(json).inspect_err(|error| tracing::warn!(%error, "cannot decode a pod")).ok()?;
            let never_ready = self.dice.happens(self.options.failures.never_ready.0);
            return Some(Body::Real(Box::new(RealPod::new(pod, template::node_ip(id), sequence, never_ready))));
        }
        let containers = head.spec.containers.iter().map(|one| (one.name.as_ref().into(), one.image.as_ref().into()));
        let host_network = head.spec.host_network == Some(true);
        Some(Body::Fast(Some(FastStatus { containers: containers.collect(), host_network, sequence })))
    }

    fn measure_start(&mut self, id: NodeId, head: &Head<'_>, seen_at: Timestamp, now: Timestamp) {
        let created = head.metadata.creation_timestamp.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
        // Those that were there before this run say nothing about it.
        if let Some(created) = created.filter(|created| *created >= self.began) {
            self.tally.created.add(since(created, seen_at));
        }
        self.tally.bound.add(since(seen_at, now));
        if std::mem::take(&mut self.node(id).awaits_pod) {
            let joined = self.node(id).since;
            self.tally.joined_to_bound.add(since(joined, now));
        }
    }

    pub(super) fn pod_gone(&mut self, json: &[u8], now: Timestamp) {
        if let Some(head) = Head::parse(json) {
            self.gone(head.metadata.uid.as_ref(), now);
        }
    }

    fn gone(&mut self, uid: &str, now: Timestamp) {
        self.unbound.remove(uid);
        let Some((uid, pod)) = self.pods.get_key_value(uid) else { return };
        let (uid, id) = (uid.clone(), pod.node);
        let node = self.node(id);
        if matches!(node.state, State::CutOff | State::Down | State::Registering) {
            node.missed.insert(uid, Change::Gone);
            return;
        }
        let node_is_dead = node.state == State::Dead;
        match self.pods.get_mut(&uid).map(|pod| &mut pod.body) {
            Some(Body::Real(real)) if !node_is_dead => {
                real.gone();
                self.run_pod(&uid, now);
            }
            _ => self.remove(&uid),
        }
    }

    /// Nothing is left of a pod.
    fn remove(&mut self, uid: &Arc<str>) {
        if let Some(pod) = self.pods.get(uid) {
            let id = pod.node;
            self.node(id).pods.remove(uid);
            self.forget(uid);
        }
    }

    /// As [`Fleet::remove`], without its node's list.
    pub(super) fn forget(&mut self, uid: &Arc<str>) {
        let Some(pod) = self.pods.remove(uid) else { return };
        self.tally.pods_ended += 1;
        self.running -= u64::from(pod.is_running);
        self.ready -= u64::from(pod.is_ready);
    }

    pub(super) fn listed(&mut self, scope: Option<NodeId>, pods: Vec<Bytes>, now: Timestamp) {
        let there: BTreeSet<Arc<str>> = pods.into_iter().filter_map(|json| self.pod_set(json, now)).collect();
        let known: Vec<Arc<str>> = match scope {
            Some(id) => self.node(id).pods.iter().cloned().collect(),
            None => self.pods.keys().cloned().collect(),
        };
        known.iter().filter(|uid| !there.contains(*uid)).for_each(|uid| self.gone(uid, now));
        if scope.is_none() {
            self.unbound.clear();
        }
    }

    /// What the node missed, and what it could not say.
    pub(super) fn catch_up(&mut self, id: NodeId, now: Timestamp) {
        for (uid, change) in std::mem::take(&mut self.node(id).missed) {
            match change {
                Change::Gone => self.gone(&uid, now),
                Change::Set(json) => drop(self.pod_set(json, now)),
            }
        }
        for uid in self.node(id).pods.clone() {
            self.run_pod(&uid, now);
        }
    }

    pub(super) fn reboot_pods(&mut self, id: NodeId, now: Timestamp) {
        self.node(id).images.clear();
        for uid in self.node(id).pods.clone() {
            if let Some(Tracked { body: Body::Real(real), .. }) = self.pods.get_mut(&uid) {
                real.rebooted(now);
            }
        }
    }

    /// Decides what a pod needs now and asks for it.
    pub(super) fn run_pod(&mut self, uid: &Arc<str>, now: Timestamp) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let node = &mut self.nodes[pod.node as usize];
        if matches!(node.state, State::Down | State::Dead | State::Left) {
            return;
        }
        let may_write = matches!(node.state, State::Up) && pod.hold_until <= now;
        let Body::Real(real) = &mut pod.body else {
            return self.run_fast(uid, may_write);
        };
        let options = self.options.clone();
        let images = &mut node.images;
        let mut world = World { now, dice: &mut self.dice, times: &options.pods, failures: &options.failures, images };
        let turn = real.turn(&mut world);
        self.tally.crashes += turn.crashes;
        pod.wants_deletion |= turn.delete;
        if turn.done {
            return self.remove(uid);
        }
        let wake_at = turn.wake_at.filter(|at| pod.armed.is_none_or(|armed| *at < armed || armed <= now));
        if let Some(at) = wake_at {
            pod.armed = Some(at);
            self.timers.set(at, Timer::Pod(uid.clone()));
        }
        let status = turn.status.filter(|_| may_write && !pod.is_writing);
        pod.is_writing |= status.is_some();
        let (node, key) = (pod.node, pod.key.clone());
        if let Some(status) = status {
            self.call(Work::PodStatus { node, pod: key, status: Box::new(status) });
        }
        self.ask_for_deletion(uid, may_write);
    }

    fn run_fast(&mut self, uid: &Arc<str>, may_write: bool) {
        let Some(pod) = self.pods.get_mut(uid).filter(|_| may_write) else { return };
        let Body::Fast(status) = &mut pod.body else { return };
        let wanted = !pod.is_writing && !pod.wants_deletion;
        if let Some(status) = status.take_if(|_| wanted) {
            pod.is_writing = true;
            let (node, pod) = (pod.node, pod.key.clone());
            self.call(Work::FastStatus { node, pod, status });
        }
        self.ask_for_deletion(uid, may_write);
    }

    fn ask_for_deletion(&mut self, uid: &Arc<str>, may_write: bool) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        if may_write && pod.wants_deletion && !pod.is_deleting {
            pod.is_deleting = true;
            let (node, pod) = (pod.node, pod.key.clone());
            self.call(Work::DeletePod { node, pod });
        }
    }

    /// A request about a pod was answered, or was not.
    pub(super) fn pod_done(&mut self, done: Done, now: Timestamp) {
        let Done { work, result, .. } = done;
        let Some(uid) = work.pod().map(|key| key.uid.clone()) else { return };
        match result.map(drop) {
            Ok(()) => self.written(&uid, work, now),
            Err(error) if error.is_not_found() => self.is_not_there(&uid, work, now),
            // A conflict is tried again: either another client wrote at the same time, or another
            // pod has the name, and then the watch will say that ours is gone.
            Err(error) => self.pod_failed(&uid, work, &error, now),
        }
    }

    fn written(&mut self, uid: &Arc<str>, work: Work, now: Timestamp) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.failures = 0;
        let (is_running, is_ready) = match (&mut pod.body, work) {
            (Body::Real(real), Work::PodStatus { status, .. }) => {
                pod.is_writing = false;
                let reached = running_and_ready(&status);
                real.written(*status);
                reached
            }
            (Body::Fast(_), Work::FastStatus { .. }) => {
                pod.is_writing = false;
                (true, true)
            }
            (Body::Real(real), Work::DeletePod { .. }) => {
                real.deleted(now);
                (pod.is_running, pod.is_ready)
            }
            // The watch will say that it is gone.
            _ => return,
        };
        self.reached(uid, is_running, is_ready, now);
        self.run_pod(uid, now);
    }

    /// Counts and measures what the server knows of a pod now.
    fn reached(&mut self, uid: &Arc<str>, is_running: bool, is_ready: bool, now: Timestamp) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let took = since(pod.seen_at, now);
        if is_running && !std::mem::replace(&mut pod.told_running, true) {
            self.tally.running.add(took);
        }
        if is_ready && !std::mem::replace(&mut pod.told_ready, true) {
            self.tally.ready.add(took);
        }
        self.running = self.running + u64::from(is_running) - u64::from(pod.is_running);
        self.ready = self.ready + u64::from(is_ready) - u64::from(pod.is_ready);
        (pod.is_running, pod.is_ready) = (is_running, is_ready);
    }

    fn is_not_there(&mut self, uid: &Arc<str>, work: Work, now: Timestamp) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        match (&mut pod.body, work) {
            (Body::Real(real), Work::DeletePod { .. }) => real.deleted(now),
            // Not written again until the watch has news.
            (Body::Real(real), Work::PodStatus { status, .. }) => {
                pod.is_writing = false;
                real.written(*status);
            }
            _ => return,
        }
        self.run_pod(uid, now);
    }

    fn pod_failed(&mut self, uid: &Arc<str>, work: Work, error: &ApiError, now: Timestamp) {
        let failures = self.pods.get(uid).map_or(0, |pod| pod.failures);
        let pause = self.pause(error, failures);
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.failures = failures.saturating_add(1);
        pod.hold_until = later(now, pause);
        match work {
            Work::DeletePod { .. } => pod.is_deleting = false,
            Work::FastStatus { status, .. } => (pod.is_writing, pod.body) = (false, Body::Fast(Some(status))),
            _ => pod.is_writing = false,
        }
        let at = pod.hold_until;
        self.timers.set(at, Timer::Pod(uid.clone()));
    }
}

fn since(earlier: Timestamp, now: Timestamp) -> std::time::Duration {
    everynode_runtime::clock::until(earlier, now)
}
