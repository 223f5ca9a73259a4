//! Kinds with one rule each.

use std::time::Duration;

use everynode_api::status::Status;
use serde_json::{Value, json};

use crate::registry::Registry;
use crate::registry::strategy::Strategy;

pub(crate) struct Events;

/// DS-I44
const EVENT_TTL: Duration = Duration::from_secs(3600);

impl Strategy for Events {
    fn expires_in(&self) -> Option<Duration> {
        Some(EVENT_TTL)
    }

    fn creates_on_update(&self) -> bool {
        true
    }
}

pub(crate) struct ServiceAccounts;

impl Strategy for ServiceAccounts {
    fn updates_unconditionally(&self) -> bool {
        false
    }

    fn returns_deleted(&self) -> bool {
        true
    }
}

pub(crate) struct PodDisruptionBudgets;

impl Strategy for PodDisruptionBudgets {
    fn updates_unconditionally(&self) -> bool {
        false
    }

    fn counts_generations(&self) -> bool {
        true
    }

    fn prepare_create(&self, _: &Registry, value: &mut Value) -> Result<(), Status> {
        value["status"] = json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0});
        Ok(())
    }
}

pub(crate) struct PriorityClasses;

impl Strategy for PriorityClasses {
    fn counts_generations(&self) -> bool {
        true
    }
}

pub(crate) struct Leases;

impl Strategy for Leases {
    fn creates_on_update(&self) -> bool {
        true
    }

    fn updates_unconditionally(&self) -> bool {
        false
    }
}

/// Endpoints and the RBAC kinds: ordinary, but that a PUT also makes them.
pub(crate) struct MadeByUpdate;

impl Strategy for MadeByUpdate {
    fn creates_on_update(&self) -> bool {
        true
    }
}
