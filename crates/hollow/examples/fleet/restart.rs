//! The server ends and starts again on the same data, with all its clients waiting for it.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::Bench;
use crate::plane::End;

/// DaemonSets on all nodes: 25,000 pods at 5,000 nodes.
const SETS: usize = 5;

impl Bench {
    pub(crate) async fn restarts(&mut self) -> anyhow::Result<()> {
        let nodes = self.fleet.nodes();
        let sets = self.args.sets.unwrap_or(SETS);
        for set in 0..sets {
            self.cluster.create_set(&set_name(set)).await?;
        }
        for set in 0..sets {
            self.cluster.until_ready(&set_name(set), 1, nodes).await.context("apply")?;
        }
        self.measures.add_memory("memory, before restarts", &self.plane.processes());
        for number in 0..self.args.rounds {
            self.restart(End::Stop, 2 * number, sets).await.context("stop and start")?;
            self.restart(End::Kill, 2 * number + 1, sets).await.context("kill and start")?;
        }
        Ok(())
    }

    async fn restart(&mut self, how: End, number: usize, sets: usize) -> anyhow::Result<()> {
        let (key, word) = match how {
            End::Stop => ("stopped", "after a stop"),
            End::Kill => ("killed", "after kill -9"),
        };
        let before = self.fleet.progress();
        self.plane.end(how).await?;
        let began = Instant::now();
        let seconds = || began.elapsed().as_secs_f64();
        self.plane.start_again()?;
        self.cluster.until_ready_endpoint().await?;
        self.measures.add(&format!("{key} ready"), &format!("{word}: start → /readyz"), "s", seconds());
        let found = self.cluster.until_serving().await?;
        self.measures.add(&format!("{key} list"), &format!("{word}: start → a list of the sets"), "s", seconds());
        anyhow::ensure!(found == sets, "{found} sets instead of {sets} after the restart");
        self.measures.add_memory(&format!("memory, {word}"), &self.plane.processes());
        let (patience, watches) = (self.args.patience, before.watches);
        let opened = before.watches_opened + watches;
        self.fleet.wait(patience, |now| now.watches_opened >= opened && now.watches >= watches).await?;
        self.measures.add(&format!("{key} watches"), &format!("{word}: start → every node's watch"), "s", seconds());
        self.roll_out(number, sets, key, word).await?;
        self.count_trouble(key, word, &before);
        Ok(())
    }

    /// Shows that everything works: one set is updated.
    async fn roll_out(&mut self, number: usize, sets: usize, key: &str, word: &str) -> anyhow::Result<()> {
        let name = set_name(number % sets);
        let began = Instant::now();
        let generation = self.cluster.update_set(&name, &format!("{number}"), "10%").await?;
        self.cluster.until_ready(&name, generation, self.fleet.nodes()).await.context("update after the restart")?;
        let seconds = began.elapsed().as_secs_f64();
        self.measures.add(&format!("{key} update"), &format!("{word}: update, maxUnavailable 10%"), "s", seconds);
        self.measures.add_memory(&format!("memory, {word} and an update"), &self.plane.processes());
        // What the next restart finds is at rest.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    }

    /// Whether coming back was a storm.
    fn count_trouble(&mut self, key: &str, word: &str, before: &everynode_hollow::Progress) {
        let now = self.fleet.progress();
        let relists = (now.relists - before.relists) as f64;
        let breaks = (now.reconnects - before.reconnects) as f64;
        self.measures.add(&format!("{key} relists"), &format!("{word}: watches that listed again (410)"), "", relists);
        self.measures.add(&format!("{key} breaks"), &format!("{word}: attempts that failed"), "", breaks);
    }
}

fn set_name(set: usize) -> String {
    format!("restart-{set}")
}
