//! What a namespace's objects may have: limit ranges and quotas.

use everynode_api::kinds::{LIMIT_RANGE, RESOURCE_QUOTA};
use serde_json::json;

use super::stored::Stored;
use crate::catalogue::Row;
use crate::catalogue::row::Admission;
use crate::registry::quota;
use crate::schema::Rules;
use crate::tables::Printer;

static ORDINARY: Stored = Stored::ORDINARY;
static QUOTAS: Stored = Stored { status: Some(|_| json!({})), ..Stored::ORDINARY };

pub(crate) fn limit_range() -> Row {
    Row {
        strategy: &ORDINARY,
        rules: Rules::LIMIT_RANGE,
        printer: Printer::limit_ranges(),
        ..Row::ordinary(&LIMIT_RANGE)
    }
}

pub(crate) fn resource_quota() -> Row {
    Row {
        strategy: &QUOTAS,
        admission: Admission { update: |registry, _, _, new, _| quota::recount(registry, new), ..Admission::ORDINARY },
        rules: Rules::RESOURCE_QUOTA,
        printer: Printer::resource_quotas(),
        ..Row::ordinary(&RESOURCE_QUOTA)
    }
}
