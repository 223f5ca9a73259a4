//! The merge schema of the kinds that the API server knows (DS-I15, DS-I17).
//!
//! Only what differs from the default is written down: maps merge, lists are replaced. So
//! tolerations, taints, `command`, `args` and a service account's image pull secrets do not appear.

use super::{FieldMerge, MergeSchema, Strategy};

/// The schema of one built-in type, or of anything without special fields.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuiltIn(Option<&'static Type>);

impl BuiltIn {
    /// The schema of objects of `kind` in API group `group` (`""` for the core group). Kinds that
    /// need nothing special merge their metadata as all do. Whether a kind is built in at all is
    /// for the caller to know: custom resources refuse strategic merge with 415 (DS-I13).
    pub fn for_kind(group: &str, kind: &str) -> BuiltIn {
        let found = match (group, kind) {
            ("", "Pod") => &POD,
            ("", "PodTemplate") => &POD_TEMPLATE,
            ("", "Node") => &NODE,
            ("", "Service") => &SERVICE,
            ("", "ServiceAccount") => &SERVICE_ACCOUNT,
            ("", "Namespace" | "PersistentVolumeClaim") => &WITH_CONDITIONS,
            ("apps", "DaemonSet") => &DAEMON_SET,
            ("policy", "PodDisruptionBudget") => &POD_DISRUPTION_BUDGET,
            ("storage.k8s.io", "CSINode") => &CSI_NODE,
            ("apiregistration.k8s.io", "APIService") => &WITH_CONDITIONS,
            ("networking.k8s.io", "ServiceCIDR") => &WITH_CONDITIONS,
            ("flowcontrol.apiserver.k8s.io", "FlowSchema" | "PriorityLevelConfiguration") => &WITH_CONDITIONS,
            ("resource.k8s.io", "ResourceClaim") => &RESOURCE_CLAIM,
            ("resource.k8s.io", "ResourceClaimTemplate") => &RESOURCE_CLAIM_TEMPLATE,
            ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") => {
                &WEBHOOK_CONFIGURATION
            }
            ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy" | "MutatingAdmissionPolicy") => {
                &ADMISSION_POLICY
            }
            _ => &OBJECT,
        };
        BuiltIn(Some(found))
    }
}

impl MergeSchema for BuiltIn {
    fn lookup(&self, name: &str) -> FieldMerge<BuiltIn> {
        let rule = self.0.and_then(|of| of.0.iter().find(|(field, _)| *field == name));
        rule.map(|(_, rule)| rule.field()).unwrap_or_default()
    }
}

/// A type: its fields that need a word.
#[derive(Debug)]
struct Type(&'static [(&'static str, Rule)]);

#[derive(Debug)]
struct Rule {
    strategy: Strategy,
    merge_key: Option<&'static str>,
    retain_keys: bool,
    of: &'static Type,
}

impl Rule {
    fn field(&self) -> FieldMerge<BuiltIn> {
        FieldMerge {
            strategy: self.strategy,
            merge_key: self.merge_key,
            retain_keys: self.retain_keys,
            schema: BuiltIn(Some(self.of)),
        }
    }
}

/// A map, or an atomic list of maps, of type `of`.
const fn plain(of: &'static Type) -> Rule {
    Rule { strategy: Strategy::Default, merge_key: None, retain_keys: false, of }
}

/// A list of `of` that merges by `key`.
const fn keyed(key: &'static str, of: &'static Type) -> Rule {
    Rule { strategy: Strategy::Merge, merge_key: Some(key), retain_keys: false, of }
}

/// As [`keyed`]; the differ names the members that remain, so that a changed union drops the old
/// variant.
const fn keyed_union(key: &'static str, of: &'static Type) -> Rule {
    Rule { strategy: Strategy::Merge, merge_key: Some(key), retain_keys: true, of }
}

/// A list of scalars that merges as a set.
const SET: Rule = Rule { strategy: Strategy::Merge, merge_key: None, retain_keys: false, of: &PLAIN };

/// A map that is replaced whole.
const ATOMIC: Rule = Rule { strategy: Strategy::Replace, merge_key: None, retain_keys: false, of: &PLAIN };

static PLAIN: Type = Type(&[]);

static METADATA: Type = Type(&[("ownerReferences", keyed("uid", &PLAIN)), ("finalizers", SET)]);

static OBJECT: Type = Type(&[("metadata", plain(&METADATA))]);

static CONDITIONS: Type = Type(&[("conditions", keyed("type", &PLAIN))]);

static WITH_CONDITIONS: Type = Type(&[("metadata", plain(&METADATA)), ("status", plain(&CONDITIONS))]);

