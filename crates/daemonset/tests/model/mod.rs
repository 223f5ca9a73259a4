//! A plain, slow model of the rules: what one pass creates and deletes, in the words of
//! docs/requirements.md, with nothing shared with the planner. Every question is asked of all nodes
//! and all pods again.

use std::collections::{BTreeMap, BTreeSet};

use everynode_api::int_or_string::Round;
use everynode_api::view::{Effect, Node, Pod, PodPhase};
use everynode_daemonset::DaemonSetInput;
use everynode_placement::{matches_node_affinity, untolerated, with_automatic_tolerations};
use jiff::{SignedDuration, Timestamp};

const HASH: &str = "controller-revision-hash";

/// What a pass does: nodes that get a pod, names of pods that go.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PassActions {
    pub creates: BTreeSet<String>,
    pub deletes: BTreeSet<String>,
}

/// What the model remembers.
#[derive(Default)]
pub struct Model {
    pub strict: bool,
    generation: i64,
    /// Node → (seconds, since).
    back_off: BTreeMap<String, (i64, Timestamp)>,
    /// Node name → uid of the node object on which a pod of ours was last seen.
    machines: BTreeMap<String, String>,
}

struct Rules<'a> {
    seen: &'a DaemonSetInput,
    strict: bool,
    now: Timestamp,
    newest: BTreeSet<&'a str>,
    /// When the newest revision became so.
    started: Option<Timestamp>,
    pods: Vec<&'a Pod>,
}

impl Model {
    pub fn new(strict: bool) -> Self {
        Model { strict, ..Model::default() }
    }

    /// One pass; `None` while the newest revision is not recorded or labels are being put right.
    pub fn pass(&mut self, seen: &DaemonSetInput, now: Timestamp) -> Option<PassActions> {
        let template = &seen.set.spec.template.raw;
        let same = |data: &serde_json::Value| {
            let mut stored = data["spec"]["template"].clone();
            stored.as_object_mut().map(|members| members.remove("$patch"));
            stored == **template
        };
        let newest: Vec<_> = seen.revisions.iter().filter(|revision| same(&revision.data)).collect();
        if newest.is_empty() {
            return None;
        }
        let latest = newest.iter().max_by_key(|revision| revision.revision).map(|revision| &revision.meta);
        let noted = latest.and_then(|meta| meta.annotations.get("everynode.dev/rollout-started-at")?.parse().ok());
        let started = noted.or(latest.and_then(|meta| meta.creation_timestamp));
        let newest = newest.iter().filter_map(|revision| revision.meta.labels.get(HASH)).collect();
        let pods = seen.pods().map(|pod| &**pod).filter(|pod| ours(pod, seen)).collect();
        let rules = Rules { seen, strict: self.strict, now, newest, started, pods };
        if self.generation != seen.set.meta.generation {
            self.generation = seen.set.meta.generation;
            self.back_off.clear();
        }
        self.back_off.retain(|_, (_, since)| now.duration_since(*since).as_secs() <= 1800);
        let mut pass_actions = PassActions::default();
        for pod in &rules.pods {
            let without_node = target(pod).is_some_and(|name| !seen.nodes.values().any(|node| node.name() == name));
            if without_node && pod.spec.node_name.is_empty() && !pod.is_terminating() && !adopted(pod) {
                pass_actions.deletes.insert(pod.meta.name.to_string());
            }
        }
        let mut worked = BTreeSet::new();
        for node in seen.nodes.values() {
            let before = (pass_actions.creates.len(), pass_actions.deletes.len());
            self.manage(&rules, node, &mut pass_actions);
            if before != (pass_actions.creates.len(), pass_actions.deletes.len()) {
                worked.insert(node.name().to_owned());
            }
        }
        self.remember(&rules);
        let rolling = seen.set.spec.update_strategy.kind.as_ref() == "RollingUpdate";
        if rolling && (!self.strict || worked.is_empty()) {
            match rules.surge() {
                0 => rules.in_place(&worked, &mut pass_actions),
                _ => rules.surging(&worked, &mut pass_actions),
            }
        }
        Some(pass_actions)
    }

