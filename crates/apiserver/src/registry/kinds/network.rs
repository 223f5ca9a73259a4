//! Kinds of networks that plugins and proxies act on.

use everynode_api::kinds::{ENDPOINT_SLICE, INGRESS_CLASS, NETWORK_POLICY};

use serde_json::Value;

use super::stored::{GenerationsOf, Stored};
use crate::catalogue::Row;
use crate::schema::Rules;
use crate::tables::Printer;

static SLICES: Stored =
    Stored { generations_of: GenerationsOf::Content, shape: without_empty_lists, ..Stored::ORDINARY };
static WITH_GENERATIONS: Stored = Stored::WITH_GENERATIONS;

/// Lists without items are absent ones in the original.
fn without_empty_lists(slice: &mut Value) {
    for name in ["endpoints", "ports"] {
        if slice[name].as_array().is_some_and(Vec::is_empty) {
            slice[name] = Value::Null;
        }
    }
}

pub(crate) fn endpoint_slice() -> Row {
    Row {
        strategy: &SLICES,
        rules: Rules::ENDPOINT_SLICE,
        printer: Printer::endpoint_slices(),
        ..Row::ordinary(&ENDPOINT_SLICE)
    }
}

pub(crate) fn network_policy() -> Row {
    Row {
        strategy: &WITH_GENERATIONS,
        rules: Rules::NETWORK_POLICY,
        printer: Printer::network_policies(),
        ..Row::ordinary(&NETWORK_POLICY)
    }
}

pub(crate) fn ingress_class() -> Row {
    Row {
        strategy: &WITH_GENERATIONS,
        rules: Rules::INGRESS_CLASS,
        printer: Printer::ingress_classes(),
        ..Row::ordinary(&INGRESS_CLASS)
    }
}
