//! Taint eviction: pods leave a node whose `NoExecute` taints they do not tolerate (DS-G08).

use std::sync::Arc;

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::reconcile::{EventType, Plan, Reconciler};
use everynode_api::view::{Change, Effect, Item, Node, Pod, Taint, View};
use everynode_placement::tolerates;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::common::{delete_pod, disruption_target, patch_pod_condition, pod_event};

/// The taint eviction controller. One key per bound pod.
#[derive(Clone, Copy, Debug, Default)]
pub struct TaintEviction;

/// A bound pod and the NoExecute taints of its node.
#[derive(Debug)]
pub struct TaintEvictionInput {
    pod: Arc<Pod>,
    taints: Vec<Taint>,
}

/// What was decided so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaintEvictionMemory {
    /// Since when the node has been tainted, as first seen here (for taints without `timeAdded`).
    since: Option<Timestamp>,
    /// An eviction is due at some time.
    scheduled: bool,
    announced: bool,
}

/// This controller says all it has to say in events.
#[derive(Clone, Debug, PartialEq)]
pub enum TaintEvictionNote {
    WillEvict { pod: Key, at: Timestamp },
}

impl std::fmt::Display for TaintEvictionNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TaintEvictionNote::WillEvict { pod, at } => write!(f, "pod {pod} tolerates its node's taints until {at}"),
        }
    }
}

/// What the taints mean for the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Stay,
    /// After this long, counted from the taint.
    After(SignedDuration),
    Now,
}

impl Reconciler for TaintEviction {
    type Input = TaintEvictionInput;
    type Memory = TaintEvictionMemory;
    type Note = TaintEvictionNote;

    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    fn watches(&self) -> Vec<Kind> {
        vec![kinds::NODE, kinds::POD]
    }

    fn wake(&self, view: &View, change: &Change) -> Vec<Key> {
        if change.kind == kinds::POD {
            // Pods of nodes without such taints have nothing to fear; those that are gone are
            // forgotten.
            let pod = change.new.as_ref().and_then(Item::pod);
            let concerned = pod.is_none_or(|pod| view.node(&pod.spec.node_name).is_some_and(|node| is_tainted(node)));
            return if concerned { vec![change.key.clone()] } else { Vec::new() };
        }
        if change.kind != kinds::NODE || no_execute_of(change.old.as_ref()) == no_execute_of(change.new.as_ref()) {
            return Vec::new();
        }
        view.pods().on_node(&change.key.name).map(|pod| pod.meta.key()).collect()
    }

    fn all(&self, view: &View) -> Vec<Key> {
        let tainted = view.nodes().filter(|node| is_tainted(node));
        tainted.flat_map(|node| view.pods().on_node(node.name()).map(|pod| pod.meta.key())).collect()
    }

    fn gather(&self, view: &View, key: &Key) -> Option<TaintEvictionInput> {
        let pod = view.pods().get(key)?;
        let node = view.node(&pod.spec.node_name)?;
        let taints: Vec<Taint> = node.spec.taints.iter().filter(|taint| is_no_execute(taint)).cloned().collect();
        Some(TaintEvictionInput { pod: pod.clone(), taints })
    }

    fn plan(
        &self,
        seen: &TaintEvictionInput,
        memory: &TaintEvictionMemory,
        now: Timestamp,
    ) -> Plan<TaintEvictionNote, TaintEvictionMemory> {
        if seen.pod.is_terminating() {
            return Plan { memory: memory.clone(), ..Plan::default() };
        }
        let since = memory.since.unwrap_or(now);
        let start = seen.taints.iter().filter_map(|taint| taint.time_added).max().unwrap_or(since);
        match verdict(&seen.pod, &seen.taints) {
            Verdict::Stay => stay(&seen.pod, memory),
            Verdict::After(delay) if now < start + delay => {
                let at = start + delay;
                Plan {
                    notes: vec![TaintEvictionNote::WillEvict { pod: seen.pod.meta.key(), at }],
                    wake_at: Some(at),
                    memory: TaintEvictionMemory { since: Some(since), scheduled: true, announced: false },
                    ..Plan::default()
                }
            }
            Verdict::After(_) | Verdict::Now => {
                evict(&seen.pod, TaintEvictionMemory { since: Some(since), scheduled: true, ..memory.clone() }, now)
            }
        }
    }
}

