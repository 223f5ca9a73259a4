//! What there is to see when something does not get done, while it does not: a rollout that stood
//! still for no reason that anybody could find had lost its nodes, which renewed no leases.

use std::fmt::Write;

use everynode_api::kinds;
use everynode_api::ports::{Request, Selection, Target};
use serde_json::Value;

use crate::cluster::{Cluster, NAMESPACE};

/// Pods that are quoted.
const PODS_MAX: usize = 5;

impl Cluster {
    /// The set's status, the pods that lack something, and the nodes that are lost.
    pub(crate) async fn describe(&self, name: &str) -> String {
        let set = self.object(Request::Get(Target::new(kinds::DAEMON_SET, NAMESPACE, name))).await;
        let selection = Selection {
            namespace: Some(NAMESPACE.into()),
            label_selector: Some(format!("app={name}")),
            field_selector: None,
        };
        let (kind, resource_version) = (kinds::POD, None);
        let request = Request::List { kind, selection, limit: 0, continue_token: None, resource_version };
        let pods = self.object(request).await;
        let pods = pods["items"].as_array().map_or(&[][..], Vec::as_slice);
        let mut text = format!("{name}: generation {}, status {}", set["metadata"]["generation"], set["status"]);
        for (what, lacks) in LACKS {
            let found: Vec<&Value> = pods.iter().filter(|pod| lacks(pod)).collect();
            let names = found.iter().take(PODS_MAX).map(|pod| quote(pod)).collect::<Vec<_>>().join(", ");
            let _ = write!(text, "\n{} of {} pods {what}: {names}", found.len(), pods.len());
        }
        let (selection, kind) = (Selection::default(), kinds::NODE);
        let request = Request::List { kind, selection, limit: 0, continue_token: None, resource_version: None };
        let nodes = self.object(request).await;
        let nodes = nodes["items"].as_array().map_or(&[][..], Vec::as_slice);
        let lost = nodes.iter().filter(|node| !is_ready(node)).count();
        let _ = write!(text, "\n{lost} of {} nodes are not ready", nodes.len());
        text
    }

    async fn object(&self, request: Request) -> Value {
        match self.call(request).await {
            Ok(json) => serde_json::from_slice(&json).unwrap_or_default(),
            Err(error) => Value::String(error.to_string()),
        }
    }
}

type Lack = (&'static str, fn(&Value) -> bool);

const LACKS: [Lack; 4] = [
    ("have no node", |pod| pod["spec"]["nodeName"].as_str().is_none()),
    ("are to go", is_terminating),
    ("are not ready", |pod| !is_terminating(pod) && !is_ready(pod)),
    ("are ready", |pod| !is_terminating(pod) && is_ready(pod)),
];

fn is_terminating(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_string()
}

fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn quote(pod: &Value) -> String {
    let (meta, text) = (&pod["metadata"], |value: &Value| value.as_str().unwrap_or("–").to_owned());
    let hash = text(&meta["labels"]["controller-revision-hash"]);
    format!(
        "{} on {} of {hash} since {}",
        text(&meta["name"]),
        text(&pod["spec"]["nodeName"]),
        meta["creationTimestamp"]
    )
}
