//! What selectors ask of an object, read from its stored bytes without building the whole object.

use everynode_api::kinds::Text;
use everynode_api::meta::{Labels, null_default};
use serde::Deserialize;
use serde_json::Value;

use crate::custom::path::JsonPath;

/// Labels and selectable fields of one object.
#[derive(Debug, Default)]
pub(crate) struct SelectableFields {
    pub(crate) labels: Labels,
    /// Only fields with a value, by their place among the names of their kind.
    values: Box<[(u16, Box<str>)]>,
}

impl SelectableFields {
    /// The value of a field, if the kind has it and the object has one.
    pub(crate) fn field(&self, rules: &FieldRules, name: &str) -> Option<&str> {
        let wanted = rules.names.iter().position(|known| known == name)?;
        self.values.iter().find(|(place, _)| usize::from(*place) == wanted).map(|(_, value)| &**value)
    }

    /// Reads them; an object that cannot be read has none.
    pub(crate) fn read(rules: &FieldRules, json: &[u8]) -> SelectableFields {
        let mut partial: Partial = serde_json::from_slice(json).unwrap_or_default();
        let labels = std::mem::take(&mut partial.metadata.labels);
        let values = match &rules.values {
            Values::BuiltIn(values) => values(partial),
            Values::Custom(paths) => found(paths, json),
        };
        let all = (0..).zip(values);
        SelectableFields { labels, values: all.filter(|(_, value)| !value.is_empty()).collect() }
    }
}

/// What objects of a kind can be selected by (DS-I36).
pub(crate) struct FieldRules {
    /// Besides `metadata.name` and `metadata.namespace`.
    pub(crate) names: Vec<Text>,
    /// Whether `metadata.namespace` can be selected by, which only nodes lack.
    pub(crate) has_namespace: bool,
    values: Values,
}

/// The value of each name, in their order.
enum Values {
    BuiltIn(fn(Partial) -> Vec<Box<str>>),
    /// Those of a definition.
    Custom(Vec<JsonPath>),
}

impl Default for FieldRules {
    fn default() -> FieldRules {
        FieldRules::new(&[], |_| Vec::new())
    }
}

impl FieldRules {
    fn new(names: &'static [&'static str], values: fn(Partial) -> Vec<Box<str>>) -> FieldRules {
        FieldRules {
            names: names.iter().map(|name| Text::Borrowed(name)).collect(),
            has_namespace: true,
            values: Values::BuiltIn(values),
        }
    }

    /// The fields of a definition, each with the path to it.
    pub(crate) fn custom(fields: Vec<(Text, JsonPath)>) -> FieldRules {
        if fields.is_empty() {
            return FieldRules::default();
        }
        let (names, paths) = fields.into_iter().unzip();
        FieldRules { names, has_namespace: true, values: Values::Custom(paths) }
    }

    /// All names, those of metadata first.
    pub(crate) fn all(&self) -> Vec<&str> {
        let metadata: &[&str] = match self.has_namespace {
            true => &["metadata.name", "metadata.namespace"],
            false => &["metadata.name"],
        };
        metadata.iter().copied().chain(self.names.iter().map(|name| &**name)).collect()
    }

    pub(crate) fn pods() -> FieldRules {
        let names = &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ];
        FieldRules::new(names, Partial::pod_fields)
    }

    pub(crate) fn nodes() -> FieldRules {
        let rules = FieldRules::new(&["spec.unschedulable"], |node| vec![boolean(node.spec.unschedulable)]);
        FieldRules { has_namespace: false, ..rules }
    }

    pub(crate) fn events() -> FieldRules {
        let names = &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ];
        FieldRules::new(names, Partial::event_fields)
    }

    pub(crate) fn namespaces() -> FieldRules {
        FieldRules::new(&["status.phase"], |namespace| vec![namespace.status.phase])
    }

    pub(crate) fn secrets() -> FieldRules {
        FieldRules::new(&["type"], |secret| vec![secret.kind])
    }

    pub(crate) fn certificate_requests() -> FieldRules {
        FieldRules::new(&["spec.signerName"], |request| vec![request.spec.signer_name])
    }

    pub(crate) fn resource_slices() -> FieldRules {
        FieldRules::new(&["spec.driver", "spec.nodeName"], |slice| vec![slice.spec.driver, slice.spec.node_name])
    }

    pub(crate) fn services() -> FieldRules {
        FieldRules::new(&["spec.clusterIP", "spec.type"], |service| vec![service.spec.cluster_ip, service.spec.kind])
    }
}