/// Nothing makes the pod leave, or not any more: if it was to be evicted, that is called off.
fn stay(pod: &Pod, memory: &TaintEvictionMemory) -> Plan<TaintEvictionNote, TaintEvictionMemory> {
    let message = format!("Cancelling deletion of Pod {}", pod.meta.key());
    let event = || pod_event(pod, EventType::Normal, "TaintManagerEviction", message);
    Plan { actions: memory.scheduled.then(event).into_iter().collect(), ..Plan::default() }
}

fn evict(pod: &Pod, memory: TaintEvictionMemory, now: Timestamp) -> Plan<TaintEvictionNote, TaintEvictionMemory> {
    let mut actions = Vec::new();
    if !memory.announced {
        let condition =
            disruption_target("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", now);
        actions.push(patch_pod_condition(pod, condition, json!({})));
        let message = format!("Marking for deletion Pod {}", pod.meta.key());
        actions.push(pod_event(pod, EventType::Normal, "TaintManagerEviction", message));
    }
    actions.push(delete_pod(pod, None));
    Plan { actions, memory: TaintEvictionMemory { announced: true, ..memory }, ..Plan::default() }
}

/// The minimum over the tolerations that are needed; ignored where all are without a limit.
fn verdict(pod: &Pod, taints: &[Taint]) -> Verdict {
    let mut shortest: Option<i64> = None;
    for taint in taints {
        let mut matching = pod.spec.tolerations.iter().filter(|toleration| tolerates(toleration, taint)).peekable();
        if matching.peek().is_none() {
            return Verdict::Now;
        }
        shortest = matching.filter_map(|toleration| toleration.toleration_seconds).chain(shortest).min();
    }
    match shortest {
        None => Verdict::Stay,
        Some(seconds) if seconds <= 0 => Verdict::Now,
        Some(seconds) => Verdict::After(SignedDuration::from_secs(seconds)),
    }
}

fn is_tainted(node: &Node) -> bool {
    node.spec.taints.iter().any(is_no_execute)
}

fn is_no_execute(taint: &Taint) -> bool {
    taint.effect == Effect::NoExecute
}

