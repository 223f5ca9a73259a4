//! One set: which pods are where.

use std::collections::BTreeMap;

use serde_json::Value;

use super::FinalState;
use crate::ledger::target_node;
use crate::user::{RESPECT_CORDON, TAINT};
use crate::value::{array, is_ready, is_terminal, name, owner};

/// The pods of a set, by node.
pub(super) type Places<'a> = BTreeMap<String, Vec<&'a Value>>;

/// The verdict on a node (DS-B01 to DS-B04).
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    Run,
    /// A pod that is there may stay.
    Keep,
    Leave,
}

impl FinalState {
    pub(super) fn set_is_well(&self, set: &Value) -> Vec<String> {
        let owned: Vec<&Value> = self.pods.iter().filter(|pod| owner(pod) == Some(&set["metadata"]["uid"])).collect();
        let mut on: Places<'_> = BTreeMap::new();
        for pod in &owned {
            on.entry(target_node(pod).unwrap_or_default()).or_default().push(pod);
        }
        let mut found = Vec::new();
        for at in on.keys().filter(|at| !self.nodes.iter().any(|node| name(node) == **at)) {
            found.push(format!("set {} has pods on {at:?}, which is no node", name(set)));
        }
        for node in &self.nodes {
            let pods = on.get(name(node)).map(Vec::as_slice).unwrap_or_default();
            found.extend(self.place_is_well(set, node, pods));
        }
        found.extend(self.orphans_are_adopted(set));
        found.extend(self.status_is_a_recount(set, &on));
        found.extend(self.conditions_are_true(set, &on));
        found.extend(self.history_is_well(set, &owned));
        found
    }

    fn place_is_well(&self, set: &Value, node: &Value, pods: &[&Value]) -> Option<String> {
        let verdict = self.verdict(set, node);
        let rolls = set["spec"]["updateStrategy"]["type"] == "RollingUpdate";
        let well = match verdict {
            Verdict::Leave => pods.is_empty(),
            Verdict::Keep => pods.len() <= 1,
            Verdict::Run if rolls => pods.len() == 1 && is_ready(pods[0]) && self.is_newest(set, pods[0]),
            Verdict::Run => pods.len() == 1 && !is_terminal(pods[0]),
        };
        let told = |pod: &&Value| {
            let phase = &pod["status"]["phase"];
            format!("{} {phase} ready={} newest={}", name(pod), is_ready(pod), self.is_newest(set, pod))
        };
        let told: Vec<String> = pods.iter().map(told).collect();
        let kind = match verdict {
            Verdict::Run => "is eligible",
            Verdict::Keep => "may keep its pod",
            Verdict::Leave => "is not eligible",
        };
        (!well).then(|| format!("set {} on {} ({kind}): {told:?}", name(set), name(node)))
    }

    /// DS-C13: no pod that the set selects is without an owner.
    fn orphans_are_adopted(&self, set: &Value) -> Vec<String> {
        let app = &set["spec"]["selector"]["matchLabels"]["app"];
        let selected = self.pods.iter().filter(|pod| pod["metadata"]["labels"]["app"] == *app);
        let orphans = selected.filter(|pod| owner(pod).is_none());
        orphans.map(|pod| format!("set {} does not adopt {}", name(set), name(pod))).collect()
    }

    pub(super) fn verdict(&self, set: &Value, node: &Value) -> Verdict {
        let spec = &set["spec"]["template"]["spec"];
        let selected = spec["nodeSelector"].as_object().into_iter().flatten();
        let mut selected = selected.map(|(key, value)| node["metadata"]["labels"][key] == *value);
        if !selected.all(|fits| fits) {
            return Verdict::Leave;
        }
        let tolerates = array(&spec["tolerations"]).any(|toleration| toleration["key"] == TAINT);
        let taints = || array(&node["spec"]["taints"]).filter(|taint| taint["key"] == TAINT && !tolerates);
        let respects = set["metadata"]["annotations"][RESPECT_CORDON] == "true" && !self.strict;
        match () {
            () if taints().any(|taint| taint["effect"] == "NoExecute") => Verdict::Leave,
            () if taints().next().is_some() => Verdict::Keep,
            // DS-B25, and docs/deviations.md
            () if respects && node["spec"]["unschedulable"] == true => Verdict::Keep,
            () => Verdict::Run,
        }
    }
}
