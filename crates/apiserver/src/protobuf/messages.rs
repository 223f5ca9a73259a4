//! What the numbers mean: the messages that clients send, from the interface definitions that
//! Kubernetes publishes with its types (`generated.proto`). Kinds whose clients send JSON anyway
//! (kubectl applies, patches and deletes so) are absent.

/// The type of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text,
    /// base64 in JSON
    Bytes,
    Number,
    Flag,
    Message(&'static [Field]),
    Time,
    NumberOrText,
    List(&'static Kind),
    /// From text to something.
    Map(&'static Kind),
    /// A pointer in Go: there, even if zero, or not.
    Optional(&'static Kind),
    /// A message whose fields are those of the one it is in.
    Inline(&'static [Field]),
    /// `Quantity`: its text at 1.
    Quantity,
    /// What the server fills in, or does not ask for: dropped. (A field that is not in the table is
    /// refused.)
    Ignored,
}

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) number: u64,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

use Kind::{Bytes, Flag, Ignored, List, Map, Message, Number, NumberOrText, Optional, Text, Time};

pub(super) const fn field(number: u64, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind }
}

const TEXTS: Kind = List(&Text);

/// The fields of a kind; none if it is not served in this encoding.
pub(crate) fn of(version: &str, kind: &str) -> Option<&'static [Field]> {
    let fields = match (version, kind) {
        ("v1", "ConfigMap") => CONFIG_MAP,
        ("v1", "Secret") => SECRET,
        ("v1", "Namespace") => NAMESPACE,
        ("v1", "ServiceAccount") => SERVICE_ACCOUNT,
        ("v1", "Service") => SERVICE,
        ("v1", "Pod") => super::pods::POD,
        ("v1", "Event") => EVENT,
        ("v1", "Binding") => BINDING,
        ("events.k8s.io/v1", "Event") => EVENT_OF_EVENTS,
        ("v1" | "meta.k8s.io/v1" | "policy/v1" | "apps/v1", "DeleteOptions") => DELETE_OPTIONS,
        ("policy/v1", "Eviction") => EVICTION,
        ("policy/v1", "PodDisruptionBudget") => POD_DISRUPTION_BUDGET,
        ("authentication.k8s.io/v1", "TokenRequest") => TOKEN_REQUEST,
        ("authentication.k8s.io/v1", "TokenReview") => TOKEN_REVIEW,
        ("authentication.k8s.io/v1", "SelfSubjectReview") => SELF_REVIEW,
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview" | "SubjectAccessReview" | "LocalSubjectAccessReview") => {
            ACCESS_REVIEW
        }
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview") => RULES_REVIEW,
        ("rbac.authorization.k8s.io/v1", "Role" | "ClusterRole") => ROLE,
        ("rbac.authorization.k8s.io/v1", "RoleBinding" | "ClusterRoleBinding") => ROLE_BINDING,
        ("scheduling.k8s.io/v1", "PriorityClass") => PRIORITY_CLASS,
        ("coordination.k8s.io/v1", "Lease") => LEASE,
        _ => return None,
    };
    Some(fields)
}

// --- metadata -------------------------------------------------------------------------------------------------

pub(super) const METADATA: Field = field(1, "metadata", Message(OBJECT_META));
pub(super) const STATUS_AT_3: Field = field(3, "status", Ignored);
const OBJECT_META: &[Field] = &[
    field(1, "name", Text),
    field(2, "generateName", Text),
    field(3, "namespace", Text),
    field(4, "selfLink", Ignored),
    field(5, "uid", Text),
    field(6, "resourceVersion", Text),
    field(7, "generation", Number),
    field(8, "creationTimestamp", Time),
    field(9, "deletionTimestamp", Time),
    field(10, "deletionGracePeriodSeconds", Optional(&Number)),
    field(11, "labels", Map(&Text)),
    field(12, "annotations", Map(&Text)),
    field(13, "ownerReferences", List(&Message(OWNER_REFERENCE))),
    field(14, "finalizers", TEXTS),
    field(17, "managedFields", Ignored),
];
const OWNER_REFERENCE: &[Field] = &[
    field(1, "kind", Text),
    field(3, "name", Text),
    field(4, "uid", Text),
    field(5, "apiVersion", Text),
    field(6, "controller", Optional(&Flag)),
    field(7, "blockOwnerDeletion", Optional(&Flag)),
];
const OBJECT_REFERENCE: &[Field] = &[
    field(1, "kind", Text),
    field(2, "namespace", Text),
    field(3, "name", Text),
    field(4, "uid", Text),
    field(5, "apiVersion", Text),
    field(6, "resourceVersion", Text),
    field(7, "fieldPath", Text),
];
const SELF_REVIEW: &[Field] = &[METADATA, field(2, "status", Ignored)];
const DELETE_OPTIONS: &[Field] = &[
    field(1, "gracePeriodSeconds", Optional(&Number)),
    field(2, "preconditions", Message(&[field(1, "uid", Text), field(2, "resourceVersion", Text)])),
    field(3, "orphanDependents", Optional(&Flag)),
    field(4, "propagationPolicy", Text),
    field(5, "dryRun", TEXTS),
];

