//! What a DaemonSet controller of Kubernetes 1.36 was observed to do, as the tests of `sim` read
//! it.
//!
//! A recording is a directory of JSON files: steps, and what was there at each still point. A
//! history is a text: the steps, and below each `observe` what was seen, a line for each node, set,
//! and event. Times are not taken over.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// Where the histories are.
pub(crate) const DIRECTORY: &str = "crates/sim/tests/histories";

/// Makes the histories of a recording. Errors: it cannot be read, or is none.
pub(crate) fn renew(recording: &Path, into: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(into)?;
    for entry in std::fs::read_dir(recording).with_context(|| format!("cannot read {}", recording.display()))? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        let case: Value = serde_json::from_str(&text).with_context(|| format!("{} is no recording", path.display()))?;
        let name = case["case"].as_str().context("a recording without a name")?;
        std::fs::write(into.join(format!("{name}.txt")), history(&case))?;
    }
    Ok(())
}

/// Steps that the recorder did not write down, by history and the step that they come after.
const UNRECORDED: [(&str, &str, &str); 2] = [
    ("r17-pod-unready-mid", "node n4", "fake-kubelet: pods of v2 => unready"),
    ("s07-surge-old-dies", "observe \"side by side\"", "pod-status POD(both,v1) unready"),
];

fn history(case: &Value) -> String {
    let mut text = format!("# {}\n", string(&case["about"]));
    let mut observations = array(&case["observations"]);
    for step in array(&case["steps"]).map(string).filter(|step| !step.starts_with("fact ")) {
        let _ = writeln!(text, "{step}");
        if step.starts_with("observe ") {
            observations.next().into_iter().for_each(|seen| observed(&mut text, seen));
        }
        let missing = UNRECORDED.iter().filter(|(name, after, _)| case["case"] == *name && step == *after);
        missing.for_each(|(_, _, step)| text.push_str(&format!("{step}\n")));
    }
    text
}

fn observed(text: &mut String, seen: &Value) {
    for (node, pods) in members(&seen["pods"]) {
        let pods: Vec<&str> = array(pods).map(string).collect();
        let _ = writeln!(text, "  pods {node}: {}", pods.join("; "));
    }
    for (set, status) in members(&seen["ds"]) {
        let counts: Vec<String> = members(status).map(|(name, count)| format!("{name}={}", plain(count))).collect();
        let _ = writeln!(text, "  set {set}: {}", counts.join(" "));
    }
    for (owner, revisions) in members(&seen["revs"]) {
        let revisions: Vec<&str> = array(revisions).map(string).collect();
        let _ = writeln!(text, "  revisions {owner}: {}", revisions.join(" "));
    }
    for event in array(&seen["events"]).map(string) {
        let _ = writeln!(text, "  event {}", event.replace("[daemonset-controller] ", ""));
    }
    if let (Some(serving), Some(pods)) = (seen["min_serving"].as_u64(), seen["max_pods"].as_u64()) {
        let _ = writeln!(text, "  serving at least {serving}, pods at most {pods}");
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_history_has_steps_and_below_each_still_point_what_was_seen() {
        let seen = json!({"at": "v1", "pods": {"n1": ["v1#1 Running"]}, "ds": {"d": {"numberReady": 0, "observed": "="}},
            "revs": {"d": ["1:v1", "2:v2"]}, "events": ["Normal A [daemonset-controller] Created pod: POD x3"],
            "min_serving": 0, "max_pods": 1});
        let case =
            json!({"about": "one", "steps": ["node n1", "fact \"x\"", "observe \"v1\""], "observations": [seen]});
        let text = "# one\nnode n1\nobserve \"v1\"\n  pods n1: v1#1 Running\n  set d: numberReady=0 observed==\n  \
            revisions d: 1:v1 2:v2\n  event Normal A Created pod: POD x3\n  serving at least 0, pods at most 1\n";
        assert_eq!(history(&case), text);
    }
}
