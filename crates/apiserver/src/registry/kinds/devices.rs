//! Devices that pods claim: kept for drivers and schedulers of others. A pod that uses a claim is
//! refused by name (`schema/validate/pod`), because nothing here prepares devices.

use everynode_api::kinds::{DEVICE_CLASS, RESOURCE_CLAIM, RESOURCE_CLAIM_TEMPLATE, RESOURCE_SLICE};
use serde_json::json;

use super::stored::Stored;
use crate::catalogue::Row;
use crate::hub::FieldRules;
use crate::schema::Rules;
use crate::tables::Printer;

static WITH_GENERATIONS: Stored = Stored::WITH_GENERATIONS;
static ORDINARY: Stored = Stored::ORDINARY;
static CLAIMS: Stored = Stored { status: Some(|_| json!({})), ..Stored::ORDINARY };

pub(crate) fn device_class() -> Row {
    Row {
        strategy: &WITH_GENERATIONS,
        rules: Rules::DEVICE_CLASS,
        printer: Printer::named("Name; Age"),
        ..Row::ordinary(&DEVICE_CLASS)
    }
}

pub(crate) fn resource_claim() -> Row {
    Row {
        strategy: &CLAIMS,
        rules: Rules::RESOURCE_CLAIM,
        printer: Printer::resource_claims(),
        ..Row::ordinary(&RESOURCE_CLAIM)
    }
}

pub(crate) fn resource_claim_template() -> Row {
    Row {
        strategy: &ORDINARY,
        rules: Rules::RESOURCE_CLAIM_TEMPLATE,
        printer: Printer::named("Name; Age"),
        ..Row::ordinary(&RESOURCE_CLAIM_TEMPLATE)
    }
}

pub(crate) fn resource_slice() -> Row {
    Row {
        strategy: &WITH_GENERATIONS,
        rules: Rules::RESOURCE_SLICE,
        fields: FieldRules::resource_slices(),
        printer: Printer::resource_slices(),
        ..Row::ordinary(&RESOURCE_SLICE)
    }
}
