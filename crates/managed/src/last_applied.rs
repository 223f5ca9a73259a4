//! From client-side apply to server-side apply: what kubectl's annotation says.

use serde_json::Value;

use crate::compare::compare;
use crate::field_set::validate;
use crate::set::FieldSet;
use crate::update::Root;

/// The annotation in which client-side apply keeps what it applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The manager for which the annotation counts and is kept up to date.
pub(crate) const KUBECTL: &str = "kubectl";

/// How long all annotations of an object may be together, in bytes.
const ANNOTATIONS_MAX_BYTES: usize = 256 * 1024;

/// The fields that client-side apply set and that are still as it set them; `None`: the annotation
/// is absent, no object of this version, or of another type than it should be.
pub(crate) fn owned_by_annotation(root: Root<'_>, api_version: &str, live: &Value) -> Option<FieldSet> {
    let text = annotation(live)?;
    let applied: Value = serde_json::from_str(text).ok()?;
    if applied["apiVersion"] != api_version {
        return None;
    }
    let said = validate(root.schema, root.id, &applied).ok()?;
    let change = compare(root.schema, root.id, &applied, live).ok()?;
    Some(said.difference(&change.modified).difference(&change.added).difference(&change.removed))
}

fn annotation(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"][LAST_APPLIED].as_str().filter(|text| !text.is_empty())
}

/// Writes what is applied now into the annotation, if the object has it.
pub(crate) fn renew_annotation(object: &mut Value, applied: &Value) {
    if annotation(object).is_none() {
        return;
    }
    let mut kept = applied.clone();
    if let Some(annotations) = kept.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    let text = format!("{kept}\n");
    let annotations = &mut object["metadata"]["annotations"];
    let others = annotations.as_object().into_iter().flatten().filter(|(name, _)| *name != LAST_APPLIED);
    let size: usize = others.map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
    let fits = size + LAST_APPLIED.len() + text.len() <= ANNOTATIONS_MAX_BYTES;
    annotations[LAST_APPLIED] = if fits { text } else { String::new() }.into();
}
