//! A pod from the template: labels, owner, tolerations, the pin to its node (docs/requirements.md,
//! B and C).

use std::sync::Arc;

use everynode_api::kinds;
use everynode_api::view::{Node, PodSpec, PodTemplate, Toleration};
use everynode_placement::{Needs, Occupancy, automatic_tolerations, check_needs};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::actions;
use crate::input::DaemonSetInput;
use crate::judge::PodState;
use crate::names;

pub(crate) const HASH_LABEL: &str = "controller-revision-hash";
pub(crate) const GENERATION_LABEL: &str = "pod-template-generation";
const GENERATION_ANNOTATION: &str = "deprecated.daemonset.template.generation";
const NAME_ATTEMPTS: usize = 8;

/// Makes the bodies of one pass: what all of them share is built once.
pub(crate) struct PodBuilder<'a> {
    seen: &'a DaemonSetInput,
    revision: &'a str,
    prefix: String,
    base: Value,
    spec: &'a PodSpec,
    needs: Needs,
    binds: bool,
}

/// A pod to create.
pub(crate) struct Made {
    pub name: String,
    pub body: Value,
    pub bound: bool,
}

impl<'a> PodBuilder<'a> {
    /// `spec` is the template's with all tolerations; `binds`: pods are created bound where they
    /// fit.
    pub fn new(seen: &'a DaemonSetInput, revision: &'a str, spec: &'a PodSpec, cordon: bool, binds: bool) -> Self {
        let prefix = names::prefix(&seen.set.meta.name);
        let base = base(seen, revision, &prefix, cordon);
        let binds = binds && may_bind(&seen.set.spec.template);
        PodBuilder { seen, revision, prefix, base, spec, needs: Needs::of(spec), binds }
    }

    /// The pod for a node whose last pod had the uid `predecessor`; `Err` is the last name that was
    /// taken.
    pub fn make(&self, node: &Node, predecessor: &str, own: &[PodState]) -> Result<Made, String> {
        let name = self.name(node, predecessor, own)?;
        let mut body = self.base.clone();
        body["metadata"]["name"] = name.as_str().into();
        pin(&mut body["spec"], node.name());
        let bound = self.binds && self.fits(node);
        if bound {
            body["spec"]["nodeName"] = node.name().into();
        }
        Ok(Made { name, body, bound })
    }

    /// A name that is taken by another pod is hashed again, with that pod's uid as the predecessor;
    /// one whose holder is ending on this very node is waited for.
    fn name(&self, node: &Node, predecessor: &str, own: &[PodState]) -> Result<String, String> {
        let mut predecessor: Arc<str> = predecessor.into();
        let mut name = String::new();
        for _ in 0..NAME_ATTEMPTS {
            name = names::pod_name(&self.prefix, &self.seen.set.meta.uid, node.name(), self.revision, &predecessor);
            let stranger = self.seen.stranger(&name);
            let mut own = own.iter().map(|state| &state.pod);
            match stranger.or_else(|| own.find(|pod| *pod.meta.name == *name)) {
                None => return Ok(name),
                Some(other) if other.is_terminating() && other.target_node() == Some(node.name()) => return Err(name),
                Some(occupant) => predecessor = occupant.meta.uid.clone(),
            }
        }
        Err(name)
    }

    /// Whether the pod fits beside what is known to be on the node; what is not known is the
    /// scheduler's. The server decides by the same rule when the pod is created, and leaves it to
    /// the scheduler if it does not fit any more.
    fn fits(&self, node: &Node) -> bool {
        let Some(neighbours) = &self.seen.neighbours else {
            return false;
        };
        let here = neighbours.find("", node.name()).into_iter().flat_map(|pods| pods.iter());
        let occupancy = Occupancy::of(here.map(AsRef::as_ref));
        check_needs(self.spec, &self.needs, node, &occupancy).fits()
    }
}

