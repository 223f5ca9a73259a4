//! Watches for another controller that works on our DaemonSets: two of them would undo each other's
//! work.
//!
//! Used where everynode is a client of a foreign cluster, whose own controller must be off there.
//! Two things give it away, neither of which needs clocks that agree:
//!
//! * a pod appears that is controlled by the set from the first moment we see it and has a name as
//!   the original gives it (`NAME-` and five characters drawn by the server); ours have ten;
//! * `managedFields` say that a field manager other than everynode and kubectl has written the
//!   set's status since we first looked, and more of it than conditions: anybody may keep a
//!   condition of their own there.
//!
//! What was there when we took over is no evidence, nor are orphans that are adopted.

use std::collections::BTreeSet;
use std::sync::Arc;

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::reconcile::{Plan, Reconciler};
use everynode_api::view::{Change, DaemonSet, Item, Pod, View};
use jiff::Timestamp;

/// From this alphabet the server draws the end of a generated name.
const ALPHABET: &str = "bcdfghjklmnpqrstvwxz2456789";
const DRAWN: usize = 5;
/// The server cuts the beginning of a generated name to this length.
const PREFIX_MAX: usize = 58;

/// The watch for rivals.
#[derive(Clone, Debug, Default)]
pub struct Rivals {
    /// The annotation that names a set's controller, and the value that makes a set ours; `None`:
    /// sets without it.
    pub class_annotation: &'static str,
    pub class: Option<String>,
}

/// One of our sets, and the pods with names that the original could have given them.
#[derive(Debug)]
pub struct RivalInput {
    set: Arc<DaemonSet>,
    /// uid, name, and whether the set controls the pod.
    pods: Vec<(Arc<str>, Arc<str>, bool)>,
}

/// What was there when we first looked, or came by ways that are no evidence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RivalMemory {
    /// Of the set; empty before the first look.
    uid: Arc<str>,
    status_write: Option<Timestamp>,
    pods: BTreeSet<Arc<str>>,
}

/// What gave another controller away.
#[derive(Clone, Debug, PartialEq)]
pub enum RivalNote {
    Created { set: Key, pod: Arc<str> },
    WroteStatus { set: Key, at: Timestamp },
}

impl std::fmt::Display for RivalNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RivalNote::Created { set, pod } => write!(f, "another controller has created pod {pod} of DaemonSet {set}"),
            RivalNote::WroteStatus { set, at } => {
                write!(f, "another controller has written the status of DaemonSet {set} at {at}")
            }
        }
    }
}

impl Reconciler for Rivals {
    type Input = RivalInput;
    type Memory = RivalMemory;
    type Note = RivalNote;

    fn name(&self) -> &'static str {
        "rival-watch"
    }

    fn watches(&self) -> Vec<Kind> {
        vec![kinds::DAEMON_SET, kinds::POD]
    }

    fn wake(&self, view: &View, change: &Change) -> Vec<Key> {
        match (&change.old, change.new.as_ref().and_then(Item::pod)) {
            _ if change.kind == kinds::DAEMON_SET => vec![change.key.clone()],
            (None, Some(pod)) => {
                let sets = view.daemon_sets_in(&pod.meta.namespace);
                sets.filter(|set| is_generated(&set.meta.name, &pod.meta.name)).map(|set| set.meta.key()).collect()
            }
            _ => Vec::new(),
        }
    }

    fn all(&self, view: &View) -> Vec<Key> {
        view.daemon_sets().map(|set| set.meta.key()).collect()
    }

    fn gather(&self, view: &View, key: &Key) -> Option<RivalInput> {
        let set = view.daemon_set(key)?;
        if set.meta.annotations.get(self.class_annotation) != self.class.as_deref() {
            return None;
        }
        let prefix = prefix(&key.name);
        let alike = view.pods().named_like(&key.namespace, &prefix);
        let alike = alike.filter(|pod| is_generated(&key.name, &pod.meta.name));
        let fact = |pod: &Arc<Pod>| {
            let ours = pod.meta.controller().is_some_and(|owner| *owner.uid == *set.meta.uid);
            (pod.meta.uid.clone(), pod.meta.name.clone(), ours)
        };
        Some(RivalInput { set: set.clone(), pods: alike.map(fact).collect() })
    }

    fn plan(&self, seen: &RivalInput, memory: &RivalMemory, _now: Timestamp) -> Plan<RivalNote, RivalMemory> {
        let meta = &seen.set.meta;
        let mut notes = Vec::new();
        if memory.uid == meta.uid {
            let set = meta.key();
            let strange = seen.pods.iter().filter(|(uid, _, ours)| *ours && !memory.pods.contains(uid));
            notes.extend(strange.map(|(_, pod, _)| RivalNote::Created { set: set.clone(), pod: pod.clone() }));
            let written = meta.others_status_write.filter(|at| memory.status_write.is_none_or(|known| known < *at));
            notes.extend(written.map(|at| RivalNote::WroteStatus { set, at }));
        }
        let pods = seen.pods.iter().map(|(uid, ..)| uid.clone()).collect();
        let memory = RivalMemory { uid: meta.uid.clone(), status_write: meta.others_status_write, pods };
        Plan { notes, memory, ..Plan::default() }
    }
}

fn prefix(set: &str) -> String {
    set.chars().chain(['-']).take(PREFIX_MAX).collect()
}

