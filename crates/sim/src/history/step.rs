//! The steps of a history.

use std::time::Duration;

use everynode_api::kinds::{CONTROLLER_REVISION, DAEMON_SET, Kind, LEASE, NODE, POD, RESOURCE_QUOTA};
use everynode_api::ports::{ApiError, PatchType, Preconditions, Propagation, Request, Target};
use everynode_api::time::{rfc3339, rfc3339_micro};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::seen::tag;
use super::{NODE_PREFIX, Observation, Player, RENEW_EVERY, SPACE};
use crate::user::HASH;
use crate::value::{is_terminating, text};

/// How long a node may take to be without taints of the cluster.
const NODE_MAX: Duration = Duration::from_secs(15);
/// Waits whose end was seen by the recording only last as long as they may.
const WAIT_MAX: Duration = Duration::from_secs(60);

impl Player {
    /// Carries a step out; a still point's is an observation.
    pub(super) async fn step(&mut self, line: &str) -> Result<Option<Observation>, String> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "observe" => {
                let (name, how) = rest.trim_start_matches('"').split_once('"').ok_or("no name")?;
                if how.trim() != "(at once)" {
                    self.settle().await;
                }
                return self.observe(name).await.map(Some).map_err(|error| error.to_string());
            }
            "settle" => self.settle().await,
            "sleep" => {
                let seconds: f64 = rest.parse().map_err(|_| "no number")?;
                self.live(Duration::from_secs_f64(seconds)).await;
            }
            "wait-for" => {
                let seconds = rest.strip_prefix("(at most ").and_then(|rest| rest.strip_suffix(" s)"));
                let most = seconds.and_then(|text| text.parse().ok()).map_or(WAIT_MAX, Duration::from_secs);
                self.live(most).await;
            }
            "fake-kubelet:" => self.kubelet.order(rest).ok_or("no order to the kubelet")?,
            "node" => self.add_node(rest).await?,
            _ if line.starts_with("kubelet-") || verb == "pod-status" => self.by_kubelet(verb, rest).await?,
            _ => self.write(verb, rest).await?,
        }
        Ok(None)
    }

    async fn by_kubelet(&mut self, verb: &str, rest: &str) -> Result<(), String> {
        match verb {
            "kubelet-silent" => drop(self.kubelet.live.remove(rest)),
            "kubelet-back" => {
                self.kubelet.live.insert(rest.to_owned());
                self.renew_leases().await;
                self.node_status(rest, "True").await;
            }
            "kubelet-ends" => {
                let ending: Vec<Value> = self.seen.pods.values().filter(|pod| is_terminating(pod)).cloned().collect();
                for pod in ending {
                    self.remove_pod(&pod).await;
                }
            }
            _ => {
                let (pod, fate) = rest.split_once(' ').ok_or("no state of a pod")?;
                let pod = self.pod(pod).ok_or("no such pod")?;
                let status = self.kubelet.status(&pod, fate, self.env.now());
                self.report(&pod, status).await;
            }
        }
        Ok(())
    }

    /// Writes to sets, nodes and pods.
    async fn write(&mut self, verb: &str, rest: &str) -> Result<(), String> {
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        match verb {
            "create-daemonset" => self.create(DAEMON_SET, self.parse(rest)?).await,
            "create-pod" => self.create(POD, self.parse(rest)?).await,
            "merge-patch-daemonset" => self.patch(DAEMON_SET, first, PatchType::Merge, self.parse(second)?).await,
            "annotate-daemonset" => {
                self.pokes += 1;
                let body = json!({"metadata": {"annotations": {"poke": self.pokes.to_string()}}});
                self.patch(DAEMON_SET, first, PatchType::Merge, body).await;
            }
            "set-image" => {
                let (image, more) = second.split_once(" template.spec+=").unwrap_or((second, "{}"));
                let mut spec = json!({"containers": [{"name": "m", "image": image}]});
                let more = self.parse(more)?;
                for (name, value) in more.as_object().into_iter().flatten() {
                    spec[name] = value.clone();
                }
                let body = json!({"spec": {"template": {"spec": spec}}});
                self.patch(DAEMON_SET, first, PatchType::Strategic, body).await;
            }
            "delete-daemonset" => {
                let propagation = match second {
                    "propagation=Orphan" => Propagation::Orphan,
                    _ => Propagation::Background,
                };
                self.delete(Target::new(DAEMON_SET, SPACE, first), None, Some(propagation)).await;
            }
            "delete-node" => {
                self.kubelet.live.remove(first);
                let name = format!("{NODE_PREFIX}{first}");
                self.delete(Target::new(NODE, "", &name), None, None).await;
                self.delete(Target::new(LEASE, "kube-node-lease", &name), None, None).await;
            }
            "node-status" => self.node_status(first, second.trim_start_matches("Ready=")).await,
            "label" => {
                let (name, value) = second.split_once('=').ok_or("no label")?;
                let body = json!({"metadata": {"labels": {name: value.replace("NS", SPACE)}}});
                self.patch(NODE, &format!("{NODE_PREFIX}{first}"), PatchType::Merge, body).await;
            }
            "cordon" => {
                let body = json!({"spec": {"unschedulable": true}});
                self.patch(NODE, &format!("{NODE_PREFIX}{first}"), PatchType::Merge, body).await;
            }
            "taint" | "untaint" => self.taint(first, second, verb == "taint").await?,
            _ => self.request(verb, first, second).await?,
        }
        Ok(())
    }

    /// A request as it was sent: method, path, body.
    async fn request(&mut self, method: &str, path: &str, body: &str) -> Result<(), String> {
        let patch = match method {
            "POST" | "DELETE" => None,
            "MERGE-PATCH" => Some(PatchType::Merge),
            "STRATEGIC-PATCH" => Some(PatchType::Strategic),
            _ => return Err(format!("no step is called {method:?}")),
        };
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let (namespace, parts) = match parts.as_slice() {
            ["namespaces", _, rest @ ..] => (SPACE, rest),
            rest => ("", rest),
        };
        let (plural, names) = parts.split_first().ok_or("no path")?;
        let kind = match *plural {
            "pods" => POD,
            "nodes" => NODE,
            "daemonsets" => DAEMON_SET,
            "controllerrevisions" => CONTROLLER_REVISION,
            "resourcequotas" => RESOURCE_QUOTA,
            other => return Err(format!("{other} are not here")),
        };
        if method == "POST" {
            let mut object = self.parse(body)?;
            let is_copy = object["data"]["spec"].is_object();
            let newest = self.newest_revision().filter(|_| is_copy && kind == CONTROLLER_REVISION);
            // The recording shows only what matters of the data of a copy.
            newest.map(|revision| revision["data"].clone()).into_iter().for_each(|data| object["data"] = data);
            self.create(kind, object).await;
            return Ok(());
        }
        let name = names.first().copied().unwrap_or_default();
        for name in self.names(name) {
            let mut target = Target::new(kind.clone(), namespace, &name);
            target.subresource = names.get(1).filter(|name| **name == "status").map(|_| "status");
            match patch {
                Some(patch) => self.patch_at(target, patch, self.parse(body)?).await,
                None => {
                    let options = if body.is_empty() { Value::Null } else { self.parse(body)? };
                    self.delete(target, options["gracePeriodSeconds"].as_i64(), None).await;
                }
            }
        }
        Ok(())
    }

    /// The names that a placeholder stands for.
    fn names(&self, name: &str) -> Vec<String> {
        match name {
            "REVISION" => {
                self.seen.revisions.values().map(|object| text(&object["metadata"]["name"]).to_owned()).collect()
            }
            name if name.starts_with("POD(") => {
                self.pod(name).iter().map(|pod| text(&pod["metadata"]["name"]).to_owned()).collect()
            }
            name => vec![name.replace("NS-", NODE_PREFIX)],
        }
    }

    /// `POD(n1)` is the oldest of that node, `POD(n1,v2)` with that image; `both` is the first node
    /// with two pods.
    fn pod(&self, placeholder: &str) -> Option<Value> {
        let inner = placeholder.strip_prefix("POD(")?.strip_suffix(')')?;
        let (node, image) = inner.split_once(',').map_or((inner, None), |(node, image)| (node, Some(image)));
        let both = || self.nodes.iter().find(|node| self.seen.on(node).len() == 2).map_or("", String::as_str);
        let mut pods = self.seen.on(if node == "both" { both() } else { node }).into_iter();
        pods.find(|pod| image.is_none_or(|image| tag(pod) == image)).cloned()
    }

    fn newest_revision(&self) -> Option<&Value> {
        self.seen.revisions.values().max_by_key(|revision| revision["revision"].as_i64())
    }

    fn parse(&self, json: &str) -> Result<Value, String> {
        let sets = || self.seen.sets.values();
        let uid = sets().next().map(|set| text(&set["metadata"]["uid"])).unwrap_or_default();
        let hash =
            self.newest_revision().map(|revision| text(&revision["metadata"]["labels"][HASH])).unwrap_or_default();
        let json = json
            .replace("\"REVISION\"", &format!("\"{}\"", self.seen.revision_name))
            .replace("\"DS-UID\"", &format!("\"{uid}\""))
            .replace("\"HASH\"", &format!("\"{hash}\""))
            .replace("\"NS-", &format!("\"{NODE_PREFIX}"))
            .replace("\"NS\"", &format!("\"{SPACE}\""));
        serde_json::from_str(&json).map_err(|error| error.to_string())
    }

    async fn add_node(&mut self, rest: &str) -> Result<(), String> {
        let (short, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let name = format!("{NODE_PREFIX}{short}");
        let mut labels = json!({"case": SPACE, "kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
                                "kubernetes.io/arch": "amd64"});
        let mut spec = json!({});
        match rest {
            "" => {}
            "unschedulable" => spec["unschedulable"] = true.into(),
            _ => match rest.split_once('=').ok_or("nothing known of the node")? {
                ("taints", taints) => spec["taints"] = self.parse(taints)?,
                (_, own) => {
                    for (label, value) in self.parse(own)?.as_object().into_iter().flatten() {
                        labels[label] = value.clone();
                    }
                }
            },
        }
        self.nodes.insert(short.to_owned());
        self.kubelet.live.insert(short.to_owned());
        self.create(NODE, json!({"metadata": {"name": name, "labels": labels}, "spec": spec})).await;
        self.renew_leases().await;
        self.node_status(short, "True").await;
        let end = Instant::now() + NODE_MAX;
        while Instant::now() < end && self.is_new(&name).await {
            self.live(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Whether the cluster still keeps pods off a node because it is new.
    async fn is_new(&self, name: &str) -> bool {
        let answer = self.api.call(Request::Get(Target::new(NODE, "", name))).await;
        let node: Value = answer.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
        let mut taints = node["spec"]["taints"].as_array().into_iter().flatten();
        taints.any(|taint| text(&taint["key"]).starts_with("node.kubernetes.io/not-ready"))
    }

    async fn node_status(&mut self, node: &str, ready: &str) {
        let now = rfc3339(self.env.now());
        let condition = |(kind, status, reason): (&str, &str, &str)| {
            json!({"type": kind, "status": status, "reason": reason, "message": "", "lastHeartbeatTime": now,
                   "lastTransitionTime": now})
        };
        let reason = if ready == "True" { "KubeletReady" } else { "KubeletNotReady" };
        let conditions = [
            ("MemoryPressure", "False", "ok"),
            ("DiskPressure", "False", "ok"),
            ("PIDPressure", "False", "ok"),
            ("Ready", ready, reason),
        ];
        let size = json!({"cpu": "4", "memory": "8Gi", "pods": "110"});
        let body = json!({"status": {"capacity": size, "allocatable": size, "conditions": conditions.map(condition)}});
        let target = Target::new(NODE, "", &format!("{NODE_PREFIX}{node}")).subresource("status");
        self.patch_at(target, PatchType::Strategic, body).await;
    }

    async fn taint(&mut self, node: &str, taint: &str, is_on: bool) -> Result<(), String> {
        let (key, effect) = taint.split_once("=:").ok_or("no taint")?;
        let name = format!("{NODE_PREFIX}{node}");
        let answer = self.api.call(Request::Get(Target::new(NODE, "", &name))).await.map_err(|e| e.to_string())?;
        let mut found: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        let mut taints = found["spec"]["taints"].as_array_mut().map(std::mem::take).unwrap_or_default();
        taints.retain(|taint| taint["key"] != key || taint["effect"] != effect);
        if is_on {
            taints.push(json!({"key": key, "effect": effect}));
        }
        self.patch(NODE, &name, PatchType::Merge, json!({"spec": {"taints": taints}})).await;
        Ok(())
    }

    pub(super) async fn renew_leases(&mut self) {
        self.renew_at = Instant::now() + RENEW_EVERY;
        let now = rfc3339_micro(self.env.now());
        for node in self.kubelet.live.clone() {
            let name = format!("{NODE_PREFIX}{node}");
            let target = Target::new(LEASE, "kube-node-lease", &name);
            let body = json!({"spec": {"renewTime": now}});
            let preconditions = Preconditions::default();
            let renewal = Request::Patch { target, patch: PatchType::Merge, body, preconditions };
            if self.api.call(renewal).await.is_err_and(|error| error.is_not_found()) {
                let spec = json!({"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now});
                let body = json!({"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": spec});
                let target = Target::new(LEASE, "kube-node-lease", "");
                let _ = self.api.call(Request::Create { target, body }).await;
            }
        }
    }

    pub(super) async fn create(&mut self, kind: Kind, body: Value) {
        let namespace = if kind.namespaced { SPACE } else { "" };
        let answer = self.api.call(Request::Create { target: Target::new(kind, namespace, ""), body }).await;
        self.keep_refusal(answer.map(drop));
    }

    async fn patch(&mut self, kind: Kind, name: &str, patch: PatchType, body: Value) {
        let namespace = if kind.namespaced { SPACE } else { "" };
        self.patch_at(Target::new(kind, namespace, name), patch, body).await;
    }

    async fn patch_at(&mut self, target: Target, patch: PatchType, body: Value) {
        let preconditions = Preconditions::default();
        let answer = self.api.call(Request::Patch { target, patch, body, preconditions }).await;
        self.keep_refusal(answer.map(drop));
    }

    async fn delete(&mut self, target: Target, grace: Option<i64>, propagation: Option<Propagation>) {
        let preconditions = Preconditions::default();
        let request = Request::Delete { target, preconditions, grace_period_seconds: grace, propagation };
        let answer = self.api.call(request).await;
        self.keep_refusal(answer.map(drop));
    }

    fn keep_refusal(&mut self, answer: Result<(), ApiError>) {
        self.refused.extend(answer.err().map(|error| format!("refused: {error}")));
    }
}
