//! A DaemonSet, nodes, and a manager over the server in memory.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::sync::Arc;
use std::time::Duration;

use everynode_api::kinds;
use everynode_api::meta::Key;
use everynode_runtime::testing::{MemoryApi, Spread};
use everynode_runtime::{Env, Handle, Manager, Metrics, Options, Shutdown, Trigger};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// A cluster before its controller runs.
pub struct Cluster {
    pub api: MemoryApi,
    pub env: Env,
}

/// A cluster with a running controller.
pub struct Running {
    pub api: MemoryApi,
    pub env: Env,
    pub handle: Arc<Handle<String>>,
    metrics: Metrics,
    trigger: Trigger,
    task: JoinHandle<()>,
}

pub fn node(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

impl Cluster {
    /// A set `x/web` and nodes `n0`, `n1`, …
    pub fn with_nodes(count: usize) -> Cluster {
        Cluster::seeded(1, count)
    }

    pub fn seeded(seed: u64, count: usize) -> Cluster {
        let env = Env::simulated(seed, "2026-01-01T00:00:00Z".parse().unwrap());
        let api = MemoryApi::new(env.clone());
        api.put(&kinds::DAEMON_SET, json!({"metadata": {"name": "web", "namespace": "x"}}));
        (0..count).for_each(|index| drop(api.put(&kinds::NODE, node(&format!("n{index}")))));
        Cluster { api, env }
    }

    /// The same cluster, for a second controller.
    pub fn twin(&self) -> Cluster {
        Cluster { api: self.api.clone(), env: self.env.clone() }
    }

    pub async fn run(self, spread: Spread, options: Options) -> Running {
        let Cluster { api, env } = self;
        let mut manager = Manager::new(Arc::new(api.clone()), env.clone());
        let handle = manager.add(spread, options);
        let metrics = manager.metrics();
        let (trigger, shutdown) = Shutdown::new();
        let task = tokio::spawn(manager.run(shutdown));
        Running { api, env, handle, metrics, trigger, task }
    }
}

impl Running {
    /// Lets everything happen that happens without further reason, in simulated time.
    pub async fn settle(&self) {
        self.env.sleep(Duration::from_secs(10)).await;
    }

    pub fn pods(&self) -> Vec<String> {
        let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.api.list(&kinds::POD).iter().map(name).collect()
    }

    pub fn set(&self) -> Value {
        self.api.get(&kinds::DAEMON_SET, &Key::new("x", "web")).unwrap_or_default()
    }

    /// How many requests there were whose line in the log begins so.
    pub fn count(&self, prefix: &str) -> usize {
        self.api.requests().iter().filter(|line| line.starts_with(&format!("{prefix} "))).count()
    }

    pub fn plans(&self) -> u64 {
        self.metrics.counters().plans_total.load(std::sync::atomic::Ordering::Relaxed)
    }

    pub fn manager_metrics(&self) -> String {
        self.metrics.render()
    }

    pub fn notes(&self) -> Option<Arc<[String]>> {
        self.handle.notes(&Key::new("x", "web"))
    }

    pub async fn stop(self) {
        self.trigger.fire();
        self.task.await.unwrap();
    }
}
