//! A namespace of a cluster: what tests apply to and wait in.

use std::time::Duration;

use serde_json::Value;

use super::workloads::name;
use super::{Cluster, Kubectl, Waiting};

/// A namespace, and ways to wait for what happens in it.
pub(crate) struct Space<'a> {
    cluster: &'a Cluster,
    pub(crate) kubectl: Kubectl,
    namespace: String,
}

const SOON: Duration = Duration::from_secs(45);

impl<'a> Space<'a> {
    pub(crate) fn new(cluster: &'a Cluster, namespace: &str) -> Space<'a> {
        Space { cluster, kubectl: cluster.kubectl(namespace), namespace: namespace.to_owned() }
    }

    pub(crate) fn until<T>(&self, what: &str, look: impl FnMut() -> Waiting<T>) -> T {
        self.cluster.until(what, SOON, look)
    }

    /// Waits until pods can be created by hand: until the namespace has its service account.
    pub(crate) fn takes_pods(&self) {
        self.until("the namespace has its service account", || self.object("serviceaccounts/default").map(drop));
    }

    pub(crate) fn path(&self, resource: &str) -> String {
        let prefix = if resource.starts_with("daemonsets") || resource.starts_with("controllerrevisions") {
            "apis/apps/v1"
        } else {
            "api/v1"
        };
        format!("/{prefix}/namespaces/{}/{resource}", self.namespace)
    }

    pub(crate) fn object(&self, resource: &str) -> Waiting<Value> {
        self.cluster.api().object(&self.path(resource))
    }

    /// The set's pods, terminating ones included, by name.
    pub(crate) fn pods(&self, set: &str) -> Waiting<Vec<Value>> {
        let mut pods = self.cluster.api().items(&self.path("pods"))?;
        pods.retain(|pod| pod["metadata"]["ownerReferences"][0]["name"] == set);
        pods.sort_by_key(name);
        Ok(pods)
    }

    /// Waits until the set is rolled out everywhere, with at least one pod; gives its pods.
    pub(crate) fn rolled_out(&self, set: &str) -> Vec<Value> {
        self.until(&format!("daemon set {set} is rolled out"), || {
            let object = self.object(&format!("daemonsets/{set}"))?;
            let status = &object["status"];
            let desired = status["desiredNumberScheduled"].as_u64().unwrap_or(0);
            let complete = ["numberReady", "updatedNumberScheduled", "numberAvailable", "currentNumberScheduled"];
            let done = complete.iter().all(|field| status[field].as_u64().unwrap_or(0) == desired);
            let observed = status["observedGeneration"] == object["metadata"]["generation"];
            let pods = self.pods(set)?;
            let pods_done = pods.len() as u64 == desired;
            if desired > 0 && done && observed && pods_done {
                Ok(pods)
            } else {
                Err(format!("{} pods, status {status}", pods.len()))
            }
        })
    }

    /// Waits for a pod of the set that the condition accepts.
    pub(crate) fn pod_that(&self, set: &str, what: &str, accepts: impl Fn(&Value) -> bool) -> Value {
        self.until(&format!("a pod of {set} {what}"), || {
            let pods = self.pods(set)?;
            let states: Vec<String> = pods.iter().map(|pod| format!("{} {}", name(pod), pod["status"])).collect();
            pods.into_iter().find(&accepts).ok_or_else(|| states.join("\n"))
        })
    }

    /// Waits for an event with this reason whose message has these words in it; gives it.
    pub(crate) fn event(&self, reason: &str, words: &str) -> Value {
        self.until(&format!("an event {reason}: …{words}…"), || {
            let events = self.cluster.api().items(&self.path("events"))?;
            let fits = |event: &Value| {
                event["reason"] == reason && event["message"].as_str().is_some_and(|text| text.contains(words))
            };
            let shown: Vec<String> =
                events.iter().map(|event| format!("{}: {}", event["reason"], event["message"])).collect();
            events.into_iter().find(fits).ok_or_else(|| shown.join("\n"))
        })
    }

    /// Waits until a container's log has these words in it; gives all of it.
    pub(crate) fn log_with(&self, pod: &str, container: &str, words: &str) -> String {
        self.until(&format!("the log of {pod}/{container} has {words:?}"), || {
            let answer = self.cluster.api().get(&self.path(&format!("pods/{pod}/log?container={container}")));
            if answer.code == 200 && answer.text.contains(words) {
                Ok(answer.text)
            } else {
                Err(format!("{} {}", answer.code, answer.text))
            }
        })
    }
}

impl Drop for Space<'_> {
    fn drop(&mut self) {
        // Not waited for: the cores are wanted by the next test.
        self.cluster.api().call("DELETE", &format!("/api/v1/namespaces/{}", self.namespace), None, &[]);
    }
}
