//! Devices that pods claim.

use std::collections::BTreeSet;

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use serde_json::Value;

use super::check::{Errors, int, invalid_each, list, one_of, present, required, text, whole};

/// Selectors of a request or class, requests of a claim, constraints, configurations.
const ITEMS_MAX: usize = 32;
const DEVICES_MAX: usize = 128;
const SUB_REQUESTS_MAX: usize = 8;
const EXPRESSION_BYTES_MAX: usize = 10 << 10;

pub(in crate::schema) fn device_class(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (spec, path) = (&object["spec"], Path::new("spec"));
    selectors(&mut errors, spec, &path.child("selectors"));
    configurations(&mut errors, spec, &path.child("config"));
    errors
}

fn selectors(errors: &mut Errors, owner: &Value, path: &Path) {
    bounded(errors, list(owner, "selectors"), ITEMS_MAX, path);
    for (index, selector) in list(owner, "selectors").iter().enumerate() {
        let path = path.index(index).child("cel");
        match present(selector, "cel") {
            None => errors.push(FieldError::required(&path, "")),
            Some(rule) => {
                let path = path.child("expression");
                match text(rule, "expression").len() {
                    0 => errors.push(FieldError::required(&path, "")),
                    bytes if bytes > EXPRESSION_BYTES_MAX => {
                        errors.push(FieldError::too_long(&path, EXPRESSION_BYTES_MAX));
                    }
                    _ => {}
                }
            }
        }
    }
}

fn configurations(errors: &mut Errors, owner: &Value, path: &Path) {
    bounded(errors, list(owner, "config"), ITEMS_MAX, path);
    for (index, configuration) in list(owner, "config").iter().enumerate() {
        let path = path.index(index).child("opaque");
        match present(configuration, "opaque") {
            None => errors.push(FieldError::required(&path, "")),
            Some(opaque) => driver(errors, opaque, &path),
        }
    }
}

fn driver(errors: &mut Errors, owner: &Value, path: &Path) {
    if required(errors, owner, path, "driver") {
        let name = text(owner, "driver");
        invalid_each(errors, &path.child("driver"), name, names::dns1123_subdomain(name));
    }
}

fn bounded(errors: &mut Errors, items: &[Value], items_max: usize, path: &Path) {
    if items.len() > items_max {
        errors.push(FieldError::too_many(path, items.len(), items_max));
    }
}

pub(in crate::schema) fn claim(object: &Value) -> Errors {
    let mut errors = Errors::new();
    claim_spec(&mut errors, &object["spec"], &Path::new("spec"));
    errors
}

pub(in crate::schema) fn claim_template(object: &Value) -> Errors {
    let mut errors = Errors::new();
    claim_spec(&mut errors, &object["spec"]["spec"], &Path::new("spec").child("spec"));
    errors
}

fn claim_spec(errors: &mut Errors, spec: &Value, path: &Path) {
    let (devices, path) = (&spec["devices"], path.child("devices"));
    let (requests, at) = (list(devices, "requests"), path.child("requests"));
    bounded(errors, requests, ITEMS_MAX, &at);
    let mut seen = BTreeSet::new();
    for (index, request) in requests.iter().enumerate() {
        let at = at.index(index);
        name(errors, request, &mut seen, &at);
        self::request(errors, request, &at);
    }
    bounded(errors, list(devices, "constraints"), ITEMS_MAX, &path.child("constraints"));
    configurations(errors, devices, &path.child("config"));
    for (member, at) in [("constraints", path.child("constraints")), ("config", path.child("config"))] {
        for (index, item) in list(devices, member).iter().enumerate() {
            known_requests(errors, item, &seen, &at.index(index).child("requests"));
        }
    }
}

fn name<'v>(errors: &mut Errors, owner: &'v Value, seen: &mut BTreeSet<&'v str>, path: &Path) {
    let given = text(owner, "name");
    if !required(errors, owner, path, "name") {
        return;
    }
    invalid_each(errors, &path.child("name"), given, names::dns1123_label(given));
    if !seen.insert(given) {
        errors.push(FieldError::duplicate(&path.child("name"), given));
    }
}

/// Either one exact wish, or a list of wishes in the order of preference.
fn request(errors: &mut Errors, request: &Value, path: &Path) {
    let wishes = list(request, "firstAvailable");
    match (present(request, "exactly"), wishes.is_empty()) {
        (None, true) => {
            let detail = "exactly one of `exactly` or `firstAvailable` is required";
            errors.push(FieldError::required(path, detail));
        }
        (Some(_), false) => {
            let detail = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errors.push(FieldError::invalid(path, whole(request), detail));
        }
        (Some(exactly), true) => wish(errors, exactly, &path.child("exactly")),
        (None, false) => {
            let path = path.child("firstAvailable");
            bounded(errors, wishes, SUB_REQUESTS_MAX, &path);
            let mut seen = BTreeSet::new();
            for (index, one) in wishes.iter().enumerate() {
                name(errors, one, &mut seen, &path.index(index));
                wish(errors, one, &path.index(index));
            }
        }
    }
}

