//! Preemption: on which node the least is lost when pods make room for a more important one
//! (DS-B52).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use everynode_api::meta::Key;
use everynode_api::reconcile::{Action, EventType};
use everynode_api::view::{Node, Pod};
use everynode_placement::{Candidate, Reason, victims};
use jiff::Timestamp;
use serde_json::json;

use crate::budget::Budget;
use crate::common::{delete_pod, disruption_target, patch_pod_condition, pod_event};

/// A node, and whom to remove there.
pub(crate) type Nomination = (Arc<Node>, Vec<Candidate>);

/// Pods by the node that they are bound to.
pub(crate) type Bound = BTreeMap<Box<str>, Vec<Arc<Pod>>>;

/// The node where the fewest budgets break, then the least important pods go, then the fewest.
pub(crate) fn preempt(
    pod: &Pod,
    refused: &[(Arc<Node>, Vec<Reason>)],
    bound: &Bound,
    budgets: &BTreeMap<Key, Budget>,
) -> Option<Nomination> {
    let helped = refused.iter().filter(|(_, reasons)| reasons.iter().all(Reason::preemption_helps));
    let options = helped.filter_map(|(node, _)| {
        let on_node = bound.get(node.name()).map(Vec::as_slice).unwrap_or_default();
        Some((node.clone(), victims(&pod.spec, node, &candidates(pod, on_node, budgets))?))
    });
    options
        .filter(|(_, victims)| !victims.is_empty())
        .min_by_key(|(node, victims)| (cost(victims), node.meta.name.clone()))
}

fn cost(victims: &[Candidate]) -> (usize, i32, usize) {
    let broken = victims.iter().filter(|victim| victim.breaks_budget).count();
    let highest = victims.iter().map(|victim| priority(&victim.pod)).max().unwrap_or(i32::MIN);
    (broken, highest, victims.len())
}

fn priority(pod: &Pod) -> i32 {
    pod.spec.priority.unwrap_or(0)
}

/// Each budget is spent on the most important of the lesser pods first; those beyond it would break
/// it.
fn candidates(preemptor: &Pod, on_node: &[Arc<Pod>], budgets: &BTreeMap<Key, Budget>) -> Vec<Candidate> {
    let mut pods: Vec<&Arc<Pod>> = on_node.iter().collect();
    pods.sort_by_key(|pod| (Reverse(priority(pod)), pod.status.start_time, pod.meta.name.clone()));
    let mut left: BTreeMap<&Key, i64> = budgets.iter().map(|(key, budget)| (key, budget.allowed)).collect();
    let lesser = |pod: &Pod| priority(pod) < priority(preemptor);
    let judge =
        |pod: &Arc<Pod>| Candidate { pod: pod.clone(), breaks_budget: lesser(pod) && spend(pod, budgets, &mut left) };
    pods.into_iter().map(judge).collect()
}

/// Takes the pod out of every budget that covers it; whether one of them has nothing left.
fn spend<'a>(pod: &Pod, budgets: &'a BTreeMap<Key, Budget>, left: &mut BTreeMap<&'a Key, i64>) -> bool {
    let mut broken = false;
    for (key, budget) in budgets {
        // A pod whose eviction was granted has been paid for.
        let counts = key.namespace == pod.meta.namespace && !budget.disrupted.contains_key(pod.meta.name.as_ref());
        if counts && budget.covers(&pod.meta) {
            let left = left.entry(key).or_default();
            *left -= 1;
            broken |= *left < 0;
        }
    }
    broken
}

/// Tells the victim, then deletes it.
pub(crate) fn remove(victim: &Pod, preemptor: &Pod, node: &Node, scheduler: &str, now: Timestamp) -> Vec<Action> {
    if victim.is_terminating() {
        return Vec::new();
    }
    let message = format!("{scheduler}: preempting to accommodate a higher priority pod");
    let condition = disruption_target("PreemptionByScheduler", &message, now);
    let told = format!("Preempted by pod {} on node {}", preemptor.meta.uid, node.name());
    vec![
        patch_pod_condition(victim, condition, json!({})),
        pod_event(victim, EventType::Normal, "Preempted", told),
        delete_pod(victim, None),
    ]
}

#[cfg(test)]
mod tests {
    use everynode_api::kinds;
    use everynode_api::view::Item;

    use super::*;

    fn pod(name: &str, priority: i32, app: &str) -> Arc<Pod> {
        let text = format!(
            r#"{{"metadata":{{"name":"{name}","namespace":"x","labels":{{"app":"{app}"}}}},"spec":{{"priority":{priority}}}}}"#
        );
        Arc::new(serde_json::from_str(&text).unwrap())
    }

    fn budgets(allowed: i64, disrupted: &str) -> BTreeMap<Key, Budget> {
        let text = format!(
            r#"{{"spec":{{"selector":{{"matchLabels":{{"app":"web"}}}}}},
                "status":{{"disruptionsAllowed":{allowed},"disruptedPods":{{{disrupted}}}}}}}"#
        );
        let Ok(Item::Object(budget)) = Item::parse(&kinds::POD_DISRUPTION_BUDGET, text.as_bytes()) else { panic!() };
        [(Key::new("x", "keep"), Budget::read(&budget))].into()
    }

    fn broken(allowed: i64, disrupted: &str) -> Vec<String> {
        let on_node = [pod("low", 1, "web"), pod("mid", 2, "web"), pod("free", 1, "db"), pod("peer", 9, "web")];
        let candidates = candidates(&pod("new", 9, ""), &on_node, &budgets(allowed, disrupted));
        let broken = candidates.iter().filter(|one| one.breaks_budget);
        broken.map(|one| one.pod.meta.name.to_string()).collect()
    }

    #[test]
    fn a_budget_protects_whom_it_can_not_spare() {
        // DS-B52: pods of the same priority are no candidates and cost nothing
        assert_eq!(broken(0, ""), ["mid", "low"]);
        assert_eq!(broken(1, ""), ["low"]);
        assert!(broken(2, "").is_empty());
        assert_eq!(broken(0, r#""low":"2026-01-01T00:00:00Z""#), ["mid"], "low has been paid for");
    }
}
