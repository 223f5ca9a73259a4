//! Nodes: born not ready (DS-G14).

use everynode_api::kinds::NODE;
use everynode_api::status::Status;
use serde_json::{Value, json};

use crate::catalogue::Row;
use crate::hub::FieldRules;
use crate::object;
use crate::registry::Registry;
use crate::registry::strategy::Strategy;
use crate::schema::Rules;
use crate::tables::Printer;

pub(crate) struct Nodes;

const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// Everything about them.
pub(crate) fn row() -> Row {
    Row {
        strategy: &Nodes,
        rules: Rules::NODE,
        fields: FieldRules::nodes(),
        printer: Printer::nodes(),
        ..Row::ordinary(&NODE)
    }
}

impl Strategy for Nodes {
    /// A node that does not say it is ready gets the taint at once, so that nothing is placed on it
    /// before the node lifecycle controller has looked.
    fn prepare_create(&self, _: &Registry, value: &mut Value) -> Result<(), Status> {
        let ready = object::condition(value, "Ready").is_some_and(|condition| condition["status"] == "True");
        object::object_mut(value, "spec");
        let tainted = |taint: &Value| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule";
        if !ready && !object::items(value, &["spec", "taints"]).iter().any(tainted) {
            object::list_mut(&mut value["spec"], "taints").push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
        }
        Ok(())
    }

    fn prepare_update(&self, _: &Registry, new: &mut Value, old: &Value) -> Result<(), Status> {
        // podCIDR can be set once and then stays.
        for name in ["podCIDR", "podCIDRs", "providerID"] {
            if new["spec"][name].is_null() && !old["spec"][name].is_null() {
                object::object_mut(new, "spec").insert(name.into(), old["spec"][name].clone());
            }
        }
        Ok(())
    }
}