    fn manage(&mut self, rules: &Rules<'_>, node: &Node, pass_actions: &mut PassActions) {
        let entry = rules.entry(node);
        let (run, stay) = rules.wants(node);
        if !stay {
            let going = entry.iter().filter(|pod| !pod.is_terminating() && !adopted(pod));
            pass_actions.deletes.extend(going.map(|pod| pod.meta.name.to_string()));
            return;
        }
        if run && entry.is_empty() {
            pass_actions.creates.insert(node.name().to_owned());
            return;
        }
        let mut running = Vec::new();
        let mut waiting = false;
        for pod in entry.iter().filter(|pod| !pod.is_terminating()) {
            let backs_off = match pod.status.phase {
                _ if adopted(pod) => false,
                PodPhase::Failed => true,
                PodPhase::Succeeded => !self.strict,
                _ => false,
            };
            if backs_off {
                if self.may_replace(node.name(), rules.now) {
                    pass_actions.deletes.insert(pod.meta.name.to_string());
                } else {
                    waiting = true;
                }
            } else if !adopted(pod) && (pod.status.phase == PodPhase::Succeeded || self.is_former(node, pod)) {
                pass_actions.deletes.insert(pod.meta.name.to_string());
            } else {
                running.push(*pod);
            }
        }
        let surge = rules.surge_allowed();
        if run && surge && running.is_empty() && (!waiting || self.strict) {
            pass_actions.creates.insert(node.name().to_owned());
        }
        if running.len() < 2 {
            return;
        }
        if !surge {
            let others = running.iter().skip(1).filter(|pod| !adopted(pod));
            pass_actions.deletes.extend(others.map(|pod| pod.meta.name.to_string()));
            return;
        }
        let new: Vec<_> = running.iter().filter(|pod| rules.has_newest_hash(pod)).collect();
        let old: Vec<_> = running.iter().filter(|pod| !rules.has_newest_hash(pod)).collect();
        let others = new.iter().skip(1).chain(old.iter().skip(1)).filter(|pod| !adopted(pod));
        pass_actions.deletes.extend(others.map(|pod| pod.meta.name.to_string()));
        if let (Some(new), Some(old)) = (new.first(), old.first()) {
            let dead = !old.is_ready() && (self.strict || !silent(node));
            if !adopted(old) && (dead || rules.available(new)) {
                pass_actions.deletes.insert(old.meta.name.to_string());
            }
        }
    }

    fn may_replace(&mut self, node: &str, now: Timestamp) -> bool {
        match self.back_off.get_mut(node) {
            Some((seconds, since)) if now < *since + SignedDuration::from_secs(*seconds) => false,
            Some((seconds, since)) => {
                *seconds = (*seconds * 2).min(900);
                *since = now;
                true
            }
            None => {
                self.back_off.insert(node.to_owned(), (1, now));
                true
            }
        }
    }

    fn is_former(&self, node: &Node, pod: &Pod) -> bool {
        let other = self.machines.get(node.name()).is_some_and(|uid| **uid != *node.meta.uid);
        let older = pod.meta.creation_timestamp <= node.meta.creation_timestamp;
        !self.strict && other && older && !pod.spec.node_name.is_empty()
    }

    fn remember(&mut self, rules: &Rules<'_>) {
        let mut machines = BTreeMap::new();
        for node in rules.seen.nodes.values() {
            let former = rules.entry(node).iter().any(|pod| self.is_former(node, pod));
            let here = rules.pods.iter().any(|pod| target(pod) == Some(node.name()));
            let old = self.machines.get(node.name()).cloned();
            match (old, here) {
                (Some(old), _) if former => machines.insert(node.name().to_owned(), old),
                (Some(_), _) | (None, true) => machines.insert(node.name().to_owned(), node.meta.uid.to_string()),
                (None, false) => None,
            };
        }
        self.machines = machines;
    }
}

fn ours(pod: &Pod, seen: &DaemonSetInput) -> bool {
    let selects = pod.meta.labels.get("app") == Some("web");
    let controlled = pod.meta.controller().is_some_and(|owner| *owner.uid == *seen.set.meta.uid);
    selects && (controlled || (pod.meta.controller().is_none() && !pod.is_terminating()))
}

