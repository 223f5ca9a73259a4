//! Kinds of networks that plugins and proxies act on.

use everynode_api::kinds::{ENDPOINT_SLICE, INGRESS_CLASS, NETWORK_POLICY};

use super::stored::{GenerationsOf, Stored};
use crate::catalogue::Row;
use crate::schema::Rules;
use crate::tables::Printer;

static SLICES: Stored = Stored { generations_of: GenerationsOf::Content, ..Stored::ORDINARY };
static WITH_GENERATIONS: Stored = Stored::WITH_GENERATIONS;

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