fn wish(errors: &mut Errors, wish: &Value, path: &Path) {
    if required(errors, wish, path, "deviceClassName") {
        let class = text(wish, "deviceClassName");
        invalid_each(errors, &path.child("deviceClassName"), class, names::dns1123_subdomain(class));
    }
    selectors(errors, wish, &path.child("selectors"));
    one_of(errors, wish, path, "allocationMode", &["All", "ExactCount"]);
    let count = int(wish, "count").unwrap_or(0);
    match text(wish, "allocationMode") {
        "All" if count != 0 => {
            let detail = "must not be specified when allocationMode is 'All'";
            errors.push(FieldError::invalid(&path.child("count"), count, detail));
        }
        "ExactCount" if count <= 0 => {
            errors.push(FieldError::invalid(&path.child("count"), count, "must be greater than zero"));
        }
        _ => {}
    }
}

fn known_requests(errors: &mut Errors, owner: &Value, known: &BTreeSet<&str>, path: &Path) {
    for (index, request) in list(owner, "requests").iter().filter_map(Value::as_str).enumerate() {
        let first = request.split('/').next().unwrap_or_default();
        if !known.contains(first) {
            let detail = "must be the name of a request in the claim or the name of a request and a subrequest \
                          separated by '/'";
            errors.push(FieldError::invalid(&path.index(index), request, detail));
        }
    }
}

pub(in crate::schema) fn claim_update(new: &Value, old: &Value) -> Errors {
    frozen(new, old).into_iter().chain(claim(new)).collect()
}

pub(in crate::schema) fn claim_template_update(new: &Value, old: &Value) -> Errors {
    frozen(new, old).into_iter().chain(claim_template(new)).collect()
}

fn frozen(new: &Value, old: &Value) -> Option<FieldError> {
    let changed = !crate::schema::semantic_eq(&new["spec"], &old["spec"]);
    changed.then(|| FieldError::invalid(&Path::new("spec"), whole(&new["spec"]), "field is immutable"))
}

/// What was allocated stays until it is given back.
pub(in crate::schema) fn claim_status(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let (new, old, path) = (&new["status"], &old["status"], Path::new("status"));
    let (now, before) = (present(new, "allocation"), present(old, "allocation"));
    if let (Some(now), Some(before)) = (now, before)
        && !crate::schema::semantic_eq(now, before)
    {
        errors.push(FieldError::invalid(&path.child("allocation"), whole(now), "field is immutable"));
    }
    let users = list(new, "reservedFor");
    if users.len() > 256 {
        errors.push(FieldError::too_many(&path.child("reservedFor"), users.len(), 256));
    }
    if now.is_none() && !users.is_empty() {
        let detail = "may not be specified when `allocated` is not set";
        errors.push(FieldError::forbidden(&path.child("reservedFor"), detail));
    }
    errors
}

pub(in crate::schema) fn slice(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (spec, path) = (&object["spec"], Path::new("spec"));
    driver(&mut errors, spec, &path);
    required(&mut errors, &spec["pool"], &path.child("pool"), "name");
    let pool = path.child("pool");
    if int(&spec["pool"], "resourceSliceCount").unwrap_or(0) <= 0 {
        let count = int(&spec["pool"], "resourceSliceCount").unwrap_or(0);
        errors.push(FieldError::invalid(&pool.child("resourceSliceCount"), count, "must be greater than zero"));
    }
    let places = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"];
    let given = places.iter().filter(|name| present(spec, name).is_some_and(|value| *value != false && *value != ""));
    match given.count() {
        1 => {}
        0 => {
            let detail = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
            errors.push(FieldError::required(&path, detail));
        }
        _ => {
            let detail = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, \
                          but multiple fields are set";
            errors.push(FieldError::invalid(&path, "{}", detail));
        }
    }
    let devices = list(spec, "devices");
    bounded(&mut errors, devices, DEVICES_MAX, &path.child("devices"));
    let mut seen = BTreeSet::new();
    for (index, device) in devices.iter().enumerate() {
        name(&mut errors, device, &mut seen, &path.child("devices").index(index));
    }
    errors
}

pub(in crate::schema) fn slice_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let (path, new, old) = (Path::new("spec"), &new["spec"], &old["spec"]);
    for name in ["driver", "nodeName"] {
        super::check::immutable(&mut errors, new, old, &path, name);
    }
    super::check::immutable(&mut errors, &new["pool"], &old["pool"], &path.child("pool"), "name");
    errors
}
