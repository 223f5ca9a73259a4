//! Kinds with few rules of their own.

use std::time::Duration;

use everynode_api::kinds::{
    CONFIG_MAP, ENDPOINTS, EVENT, EVENTS_EVENT, Kind, LEASE, POD_DISRUPTION_BUDGET, PRIORITY_CLASS, SERVICE_ACCOUNT,
};
use everynode_api::status::Status;
use everynode_store::Durability;
use serde_json::{Value, json};

use crate::catalogue::Row;
use crate::catalogue::row::{Admission, Form};
use crate::hub::FieldRules;
use crate::registry::admission;
use crate::registry::strategy::Strategy;
use crate::registry::{Registry, Target};
use crate::schema::Rules;
use crate::tables::Printer;

/// Fewer events are kept of what is written all the time and hardly watched: 5,000 nodes renew 500
/// leases a second.
const HISTORY_OF_NOISE_EVENTS_MAX: usize = 2_048;
/// Where nodes renew their leases.
const NODE_LEASES: &str = "kube-node-lease";

pub(crate) fn config_map() -> Row {
    Row { rules: Rules::CONFIG_MAP, printer: Printer::config_maps(), ..Row::ordinary(&CONFIG_MAP) }
}

pub(crate) fn service_account() -> Row {
    Row {
        strategy: &ServiceAccounts,
        rules: Rules::SERVICE_ACCOUNT,
        printer: Printer::service_accounts(),
        ..Row::ordinary(&SERVICE_ACCOUNT)
    }
}

pub(crate) fn endpoints() -> Row {
    Row {
        strategy: &MadeByUpdate,
        rules: Rules::ENDPOINTS,
        printer: Printer::endpoints(),
        deprecated: Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".into()),
        ..Row::ordinary(&ENDPOINTS)
    }
}

pub(crate) fn event() -> Row {
    Row {
        strategy: &Events,
        rules: Rules::EVENT,
        fields: FieldRules::events(),
        printer: Printer::events(),
        history_events_max: HISTORY_OF_NOISE_EVENTS_MAX,
        ..Row::ordinary(&EVENT)
    }
}

pub(crate) fn events_event() -> Row {
    Row {
        strategy: &Events,
        rules: Rules::EVENTS_EVENT,
        fields: FieldRules::events(),
        printer: Printer::events(),
        form: Form::EventsV1,
        ..Row::ordinary(&EVENTS_EVENT)
    }
}

pub(crate) fn lease() -> Row {
    Row {
        strategy: &Leases,
        rules: Rules::LEASE,
        printer: Printer::leases(),
        history_events_max: HISTORY_OF_NOISE_EVENTS_MAX,
        is_durable: false,
        // Node leases may be acknowledged before their fsync (design "The store"); leader leases
        // never.
        durability: |namespace| match namespace == NODE_LEASES {
            true => Durability::Relaxed,
            false => Durability::Fsync,
        },
        ..Row::ordinary(&LEASE)
    }
}

pub(crate) fn priority_class() -> Row {
    Row {
        strategy: &PriorityClasses,
        admission: Admission { delete: keep_built_in_classes, ..Admission::ORDINARY },
        rules: Rules::PRIORITY_CLASS,
        printer: Printer::priority_classes(),
        ..Row::ordinary(&PRIORITY_CLASS)
    }
}

/// Without their classes the cluster's own pods could not be made (DS-B53).
fn keep_built_in_classes(target: &Target) -> Result<(), Status> {
    match crate::bootstrap::PRIORITY_CLASSES.iter().any(|class| class.0 == target.name) {
        true => {
            let detail = "this is a system priority class and cannot be deleted";
            Err(Status::forbidden(&PRIORITY_CLASS, &target.name, detail))
        }
        false => Ok(()),
    }
}

pub(crate) fn pod_disruption_budget() -> Row {
    Row {
        strategy: &PodDisruptionBudgets,
        rules: Rules::POD_DISRUPTION_BUDGET,
        printer: Printer::disruption_budgets(),
        ..Row::ordinary(&POD_DISRUPTION_BUDGET)
    }
}

/// Roles and cluster roles.
pub(crate) fn role(kind: &Kind) -> Row {
    Row {
        strategy: &MadeByUpdate,
        admission: admission::OF_ROLES,
        rules: if kind.namespaced { Rules::ROLE } else { Rules::CLUSTER_ROLE },
        ..Row::ordinary(kind)
    }
}

/// The bindings of either.
pub(crate) fn binding(kind: &Kind) -> Row {
    Row {
        strategy: &MadeByUpdate,
        admission: admission::OF_BINDINGS,
        rules: if kind.namespaced { Rules::ROLE_BINDING } else { Rules::CLUSTER_ROLE_BINDING },
        printer: Printer::role_bindings(),
        ..Row::ordinary(kind)
    }
}

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
