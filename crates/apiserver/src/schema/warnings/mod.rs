//! What Kubernetes accepts with a warning: old names, fields without effect, definitions that hide
//! each other.
//!
//! Pure, like validation, and for objects that passed it. The texts go out as `Warning` headers,
//! which kubectl prints.

mod pod;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use everynode_api::field::{Path, go_quote};
use everynode_api::names;
use serde_json::Value;

use crate::catalogue::Row;
use crate::object::{self, items, text};

const MOUNTABLE_SECRETS: &str = "kubernetes.io/enforce-mountable-secrets";

/// What is said of a new pod whatever becomes of it: Kubernetes says it while it prepares the
/// object, the rest once it has found nothing wrong.
pub(super) fn pod_prepared(value: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    pod::annotations(&mut warnings, value, &Path::new("metadata"), |key| key.starts_with(pod::APP_ARMOR));
    warnings
}

/// What is said of a new object.
pub(crate) fn on_create(info: &Row, value: &Value) -> Vec<String> {
    let mut warnings = owners_twice(value).into_iter().collect();
    (info.rules.warn_new)(value, &mut warnings);
    warnings
}

/// What is said of a changed one: of a template only if it changed.
pub(crate) fn on_update(info: &Row, new: &Value, old: &Value) -> Vec<String> {
    let mut warnings = owners_twice(new).into_iter().collect();
    (info.rules.warn_update)(new, old, &mut warnings);
    warnings
}

pub(super) fn pod_created(pod: &Value, warnings: &mut Vec<String>) {
    pod::warnings(warnings, pod, None);
    host_name(warnings, object::meta(pod, "name"));
}

pub(super) fn daemon_set_created(set: &Value, warnings: &mut Vec<String>) {
    let path = Path::new("spec").child("template");
    pod::warnings(warnings, &set["spec"]["template"], Some(&path));
}

pub(super) fn daemon_set_updated(new: &Value, old: &Value, warnings: &mut Vec<String>) {
    if new["spec"]["template"] != old["spec"]["template"] {
        daemon_set_created(new, warnings);
    }
}

pub(super) fn pod_template_written(template: &Value, warnings: &mut Vec<String>) {
    pod::warnings(warnings, &template["template"], Some(&Path::new("template")));
}

pub(super) fn node_created(node: &Value, warnings: &mut Vec<String>) {
    if !text(node, &["spec", "externalID"]).is_empty() {
        warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".into());
    }
}

pub(super) fn account_written(account: &Value, warnings: &mut Vec<String>) {
    if !account["metadata"]["annotations"][MOUNTABLE_SECRETS].is_null() {
        warnings.push(format!(
            "metadata.annotations[{MOUNTABLE_SECRETS}]: deprecated in v1.32+; prefer separate namespaces to isolate \
             access to mounted secrets"
        ));
    }
}

pub(super) fn runtime_class_written(class: &Value, warnings: &mut Vec<String>) {
    let selector = class["scheduling"]["nodeSelector"].as_object().into_iter().flatten();
    let renamed = selector.filter_map(|(key, _)| pod::renamed(key));
    warnings.extend(renamed.map(|said| format!("scheduling.nodeSelector: {said}")));
}

pub(super) fn slice_written(slice: &Value, warnings: &mut Vec<String>) {
    if text(slice, &["addressType"]) == "FQDN" {
        warnings.push("spec.addressType: FQDN endpoints are deprecated".into());
    }
}

fn owners_twice(value: &Value) -> Option<String> {
    let owners = items(value, &["metadata", "ownerReferences"]);
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<&str> =
        owners.iter().map(|owner| text(owner, &["uid"])).filter(|uid| !seen.insert(*uid)).collect();
    let twice: Vec<&str> = twice.into_iter().collect();
    (!twice.is_empty()).then(|| {
        format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may \
             reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            twice.join(", ")
        )
    })
}

/// A pod's name becomes the name of its host, which has no dots and 63 bytes at most.
fn host_name(warnings: &mut Vec<String>, name: &str) {
    let complaints = match name.contains('.') {
        true => vec!["must not contain dots".to_owned()],
        false => names::dns1123_label(name),
    };
    if !complaints.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is \
             recommended: [{}]",
            complaints.join(" ")
        ));
    }
}

/// `PATH: duplicate WHAT "NAME"`
fn duplicate(path: &Path, what: &str, name: &str) -> String {
    format!("{path}: duplicate {what} {}", go_quote(name))
}