/// Only adopted in this pass: nothing else is done to it.
fn adopted(pod: &Pod) -> bool {
    pod.meta.controller().is_none()
}

fn target(pod: &Pod) -> Option<&str> {
    pod.target_node()
}

fn silent(node: &Node) -> bool {
    node.condition("Ready").is_some_and(|ready| ready.status.as_ref() == "Unknown")
}

impl<'a> Rules<'a> {
    /// DS-B01 to DS-B06
    fn wants(&self, node: &Node) -> (bool, bool) {
        let template = &self.seen.set.spec.template.spec;
        let mut tolerations = with_automatic_tolerations(&template.tolerations, template.host_network);
        let asked = self.seen.set.meta.annotations.get("everynode.dev/respect-cordon") == Some("true");
        let cordon = asked && !self.strict;
        if cordon {
            tolerations.retain(|toleration| toleration.key.as_ref() != "node.kubernetes.io/unschedulable");
        }
        let refused = |effect| untolerated(&node.spec.taints, &tolerations, &[effect]).count() > 0;
        let stay = matches_node_affinity(template, node) && !refused(Effect::NoExecute);
        (stay && !refused(Effect::NoSchedule) && !(cordon && node.spec.unschedulable), stay)
    }

    fn desired(&self) -> i64 {
        self.seen.nodes.values().filter(|node| self.wants(node).0).count() as i64
    }

