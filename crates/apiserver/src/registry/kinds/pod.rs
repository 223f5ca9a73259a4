//! Pods: initial status, graceful deletion, and a daemon pod's place on its node.

use everynode_api::kinds::POD;
use everynode_api::status::Status;
use everynode_store::KeyValue;
use serde_json::{Value, json};

use super::qos;
use crate::catalogue::{Row, built_in};
use crate::hub::FieldRules;
use crate::keys;
use crate::object::{self, at, items, text};
use crate::registry::admission;
use crate::registry::claims::Claim;
use crate::registry::strategy::{Grace, Strategy, keep_all_but_status};
use crate::registry::{Registry, Settings, store_failure};
use crate::schema::Rules;
use crate::tables::Printer;

pub(crate) struct Pods;

/// A pod's own grace period where it names none (DS-A07).
const GRACE_DEFAULT_SECONDS: i64 = 30;

/// Everything about them.
pub(crate) fn row() -> Row {
    Row {
        strategy: &Pods,
        rules: Rules::POD,
        fields: FieldRules::pods(),
        printer: Printer::pods(),
        admission: admission::OF_PODS,
        ..Row::ordinary(&POD)
    }
}

impl Strategy for Pods {
    fn counts_generations(&self) -> bool {
        true
    }

    fn prepare_create(&self, registry: &Registry, value: &mut Value) -> Result<(), Status> {
        value["status"] = json!({"phase": "Pending", "qosClass": qos::class(value)});
        if !items(value, &["spec", "schedulingGates"]).is_empty() {
            let condition = json!({"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "lastProbeTime": null,
                                   "message": "Scheduling is blocked due to non-empty scheduling gates"});
            object::set_condition(value, condition, &registry.env.now_text());
        }
        Ok(())
    }

    fn prepare_status(&self, new: &mut Value, old: &Value) {
        keep_all_but_status(new, old);
        object::copy_meta(new, old, "ownerReferences");
        // What a pod held of its node was given to others when it ended: a report of an agent that has
        // not heard of it does not take it back.
        if is_terminal(old) && !is_terminal(new) {
            object::object_mut(new, "status").insert("phase".into(), old["status"]["phase"].clone());
        }
        if new["status"]["qosClass"].is_null() {
            object::object_mut(new, "status").insert("qosClass".into(), old["status"]["qosClass"].clone());
        }
    }

    /// Graceful for pods that an agent may run; never-bound and terminal ones go at once (DS-H25).
    fn grace(&self, value: &Value, requested: Option<i64>) -> Grace {
        if text(value, &["spec", "nodeName"]).is_empty() || is_terminal(value) {
            return Grace::Seconds(0);
        }
        let own = at(value, &["spec", "terminationGracePeriodSeconds"]).as_i64().unwrap_or(GRACE_DEFAULT_SECONDS);
        Grace::Seconds(match requested.unwrap_or(own) {
            seconds if seconds < 0 => 1,
            seconds => seconds,
        })
    }

    fn claims(&self, settings: &Settings, value: &Value) -> Vec<Claim> {
        let place = daemon_place(value).filter(|_| settings.exclusive_places);
        place.map(|path| Claim { path, required: false }).into_iter().collect()
    }

    fn marks_the_removed(&self) -> bool {
        true
    }

    fn returns_deleted(&self) -> bool {
        true
    }
}

pub(crate) fn is_terminal(value: &Value) -> bool {
    matches!(text(value, &["status", "phase"]), "Succeeded" | "Failed")
}

/// What a live daemon pod holds: its set's uid, its node, its revision (design "At most one").
fn daemon_place(value: &Value) -> Option<String> {
    let owner =
        object::controller(value).filter(|owner| owner["kind"] == "DaemonSet" && owner["apiVersion"] == "apps/v1")?;
    let revision = text(value, &["metadata", "labels", "controller-revision-hash"]);
    let node = target_node(value)?;
    if is_terminal(value) || revision.is_empty() {
        return None;
    }
    Some(format!("daemonpods/{}/{node}/{revision}", owner["uid"].as_str()?))
}

/// The node that a pod is bound or pinned to (DS-B32).
fn target_node(value: &Value) -> Option<&str> {
    let bound = text(value, &["spec", "nodeName"]);
    if bound.is_empty() { pinned_node(value) } else { Some(bound) }
}

/// The node that a pod is pinned to.
pub(crate) fn pinned_node(value: &Value) -> Option<&str> {
    let path =
        ["spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"];
    let fields = items(value, &path).iter().flat_map(|term| items(term, &["matchFields"]));
    let mut pins = fields.filter(|field| field["key"] == "metadata.name" && field["operator"] == "In");
    pins.next().and_then(|field| field["values"][0].as_str())
}

/// Whether a new daemon pod may take the place that `held` names: the holder is gone or no longer
/// live, or it is terminating and its set surges, so that its successor need not wait for it
/// (DS-C29).
pub(crate) fn may_overtake(registry: &Registry, value: &Value, held: &KeyValue) -> Result<bool, Status> {
    let holder = String::from_utf8_lossy(&held.value).into_owned();
    let mut parts = holder.splitn(3, '/');
    let (Some(namespace), Some(name), Some(uid)) = (parts.next(), parts.next(), parts.next()) else { return Ok(true) };
    let read = |key: &str| -> Result<Option<Value>, Status> {
        let kv = registry.store.get(key, None).map_err(|error| store_failure(&error))?;
        kv.map(|kv| crate::stored::decode(&kv.value, kv.modified)).transpose()
    };
    let Some(pod) =
        read(&format!("{}pods/{namespace}/{name}", keys::REGISTRY))?.filter(|pod| object::meta(pod, "uid") == uid)
    else {
        return Ok(true);
    };
    if is_terminal(&pod) || !object::is_terminating(&pod) {
        return Ok(is_terminal(&pod));
    }
    let owner = object::controller(value).and_then(|owner| owner["name"].as_str()).unwrap_or("");
    let info = &built_in::DAEMON_SET;
    let set = read(&keys::object(info, namespace, owner))?.unwrap_or_default();
    let surge = at(&set, &["spec", "updateStrategy", "rollingUpdate", "maxSurge"]);
    Ok(!matches!(surge, Value::Null) && surge != 0 && surge != "0%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(extra: Value) -> Value {
        let mut pod = json!({"metadata": {"name": "a", "labels": {"controller-revision-hash": "h1"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "uid": "u1", "controller": true}]},
            "spec": {"nodeName": "n1"}});
        everynode_api::patch::merge::apply(std::mem::take(&mut pod), extra)
    }

    #[test]
    fn live_daemon_pods_hold_their_place() {
        assert_eq!(daemon_place(&pod(json!({}))).as_deref(), Some("daemonpods/u1/n1/h1"));
        assert_eq!(daemon_place(&pod(json!({"status": {"phase": "Failed"}}))), None);
        assert_eq!(daemon_place(&pod(json!({"metadata": {"ownerReferences": null}}))), None);
    }

    #[test]
    fn grace_of_pods() {
        assert_eq!(Pods.grace(&pod(json!({})), None), Grace::Seconds(30)); // DS-H24
        assert_eq!(Pods.grace(&pod(json!({"spec": {"nodeName": null}})), None), Grace::Seconds(0)); // DS-H25
        assert_eq!(Pods.grace(&pod(json!({})), Some(0)), Grace::Seconds(0)); // DS-H26
    }
}