fn no_execute_of(item: Option<&Item>) -> Vec<&Taint> {
    let node = item.and_then(Item::node);
    node.into_iter().flat_map(|node| &node.spec.taints).filter(|taint| is_no_execute(taint)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{TestBed, at};

    fn bed(tolerations: &str) -> TestBed<TaintEviction> {
        let mut bed = TestBed::new(TaintEviction);
        bed.put(
            &kinds::NODE,
            r#"{"metadata":{"name":"a"},"spec":{"taints":[{"key":"k","effect":"NoExecute","timeAdded":"2026-01-01T00:00:00Z"}]}}"#,
        );
        let pod = format!(
            r#"{{"metadata":{{"name":"p","namespace":"x","uid":"u"}},"spec":{{"nodeName":"a","tolerations":{tolerations}}}}}"#
        );
        bed.put(&kinds::POD, &pod);
        bed
    }

    #[test]
    fn an_intolerant_pod_is_evicted_at_once() {
        // DS-G08
        let mut bed = bed("[]");
        assert_eq!(bed.run("x/p", at(1)), ["patch pods/x/p status", "emit TaintManagerEviction", "delete pods/x/p"]);
        assert!(bed.last_body(0).contains("DeletionByTaintManager"));
        assert_eq!(bed.last_body(1), "Marking for deletion Pod x/p");
        assert_eq!(bed.run("x/p", at(2)), ["delete pods/x/p"]);
    }

    #[test]
    fn the_shortest_toleration_counts() {
        // DS-G08
        let mut bed = bed(
            r#"[{"key":"k","operator":"Exists","tolerationSeconds":30},{"operator":"Exists","tolerationSeconds":20}]"#,
        );
        assert!(bed.run("x/p", at(1)).is_empty());
        assert_eq!(bed.wake_at(), Some(at(20)));
        assert_eq!(bed.run("x/p", at(20)).len(), 3);
    }

    #[test]
    fn an_endless_toleration_stays() {
        let mut bed = bed(r#"[{"key":"k","operator":"Exists"}]"#);
        assert!(bed.run("x/p", at(1_000_000)).is_empty());
        assert_eq!(bed.wake_at(), None);
    }

    #[test]
    fn an_eviction_that_is_not_needed_any_more_is_cancelled() {
        // DS-G08
        let mut bed = bed(r#"[{"key":"k","operator":"Exists","tolerationSeconds":30}]"#);
        bed.run("x/p", at(1));
        let woken = bed.woken(&kinds::NODE, r#"{"metadata":{"name":"a"}}"#);
        assert_eq!(woken, ["x/p"]);
        assert_eq!(bed.run("x/p", at(10)), ["emit TaintManagerEviction"]);
        assert_eq!(bed.last_body(0), "Cancelling deletion of Pod x/p");
        assert!(bed.run("x/p", at(11)).is_empty(), "and it is said once");
    }

    #[test]
    fn a_taint_without_a_time_counts_from_when_it_was_seen() {
        let mut bed = bed(r#"[{"key":"k","operator":"Exists","tolerationSeconds":30}]"#);
        bed.put(&kinds::NODE, r#"{"metadata":{"name":"a"},"spec":{"taints":[{"key":"k","effect":"NoExecute"}]}}"#);
        bed.run("x/p", at(100));
        assert_eq!(bed.wake_at(), Some(at(130)));
        assert_eq!(bed.run("x/p", at(130)).len(), 3);
    }

    #[test]
    fn no_toleration_time_left_means_now_and_one_of_two_taints_is_enough() {
        // DS-G08: <= 0 is now; a taint that is not tolerated at all is now
        assert_eq!(bed(r#"[{"key":"k","operator":"Exists","tolerationSeconds":0}]"#).run("x/p", at(0)).len(), 3);
        let mut two = bed(r#"[{"key":"k","operator":"Exists"}]"#);
        two.put(
            &kinds::NODE,
            r#"{"metadata":{"name":"a"},"spec":{"taints":[{"key":"k","effect":"NoExecute"},{"key":"l","effect":"NoExecute"}]}}"#,
        );
        assert_eq!(two.run("x/p", at(0)).len(), 3);
    }

    #[test]
    fn daemon_pods_stay_on_nodes_that_are_not_ready() {
        // DS-G09, DS-B20
        let mut bed = bed(r#"[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute"},
                {"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute"}]"#);
        for key in ["not-ready", "unreachable"] {
            let taint = format!(r#"{{"key":"node.kubernetes.io/{key}","effect":"NoExecute"}}"#);
            bed.put(&kinds::NODE, &format!(r#"{{"metadata":{{"name":"a"}},"spec":{{"taints":[{taint}]}}}}"#));
            assert!(bed.run("x/p", at(1_000_000)).is_empty(), "{key}");
        }
    }

    #[test]
    fn pods_of_untainted_nodes_wake_no_controller() {
        let mut bed = bed("[]");
        bed.put(&kinds::NODE, r#"{"metadata":{"name":"b"}}"#);
        assert_eq!(
            bed.woken(&kinds::POD, r#"{"metadata":{"name":"p","namespace":"x"},"spec":{"nodeName":"a"}}"#),
            ["x/p"]
        );
        let elsewhere = r#"{"metadata":{"name":"q","namespace":"x"},"spec":{"nodeName":"b"}}"#;
        assert!(bed.woken(&kinds::POD, elsewhere).is_empty());
    }
}
