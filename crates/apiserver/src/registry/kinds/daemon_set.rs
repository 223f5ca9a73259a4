//! DaemonSets: two generations (DS-A10 to DS-A15).

use everynode_api::kinds::{CONTROLLER_REVISION, DAEMON_SET};
use everynode_api::status::Status;
use serde_json::{Value, json};

use crate::catalogue::Row;
use crate::object::{self, TEMPLATE_GENERATION};
use crate::registry::Registry;
use crate::registry::strategy::Strategy;
use crate::schema::Rules;
use crate::schema::semantic_eq;
use crate::tables::Printer;

pub(crate) struct DaemonSets;

/// Everything about them.
pub(crate) fn row() -> Row {
    Row {
        strategy: &DaemonSets,
        rules: Rules::DAEMON_SET,
        printer: Printer::daemon_sets(),
        ..Row::ordinary(&DAEMON_SET)
    }
}

/// Their revisions are ordinary objects.
pub(crate) fn revision_row() -> Row {
    Row {
        rules: Rules::CONTROLLER_REVISION,
        printer: Printer::controller_revisions(),
        ..Row::ordinary(&CONTROLLER_REVISION)
    }
}

impl Strategy for DaemonSets {
    fn counts_generations(&self) -> bool {
        true
    }

    /// Kubernetes holds the generation as a field, of which it makes the annotation.
    fn repeat(&self, value: &mut Value) {
        if template_generation(value).is_none() {
            set_template_generation(value, 0);
        }
    }

    fn prepare_create(&self, _: &Registry, value: &mut Value) -> Result<(), Status> {
        // DS-A46
        value["status"] = json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0});
        let given = template_generation(value).filter(|generation| *generation >= 1);
        set_template_generation(value, given.unwrap_or(1));
        Ok(())
    }

    fn prepare_update(&self, _: &Registry, new: &mut Value, old: &Value) -> Result<(), Status> {
        let before = template_generation(old).unwrap_or(1);
        let changed = !semantic_eq(&new["spec"]["template"], &old["spec"]["template"]);
        set_template_generation(new, before + i64::from(changed));
        Ok(())
    }

    fn prepare_status(&self, new: &mut Value, old: &Value) {
        crate::registry::strategy::keep_all_but_status(new, old);
        set_template_generation(new, template_generation(old).unwrap_or(1));
    }
}

fn template_generation(value: &Value) -> Option<i64> {
    value["metadata"]["annotations"][TEMPLATE_GENERATION].as_str()?.parse().ok()
}

fn set_template_generation(value: &mut Value, generation: i64) {
    object::meta_mut(value);
    let annotations = object::object_mut(&mut value["metadata"], "annotations");
    annotations.insert(TEMPLATE_GENERATION.into(), generation.to_string().into());
}
