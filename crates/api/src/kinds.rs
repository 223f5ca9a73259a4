//! The table of kinds: what exists, under which name and path.
//!
//! [`Kind`] is the identity that a client needs to make a URL; it can also be built at run time
//! (custom resources, discovery). [`KINDS`] is the table of what everynode itself serves.

use std::borrow::Cow;

use crate::percent;

/// A string that is static for built-in kinds and owned for those found at run time.
pub type Text = Cow<'static, str>;

/// One kind of object at one version: enough to address it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: Text,
    pub version: Text,
    /// `DaemonSet`
    pub kind: Text,
    /// `daemonsets`
    pub plural: Text,
    pub namespaced: bool,
}

impl Kind {
    /// A kind that is known when this is built.
    pub const fn built_in(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
        namespaced: bool,
    ) -> Self {
        Kind {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            kind: Cow::Borrowed(kind),
            plural: Cow::Borrowed(plural),
            namespaced,
        }
    }

    /// `apps/v1`, or `v1` for the core group.
    pub fn api_version(&self) -> String {
        match self.group.as_ref() {
            "" => self.version.to_string(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// `daemonsets.apps`, or `pods` for the core group: how error messages name the resource.
    pub fn qualified_resource(&self) -> String {
        match self.group.as_ref() {
            "" => self.plural.to_string(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// `DaemonSet.apps`, or `Pod` for the core group: how validation messages name the kind.
    pub fn qualified_kind(&self) -> String {
        match self.group.as_ref() {
            "" => self.kind.to_string(),
            group => format!("{}.{group}", self.kind),
        }
    }

    /// The URL path of a collection, or of one object when `name` is given.
    ///
    /// `namespace` is ignored for cluster-scoped kinds; `None` for a namespaced kind means all
    /// namespaces (lists and watches only). Each part stays one segment, whatever characters it
    /// has.
    pub fn path(&self, namespace: Option<&str>, name: Option<&str>, subresource: Option<&str>) -> String {
        let mut path = match self.group.as_ref() {
            "" => "/api".to_owned(),
            group => format!("/apis/{}", percent::encode(group)),
        };
        let place = namespace.filter(|_| self.namespaced);
        let parts =
            [Some(self.version.as_ref()), place.and(Some("namespaces")), place, Some(self.plural.as_ref()), name];
        for part in parts.into_iter().chain([subresource]).flatten() {
            path.push('/');
            path.push_str(&percent::encode(part));
        }
        path
    }
}

macro_rules! kinds {
    ($($constant:ident = $group:literal $version:literal $kind:literal $plural:literal $namespaced:literal
        [$($short:literal)*] [$($category:literal)*] [$($sub:literal)*] $storage:literal;)*) => {
        $(#[doc = concat!("`", $group, "/", $version, " ", $kind, "`")]
          pub const $constant: Kind = Kind::built_in($group, $version, $kind, $plural, $namespaced);)*
        /// Every kind that everynode serves, in the order of discovery.
        pub static KINDS: &[KindInfo] = &[$(KindInfo {
            kind: $constant,
            short_names: &[$($short),*],
            categories: &[$($category),*],
            subresources: &[$($sub),*],
            storage: $storage,
        }),*];
    };
}

/// A row of the table of served kinds.
#[derive(Debug)]
pub struct KindInfo {
    pub kind: Kind,
    pub short_names: &'static [&'static str],
    pub categories: &'static [&'static str],
    pub subresources: &'static [&'static str],
    /// The path below `/registry/` under which kube-apiserver stores the kind.
    pub storage: &'static str,
}

kinds! {
    NAMESPACE = "" "v1" "Namespace" "namespaces" false ["ns"] [] ["status" "finalize"] "namespaces";
    NODE = "" "v1" "Node" "nodes" false ["no"] [] ["status" "proxy"] "minions";
    POD = "" "v1" "Pod" "pods" true ["po"] ["all"] ["status" "log" "exec" "attach" "portforward" "binding" "eviction" "ephemeralcontainers" "resize"] "pods";
    CONFIG_MAP = "" "v1" "ConfigMap" "configmaps" true ["cm"] [] [] "configmaps";
    SECRET = "" "v1" "Secret" "secrets" true [] [] [] "secrets";
    SERVICE_ACCOUNT = "" "v1" "ServiceAccount" "serviceaccounts" true ["sa"] [] ["token"] "serviceaccounts";
    SERVICE = "" "v1" "Service" "services" true ["svc"] ["all"] ["status"] "services/specs";
    ENDPOINTS = "" "v1" "Endpoints" "endpoints" true ["ep"] [] [] "services/endpoints";
    EVENT = "" "v1" "Event" "events" true ["ev"] [] [] "events";
    EVENTS_EVENT = "events.k8s.io" "v1" "Event" "events" true ["ev"] [] [] "events";
    DAEMON_SET = "apps" "v1" "DaemonSet" "daemonsets" true ["ds"] ["all"] ["status"] "daemonsets";
    CONTROLLER_REVISION = "apps" "v1" "ControllerRevision" "controllerrevisions" true [] [] [] "controllerrevisions";
    LEASE = "coordination.k8s.io" "v1" "Lease" "leases" true [] [] [] "leases";
    PRIORITY_CLASS = "scheduling.k8s.io" "v1" "PriorityClass" "priorityclasses" false ["pc"] [] [] "priorityclasses";
    POD_DISRUPTION_BUDGET = "policy" "v1" "PodDisruptionBudget" "poddisruptionbudgets" true ["pdb"] [] ["status"] "poddisruptionbudgets";
    ROLE = "rbac.authorization.k8s.io" "v1" "Role" "roles" true [] [] [] "roles";
    ROLE_BINDING = "rbac.authorization.k8s.io" "v1" "RoleBinding" "rolebindings" true [] [] [] "rolebindings";
    CLUSTER_ROLE = "rbac.authorization.k8s.io" "v1" "ClusterRole" "clusterroles" false [] [] [] "clusterroles";
    CLUSTER_ROLE_BINDING = "rbac.authorization.k8s.io" "v1" "ClusterRoleBinding" "clusterrolebindings" false [] [] [] "clusterrolebindings";
    LIMIT_RANGE = "" "v1" "LimitRange" "limitranges" true ["limits"] [] [] "limitranges";
    RESOURCE_QUOTA = "" "v1" "ResourceQuota" "resourcequotas" true ["quota"] [] ["status"] "resourcequotas";
    PERSISTENT_VOLUME = "" "v1" "PersistentVolume" "persistentvolumes" false ["pv"] [] ["status"] "persistentvolumes";
    PERSISTENT_VOLUME_CLAIM = "" "v1" "PersistentVolumeClaim" "persistentvolumeclaims" true ["pvc"] [] ["status"] "persistentvolumeclaims";
    POD_TEMPLATE = "" "v1" "PodTemplate" "podtemplates" true [] [] [] "podtemplates";
    CERTIFICATE_SIGNING_REQUEST = "certificates.k8s.io" "v1" "CertificateSigningRequest" "certificatesigningrequests" false ["csr"] [] ["approval" "status"] "certificatesigningrequests";
    ENDPOINT_SLICE = "discovery.k8s.io" "v1" "EndpointSlice" "endpointslices" true [] [] [] "endpointslices";
    NETWORK_POLICY = "networking.k8s.io" "v1" "NetworkPolicy" "networkpolicies" true ["netpol"] [] [] "networkpolicies";
    INGRESS_CLASS = "networking.k8s.io" "v1" "IngressClass" "ingressclasses" false [] [] [] "ingressclass";
    RUNTIME_CLASS = "node.k8s.io" "v1" "RuntimeClass" "runtimeclasses" false [] [] [] "runtimeclasses";
    DEVICE_CLASS = "resource.k8s.io" "v1" "DeviceClass" "deviceclasses" false [] [] [] "deviceclasses";
    RESOURCE_CLAIM = "resource.k8s.io" "v1" "ResourceClaim" "resourceclaims" true [] [] ["status"] "resourceclaims";
    RESOURCE_CLAIM_TEMPLATE = "resource.k8s.io" "v1" "ResourceClaimTemplate" "resourceclaimtemplates" true [] [] [] "resourceclaimtemplates";
    RESOURCE_SLICE = "resource.k8s.io" "v1" "ResourceSlice" "resourceslices" false [] [] [] "resourceslices";
    CSI_DRIVER = "storage.k8s.io" "v1" "CSIDriver" "csidrivers" false [] [] [] "csidrivers";
    CSI_NODE = "storage.k8s.io" "v1" "CSINode" "csinodes" false [] [] [] "csinodes";
    CSI_STORAGE_CAPACITY = "storage.k8s.io" "v1" "CSIStorageCapacity" "csistoragecapacities" true [] [] [] "csistoragecapacities";
    STORAGE_CLASS = "storage.k8s.io" "v1" "StorageClass" "storageclasses" false ["sc"] [] [] "storageclasses";
    VOLUME_ATTACHMENT = "storage.k8s.io" "v1" "VolumeAttachment" "volumeattachments" false [] [] ["status"] "volumeattachments";
    VOLUME_ATTRIBUTES_CLASS = "storage.k8s.io" "v1" "VolumeAttributesClass" "volumeattributesclasses" false ["vac"] [] [] "volumeattributesclasses";
    CUSTOM_RESOURCE_DEFINITION = "apiextensions.k8s.io" "v1" "CustomResourceDefinition" "customresourcedefinitions" false ["crd" "crds"] ["api-extensions"] ["status"] "apiextensions.k8s.io/customresourcedefinitions";
}

/// The row of a built-in kind, by group and plural.
pub fn find(group: &str, plural: &str) -> Option<&'static KindInfo> {
    KINDS.iter().find(|info| info.kind.group == group && info.kind.plural == plural)
}

/// The row of a built-in kind, by API version (`apps/v1`) and kind name.
pub fn find_by_kind(api_version: &str, kind: &str) -> Option<&'static KindInfo> {
    KINDS.iter().find(|info| info.kind.kind == kind && info.kind.api_version() == api_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(
            DAEMON_SET.path(Some("x"), Some("web"), Some("status")),
            "/apis/apps/v1/namespaces/x/daemonsets/web/status"
        );
        assert_eq!(NODE.path(None, Some("a"), None), "/api/v1/nodes/a");
        assert_eq!(POD.path(None, None, None), "/api/v1/pods");
        assert_eq!(
            CLUSTER_ROLE.path(None, Some("system:node"), None),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node"
        );
        assert_eq!(POD.path(Some("bad name"), Some("../a?b"), None), "/api/v1/namespaces/bad%20name/pods/..%2Fa%3Fb");
        assert_eq!(DAEMON_SET.qualified_resource(), "daemonsets.apps"); // DS-I42
        assert_eq!(find_by_kind("v1", "Node").map(|info| info.storage), Some("minions"));
    }
}