/// Whether placement alone decides where pods of this template run.
pub(crate) fn may_bind(template: &PodTemplate) -> bool {
    let spec = &template.spec;
    let affinity = spec.affinity.as_deref();
    let inter_pod = affinity.is_some_and(|a| a.pod_affinity.is_some() || a.pod_anti_affinity.is_some());
    matches!(spec.scheduler_name.as_ref(), "" | "default-scheduler")
        && spec.node_name.is_empty()
        && !inter_pod
        && spec.scheduling_gates + spec.volume_claims + spec.resource_claims + spec.topology_spread_constraints == 0
        // A runtime class may add overhead that only admission knows.
        && template.raw["spec"]["runtimeClassName"].is_null()
}

fn base(seen: &DaemonSetInput, revision: &str, prefix: &str, cordon: bool) -> Value {
    let set = &seen.set;
    let template = &set.spec.template;
    let mut metadata = json!({
        "name": "",
        "generateName": prefix,
        "namespace": &*set.meta.namespace,
        "labels": labels(seen, revision),
        "ownerReferences": [actions::owner_reference(&actions::OWNER, &set.meta)],
    });
    // DS-C62: of the template's metadata only these, of the set's nothing.
    for member in ["annotations", "finalizers"] {
        let value = &template.raw["metadata"][member];
        if !value.is_null() {
            metadata[member] = value.clone();
        }
    }
    let mut spec = match &template.raw["spec"] {
        Value::Object(members) => Value::Object(members.clone()),
        _ => Value::Object(Map::new()),
    };
    let automatic = automatic_tolerations(template.spec.host_network).into_iter();
    let automatic = automatic.filter(|t| !cordon || t.key.as_ref() != "node.kubernetes.io/unschedulable");
    add_tolerations(&mut spec, automatic);
    json!({
        "apiVersion": kinds::POD.api_version(),
        "kind": kinds::POD.kind,
        "metadata": metadata,
        "spec": spec,
    })
}

/// DS-C61
fn labels(seen: &DaemonSetInput, revision: &str) -> Value {
    let mut labels = seen.set.spec.template.labels.with(HASH_LABEL, revision);
    if let Some(generation) = template_generation(seen) {
        labels = labels.with(GENERATION_LABEL, generation);
    }
    json!(labels)
}

/// The template generation, while the set has it and it is a number (DS-A11, DS-A12).
pub(crate) fn template_generation(seen: &DaemonSetInput) -> Option<&str> {
    let text = seen.set.meta.annotations.get(GENERATION_ANNOTATION)?;
    text.parse::<i64>().is_ok().then_some(text)
}

/// Replaces tolerations that are equal but for their seconds, appends the others (DS-B20 to
/// DS-B22). What the template says beside is kept as it is.
fn add_tolerations(spec: &mut Value, automatic: impl Iterator<Item = Toleration>) {
    let mut all = spec["tolerations"].as_array().cloned().unwrap_or_default();
    for toleration in automatic {
        let same = |own: &&mut Value| {
            let own = Toleration::deserialize(&**own).unwrap_or_default();
            Toleration { toleration_seconds: None, ..own } == toleration
        };
        let mut replaced = false;
        for own in all.iter_mut().filter(same) {
            *own = json!(toleration);
            replaced = true;
        }
        if !replaced {
            all.push(json!(toleration));
        }
    }
    spec["tolerations"] = Value::Array(all);
}

/// Pins the pod to its node; other affinity stays (DS-B30, DS-B31).
fn pin(spec: &mut Value, node: &str) {
    let term = json!({ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [node] }] });
    let required = json!({ "nodeSelectorTerms": [term] });
    member(member(spec, "affinity"), "nodeAffinity")["requiredDuringSchedulingIgnoredDuringExecution"] = required;
}

/// The member of that name as an object, made if it is absent or null.
fn member<'v>(value: &'v mut Value, name: &str) -> &'v mut Value {
    let member = &mut value[name];
    if !member.is_object() {
        *member = Value::Object(Map::new());
    }
    member
}