// --- v1 -------------------------------------------------------------------------------------------------------

const CONFIG_MAP: &[Field] = &[
    METADATA,
    field(2, "data", Map(&Text)),
    field(3, "binaryData", Map(&Bytes)),
    field(4, "immutable", Optional(&Flag)),
];
const SECRET: &[Field] = &[
    METADATA,
    field(2, "data", Map(&Bytes)),
    field(3, "type", Text),
    field(4, "stringData", Map(&Text)),
    field(5, "immutable", Optional(&Flag)),
];
const NAMESPACE: &[Field] = &[METADATA, field(2, "spec", Message(&[field(1, "finalizers", TEXTS)])), STATUS_AT_3];
const SERVICE_ACCOUNT: &[Field] = &[
    METADATA,
    field(2, "secrets", List(&Message(OBJECT_REFERENCE))),
    field(3, "imagePullSecrets", List(&Message(&[field(1, "name", Text)]))),
    field(4, "automountServiceAccountToken", Optional(&Flag)),
];
const BINDING: &[Field] = &[METADATA, field(2, "target", Message(OBJECT_REFERENCE))];
const SERVICE: &[Field] = &[METADATA, field(2, "spec", Message(SERVICE_SPEC)), STATUS_AT_3];
const SERVICE_SPEC: &[Field] = &[
    field(1, "ports", List(&Message(SERVICE_PORT))),
    field(2, "selector", Map(&Text)),
    field(3, "clusterIP", Text),
    field(4, "type", Text),
    field(5, "externalIPs", TEXTS),
    field(7, "sessionAffinity", Text),
    field(8, "loadBalancerIP", Text),
    field(9, "loadBalancerSourceRanges", TEXTS),
    field(10, "externalName", Text),
    field(11, "externalTrafficPolicy", Text),
    field(12, "healthCheckNodePort", Number),
    field(13, "publishNotReadyAddresses", Flag),
    field(
        14,
        "sessionAffinityConfig",
        Message(&[field(1, "clientIP", Message(&[field(1, "timeoutSeconds", Optional(&Number))]))]),
    ),
    field(17, "ipFamilyPolicy", Text),
    field(18, "clusterIPs", TEXTS),
    field(19, "ipFamilies", TEXTS),
    field(20, "allocateLoadBalancerNodePorts", Optional(&Flag)),
    field(21, "loadBalancerClass", Text),
    field(22, "internalTrafficPolicy", Text),
    field(23, "trafficDistribution", Text),
];
const SERVICE_PORT: &[Field] = &[
    field(1, "name", Text),
    field(2, "protocol", Text),
    field(3, "port", Number),
    field(4, "targetPort", NumberOrText),
    field(5, "nodePort", Number),
    field(6, "appProtocol", Text),
];

// --- events and leases ----------------------------------------------------------------------------------------

const SERIES: Kind = Message(&[field(1, "count", Number), field(2, "lastObservedTime", Time)]);
const SOURCE: Kind = Message(&[field(1, "component", Text), field(2, "host", Text)]);
const EVENT: &[Field] = &[
    METADATA,
    field(2, "involvedObject", Message(OBJECT_REFERENCE)),
    field(3, "reason", Text),
    field(4, "message", Text),
    field(5, "source", SOURCE),
    field(6, "firstTimestamp", Time),
    field(7, "lastTimestamp", Time),
    field(8, "count", Number),
    field(9, "type", Text),
    field(10, "eventTime", Time),
    field(11, "series", SERIES),
    field(12, "action", Text),
    field(13, "related", Message(OBJECT_REFERENCE)),
    field(14, "reportingComponent", Text),
    field(15, "reportingInstance", Text),
];
const EVENT_OF_EVENTS: &[Field] = &[
    METADATA,
    field(2, "eventTime", Time),
    field(3, "series", SERIES),
    field(4, "reportingController", Text),
    field(5, "reportingInstance", Text),
    field(6, "action", Text),
    field(7, "reason", Text),
    field(8, "regarding", Message(OBJECT_REFERENCE)),
    field(9, "related", Message(OBJECT_REFERENCE)),
    field(10, "note", Text),
    field(11, "type", Text),
    field(12, "deprecatedSource", SOURCE),
    field(13, "deprecatedFirstTimestamp", Time),
    field(14, "deprecatedLastTimestamp", Time),
    field(15, "deprecatedCount", Number),
];
const LEASE: &[Field] = &[METADATA, field(2, "spec", Message(LEASE_SPEC))];
const LEASE_SPEC: &[Field] = &[
    field(1, "holderIdentity", Text),
    field(2, "leaseDurationSeconds", Number),
    field(3, "acquireTime", Time),
    field(4, "renewTime", Time),
    field(5, "leaseTransitions", Optional(&Number)),
    field(6, "strategy", Text),
    field(7, "preferredHolder", Text),
];