/// The values at some paths as text; those of other types than texts, numbers and flags are empty.
fn found(paths: &[JsonPath], json: &[u8]) -> Vec<Box<str>> {
    let object: Value = serde_json::from_slice(json).unwrap_or_default();
    let text = |path: &JsonPath| match path.first(&object) {
        Some(Value::String(text)) => text.as_str().into(),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string().into(),
        _ => "".into(),
    };
    paths.iter().map(text).collect()
}

fn boolean(value: bool) -> Box<str> {
    if value { "true".into() } else { "false".into() }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Partial {
    metadata: PartialMeta,
    #[serde(deserialize_with = "null_default")]
    spec: PartialSpec,
    #[serde(deserialize_with = "null_default")]
    status: PartialStatus,
    involved_object: Reference,
    reason: Box<str>,
    reporting_component: Box<str>,
    source: Source,
    #[serde(rename = "type")]
    kind: Box<str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PartialMeta {
    labels: Labels,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PartialSpec {
    signer_name: Box<str>,
    driver: Box<str>,
    node_name: Box<str>,
    restart_policy: Box<str>,
    scheduler_name: Box<str>,
    service_account_name: Box<str>,
    host_network: bool,
    unschedulable: bool,
    #[serde(rename = "clusterIP")]
    cluster_ip: Box<str>,
    #[serde(rename = "type")]
    kind: Box<str>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PartialStatus {
    phase: Box<str>,
    #[serde(rename = "podIP")]
    pod_ip: Box<str>,
    #[serde(rename = "podIPs")]
    pod_ips: Vec<PodIp>,
    nominated_node_name: Box<str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodIp {
    ip: Box<str>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Reference {
    kind: Box<str>,
    namespace: Box<str>,
    name: Box<str>,
    uid: Box<str>,
    api_version: Box<str>,
    resource_version: Box<str>,
    field_path: Box<str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Source {
    component: Box<str>,
}

impl Partial {
    fn pod_fields(self) -> Vec<Box<str>> {
        let ips: Vec<&str> = self.status.pod_ips.iter().map(|ip| &*ip.ip).collect();
        let ips = ips.join(",").into();
        vec![
            self.spec.node_name,
            self.spec.restart_policy,
            self.spec.scheduler_name,
            self.spec.service_account_name,
            boolean(self.spec.host_network),
            self.status.phase,
            self.status.pod_ip,
            ips,
            self.status.nominated_node_name,
        ]
    }

    fn event_fields(self) -> Vec<Box<str>> {
        // Kubernetes falls back to the newer reporting field where there is no source.
        let source = match self.source.component.is_empty() {
            true => self.reporting_component.clone(),
            false => self.source.component,
        };
        let object = self.involved_object;
        vec![
            object.kind,
            object.namespace,
            object.name,
            object.uid,
            object.api_version,
            object.resource_version,
            object.field_path,
            self.reason,
            self.reporting_component,
            source,
            self.kind,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_of_a_pod() {
        let json = br#"{"kind":"Pod","metadata":{"labels":{"a":"b"}},"spec":{"nodeName":"n1","containers":[{}]},
                        "status":{"phase":"Running","podIPs":[{"ip":"10.0.0.1"},{"ip":"::1"}]}}"#;
        let rules = &FieldRules::pods();
        let selectable = SelectableFields::read(rules, json);
        assert_eq!((selectable.labels.get("a"), selectable.field(rules, "spec.nodeName")), (Some("b"), Some("n1")));
        assert_eq!(selectable.field(rules, "status.podIPs"), Some("10.0.0.1,::1")); // DS-I36
        assert_eq!(selectable.field(rules, "spec.hostNetwork"), Some("false"));
        let service = br#"{"kind":"Service","spec":{"type":"ClusterIP","clusterIP":"None"}}"#;
        let rules = &FieldRules::services();
        let selectable = SelectableFields::read(rules, service);
        assert_eq!(
            (selectable.field(rules, "spec.clusterIP"), selectable.field(rules, "spec.type")),
            (Some("None"), Some("ClusterIP"))
        );
    }
}
