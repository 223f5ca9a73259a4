//! Pods and templates of pods.

use std::collections::{BTreeMap, BTreeSet};

use everynode_api::field::Path;
use everynode_api::quantity::Quantity;
use serde_json::Value;

use super::duplicate;
use crate::object::{at, items, text};

/// (label of nodes, since when there is another, which one)
const LABELS: [(&str, &str, &str); 5] = [
    ("beta.kubernetes.io/arch", "v1.14", "kubernetes.io/arch"),
    ("beta.kubernetes.io/os", "v1.14", "kubernetes.io/os"),
    ("failure-domain.beta.kubernetes.io/region", "v1.17", "topology.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", "v1.17", "topology.kubernetes.io/zone"),
    ("beta.kubernetes.io/instance-type", "v1.17", "node.kubernetes.io/instance-type"),
];
/// Annotations of AppArmor profiles begin so.
pub(super) const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
/// (beginning of an annotation's key, what is said of it)
const ANNOTATIONS: [(&str, &str); 4] = [
    ("seccomp.security.alpha.kubernetes.io/pod", r#"non-functional in v1.27+; use the "seccompProfile" field instead"#),
    (
        "container.seccomp.security.alpha.kubernetes.io/",
        r#"non-functional in v1.27+; use the "seccompProfile" field instead"#,
    ),
    (APP_ARMOR, r#"deprecated since v1.30; use the "appArmorProfile" field instead"#),
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        r#"non-functional in v1.16+; use the "priorityClassName" field instead"#,
    ),
];
/// (source of a volume, what is said of it)
const VOLUMES: [(&str, &str); 3] = [
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// `owner` has `metadata` and `spec`; `path` leads to it, `None` for a pod itself.
pub(super) fn warnings(warnings: &mut Vec<String>, owner: &Value, path: Option<&Path>) {
    let child = |name: &'static str| path.map_or_else(|| Path::new(name), |path| path.child(name));
    let (spec, spec_path) = (&owner["spec"], child("spec"));
    node_labels(warnings, spec, &spec_path);
    spread(warnings, spec, &spec_path.child("topologySpreadConstraints"));
    annotations(warnings, owner, &child("metadata"), |_| true);
    for (index, volume) in items(spec, &["volumes"]).iter().enumerate() {
        for (source, said) in VOLUMES.iter().filter(|(source, _)| !volume[source].is_null()) {
            warnings.push(format!("{}: {said}", spec_path.child("volumes").index(index).child(*source)));
        }
    }
    twice(warnings, spec, ("hostAliases", "ip"), &spec_path);
    twice(warnings, spec, ("imagePullSecrets", "name"), &spec_path);
    containers(warnings, spec, &spec_path);
    if at(spec, &["terminationGracePeriodSeconds"]).as_i64().is_some_and(|seconds| seconds < 0) {
        let path = spec_path.child("terminationGracePeriodSeconds");
        warnings.push(format!("{path}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
}

/// Annotations that other fields have replaced, of those that are asked for.
pub(super) fn annotations(warnings: &mut Vec<String>, owner: &Value, metadata: &Path, is_asked: impl Fn(&str) -> bool) {
    let given = at(owner, &["metadata", "annotations"]).as_object().into_iter().flatten();
    for (key, _) in given.filter(|(key, _)| is_asked(key)) {
        if let Some((_, said)) = ANNOTATIONS.iter().find(|(start, _)| key.starts_with(start)) {
            warnings.push(format!("{}: {said}", metadata.child("annotations").key(key.as_str())));
        }
    }
}

/// What is said of a label of nodes that has another name by now.
pub(super) fn renamed(key: &str) -> Option<String> {
    let (_, since, other) = LABELS.iter().find(|(label, ..)| *label == key)?;
    Some(format!("deprecated since {since}; use \"{other}\" instead"))
}

fn node_labels(warnings: &mut Vec<String>, spec: &Value, path: &Path) {
    for (key, _) in spec["nodeSelector"].as_object().into_iter().flatten() {
        if let Some(said) = renamed(key) {
            warnings.push(format!("{}: {said}", path.child("nodeSelector").key(key.as_str())));
        }
    }
    let affinity = ["affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"];
    let terms = affinity.iter().fold(path.clone(), |path, name| path.child(*name));
    for (index, term) in items(spec, &affinity).iter().enumerate() {
        for (position, requirement) in items(term, &["matchExpressions"]).iter().enumerate() {
            let key = text(requirement, &["key"]);
            if let Some(said) = renamed(key) {
                let path = terms.index(index).child("matchExpressions").index(position).child("key");
                warnings.push(format!("{path}: {key} is {said}"));
            }
        }
    }
}

fn spread(warnings: &mut Vec<String>, spec: &Value, path: &Path) {
    for (index, constraint) in items(spec, &["topologySpreadConstraints"]).iter().enumerate() {
        let (path, key) = (path.index(index), text(constraint, &["topologyKey"]));
        if let Some(said) = renamed(key) {
            warnings.push(format!("{}: {key} is {said}", path.child("topologyKey")));
        }
        if constraint["labelSelector"].is_null() {
            let path = path.child("labelSelector");
            warnings.push(format!("{path}: a null labelSelector results in matching no pod"));
        }
    }
}

/// The same name in a list twice, or an empty one.
fn twice(warnings: &mut Vec<String>, spec: &Value, (list, member): (&'static str, &'static str), path: &Path) {
    let mut seen = BTreeSet::new();
    for (index, item) in items(spec, &[list]).iter().enumerate() {
        let path = path.child(list).index(index).child(member);
        match text(item, &[member]) {
            "" if member == "name" => warnings.push(format!("{path}: invalid empty name \"\"")),
            name if !seen.insert(name) => warnings.push(duplicate(&path, member, name)),
            _ => {}
        }
    }
}

fn containers(warnings: &mut Vec<String>, spec: &Value, path: &Path) {
    let mut ports: BTreeMap<String, Path> = BTreeMap::new();
    for list in ["initContainers", "containers"] {
        for (index, container) in items(spec, &[list]).iter().enumerate() {
            let path = path.child(list).index(index);
            resources(warnings, container, &path.child("resources"));
            environment(warnings, container, &path.child("env"));
            for (position, port) in items(container, &["ports"]).iter().enumerate() {
                let path = path.child("ports").index(position);
                let names = ["protocol", "containerPort", "hostIP", "hostPort"];
                let key = names.map(|name| port[name].to_string()).join(" ");
                match ports.get(&key) {
                    Some(first) => warnings.push(format!("{path}: duplicate port definition with {first}")),
                    None => drop(ports.insert(key, path)),
                }
            }
        }
    }
}

/// Bytes are whole.
fn resources(warnings: &mut Vec<String>, container: &Value, path: &Path) {
    for name in ["memory", "ephemeral-storage"] {
        for kind in ["limits", "requests"] {
            let Ok(amount) = Quantity::from_json(&container["resources"][kind][name]) else { continue };
            if !amount.is_whole() {
                let path = path.child(kind).key(name);
                warnings.push(format!("{path}: fractional byte value \"{amount}\" is invalid, must be an integer"));
            }
        }
    }
}

fn environment(warnings: &mut Vec<String>, container: &Value, path: &Path) {
    let mut seen = BTreeSet::new();
    for (index, variable) in items(container, &["env"]).iter().enumerate() {
        let name = text(variable, &["name"]);
        if !seen.insert(name) {
            let path = path.index(index);
            warnings.push(format!(
                "{path}: hides previous definition of \"{name}\", which may be dropped when using apply"
            ));
        }
    }
}
