//! Metadata of every kind.

use std::collections::BTreeSet;

use everynode_api::field::{BadValue, FieldError, Path, go_quote};
use everynode_api::kinds::Kind;
use everynode_api::names;
use serde_json::Value;

use super::check::{Errors, entries, flag, immutable, invalid_each, labels, list, text};

/// Total size of keys and values of annotations (DS-I46).
const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

/// Metadata on create; on update it is checked again.
pub(super) fn metadata(kind: &Kind, object: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("metadata");
    let meta = &object["metadata"];
    name(&mut errors, kind, meta, &path);
    namespace(&mut errors, kind, meta, &path);
    errors.extend(common(object));
    finalizers(&mut errors, meta, &path.child("finalizers"));
    errors
}

/// The part that creates and updates check alike.
pub(super) fn common(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("metadata");
    let meta = &object["metadata"];
    labels(&mut errors, meta, &path, "labels");
    annotations(&mut errors, meta, &path);
    owner_references(&mut errors, meta, &path.child("ownerReferences"));
    errors
}

/// What an update may not change in metadata (DS-I24).
pub(super) fn update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("metadata");
    let (new, old) = (&new["metadata"], &old["metadata"]);
    new_finalizers(&mut errors, new, old, &path);
    for name in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        immutable(&mut errors, new, old, &path, name);
    }
    errors
}

fn new_finalizers(errors: &mut Errors, new: &Value, old: &Value, path: &Path) {
    if text(old, "deletionTimestamp").is_empty() {
        return;
    }
    let before: BTreeSet<&str> = list(old, "finalizers").iter().filter_map(Value::as_str).collect();
    let after = list(new, "finalizers").iter().filter_map(Value::as_str);
    let added: BTreeSet<&str> = after.filter(|finalizer| !before.contains(finalizer)).collect();
    if !added.is_empty() {
        let added: Vec<String> = added.into_iter().map(go_quote).collect();
        let detail = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            added.join(", ")
        );
        errors.push(FieldError::forbidden(&path.child("finalizers"), detail));
    }
}

fn name(errors: &mut Errors, kind: &Kind, meta: &Value, path: &Path) {
    let rule = name_rule(kind);
    let prefix = text(meta, "generateName");
    if !prefix.is_empty() {
        invalid_each(errors, &path.child("generateName"), prefix, rule(&names::masked_generate_name(prefix)));
    }
    match text(meta, "name") {
        "" => errors.push(FieldError::required(&path.child("name"), "name or generateName is required")),
        name => invalid_each(errors, &path.child("name"), name, rule(name)),
    }
}

/// What a kind's names must be (DS-A20).
fn name_rule(kind: &Kind) -> fn(&str) -> Vec<String> {
    match (kind.group.as_ref(), kind.kind.as_ref()) {
        ("", "Namespace" | "Service") => label_name_of_object,
        ("rbac.authorization.k8s.io", _) => path_segment,
        _ => |name| in_characters(names::dns1123_subdomain(name)),
    }
}

fn label_name_of_object(name: &str) -> Vec<String> {
    match name.contains('.') {
        true => vec!["must not contain dots".to_owned()],
        false => in_characters(names::dns1123_label(name)),
    }
}

/// Of objects' names Kubernetes counts the characters, of all others the bytes.
fn in_characters(complaints: Vec<String>) -> Vec<String> {
    let reword = |text: String| match text.strip_suffix(" bytes") {
        Some(start) => format!("{start} characters"),
        None => text,
    };
    complaints.into_iter().map(reword).collect()
}

/// A name that only has to fit into a URL's path.
fn path_segment(name: &str) -> Vec<String> {
    if matches!(name, "." | "..") {
        return vec![format!("may not be '{name}'")];
    }
    let found = ["/", "%"].into_iter().filter(|part| name.contains(part));
    found.map(|part| format!("may not contain '{part}'")).collect()
}

fn namespace(errors: &mut Errors, kind: &Kind, meta: &Value, path: &Path) {
    let path = path.child("namespace");
    match (kind.namespaced, text(meta, "namespace")) {
        (true, "") => errors.push(FieldError::required(&path, "")),
        (true, namespace) => invalid_each(errors, &path, namespace, names::dns1123_label(namespace)),
        (false, "") => {}
        (false, _) => errors.push(FieldError::forbidden(&path, "not allowed on this type")),
    }
}

/// Annotations of an object, or of a pod template.
pub(super) fn annotations(errors: &mut Errors, meta: &Value, path: &Path) {
    let mut bytes = 0;
    for (key, value) in entries(meta, "annotations") {
        bytes += key.len() + value.as_str().map_or(0, str::len);
        let complaints = names::qualified_name(&key.to_ascii_lowercase());
        invalid_each(errors, &path.child("annotations"), key, complaints);
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        errors.push(FieldError::too_long(&path.child("annotations"), ANNOTATIONS_BYTES_MAX));
    }
}

fn owner_references(errors: &mut Errors, meta: &Value, path: &Path) {
    let mut controller: Option<String> = None;
    for owner in list(meta, "ownerReferences") {
        owner_reference(errors, owner, path);
        if !flag(owner, "controller") {
            continue;
        }
        let named = format!("{}/{}", text(owner, "kind"), text(owner, "name"));
        if let Some(first) = &controller {
            let detail = format!(
                "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {named}"
            );
            errors.push(FieldError::invalid(path, as_go_prints(meta), detail));
        }
        controller.get_or_insert(named);
    }
}

/// Owner references with their members in the order that Go has them in.
fn as_go_prints(meta: &Value) -> BadValue {
    let order = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
    let one = |owner: &Value| {
        let member = |name: &&str| owner.get(*name).map(|value| format!("\"{name}\":{value}"));
        format!("{{{}}}", order.iter().filter_map(member).collect::<Vec<_>>().join(","))
    };
    let all: Vec<String> = list(meta, "ownerReferences").iter().map(one).collect();
    BadValue::Raw(format!("[{}]", all.join(",")))
}

fn owner_reference(errors: &mut Errors, owner: &Value, path: &Path) {
    let mut empty = |name: &'static str, detail: &str| {
        if text(owner, name).is_empty() {
            errors.push(FieldError::invalid(&path.child(name), "", detail));
        }
    };
    empty("apiVersion", "version must not be empty");
    empty("kind", "must not be empty");
    empty("name", "must not be empty");
    empty("uid", "must not be empty");
    if text(owner, "apiVersion") == "v1" && text(owner, "kind") == "Event" {
        errors.push(FieldError::invalid(path, owner.clone(), "/v1, Kind=Event is disallowed from being an owner"));
    }
}

fn finalizers(errors: &mut Errors, meta: &Value, path: &Path) {
    let given: Vec<&str> = list(meta, "finalizers").iter().filter_map(Value::as_str).collect();
    for (index, finalizer) in given.iter().enumerate() {
        invalid_each(errors, path, finalizer, names::qualified_name(finalizer));
        if !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(finalizer) {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(&path.index(index), *finalizer, detail));
        }
    }
    if given.contains(&"orphan") && given.contains(&"foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(path, meta["finalizers"].clone(), detail));
    }
}
