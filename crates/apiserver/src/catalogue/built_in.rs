//! The rows of the kinds that are always there, in the order of discovery.

use std::sync::LazyLock;

use everynode_api::kinds;

use super::row::Row;
use crate::custom::definition;
use crate::registry::kinds::{
    certificates, daemon_set, devices, limits, namespace, network, node, pod, secret, service, small, storage, volumes,
};

macro_rules! rows {
    ($($name:ident = $make:expr;)*) => {
        $(pub(crate) static $name: LazyLock<Row> = LazyLock::new(|| $make);)*

        /// Every one of them.
        pub(crate) fn all() -> Vec<&'static Row> {
            vec![$(&$name),*]
        }
    };
}

rows! {
    NAMESPACE = namespace::row();
    NODE = node::row();
    POD = pod::row();
    CONFIG_MAP = small::config_map();
    SECRET = secret::row();
    SERVICE_ACCOUNT = small::service_account();
    SERVICE = service::row();
    ENDPOINTS = small::endpoints();
    EVENT = small::event();
    EVENTS_EVENT = small::events_event();
    DAEMON_SET = daemon_set::row();
    CONTROLLER_REVISION = daemon_set::revision_row();
    LEASE = small::lease();
    PRIORITY_CLASS = small::priority_class();
    POD_DISRUPTION_BUDGET = small::pod_disruption_budget();
    ROLE = small::role(&kinds::ROLE);
    ROLE_BINDING = small::binding(&kinds::ROLE_BINDING);
    CLUSTER_ROLE = small::role(&kinds::CLUSTER_ROLE);
    CLUSTER_ROLE_BINDING = small::binding(&kinds::CLUSTER_ROLE_BINDING);
    LIMIT_RANGE = limits::limit_range();
    RESOURCE_QUOTA = limits::resource_quota();
    PERSISTENT_VOLUME = volumes::persistent_volume();
    PERSISTENT_VOLUME_CLAIM = volumes::persistent_volume_claim();
    POD_TEMPLATE = volumes::pod_template();
    CERTIFICATE_SIGNING_REQUEST = certificates::certificate_signing_request();
    ENDPOINT_SLICE = network::endpoint_slice();
    NETWORK_POLICY = network::network_policy();
    INGRESS_CLASS = network::ingress_class();
    RUNTIME_CLASS = storage::runtime_class();
    DEVICE_CLASS = devices::device_class();
    RESOURCE_CLAIM = devices::resource_claim();
    RESOURCE_CLAIM_TEMPLATE = devices::resource_claim_template();
    RESOURCE_SLICE = devices::resource_slice();
    CSI_DRIVER = storage::csi_driver();
    CSI_NODE = storage::csi_node();
    CSI_STORAGE_CAPACITY = storage::csi_storage_capacity();
    STORAGE_CLASS = storage::storage_class();
    VOLUME_ATTACHMENT = storage::volume_attachment();
    VOLUME_ATTRIBUTES_CLASS = storage::volume_attributes_class();
    CUSTOM_RESOURCE_DEFINITION = definition::row();
}

/// The row of a built-in kind, by group and plural.
#[cfg(test)]
pub(crate) fn find(group: &str, plural: &str) -> Option<&'static Row> {
    all().into_iter().find(|row| row.kind.group == group && row.kind.plural == plural)
}

/// The row of a built-in kind, by API version (`apps/v1`) and kind name.
#[cfg(test)]
pub(crate) fn find_by_kind(api_version: &str, kind: &str) -> Option<&'static Row> {
    all().into_iter().find(|row| row.kind.kind == kind && row.kind.api_version() == api_version)
}
