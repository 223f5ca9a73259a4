//! A kubelet that answers each pod once, as the history says: by its image's tag, and by node where
//! that is said.

use std::collections::{BTreeMap, BTreeSet};

use everynode_api::time::rfc3339;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::seen::{node_of, tag};
use crate::value::{is_terminating, text, uid};

#[derive(Default)]
pub(super) struct Kubelet {
    /// What becomes of pods, by `TAG/NODE` and by `TAG`.
    pods: BTreeMap<String, String>,
    /// Whether deleted pods end, by tag.
    endings: BTreeMap<String, String>,
    /// How far a node's clock is ahead, in seconds.
    clocks: BTreeMap<String, i64>,
    /// Nodes whose kubelet is there.
    pub live: BTreeSet<String>,
    started: BTreeSet<String>,
}

/// What the kubelet does about a pod.
#[derive(Debug)]
pub(super) enum Answer {
    Nothing,
    Remove,
    Report(Value),
}

impl Kubelet {
    /// `pods of v2 => unready`, `clock of n1 => 20`, `ending of v1 => stuck`.
    pub fn order(&mut self, order: &str) -> Option<()> {
        let (what, value) = order.split_once(" => ")?;
        let (what, which) = what.split_once(" of ")?;
        match (what, which, value) {
            ("pods", "all", _) => self.pods.clear(),
            ("clock", "all", _) => self.clocks.clear(),
            ("pods", _, _) => drop(self.pods.insert(which.into(), value.into())),
            ("ending", _, _) => drop(self.endings.insert(which.into(), value.into())),
            ("clock", _, _) => drop(self.clocks.insert(which.into(), value.parse().ok()?)),
            _ => return None,
        }
        Some(())
    }

    pub fn answer(&mut self, pod: &Value, now: Timestamp) -> Answer {
        let (node, tag) = (node_of(pod), tag(pod));
        if text(&pod["spec"]["nodeName"]).is_empty() || !self.live.contains(&node) {
            return Answer::Nothing;
        }
        if is_terminating(pod) {
            let ending = self.endings.get(&tag).or_else(|| self.endings.get("*"));
            return if ending.is_some_and(|ending| ending == "stuck") { Answer::Nothing } else { Answer::Remove };
        }
        let of_node = self.pods.get(&format!("{tag}/{node}")).or_else(|| self.pods.get(&tag));
        let fate = of_node.cloned().unwrap_or_else(|| "ok".to_owned());
        let is_new = !matches!(text(&pod["status"]["phase"]), "Running" | "Failed" | "Succeeded");
        if fate == "pending" || !is_new || !self.started.insert(uid(pod)) {
            return Answer::Nothing;
        }
        Answer::Report(self.status(pod, &fate, now))
    }

    /// `fate` is `ok`, `unready`, `failed` or `succeeded`.
    pub fn status(&self, pod: &Value, fate: &str, now: Timestamp) -> Value {
        let ahead = SignedDuration::from_secs(self.clocks.get(&node_of(pod)).copied().unwrap_or(0));
        let at = rfc3339(now.checked_add(ahead).unwrap_or(now));
        let (phase, is_ready) = match fate {
            "failed" => ("Failed", false),
            "succeeded" => ("Succeeded", false),
            fate => ("Running", fate == "ok"),
        };
        let ended = || {
            let (code, reason) = if fate == "succeeded" { (0, "Completed") } else { (1, "Error") };
            json!({"terminated": {"exitCode": code, "reason": reason, "startedAt": at, "finishedAt": at}})
        };
        let state = if phase == "Running" { json!({"running": {"startedAt": at}}) } else { ended() };
        let ready = if is_ready { "True" } else { "False" };
        let condition = |(kind, status)| json!({"type": kind, "status": status, "lastTransitionTime": at});
        let conditions = [("Initialized", "True"), ("Ready", ready), ("ContainersReady", ready)].map(condition);
        let image = &pod["spec"]["containers"][0]["image"];
        let container = json!({"name": "m", "image": image, "imageID": "x", "ready": is_ready, "restartCount": 0,
                               "started": phase == "Running", "state": state});
        json!({"phase": phase, "startTime": at, "podIP": "10.91.201.1", "podIPs": [{"ip": "10.91.201.1"}],
               "containerStatuses": [container], "conditions": conditions})
    }
}
