//! Extended resources that an administrator has put into the node's `status.capacity`, the
//! documented way: the agent makes them allocatable. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::machine::Machine;

/// What the node's object has besides what the machine has.
#[derive(Debug, Default)]
pub(super) struct Extended {
    capacity: BTreeMap<String, Value>,
    /// Allocatable, and no longer in the capacity.
    withdrawn: Vec<String>,
}

impl Extended {
    /// From the node's object as the server has it.
    pub(super) fn of(node: &Value, machine: &Machine) -> Self {
        let own = machine.capacity();
        let others = |member: &str| {
            let amounts = node["status"][member].as_object().cloned().unwrap_or_default();
            amounts.into_iter().filter(|(name, _)| !own.contains_key(name)).collect::<BTreeMap<_, _>>()
        };
        let capacity = others("capacity");
        let withdrawn = others("allocatable").into_keys().filter(|name| !capacity.contains_key(name)).collect();
        Extended { capacity, withdrawn }
    }

    /// What pods may use, as a patch: `null` takes away.
    pub(super) fn allocatable(&self, own: &BTreeMap<String, String>) -> Map<String, Value> {
        let own = own.iter().map(|(name, amount)| (name.clone(), Value::from(amount.clone())));
        let withdrawn = self.withdrawn.iter().map(|name| (name.clone(), Value::Null));
        own.chain(self.capacity.clone()).chain(withdrawn).collect()
    }
}