    /// DS-C20, DS-C28
    fn entry(&self, node: &Node) -> Vec<&'a Pod> {
        let here = self.pods.iter().copied().filter(|pod| target(pod) == Some(node.name()));
        let mut here: Vec<&Pod> = here.filter(|pod| !(pod.is_terminal() && pod.is_terminating())).collect();
        here.sort_by_key(|pod| (pod.spec.node_name.is_empty(), pod.meta.creation_timestamp, pod.meta.name.clone()));
        here
    }

    fn has_newest_hash(&self, pod: &Pod) -> bool {
        pod.meta.labels.get(HASH).is_some_and(|hash| self.newest.contains(hash))
    }

    /// DS-E04
    fn available(&self, pod: &Pod) -> bool {
        let wait = SignedDuration::from_secs(self.seen.set.spec.min_ready_seconds);
        let since = pod.condition("Ready").and_then(|ready| ready.last_transition_time);
        pod.is_ready() && (wait.is_zero() || since.is_some_and(|since| since + wait <= self.now))
    }

    /// Serving: the original looks at availability only.
    fn serves(&self, pod: &Pod) -> bool {
        if self.strict { self.available(pod) } else { pod.is_ready() }
    }

    fn numbers(&self) -> (i64, i64) {
        let update = &self.seen.set.spec.update_strategy.rolling_update;
        let resolve = |value: Option<&everynode_api::int_or_string::IntOrString>, absent: i64| {
            value.map_or(absent, |value| value.scaled(self.desired(), Round::Up).unwrap())
        };
        let unavailable = resolve(update.as_ref().and_then(|update| update.max_unavailable.as_ref()), 1);
        let surge = resolve(update.as_ref().and_then(|update| update.max_surge.as_ref()), 0);
        if unavailable == 0 && surge == 0 && self.desired() > 0 { (1, 0) } else { (unavailable, surge) }
    }

    fn surge(&self) -> i64 {
        self.numbers().1
    }

    fn surge_allowed(&self) -> bool {
        let update = &self.seen.set.spec.update_strategy;
        let surge = update.rolling_update.as_ref().and_then(|update| update.max_surge.as_ref());
        update.kind.as_ref() == "RollingUpdate" && surge.is_some_and(|surge| !surge.is_zero())
    }

    /// Whether a node counts against the budget when nothing is available there.
    fn counts(&self, node: &Node) -> bool {
        let taken_up = |pod: &&Pod| {
            self.has_newest_hash(pod) && (pod.status.start_time.is_some() || pod.status.container_statuses > 0)
        };
        let silent_since = node.condition("Ready").and_then(|ready| ready.last_transition_time);
        let long_silent = silent_since.is_some_and(|since| self.started.is_some_and(|started| since < started));
        self.strict || !silent(node) || (self.entry(node).iter().any(taken_up) && !long_silent)
    }

    /// New and old pods of a node that are not ending.
    fn kinds(&self, node: &Node) -> (Vec<&'a Pod>, Vec<&'a Pod>) {
        let staying = self.entry(node).into_iter().filter(|pod| !pod.is_terminating());
        staying.partition(|pod| self.has_newest_hash(pod))
    }

    /// DS-D10 to DS-D14
    fn in_place(&self, worked: &BTreeSet<String>, pass_actions: &mut PassActions) {
        let mut down = 0;
        let (mut soft, mut firm) = (Vec::new(), Vec::new());
        for node in self.seen.nodes.values() {
            if !self.wants(node).0 && self.entry(node).is_empty() {
                continue;
            }
            let (new, old) = self.kinds(node);
            let lone = new.is_empty() && old.len() == 1 && !worked.contains(node.name());
            let stays = new.len() == 1 && old.is_empty() && self.available(new[0]) && !worked.contains(node.name());
            if stays {
                continue;
            }
            if lone && !adopted(old[0]) && (self.strict || !silent(node)) {
                match () {
                    () if self.available(old[0]) => {
                        firm.push(old[0].meta.name.to_string());
                        continue;
                    }
                    () if self.serves(old[0]) => {
                        soft.push(old[0].meta.name.to_string());
                        continue;
                    }
                    () => drop(pass_actions.deletes.insert(old[0].meta.name.to_string())),
                }
            } else if lone && self.available(old[0]) {
                continue;
            }
            down += i64::from(self.counts(node));
        }
        let allowed = self.numbers().0;
        let room = usize::try_from(allowed - down).unwrap_or(0);
        let room_after_soft = usize::try_from(allowed - down - soft.len() as i64).unwrap_or(0);
        pass_actions.deletes.extend(soft.into_iter().take(room));
        pass_actions.deletes.extend(firm.into_iter().take(room_after_soft));
    }

    /// DS-D20 to DS-D27
    fn surging(&self, worked: &BTreeSet<String>, pass_actions: &mut PassActions) {
        let (mut surging, mut available) = (0, 0);
        let (mut soft, mut firm, mut misplaced) = (Vec::new(), Vec::new(), Vec::new());
        for node in self.seen.nodes.values() {
            let (new, old) = self.kinds(node);
            let judged = old.first().or(new.first());
            available += i64::from(judged.is_some_and(|pod| self.available(pod)));
            if new.len() > 1 || old.len() > 1 {
                surging += i64::from(self.counts(node));
                continue;
            }
            match (new.first(), old.first()) {
                (Some(_), Some(_)) if worked.contains(node.name()) => surging += i64::from(self.counts(node)),
                _ if worked.contains(node.name()) => {}
                (Some(new), Some(old)) if self.available(new) => {
                    pass_actions.deletes.extend((!adopted(old)).then(|| old.meta.name.to_string()));
                }
                (Some(_), Some(_)) => surging += i64::from(self.counts(node)),
                (None, Some(old)) if !adopted(old) && (self.strict || !silent(node)) => {
                    match (self.wants(node).0, self.available(old), self.serves(old)) {
                        (true, true, _) => firm.push(node.name().to_owned()),
                        (true, false, true) => soft.push(node.name().to_owned()),
                        (true, false, false) => drop(pass_actions.creates.insert(node.name().to_owned())),
                        (false, false, false) => drop(pass_actions.deletes.insert(old.meta.name.to_string())),
                        (false, _, _) => misplaced.push(old.meta.name.to_string()),
                    }
                }
                _ => {}
            }
        }
        let room = usize::try_from(self.surge() - surging).unwrap_or(0);
        pass_actions.creates.extend(soft.into_iter().chain(firm).take(room));
        let spare = usize::try_from(available - self.desired()).unwrap_or(0);
        pass_actions.deletes.extend(misplaced.into_iter().take(spare));
    }
}
