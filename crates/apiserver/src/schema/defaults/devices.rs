//! Defaults of claims on devices.

use serde_json::{Map, Value};

use super::{each, fill, fill_number, with};

pub(in crate::schema) fn claim(claim: &mut Map<String, Value>) {
    with(claim, "spec", claim_spec);
}

pub(in crate::schema) fn claim_template(template: &mut Map<String, Value>) {
    with(template, "spec", |spec| with(spec, "spec", claim_spec));
}

fn claim_spec(spec: &mut Map<String, Value>) {
    with(spec, "devices", |devices| {
        each(devices, "requests", |request| {
            with(request, "exactly", device_request);
            each(request, "firstAvailable", device_request);
        });
    });
}

/// One device, unless all are wanted.
fn device_request(request: &mut Map<String, Value>) {
    fill(request, "allocationMode", || "ExactCount".into());
    if request["allocationMode"] == "ExactCount" {
        fill_number(request, "count", 1);
    }
    each(request, "tolerations", |toleration| fill(toleration, "operator", || "Equal".into()));
}
