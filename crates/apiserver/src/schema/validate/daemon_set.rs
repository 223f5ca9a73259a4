//! DaemonSets (docs/requirements.md, A) and ControllerRevisions.

use everynode_api::field::{BadValue, FieldError, Path};
use serde_json::{Value, json};

use super::check::{Errors, amount, immutable, int, label_selector, non_negative, present, selector, text};
use super::pod;

const COUNTERS: [&str; 9] = [
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
];

pub(in crate::schema) fn daemon_set(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("spec");
    let spec = &object["spec"];
    selection(&mut errors, spec, &path);
    let template = path.child("template");
    errors.extend(pod::template(&spec["template"], &template));
    template_limits(&mut errors, &spec["template"]["spec"], &template.child("spec"));
    non_negative(&mut errors, spec, &path, &["minReadySeconds"]);
    strategy(&mut errors, &spec["updateStrategy"], &path.child("updateStrategy"));
    non_negative(&mut errors, spec, &path, &["revisionHistoryLimit"]);
    errors
}

/// DS-A25
pub(in crate::schema) fn daemon_set_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    immutable(&mut errors, &new["spec"], &old["spec"], &Path::new("spec"), "selector");
    errors
}

/// DS-A39
pub(in crate::schema) fn daemon_set_status(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("status");
    let status = &new["status"];
    non_negative(&mut errors, status, &path, &COUNTERS);
    let (now, before) = (int(status, "collisionCount"), int(&old["status"], "collisionCount"));
    if before.is_some_and(|before| now.is_none_or(|now| now < before)) {
        let value = now.map_or(BadValue::NULL, BadValue::from);
        errors.push(FieldError::invalid(&path.child("collisionCount"), value, "cannot be decremented"));
    }
    errors
}

/// DS-A21 to DS-A24, DS-L02
fn selection(errors: &mut Errors, spec: &Value, path: &Path) {
    label_selector(errors, spec, path, "selector");
    let given = selector(spec, "selector");
    let matches = match &given {
        None => Ok(false),
        Some(given) => given.to_selector().map(|selector| {
            let labels = &spec["template"]["metadata"]["labels"];
            selector.matches(|key| labels.get(key).and_then(Value::as_str))
        }),
    };
    if matches == Ok(false) {
        let labels = &spec["template"]["metadata"]["labels"];
        let detail = "`selector` does not match template `labels`";
        let path = path.child("template").child("metadata").child("labels");
        errors.push(FieldError::invalid(&path, labels.clone(), detail));
    }
    if given.is_some_and(|given| given.is_empty()) {
        let detail = "empty selector is invalid for daemonset";
        errors.push(FieldError::invalid(&path.child("selector"), spec["selector"].clone(), detail));
    }
}

/// DS-A26, DS-A27
fn template_limits(errors: &mut Errors, spec: &Value, path: &Path) {
    let policy = text(spec, "restartPolicy");
    if policy != "Always" {
        errors.push(FieldError::not_supported(&path.child("restartPolicy"), policy, &["Always"]));
    }
    if present(spec, "activeDeadlineSeconds").is_some() {
        let detail = "activeDeadlineSeconds in DaemonSet is not Supported";
        errors.push(FieldError::forbidden(&path.child("activeDeadlineSeconds"), detail));
    }
}

/// DS-A05, DS-A29
fn strategy(errors: &mut Errors, strategy: &Value, path: &Path) {
    match text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" => match present(strategy, "rollingUpdate") {
            None => errors.push(FieldError::required(&path.child("rollingUpdate"), "")),
            Some(update) => rolling_update(errors, update, &path.child("rollingUpdate")),
        },
        other => {
            // The whole strategy, as Go prints it: in the order of its members.
            let whole = format!("{{\"Type\":{},\"RollingUpdate\":{}}}", json!(other), strategy["rollingUpdate"]);
            errors.push(FieldError::not_supported(path, BadValue::Raw(whole), &["RollingUpdate", "OnDelete"]));
        }
    }
}

/// DS-A31 to DS-A35
fn rolling_update(errors: &mut Errors, update: &Value, path: &Path) {
    let unavailable = amount(errors, update, path, "maxUnavailable");
    let surge = amount(errors, update, path, "maxSurge");
    let is_zero = |amount: &Option<everynode_api::int_or_string::IntOrString>| {
        amount
            .as_ref()
            .is_none_or(|amount| amount.is_zero() || amount.percent().is_none() && as_go_counts(&amount.to_json()) == 0)
    };
    match (is_zero(&unavailable), is_zero(&surge)) {
        (false, false) => {
            let detail = "may not be set when maxUnavailable is non-zero";
            errors.push(FieldError::invalid(&path.child("maxSurge"), update["maxSurge"].clone(), detail));
        }
        (true, true) => {
            let detail = "cannot be 0 when maxSurge is 0";
            errors.push(FieldError::required(&path.child("maxUnavailable"), detail));
        }
        _ => {}
    }
}

/// A number, also if it is in a text; another text is none.
fn as_go_counts(amount: &Value) -> i64 {
    let in_text = || amount.as_str().and_then(|text| text.parse().ok());
    amount.as_i64().or_else(in_text).unwrap_or(0)
}

/// DS-D40
pub(in crate::schema) fn revision(object: &Value) -> Errors {
    let mut errors = Errors::new();
    if let Some(revision) = int(object, "revision").filter(|revision| *revision < 0) {
        errors.push(FieldError::invalid(&Path::new("revision"), revision, "must be greater than or equal to 0"));
    }
    match present(object, "data") {
        None => errors.push(FieldError::required(&Path::new("data"), "data is mandatory")),
        Some(data) if !data.is_object() => {
            errors.push(FieldError::required(&Path::new("data"), "data must be a valid JSON object"));
        }
        Some(_) => {}
    }
    errors
}

/// DS-D40: `data` never changes, not even in a way that means the same.
pub(in crate::schema) fn revision_update(new: &Value, old: &Value) -> Errors {
    match new.get("data") == old.get("data") {
        true => Errors::new(),
        false => vec![FieldError::invalid(&Path::new("data"), new["data"].clone(), "field is immutable")],
    }
}
