//! One set: its status is a recount, and its conditions say what is so.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::FinalState;
use super::placement::{Places, Verdict};
use crate::user::HASH;
use crate::value::{array, is_ready, name, number};

impl FinalState {
    /// DS-E02 to DS-E06, DS-E08, DS-E10
    pub(super) fn status_is_a_recount(&self, set: &Value, on: &Places<'_>) -> Option<String> {
        let newest = self.newest_revision(set).map(|revision| &revision["metadata"]["labels"][HASH]);
        let [mut desired, mut current, mut misscheduled, mut ready, mut available, mut updated] = [0_i64; 6];
        for node in &self.nodes {
            let first = on.get(name(node)).and_then(|pods| pods.first());
            match (self.verdict(set, node), first) {
                (Verdict::Run, first) => {
                    desired += 1;
                    let Some(pod) = first else { continue };
                    current += 1;
                    ready += i64::from(is_ready(pod));
                    available += i64::from(self.is_available(set, pod));
                    let labelled = Some(&pod["metadata"]["labels"][HASH]) == newest;
                    updated += i64::from(labelled || (self.strict && self.is_newest(set, pod)));
                }
                (_, first) => misscheduled += i64::from(first.is_some()),
            }
        }
        let counted = [
            ("desiredNumberScheduled", desired),
            ("currentNumberScheduled", current),
            ("numberMisscheduled", misscheduled),
            ("numberReady", ready),
            ("numberAvailable", available),
            ("numberUnavailable", desired - available),
            ("updatedNumberScheduled", updated),
            ("observedGeneration", number(&set["metadata"]["generation"])),
        ];
        let status = &set["status"];
        let wrong: Vec<String> = counted
            .into_iter()
            .filter(|(field, counted)| number(&status[*field]) != *counted)
            .map(|(field, number)| format!("{field} is {}, counted {number}", status[field]))
            .collect();
        (!wrong.is_empty()).then(|| format!("status of {}: {}", name(set), wrong.join(", ")))
    }

    /// DS-E04
    fn is_available(&self, set: &Value, pod: &Value) -> bool {
        let min_ready = SignedDuration::from_secs(number(&set["spec"]["minReadySeconds"]));
        let ready = array(&pod["status"]["conditions"]).find(|condition| condition["type"] == "Ready");
        let since = ready.and_then(|ready| ready["lastTransitionTime"].as_str()?.parse::<Timestamp>().ok());
        is_ready(pod) && (min_ready.is_zero() || since.is_some_and(|since| since + min_ready <= self.now))
    }

    /// `Progressing`, `Available` and `Degraded` (docs/deviations.md); the original has none
    /// (DS-E20).
    pub(super) fn conditions_are_true(&self, set: &Value, on: &Places<'_>) -> Vec<String> {
        if self.strict {
            let any = !set["status"]["conditions"].is_null();
            return any.then(|| format!("set {} has conditions", name(set))).into_iter().collect();
        }
        let eligible = || self.nodes.iter().filter(|node| self.verdict(set, node) == Verdict::Run);
        let first = |node: &Value| on.get(name(node)).and_then(|pods| pods.first());
        let serves = |node: &&Value| first(node).is_some_and(|pod| self.is_available(set, pod));
        let all_serve = eligible().all(|node| serves(&node));
        // Of a set that rolls, every pod is new by now: the judge says so elsewhere.
        let every_pod_works = on.values().flatten().all(|pod| is_ready(pod));
        let mut expected: Vec<(&str, &str, &str)> = Vec::new();
        match all_serve {
            true => expected.extend([("Progressing", "True", "Complete"), ("Available", "True", "AllAvailable")]),
            false => expected.push(("Progressing", "False", "Stalled")),
        }
        if every_pod_works && all_serve {
            expected.push(("Degraded", "False", "AsExpected"));
        }
        let conditions = &set["status"]["conditions"];
        let is_said = |(kind, status, reason): &(&str, &str, &str)| {
            let mut said = array(conditions).filter(|condition| condition["type"] == *kind);
            let all = said.clone().count();
            // Whether a rollout is stalled already depends on when it began.
            let stalls = *reason == "Stalled";
            all == 1 && said.all(|one| stalls || (one["status"] == *status && one["reason"] == *reason))
        };
        let untold = expected.iter().filter(|condition| !is_said(condition));
        untold.map(|(kind, status, reason)| format!("set {}: {kind} is not {status} ({reason})", name(set))).collect()
    }
}
