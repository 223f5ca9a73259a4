//! Many DaemonSets on all nodes, all of them updated at once, and what that costs whom.

use std::time::Instant;

use anyhow::Context;

use crate::Bench;
use crate::budget::Follower;
use crate::process::cpu_seconds;
use crate::writes::ServerWrites;

const SETS: usize = 100;

impl Bench {
    pub(crate) async fn many_sets(&mut self) -> anyhow::Result<()> {
        let sets = self.args.sets.unwrap_or(SETS);
        for _ in 0..self.args.rounds {
            self.sets_round(sets).await?;
        }
        Ok(())
    }

    async fn sets_round(&mut self, sets: usize) -> anyhow::Result<()> {
        let names: Vec<String> = (0..sets).map(|index| format!("many-{index}")).collect();
        let nodes = self.fleet.nodes();
        let began = Instant::now();
        for name in &names {
            self.cluster.create_set(name).await?;
        }
        for name in &names {
            self.cluster.until_ready(name, 1, nodes).await.context("apply")?;
        }
        let seconds = began.elapsed().as_secs_f64();
        self.measures.add("many apply", &format!("{sets} DaemonSets: apply → all ready"), "s", seconds);
        self.measures.add_memory("memory, many sets applied", &self.plane.processes());
        self.update_all(&names).await?;
        let began = Instant::now();
        for name in &names {
            self.cluster.delete_set(name).await?;
        }
        for name in &names {
            self.cluster.until_no_pods(name).await.context("delete")?;
        }
        let seconds = began.elapsed().as_secs_f64();
        self.measures.add("many delete", &format!("{sets} DaemonSets: delete → no pods"), "s", seconds);
        Ok(())
    }

    async fn update_all(&mut self, names: &[String]) -> anyhow::Result<()> {
        let (nodes, processes) = (self.fleet.nodes(), self.plane.processes());
        let follower = Follower::start(&self.cluster, names.len(), nodes).await?;
        let before = ServerWrites::read(&self.cluster).await?;
        self.writes.clear();
        let cpu = cpu_seconds(&processes);
        let began = Instant::now();
        let mut generations = Vec::new();
        for name in names {
            generations.push(self.cluster.update_set(name, "2", "10%").await?);
        }
        for (name, generation) in names.iter().zip(generations) {
            self.cluster.until_ready(name, generation, nodes).await.context("update")?;
        }
        let seconds = began.elapsed().as_secs_f64();
        let title = format!("{} DaemonSets: all updated at once, 10 %", names.len());
        self.measures.add("many update", &title, "s", seconds);
        self.measures.add_cpu("many cpu", "CPU of it", cpu_seconds(&processes) - cpu, &processes);
        self.measures.add_memory("memory, many sets updated", &processes);
        let worst = follower.stop().await?;
        let limit = nodes.div_ceil(10);
        let title = format!("worst set: nodes without a ready pod (limit {limit})");
        self.measures.add("many worst", &title, "", worst.unavailable as f64);
        let exceeded = f64::from(u8::from(worst.unavailable > limit));
        self.measures.add("many exceeded", "rounds in which a budget was exceeded", "", exceeded);
        eprintln!("worst: {} with {} of {nodes} nodes, limit {limit}", worst.set, worst.unavailable);
        self.measure_writes(&before).await
    }
}
