//! What selectors ask of an object, read from its stored bytes without building the whole object.

use everynode_api::meta::{Labels, null_default};
use serde::Deserialize;

/// Labels and selectable fields of one object.
#[derive(Debug, Default)]
pub(crate) struct SelectableFields {
    pub(crate) labels: Labels,
    /// Only fields with a value.
    fields: Box<[(&'static str, Box<str>)]>,
}

impl SelectableFields {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| &**value)
    }

    /// Reads them; an object that cannot be read has none.
    pub(crate) fn read(storage: &str, json: &[u8]) -> SelectableFields {
        let mut partial: Partial = serde_json::from_slice(json).unwrap_or_default();
        let labels = std::mem::take(&mut partial.metadata.labels);
        let fields = match storage {
            "pods" => partial.pod_fields(),
            "minions" => vec![("spec.unschedulable", boolean(partial.spec.unschedulable))],
            "events" => partial.event_fields(),
            "namespaces" => vec![("status.phase", partial.status.phase)],
            "secrets" => vec![("type", partial.kind)],
            "services/specs" => vec![("spec.clusterIP", partial.spec.cluster_ip), ("spec.type", partial.spec.kind)],
            _ => Vec::new(),
        };
        let fields = fields.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        SelectableFields { labels, fields }
    }
}

/// The fields that a kind can be selected by, besides metadata.name and metadata.namespace (DS-I36).
pub(crate) fn fields_of(storage: &str) -> &'static [&'static str] {
    match storage {
        "pods" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        "minions" => &["spec.unschedulable"],
        "events" => &[
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
        ],
        "namespaces" => &["status.phase"],
        "secrets" => &["type"],
        "services/specs" => &["spec.clusterIP", "spec.type"],
        _ => &[],
    }
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

type Fields = Vec<(&'static str, Box<str>)>;

impl Partial {
    fn pod_fields(self) -> Fields {
        let ips: Vec<&str> = self.status.pod_ips.iter().map(|ip| &*ip.ip).collect();
        let ips = ips.join(",").into();
        vec![
            ("spec.nodeName", self.spec.node_name),
            ("spec.restartPolicy", self.spec.restart_policy),
            ("spec.schedulerName", self.spec.scheduler_name),
            ("spec.serviceAccountName", self.spec.service_account_name),
            ("spec.hostNetwork", boolean(self.spec.host_network)),
            ("status.phase", self.status.phase),
            ("status.podIP", self.status.pod_ip),
            ("status.podIPs", ips),
            ("status.nominatedNodeName", self.status.nominated_node_name),
        ]
    }

    fn event_fields(self) -> Fields {
        // Kubernetes falls back to the newer reporting field where there is no source.
        let source = match self.source.component.is_empty() {
            true => self.reporting_component.clone(),
            false => self.source.component,
        };
        let object = self.involved_object;
        vec![
            ("involvedObject.kind", object.kind),
            ("involvedObject.namespace", object.namespace),
            ("involvedObject.name", object.name),
            ("involvedObject.uid", object.uid),
            ("involvedObject.apiVersion", object.api_version),
            ("involvedObject.resourceVersion", object.resource_version),
            ("involvedObject.fieldPath", object.field_path),
            ("reason", self.reason),
            ("reportingComponent", self.reporting_component),
            ("source", source),
            ("type", self.kind),
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
        let selectable = SelectableFields::read("pods", json);
        assert_eq!((selectable.labels.get("a"), selectable.field("spec.nodeName")), (Some("b"), Some("n1")));
        assert_eq!(selectable.field("status.podIPs"), Some("10.0.0.1,::1")); // DS-I36
        assert_eq!(selectable.field("spec.hostNetwork"), Some("false"));
        let service = br#"{"kind":"Service","spec":{"type":"ClusterIP","clusterIP":"None"}}"#;
        let selectable = SelectableFields::read("services/specs", service);
        assert_eq!(
            (selectable.field("spec.clusterIP"), selectable.field("spec.type")),
            (Some("None"), Some("ClusterIP"))
        );
    }
}
