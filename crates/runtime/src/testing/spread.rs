//! A small reconciler for tests: one pod per node for every DaemonSet, nothing more.

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::ports::{Preconditions, Target};
use everynode_api::reconcile::{Action, Plan, Reconciler, Regarding, Report, StatusWrite, Violation};
use everynode_api::view::{Change, Pod, View};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock::later;

/// Names pods `SET-NODE`, or `SET-NODE-GENERATION` where that name was found taken; deletes pods
/// whose node is gone and all but one on a node; writes how many there are to the status.
#[derive(Default)]
pub struct Spread {
    /// Every plan asks to be woken after this long.
    pub wake_after_ms: Option<u64>,
    /// The audit finds fault with every plan that creates.
    pub suspicious: bool,
    /// Pods get names from the server, so that nothing but the cache prevents doubles.
    pub generate_names: bool,
}

/// What one plan sees.
pub struct SpreadInput {
    set: Regarding,
    revision: u64,
    ready: Option<i64>,
    /// Nodes without a pod, and the name for it.
    missing: Vec<(String, String)>,
    /// Pods without a node, and all but the first on a node.
    stray: Vec<(String, String)>,
    pods: i64,
}

impl Reconciler for Spread {
    type Input = SpreadInput;
    /// How many plans there were.
    type Memory = u64;
    type Note = String;

    fn name(&self) -> &'static str {
        "daemonset"
    }

    fn watches(&self) -> Vec<Kind> {
        vec![kinds::DAEMON_SET, kinds::NODE, kinds::POD]
    }

    fn wake(&self, view: &View, _change: &Change) -> Vec<Key> {
        self.all(view)
    }

    fn all(&self, view: &View) -> Vec<Key> {
        view.daemon_sets().map(|set| set.meta.key()).collect()
    }

    fn gather(&self, view: &View, key: &Key) -> Option<SpreadInput> {
        let set = &view.daemon_set(key)?.meta;
        let owned: Vec<_> = view.pods().owned_by(&set.uid).filter(|pod| !pod.is_terminating()).collect();
        let name = |node: &str| {
            let first = format!("{}-{node}", set.name);
            let taken = |name: &str| view.pods().get(&Key::new(&set.namespace, name)).is_some();
            if taken(&first) { format!("{first}-2") } else { first }
        };
        let has_pod = |node: &str| owned.iter().any(|pod| pod.target_node() == Some(node));
        let missing = view.nodes().map(|node| node.meta.name.to_string()).filter(|node| !has_pod(node));
        let is_first = |pod: &Pod| owned.iter().find(|other| other.target_node() == pod.target_node());
        let stray = owned.iter().filter(|pod| {
            let has_node = pod.target_node().is_some_and(|node| view.node(node).is_some());
            !has_node || is_first(pod).is_some_and(|first| first.meta.uid != pod.meta.uid)
        });
        Some(SpreadInput {
            set: Regarding {
                kind: kinds::DAEMON_SET,
                namespace: set.namespace.to_string(),
                name: set.name.to_string(),
                uid: set.uid.to_string(),
                field_path: String::new(),
            },
            revision: set.resource_version,
            ready: Some(view.daemon_set(key)?.status.number_ready),
            missing: missing.map(|node| (name(&node), node)).collect(),
            stray: stray.map(|pod| (pod.meta.name.to_string(), pod.meta.uid.to_string())).collect(),
            pods: owned.len() as i64,
        })
    }

    fn plan(&self, seen: &SpreadInput, memory: &u64, now: Timestamp) -> Plan<String, u64> {
        let creates = seen.missing.iter().map(|(name, node)| self.create(seen, name, node));
        let deletes = seen.stray.iter().map(|(name, uid)| delete(seen, name, uid));
        let guards = Preconditions { uid: Some(seen.set.uid.clone()), resource_version: Some(seen.revision) };
        Plan {
            actions: creates.chain(deletes).collect(),
            status: (seen.ready != Some(seen.pods)).then(|| StatusWrite {
                target: Target::new(kinds::DAEMON_SET, &seen.set.namespace, &seen.set.name).subresource("status"),
                status: json!({"numberReady": seen.pods}),
                preconditions: guards,
            }),
            notes: seen.missing.iter().map(|(_, node)| format!("{node} had no pod")).collect(),
            wake_at: self.wake_after_ms.map(|ms| later(now, std::time::Duration::from_millis(ms))),
            memory: memory + 1,
        }
    }

    fn audit(&self, _seen: &SpreadInput, plan: &Plan<String, u64>) -> Vec<Violation> {
        match self.suspicious && !plan.actions.is_empty() {
            true => vec![Violation("it acts".into())],
            false => Vec::new(),
        }
    }
}

impl Spread {
    fn create(&self, seen: &SpreadInput, name: &str, node: &str) -> Action {
        let set = &seen.set;
        let mut body = json!({
            "metadata": {
                "name": name,
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": set.name, "uid": set.uid, "controller": true}],
            },
            "spec": {"nodeName": node, "containers": []},
        });
        let mut target = Target::new(kinds::POD, &set.namespace, name);
        if self.generate_names {
            target.name.clear();
            body["metadata"]["name"] = Value::Null;
            body["metadata"]["generateName"] = format!("{}-", set.name).into();
        }
        let report = report(seen, ("SuccessfulCreate", "Created pod: {}"), ("FailedCreate", "Error creating: {}"));
        Action::Create { target, body, report }
    }
}

fn delete(seen: &SpreadInput, name: &str, uid: &str) -> Action {
    Action::Delete {
        target: Target::new(kinds::POD, &seen.set.namespace, name),
        preconditions: Preconditions { uid: Some(uid.to_owned()), resource_version: None },
        grace_period_seconds: None,
        propagation: None,
        report: report(seen, ("SuccessfulDelete", "Deleted pod: {}"), ("FailedDelete", "Error deleting: {}")),
    }
}

fn report(
    seen: &SpreadInput,
    success: (&'static str, &'static str),
    failure: (&'static str, &'static str),
) -> Option<Report> {
    let owned = |(reason, message): (&'static str, &'static str)| Some((reason, message.into()));
    Some(Report { regarding: seen.set.clone(), action: "", success: owned(success), failure: owned(failure) })
}
