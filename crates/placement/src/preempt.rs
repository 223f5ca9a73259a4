//! Whom to remove so that a more important pod fits (DS-B52).

use std::sync::Arc;

use everynode_api::view::{Node, Pod, PodSpec};

use crate::check::check;
use crate::occupancy::Occupancy;

/// A pod on the node that preemption looks at.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub pod: Arc<Pod>,
    /// Removing it would break a PodDisruptionBudget.
    pub breaks_budget: bool,
}

/// The fewest pods of lower priority whose removal lets `pod` run on `node`: those that break a
/// budget are spared first, then the more important (higher priority, then longer running). `None`
/// if even removing all of them would not help, or the pod's policy forbids it; empty if it fits as
/// it is.
pub fn victims(pod: &PodSpec, node: &Node, on_node: &[Candidate]) -> Option<Vec<Candidate>> {
    let priority = pod.priority.unwrap_or(0);
    let may_preempt = pod.preemption_policy.as_ref() != "Never";
    let lower = |candidate: &&Candidate| may_preempt && candidate.pod.spec.priority.unwrap_or(0) < priority;
    let (mut lesser, others): (Vec<&Candidate>, Vec<&Candidate>) = on_node.iter().partition(lower);
    let mut kept: Vec<&Pod> = others.iter().map(|candidate| candidate.pod.as_ref()).collect();
    if !fits(pod, node, &kept) {
        return None;
    }
    lesser.sort_by_key(|candidate| {
        let pod = &candidate.pod;
        let importance = std::cmp::Reverse(pod.spec.priority.unwrap_or(0));
        (!candidate.breaks_budget, importance, pod.status.start_time, pod.meta.name.clone())
    });
    let mut victims = Vec::new();
    for candidate in lesser {
        kept.push(&candidate.pod);
        if !fits(pod, node, &kept) {
            kept.pop();
            victims.push(candidate.clone());
        }
    }
    Some(victims)
}

fn fits(pod: &PodSpec, node: &Node, others: &[&Pod]) -> bool {
    check(pod, node, &Occupancy::of(others.iter().copied())).fits()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, priority: i32, cpu: &str, breaks_budget: bool) -> Candidate {
        let json = format!(
            r#"{{"metadata":{{"name":"{name}"}},"spec":{{"priority":{priority},
                "containers":[{{"resources":{{"requests":{{"cpu":"{cpu}"}}}}}}]}}}}"#
        );
        Candidate { pod: Arc::new(serde_json::from_str(&json).unwrap()), breaks_budget }
    }

    fn names(policy: &str, on_node: &[Candidate]) -> Option<Vec<String>> {
        let node: Node = serde_json::from_str(r#"{"status":{"allocatable":{"cpu":"4","pods":"10"}}}"#).unwrap();
        let pod = format!(
            r#"{{"priority":100,"preemptionPolicy":"{policy}","containers":[{{"resources":{{"requests":{{"cpu":"2"}}}}}}]}}"#
        );
        let victims = victims(&serde_json::from_str(&pod).unwrap(), &node, on_node)?;
        Some(victims.iter().map(|victim| victim.pod.meta.name.to_string()).collect())
    }

    #[test]
    fn the_least_important_and_unprotected_go_first() {
        // DS-B52
        let high = candidate("high", 100, "1", false);
        let mid = candidate("mid", 50, "1", false);
        let low = candidate("low", 1, "1", false);
        let guarded = candidate("guarded", 0, "1", true);
        let all = [high.clone(), mid, low, guarded];
        assert_eq!(names("", &all), Some(vec!["mid".into(), "low".into()]));
        assert_eq!(names("Never", &[high.clone(), candidate("low", 1, "2", false)]), None);
        let full = [high.clone(), candidate("twin", 100, "2", false)];
        assert_eq!(names("", &full), None, "equal priority is never preempted");
        assert_eq!(names("", &[high]), Some(vec![]));
    }
}
