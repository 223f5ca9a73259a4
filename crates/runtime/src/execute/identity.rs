//! Which pod an object is, beyond its name: whose, where, and of which revision.

use serde_json::Value;

/// What must agree for an occupant of a pod's name to count as that pod (ARCHITECTURE.md,
/// invariant 8).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    owner_uid: Option<String>,
    node: Option<String>,
    revision: Option<String>,
}

impl Identity {
    pub fn of(object: &Value) -> Identity {
        let metadata = &object["metadata"];
        Identity {
            owner_uid: controller_uid(metadata),
            node: node_of(&object["spec"]),
            revision: text(&metadata["labels"]["controller-revision-hash"]),
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn controller_uid(metadata: &Value) -> Option<String> {
    let owners = metadata["ownerReferences"].as_array()?;
    text(&owners.iter().find(|owner| owner["controller"] == Value::Bool(true))?["uid"])
}

/// The node that a pod is bound to or pinned to (DS-B32). A pin stays when the pod is bound.
fn node_of(spec: &Value) -> Option<String> {
    let required = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let terms = required["nodeSelectorTerms"].as_array().into_iter().flatten();
    let mut fields = terms.flat_map(|term| term["matchFields"].as_array().into_iter().flatten());
    let pin = fields.find(|field| field["key"] == "metadata.name" && field["operator"] == "In");
    text(&spec["nodeName"]).or_else(|| pin.and_then(|field| text(&field["values"][0])))
}

/// The object is on its way out.
pub(super) fn is_terminating(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// The pod has ended by itself.
pub(super) fn is_terminal(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_bound_pod_is_the_one_that_was_pinned() {
        let pod = |spec: Value, uid: &str| {
            json!({"metadata": {"labels": {"controller-revision-hash": "r"},
                "ownerReferences": [{"uid": "other"}, {"uid": uid, "controller": true}]}, "spec": spec})
        };
        let pin = |node: &str| {
            json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]}}})
        };
        let planned = Identity::of(&pod(json!({"affinity": pin("n1")}), "u"));
        assert_eq!(planned, Identity::of(&pod(json!({"affinity": pin("n1"), "nodeName": "n1"}), "u")));
        assert_ne!(planned, Identity::of(&pod(json!({"affinity": pin("n2")}), "u")));
        assert_ne!(planned, Identity::of(&pod(json!({"affinity": pin("n1")}), "v")));
    }
}
