//! The rules of each built-in kind: one value for each, which its row holds.

use everynode_api::field::FieldError;
use serde_json::{Map, Value};

use super::convert;
use super::defaults::{self, each, fill, with};
use super::validate::{core, daemon_set, endpoints, event, node, pod, policy, service};
use super::warnings;

/// The mistakes of a change, then those of the new object.
macro_rules! update {
    ($change:path, $object:expr) => {
        |new, old| {
            let mut errors = $change(new, old);
            errors.extend($object(new));
            errors
        }
    };
}

mod certificates;
mod devices;
mod limits;
mod network;
mod storage;
mod volumes;

/// What is right for the objects of a kind, beyond their schema and their metadata.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    /// What conversion between versions changes in passing; the error is a message for the 400.
    pub(crate) convert: fn(&mut Value) -> Result<(), String>,
    /// Fills in what the writer left out.
    pub(crate) default: fn(&mut Map<String, Value>),
    /// Every mistake of a new object, metadata aside.
    pub(crate) check_new: fn(&Value) -> Vec<FieldError>,
    /// Every mistake of a replaced object: what it may not change, and what it may not be.
    pub(crate) check_update: fn(new: &Value, old: &Value) -> Vec<FieldError>,
    /// Every mistake of a replaced status.
    pub(crate) check_status: fn(new: &Value, old: &Value) -> Vec<FieldError>,
    /// What its writer is warned of.
    pub(crate) warn_new: fn(&Value, &mut Vec<String>),
    /// What is said of a new object even if it is refused then.
    pub(crate) warn_prepared: fn(&Value) -> Vec<String>,
    pub(crate) warn_update: fn(new: &Value, old: &Value, &mut Vec<String>),
}

impl Rules {
    /// Those of a kind that has none of its own.
    pub(crate) const NONE: Rules = Rules {
        convert: |_| Ok(()),
        default: |_| {},
        check_new: |_| Vec::new(),
        check_update: |_, _| Vec::new(),
        check_status: |_, _| Vec::new(),
        warn_new: |_, _| {},
        warn_prepared: |_| Vec::new(),
        warn_update: |_, _, _| {},
    };

    pub(crate) const POD: Rules = Rules {
        convert: convert::pod,
        default: |object| with(object, "spec", defaults::pod::pod),
        check_new: pod::pod,
        check_update: pod::pod_update,
        check_status: |new, _| pod::pod_status(new),
        warn_new: warnings::pod_created,
        warn_prepared: warnings::pod_prepared,
        ..Rules::NONE
    };

    pub(crate) const NODE: Rules = Rules {
        convert: convert::node,
        default: |object| with(object, "status", defaults::node_status),
        check_new: node::node,
        check_update: update!(node::node_update, node::node),
        check_status: |new, _| node::node_status(new),
        warn_new: warnings::node_created,
        ..Rules::NONE
    };

    pub(crate) const NAMESPACE: Rules = Rules {
        default: |object| with(object, "status", |status| fill(status, "phase", || "Active".into())),
        check_new: node::namespace,
        check_update: |new, _| node::namespace(new),
        check_status: |new, _| node::namespace_status(new),
        ..Rules::NONE
    };

    pub(crate) const CONFIG_MAP: Rules =
        Rules { check_new: core::config_map, check_update: update!(core::frozen, core::config_map), ..Rules::NONE };

    pub(crate) const SECRET: Rules = Rules {
        convert: convert::secret,
        default: |object| fill(object, "type", || "Opaque".into()),
        check_new: core::secret,
        check_update: update!(core::secret_update, core::secret),
        ..Rules::NONE
    };

    pub(crate) const SERVICE: Rules = Rules {
        default: defaults::service,
        check_new: service::service,
        check_update: update!(service::service_update, service::service),
        check_status: |new, _| service::service_status(new),
        ..Rules::NONE
    };

    pub(crate) const SERVICE_ACCOUNT: Rules = Rules {
        warn_new: warnings::account_written,
        warn_update: |new, _, warnings| warnings::account_written(new, warnings),
        ..Rules::NONE
    };

    pub(crate) const ENDPOINTS: Rules = Rules {
        default: |object| each(object, "subsets", |subset| each(subset, "ports", defaults::protocol)),
        check_new: endpoints::endpoints,
        check_update: |new, _| endpoints::endpoints(new),
        ..Rules::NONE
    };

    pub(crate) const EVENT: Rules = Rules {
        check_new: |object| event::event(object, "involvedObject"),
        check_update: |new, _| event::event(new, "involvedObject"),
        ..Rules::NONE
    };

    pub(crate) const EVENTS_EVENT: Rules = Rules {
        check_new: |object| event::event(object, "regarding"),
        check_update: |new, _| event::event(new, "regarding"),
        ..Rules::NONE
    };

    pub(crate) const DAEMON_SET: Rules = Rules {
        convert: convert::daemon_set,
        default: |object| with(object, "spec", defaults::daemon_set),
        check_new: daemon_set::daemon_set,
        check_update: update!(daemon_set::daemon_set_update, daemon_set::daemon_set),
        check_status: daemon_set::daemon_set_status,
        warn_new: warnings::daemon_set_created,
        warn_update: warnings::daemon_set_updated,
        ..Rules::NONE
    };

    pub(crate) const CONTROLLER_REVISION: Rules = Rules {
        check_new: daemon_set::revision,
        check_update: update!(daemon_set::revision_update, daemon_set::revision),
        ..Rules::NONE
    };

    pub(crate) const LEASE: Rules =
        Rules { check_new: policy::lease, check_update: |new, _| policy::lease(new), ..Rules::NONE };

    pub(crate) const PRIORITY_CLASS: Rules = Rules {
        default: |object| fill(object, "preemptionPolicy", || "PreemptLowerPriority".into()),
        check_new: policy::priority_class,
        check_update: update!(policy::priority_class_update, policy::priority_class),
        ..Rules::NONE
    };

    pub(crate) const POD_DISRUPTION_BUDGET: Rules = Rules {
        check_new: policy::disruption_budget,
        check_update: |new, _| policy::disruption_budget(new),
        check_status: |new, _| policy::disruption_budget_status(new),
        ..Rules::NONE
    };

    pub(crate) const ROLE: Rules = Rules {
        check_new: |object| policy::role(object, true),
        check_update: |new, _| policy::role(new, true),
        ..Rules::NONE
    };

    pub(crate) const CLUSTER_ROLE: Rules = Rules {
        check_new: |object| policy::role(object, false),
        check_update: |new, _| policy::role(new, false),
        ..Rules::NONE
    };

    pub(crate) const ROLE_BINDING: Rules = Rules {
        default: defaults::binding,
        check_new: |object| policy::binding(object, true),
        check_update: update!(policy::binding_update, |new| policy::binding(new, true)),
        ..Rules::NONE
    };

    pub(crate) const CLUSTER_ROLE_BINDING: Rules = Rules {
        default: defaults::binding,
        check_new: |object| policy::binding(object, false),
        check_update: update!(policy::binding_update, |new| policy::binding(new, false)),
        ..Rules::NONE
    };
}
