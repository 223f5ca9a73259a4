//! One DaemonSet from apply to delete.

use std::time::{Duration, Instant};

use anyhow::Context;
use everynode_api::kinds;

use crate::Bench;
use crate::process::cpu_seconds;
use crate::writes::ServerWrites;

/// A node that joins gets its pod within this, or something is wrong.
const JOIN_MAX: Duration = Duration::from_secs(30);
/// Between two joins: nothing of the last one is under way any more.
const JOIN_PAUSE: Duration = Duration::from_millis(150);
/// Between two rounds: garbage is collected, nodes have left.
const ROUND_PAUSE: Duration = Duration::from_secs(1);

impl Bench {
    pub(crate) async fn rounds(&mut self) -> anyhow::Result<()> {
        for number in 0..self.args.rounds {
            let name = format!("bench-{number}");
            self.apply(&name).await.context("apply")?;
            self.update(&name).await?;
            for index in 0..self.args.joins {
                let id = self.fleet.first_joining() + number * self.args.joins + index;
                self.join(&format!("joining-{id}")).await.context("one more node")?;
                tokio::time::sleep(JOIN_PAUSE).await;
            }
            self.delete(&name).await.context("delete")?;
            self.fleet.leave(self.args.joins).await?;
            tokio::time::sleep(ROUND_PAUSE).await;
        }
        Ok(())
    }

    async fn apply(&mut self, name: &str) -> anyhow::Result<()> {
        let processes = self.plane.processes();
        let cpu = cpu_seconds(&processes);
        let began = Instant::now();
        self.cluster.create_set(name).await?;
        self.cluster.until_ready(name, 1, self.fleet.nodes()).await?;
        self.measures.add("apply", "apply → all ready", "s", began.elapsed().as_secs_f64());
        let used = cpu_seconds(&processes) - cpu;
        self.measures.add_cpu("apply cpu", "CPU of the apply, control plane", used, &processes);
        self.measures.add_memory("memory, after apply", &processes);
        Ok(())
    }

    /// Both updates, and how long the API takes for a write meanwhile.
    async fn update(&mut self, name: &str) -> anyhow::Result<()> {
        let processes = self.plane.processes();
        let before = ServerWrites::read(&self.cluster).await?;
        self.writes.clear();
        for (key, unavailable) in [("update 10", "10%"), ("update 100", "100%")] {
            let title = format!("update, maxUnavailable {unavailable}");
            let cpu = cpu_seconds(&processes);
            let began = Instant::now();
            let generation = self.cluster.update_set(name, key, unavailable).await?;
            self.cluster.until_ready(name, generation, self.fleet.nodes()).await.context(title.clone())?;
            self.measures.add(key, &title, "s", began.elapsed().as_secs_f64());
            let used = cpu_seconds(&processes) - cpu;
            self.measures.add_cpu(&format!("{key} cpu"), &format!("CPU of it ({unavailable})"), used, &processes);
        }
        self.measures.add_memory("memory, after the updates", &processes);
        self.measure_writes(&before).await
    }

    pub(crate) async fn measure_writes(&mut self, before: &ServerWrites) -> anyhow::Result<()> {
        let after = ServerWrites::read(&self.cluster).await?;
        if let Some(ms) = self.writes.p99_ms() {
            self.measures.add("writes p99", "API writes in rollouts, p99, nodes' clock", "ms", ms);
        }
        if let Some(ms) = after.since(before).quantile_ms(0.99) {
            self.measures.add("writes p99 server", "the same by the server's histogram", "ms", ms);
        }
        Ok(())
    }

    async fn delete(&mut self, name: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        self.cluster.delete_set(name).await?;
        self.cluster.until_no_pods(name).await?;
        self.measures.add("delete", "delete → no pods", "s", began.elapsed().as_secs_f64());
        Ok(())
    }

    /// From the event of the node's creation to the events of its pod, all seen by one client.
    async fn join(&mut self, node: &str) -> anyhow::Result<()> {
        let mut nodes = self.cluster.watch(kinds::NODE, format!("metadata.name={node}")).await?;
        let mut pods = self.cluster.watch(kinds::POD, format!("spec.nodeName={node}")).await?;
        let deadline = Instant::now() + JOIN_MAX;
        let seen = async {
            nodes.next(deadline).await?;
            anyhow::Ok(Instant::now())
        };
        let followed = async {
            let mut bound = None;
            while let Some(pod) = pods.next(deadline).await? {
                let bound = *bound.get_or_insert_with(Instant::now);
                if pod["status"]["phase"] == "Running" {
                    return anyhow::Ok((bound, Instant::now()));
                }
            }
            anyhow::bail!("the watch ended")
        };
        self.fleet.join_one().await?;
        let (created, (bound, ready)) = tokio::try_join!(seen, followed)?;
        let ms = |at: Instant| at.saturating_duration_since(created).as_secs_f64() * 1000.0;
        self.measures.add("join bound", "one more node: created → its pod bound", "ms", ms(bound));
        self.measures.add("join ready", "one more node: created → its pod ready", "ms", ms(ready));
        Ok(())
    }
}