static CONTAINER: Type = Type(&[
    ("ports", keyed("containerPort", &PLAIN)),
    ("env", keyed("name", &PLAIN)),
    ("volumeMounts", keyed("mountPath", &PLAIN)),
    ("volumeDevices", keyed("devicePath", &PLAIN)),
]);

static VOLUME: Type = Type(&[("ephemeral", plain(&EPHEMERAL))]);

/// The claim that an ephemeral volume makes has metadata of its own.
static EPHEMERAL: Type = Type(&[("volumeClaimTemplate", plain(&OBJECT))]);

static POD_SPEC: Type = Type(&[
    ("containers", keyed("name", &CONTAINER)),
    ("initContainers", keyed("name", &CONTAINER)),
    ("ephemeralContainers", keyed("name", &CONTAINER)),
    ("volumes", keyed_union("name", &VOLUME)),
    ("imagePullSecrets", keyed("name", &PLAIN)),
    ("hostAliases", keyed("ip", &PLAIN)),
    ("topologySpreadConstraints", keyed("topologyKey", &PLAIN)),
    ("resourceClaims", keyed_union("name", &PLAIN)),
    ("schedulingGates", keyed("name", &PLAIN)),
]);

static POD_STATUS: Type = Type(&[
    ("conditions", keyed("type", &PLAIN)),
    ("podIPs", keyed("ip", &PLAIN)),
    ("hostIPs", keyed("ip", &PLAIN)),
    ("resourceClaimStatuses", keyed_union("name", &PLAIN)),
]);

static POD: Type = Type(&[("metadata", plain(&METADATA)), ("spec", plain(&POD_SPEC)), ("status", plain(&POD_STATUS))]);

static TEMPLATE: Type = Type(&[("metadata", plain(&METADATA)), ("spec", plain(&POD_SPEC))]);

static POD_TEMPLATE: Type = Type(&[("metadata", plain(&METADATA)), ("template", plain(&TEMPLATE))]);

static DAEMON_SET_SPEC: Type = Type(&[("template", plain(&TEMPLATE))]);

static DAEMON_SET: Type =
    Type(&[("metadata", plain(&METADATA)), ("spec", plain(&DAEMON_SET_SPEC)), ("status", plain(&CONDITIONS))]);

static NODE_SPEC: Type = Type(&[("podCIDRs", SET)]);

static NODE_STATUS: Type = Type(&[("conditions", keyed("type", &PLAIN)), ("addresses", keyed("type", &PLAIN))]);

static NODE: Type =
    Type(&[("metadata", plain(&METADATA)), ("spec", plain(&NODE_SPEC)), ("status", plain(&NODE_STATUS))]);

static SERVICE_SPEC: Type = Type(&[("ports", keyed("port", &PLAIN))]);

static SERVICE: Type =
    Type(&[("metadata", plain(&METADATA)), ("spec", plain(&SERVICE_SPEC)), ("status", plain(&CONDITIONS))]);

static SERVICE_ACCOUNT: Type = Type(&[("metadata", plain(&METADATA)), ("secrets", keyed("name", &PLAIN))]);

static BUDGET_SPEC: Type = Type(&[("selector", ATOMIC)]);

static POD_DISRUPTION_BUDGET: Type =
    Type(&[("metadata", plain(&METADATA)), ("spec", plain(&BUDGET_SPEC)), ("status", plain(&CONDITIONS))]);

static CSI_NODE_SPEC: Type = Type(&[("drivers", keyed("name", &PLAIN))]);

static CSI_NODE: Type = Type(&[("metadata", plain(&METADATA)), ("spec", plain(&CSI_NODE_SPEC))]);

static CLAIM_STATUS: Type = Type(&[("reservedFor", keyed("uid", &PLAIN))]);

static RESOURCE_CLAIM: Type = Type(&[("metadata", plain(&METADATA)), ("status", plain(&CLAIM_STATUS))]);

/// The claims that are made of it have metadata of their own.
static RESOURCE_CLAIM_TEMPLATE: Type = Type(&[("metadata", plain(&METADATA)), ("spec", plain(&OBJECT))]);

static MATCH_CONDITIONS: Type = Type(&[("matchConditions", keyed("name", &PLAIN))]);

static WEBHOOK_CONFIGURATION: Type =
    Type(&[("metadata", plain(&METADATA)), ("webhooks", keyed("name", &MATCH_CONDITIONS))]);

static ADMISSION_POLICY_SPEC: Type =
    Type(&[("matchConditions", keyed("name", &PLAIN)), ("variables", keyed("name", &PLAIN))]);

static ADMISSION_POLICY: Type = Type(&[("metadata", plain(&METADATA)), ("spec", plain(&ADMISSION_POLICY_SPEC))]);