// --- who may what ---------------------------------------------------------------------------------------------

const POD_DISRUPTION_BUDGET: &[Field] = &[METADATA, field(2, "spec", Message(POD_DISRUPTION_BUDGET_SPEC)), STATUS_AT_3];
const POD_DISRUPTION_BUDGET_SPEC: &[Field] = &[
    field(1, "minAvailable", Optional(&NumberOrText)),
    field(2, "selector", Message(LABEL_SELECTOR)),
    field(3, "maxUnavailable", Optional(&NumberOrText)),
    field(4, "unhealthyPodEvictionPolicy", Text),
];
const EVICTION: &[Field] = &[METADATA, field(2, "deleteOptions", Message(DELETE_OPTIONS))];
const TOKEN_REQUEST: &[Field] = &[METADATA, field(2, "spec", Message(TOKEN_REQUEST_SPEC)), STATUS_AT_3];
const TOKEN_REQUEST_SPEC: &[Field] = &[
    field(1, "audiences", TEXTS),
    field(
        3,
        "boundObjectRef",
        Message(&[field(1, "kind", Text), field(2, "apiVersion", Text), field(3, "name", Text), field(4, "uid", Text)]),
    ),
    field(4, "expirationSeconds", Optional(&Number)),
];
const TOKEN_REVIEW: &[Field] =
    &[METADATA, field(2, "spec", Message(&[field(1, "token", Text), field(2, "audiences", TEXTS)])), STATUS_AT_3];
const ACCESS_REVIEW: &[Field] = &[METADATA, field(2, "spec", Message(ACCESS_REVIEW_SPEC)), STATUS_AT_3];
/// Of all access reviews: that of oneself has the first two only.
const ACCESS_REVIEW_SPEC: &[Field] = &[
    field(1, "resourceAttributes", Message(RESOURCE_ATTRIBUTES)),
    field(2, "nonResourceAttributes", Message(&[field(1, "path", Text), field(2, "verb", Text)])),
    field(3, "user", Text),
    field(4, "groups", TEXTS),
    field(5, "extra", Ignored),
    field(6, "uid", Text),
];
const RESOURCE_ATTRIBUTES: &[Field] = &[
    field(1, "namespace", Text),
    field(2, "verb", Text),
    field(3, "group", Text),
    field(4, "version", Text),
    field(5, "resource", Text),
    field(6, "subresource", Text),
    field(7, "name", Text),
    // RBAC does not ask for them.
    field(8, "fieldSelector", Ignored),
    field(9, "labelSelector", Ignored),
];
const RULES_REVIEW: &[Field] = &[METADATA, field(2, "spec", Message(&[field(1, "namespace", Text)])), STATUS_AT_3];
const ROLE: &[Field] = &[
    METADATA,
    field(2, "rules", List(&Message(POLICY_RULE))),
    field(3, "aggregationRule", Message(&[field(1, "clusterRoleSelectors", List(&Message(LABEL_SELECTOR)))])),
];
const POLICY_RULE: &[Field] = &[
    field(1, "verbs", TEXTS),
    field(2, "apiGroups", TEXTS),
    field(3, "resources", TEXTS),
    field(4, "resourceNames", TEXTS),
    field(5, "nonResourceURLs", TEXTS),
];
pub(super) const LABEL_SELECTOR: &[Field] = &[
    field(1, "matchLabels", Map(&Text)),
    field(
        2,
        "matchExpressions",
        List(&Message(&[field(1, "key", Text), field(2, "operator", Text), field(3, "values", TEXTS)])),
    ),
];
const ROLE_BINDING: &[Field] = &[
    METADATA,
    field(
        2,
        "subjects",
        List(&Message(&[
            field(1, "kind", Text),
            field(2, "apiGroup", Text),
            field(3, "name", Text),
            field(4, "namespace", Text),
        ])),
    ),
    field(3, "roleRef", Message(&[field(1, "apiGroup", Text), field(2, "kind", Text), field(3, "name", Text)])),
];
const PRIORITY_CLASS: &[Field] = &[
    METADATA,
    field(2, "value", Optional(&Number)),
    field(3, "globalDefault", Flag),
    field(4, "description", Text),
    field(5, "preemptionPolicy", Text),
];
