//! Disruption budgets: their status is a recount (DS-G21, DS-G23).

use std::collections::BTreeMap;

use serde_json::Value;

use super::FinalState;
use crate::value::{array, is_ready, is_terminating, name, number, owner};

impl FinalState {
    pub(super) fn budgets_are_recounts(&self) -> Vec<String> {
        self.budgets.iter().filter_map(|budget| self.budget_is_a_recount(budget)).collect()
    }

    fn budget_is_a_recount(&self, budget: &Value) -> Option<String> {
        let app = &budget["spec"]["selector"]["matchLabels"]["app"];
        let pods: Vec<&Value> = self.pods.iter().filter(|pod| pod["metadata"]["labels"]["app"] == *app).collect();
        let healthy = pods.iter().filter(|pod| is_ready(pod) && !is_terminating(pod)).count() as i64;
        let (least, most) = (&budget["spec"]["minAvailable"], &budget["spec"]["maxUnavailable"]);
        let (expected, desired) = match (least.as_i64(), self.wanted(&pods)) {
            (Some(least), _) => (pods.len() as i64, least),
            (None, wanted) if most.is_null() => (wanted, share(least, wanted)),
            (None, wanted) => (wanted, (wanted - share(most, wanted)).max(0)),
        };
        let allowed = if expected > 0 { (healthy - desired).max(0) } else { 0 };
        let counted = [
            ("expectedPods", expected),
            ("desiredHealthy", desired),
            ("currentHealthy", healthy),
            ("disruptionsAllowed", allowed),
            ("observedGeneration", number(&budget["metadata"]["generation"])),
        ];
        let status = &budget["status"];
        let wrong = counted.into_iter().filter(|(field, counted)| number(&status[*field]) != *counted);
        let mut wrong: Vec<String> =
            wrong.map(|(field, number)| format!("{field} is {}, counted {number}", status[field])).collect();
        let says = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        let mut conditions = array(&status["conditions"]);
        if !conditions.any(|one| {
            one["type"] == "DisruptionAllowed" && (&one["status"], &one["reason"]) == (&says.0.into(), &says.1.into())
        }) {
            wrong.push(format!("DisruptionAllowed is not {} ({})", says.0, says.1));
        }
        if status["disruptedPods"].as_object().is_some_and(|pods| !pods.is_empty()) {
            wrong.push(format!("it still waits for {}", status["disruptedPods"]));
        }
        (!wrong.is_empty()).then(|| format!("budget {}: {}", name(budget), wrong.join(", ")))
    }

    /// How many pods the sets that own them want.
    fn wanted(&self, pods: &[&Value]) -> i64 {
        let owners = pods.iter().filter_map(|pod| owner(pod)).filter_map(Value::as_str);
        let wanted: BTreeMap<&str, i64> = owners.map(|uid| (uid, self.wanted_by(uid))).collect();
        wanted.values().sum()
    }

    fn wanted_by(&self, uid: &str) -> i64 {
        let set = self.sets.iter().find(|set| set["metadata"]["uid"] == uid);
        let status = set.map_or(&Value::Null, |set| &set["status"]);
        number(&status["desiredNumberScheduled"]) + number(&status["numberMisscheduled"])
    }
}

/// A number of pods, or a percentage of them, rounded up.
fn share(amount: &Value, of: i64) -> i64 {
    match amount.as_str().and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok()) {
        Some(percent) => (percent * of + 99) / 100,
        None => number(amount),
    }
}
