//! Columns and cells of devices that pods claim.

use serde_json::Value;

use super::columns::Printer;
use super::kinds::{age, list, name, service_account, text};

const CLAIM: &str = "Name; State: A summary of the current state (allocated, pending, reserved, etc.).; Age";
const SLICE: &str = "Name; Node; Driver; Pool; Age";

impl Printer {
    /// Name and age only.
    pub(crate) fn named(columns: &'static str) -> Printer {
        Printer::new(columns, service_account)
    }

    pub(crate) fn resource_claims() -> Printer {
        Printer::new(CLAIM, |claim, now| vec![name(claim), state(claim).into(), age(claim, now)])
    }

    pub(crate) fn resource_slices() -> Printer {
        Printer::new(SLICE, |slice, now| {
            let spec = &slice["spec"];
            let node = spec["nodeName"].as_str().unwrap_or("<unset>");
            let pool = text(&spec["pool"], "name");
            vec![name(slice), node.into(), text(spec, "driver").into(), pool.into(), age(slice, now)]
        })
    }
}

fn state(claim: &Value) -> String {
    let status = &claim["status"];
    let mut states = Vec::new();
    if !claim["metadata"]["deletionTimestamp"].is_null() {
        states.push("deleted");
    }
    match (status["allocation"].is_null(), list(status, "reservedFor").is_empty()) {
        (true, _) if claim["metadata"]["deletionTimestamp"].is_null() => states.push("pending"),
        (true, _) => {}
        (false, true) => states.push("allocated"),
        (false, false) => states.extend(["allocated", "reserved"]),
    }
    states.join(",")
}