/// Whether the original could have given this name to a pod of the set.
fn is_generated(set: &str, pod: &str) -> bool {
    let drawn = pod.strip_prefix(prefix(set).as_str());
    drawn.is_some_and(|drawn| drawn.len() == DRAWN && drawn.chars().all(|one| ALPHABET.contains(one)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{TestBed, at};

    fn bed() -> TestBed<Rivals> {
        TestBed::new(Rivals { class_annotation: "everynode.dev/class", class: None })
    }

    fn set(uid: &str, written: &str, extra: &str) -> String {
        format!(
            r#"{{"metadata":{{"name":"web","namespace":"x","uid":"{uid}"{extra},"managedFields":[
                {{"manager":"kube-controller-manager","subresource":"status","time":"{written}"}},
                {{"manager":"everynode","subresource":"status","time":"2027-01-01T00:00:00Z"}}]}}}}"#
        )
    }

    fn pod(name: &str, owned: bool) -> String {
        let owner = if owned { r#"{"kind":"DaemonSet","name":"web","uid":"s","controller":true}"# } else { "" };
        format!(r#"{{"metadata":{{"name":"{name}","namespace":"x","uid":"u-{name}","ownerReferences":[{owner}]}}}}"#)
    }

    const BEFORE: &str = "2026-01-01T00:00:00Z";
    const AFTER: &str = "2026-01-01T00:00:07Z";

    #[test]
    fn what_was_there_is_no_evidence() {
        // DS-K14: a takeover finds the original's pods and status
        let mut bed = bed();
        bed.put(&kinds::DAEMON_SET, &set("s", BEFORE, ""));
        bed.put(&kinds::POD, &pod("web-x2vbk", true));
        for moment in 0..2 {
            bed.run("x/web", at(moment));
            assert!(bed.notes().is_empty());
        }
    }

    #[test]
    fn a_pod_that_another_controller_creates_is_noticed() {
        let mut bed = bed();
        bed.put(&kinds::DAEMON_SET, &set("s", BEFORE, ""));
        bed.run("x/web", at(0));
        assert_eq!(bed.woken(&kinds::POD, &pod("web-x2vbk", true)), ["x/web"]);
        bed.run("x/web", at(1));
        assert_eq!(bed.notes(), ["another controller has created pod web-x2vbk of DaemonSet x/web"]);
    }

    #[test]
    fn our_own_pods_and_adopted_ones_are_not() {
        let mut bed = bed();
        bed.put(&kinds::DAEMON_SET, &set("s", BEFORE, ""));
        bed.run("x/web", at(0));
        assert!(bed.woken(&kinds::POD, &pod("web-bcdfg24567", true)).is_empty(), "ten characters are ours");
        assert!(bed.woken(&kinds::POD, &pod("web-aeiou", true)).is_empty(), "vowels are never drawn");
        assert_eq!(bed.woken(&kinds::POD, &pod("web-x2vbk", false)), ["x/web"]);
        bed.run("x/web", at(1));
        bed.put(&kinds::POD, &pod("web-x2vbk", true));
        bed.run("x/web", at(2));
        assert!(bed.notes().is_empty(), "it was an orphan before");
    }

    #[test]
    fn a_status_that_another_controller_writes_is_noticed() {
        let mut bed = bed();
        bed.put(&kinds::DAEMON_SET, &set("s", BEFORE, ""));
        bed.run("x/web", at(0));
        bed.put(&kinds::DAEMON_SET, &set("s", AFTER, ""));
        bed.run("x/web", at(8));
        let told = "another controller has written the status of DaemonSet x/web at 2026-01-01T00:00:07Z";
        assert_eq!(bed.notes(), [told]);
    }

    #[test]
    fn a_condition_of_another_program_is_not_a_rival() {
        let with = |fields: &str| {
            format!(
                r#"{{"metadata":{{"name":"web","namespace":"x","uid":"s","managedFields":[
                    {{"manager":"python","subresource":"status","time":"{AFTER}","fieldsV1":{{"f:status":{fields}}}}}]}}}}"#
            )
        };
        let mut bed = bed();
        bed.put(&kinds::DAEMON_SET, &set("s", BEFORE, ""));
        bed.run("x/web", at(0));
        bed.put(&kinds::DAEMON_SET, &with(r#"{"f:conditions":{".":{},"k:{\"type\":\"Checked\"}":{".":{}}}}"#));
        bed.run("x/web", at(8));
        assert!(bed.notes().is_empty());
        bed.put(&kinds::DAEMON_SET, &with(r#"{"f:conditions":{".":{}},"f:numberReady":{}}"#));
        bed.run("x/web", at(9));
        assert_eq!(bed.notes().len(), 1);
    }

    #[test]
    fn a_set_of_the_same_name_is_looked_at_anew() {
        let mut bed = bed();
        bed.put(&kinds::DAEMON_SET, &set("r", BEFORE, ""));
        bed.run("x/web", at(0));
        bed.put(&kinds::DAEMON_SET, &set("s", AFTER, ""));
        bed.run("x/web", at(8));
        assert!(bed.notes().is_empty());
    }

    #[test]
    fn sets_of_other_classes_are_others_business() {
        let mut bed = bed();
        bed.put(&kinds::DAEMON_SET, &set("s", BEFORE, r#","annotations":{"everynode.dev/class":"blue"}"#));
        assert_eq!(bed.run("x/web", at(0)), ["forget"]);
    }

    #[test]
    fn long_names_are_cut_as_the_server_cuts_them() {
        let long = "a".repeat(70);
        assert!(is_generated(&long, &format!("{}x2vbk", "a".repeat(58))));
        assert!(!is_generated(&long, &format!("{long}-x2vbk")));
        assert!(is_generated("web", "web-x2vbk") && !is_generated("web", "web-x-x2vbk"));
    }
}
