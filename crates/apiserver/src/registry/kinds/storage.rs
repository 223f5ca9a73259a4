//! Storage and runtimes: what drivers, agents and schedulers say and ask about them.

use everynode_api::kinds::{
    CSI_DRIVER, CSI_NODE, CSI_STORAGE_CAPACITY, RUNTIME_CLASS, STORAGE_CLASS, VOLUME_ATTACHMENT,
    VOLUME_ATTRIBUTES_CLASS,
};
use serde_json::json;

use super::stored::Stored;
use crate::catalogue::Row;
use crate::schema::Rules;
use crate::tables::Printer;

static ORDINARY: Stored = Stored::ORDINARY;
static CONDITIONAL: Stored = Stored::CONDITIONAL;
static ATTACHMENT: Stored = Stored { status: Some(|_| json!({"attached": false})), ..Stored::CONDITIONAL };

pub(crate) fn runtime_class() -> Row {
    Row {
        strategy: &CONDITIONAL,
        rules: Rules::RUNTIME_CLASS,
        printer: Printer::runtime_classes(),
        ..Row::ordinary(&RUNTIME_CLASS)
    }
}

pub(crate) fn csi_driver() -> Row {
    Row {
        strategy: &CONDITIONAL,
        rules: Rules::CSI_DRIVER,
        printer: Printer::csi_drivers(),
        ..Row::ordinary(&CSI_DRIVER)
    }
}

pub(crate) fn csi_node() -> Row {
    Row { strategy: &CONDITIONAL, rules: Rules::CSI_NODE, printer: Printer::csi_nodes(), ..Row::ordinary(&CSI_NODE) }
}

pub(crate) fn csi_storage_capacity() -> Row {
    Row {
        strategy: &CONDITIONAL,
        rules: Rules::CSI_STORAGE_CAPACITY,
        printer: Printer::csi_storage_capacities(),
        ..Row::ordinary(&CSI_STORAGE_CAPACITY)
    }
}

pub(crate) fn storage_class() -> Row {
    Row {
        strategy: &ORDINARY,
        rules: Rules::STORAGE_CLASS,
        printer: Printer::storage_classes(),
        ..Row::ordinary(&STORAGE_CLASS)
    }
}

pub(crate) fn volume_attachment() -> Row {
    Row {
        strategy: &ATTACHMENT,
        rules: Rules::VOLUME_ATTACHMENT,
        printer: Printer::volume_attachments(),
        ..Row::ordinary(&VOLUME_ATTACHMENT)
    }
}

pub(crate) fn volume_attributes_class() -> Row {
    Row {
        strategy: &ORDINARY,
        rules: Rules::VOLUME_ATTRIBUTES_CLASS,
        printer: Printer::volume_attributes_classes(),
        ..Row::ordinary(&VOLUME_ATTRIBUTES_CLASS)
    }
}
