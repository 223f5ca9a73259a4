//! Columns and cells of limit ranges and quotas.

use jiff::Timestamp;
use serde_json::Value;

use super::columns::Printer;
use super::kinds::{age, name, plain};

const QUOTA: &str = "Name; Request: Request represents a minimum amount of cpu/memory that a container may consume.; \
Limit: Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.; Age";

impl Printer {
    pub(crate) fn limit_ranges() -> Printer {
        Printer::new("Name; Created At", plain)
    }

    pub(crate) fn resource_quotas() -> Printer {
        Printer::new(QUOTA, resource_quota)
    }
}

fn resource_quota(quota: &Value, now: Timestamp) -> Vec<Value> {
    let status = &quota["status"];
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let amount = |value: &Value| value.as_str().unwrap_or("0").to_owned();
    for (resource, hard) in status["hard"].as_object().into_iter().flatten() {
        let shown = format!("{resource}: {}/{}", amount(&status["used"][resource]), amount(hard));
        let column = if resource.starts_with("limits") { &mut limits } else { &mut requests };
        column.push(shown);
    }
    vec![name(quota), requests.join(", ").into(), limits.join(", ").into(), age(quota, now)]
}
