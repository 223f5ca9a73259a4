//! Columns and cells of certificate requests.

use serde_json::Value;

use super::age::human;
use super::columns::Printer;
use super::kinds::{age, list, name, text};

impl Printer {
    pub(crate) fn certificate_requests() -> Printer {
        Printer::new("Name; Age; SignerName; Requestor; RequestedDuration; Condition", |request, now| {
            let spec = &request["spec"];
            let seconds = spec["expirationSeconds"].as_i64();
            vec![
                name(request),
                age(request, now),
                text(spec, "signerName").into(),
                text(spec, "username").into(),
                seconds.map_or_else(|| "<none>".into(), human).into(),
                condition(&request["status"]).into(),
            ]
        })
    }
}

fn condition(status: &Value) -> String {
    let has = |kind: &str| list(status, "conditions").iter().any(|condition| condition["type"] == kind);
    let first = if has("Denied") {
        "Denied"
    } else if has("Approved") {
        "Approved"
    } else {
        "Pending"
    };
    let failed = if has("Failed") { ",Failed" } else { "" };
    let issued = if text(status, "certificate").is_empty() { "" } else { ",Issued" };
    format!("{first}{failed}{issued}")
}
