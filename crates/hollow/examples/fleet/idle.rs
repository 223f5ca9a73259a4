//! What the control plane needs while nodes only renew their leases.

use std::time::{Duration, Instant};

use crate::Bench;
use crate::process::{Process, cpu_seconds};

/// Registration has its echo, and every node's first renewal is within ten seconds.
const SETTLE: Duration = Duration::from_secs(12);

impl Bench {
    pub(crate) async fn idle(&mut self) -> anyhow::Result<()> {
        let processes = self.plane.processes();
        tokio::time::sleep(SETTLE).await;
        let written = || processes.iter().map(Process::written_bytes).sum::<f64>();
        let (cpu, bytes, began) = (cpu_seconds(&processes), written(), Instant::now());
        tokio::time::sleep(Duration::from_secs(self.args.seconds)).await;
        let elapsed = began.elapsed().as_secs_f64();
        let share = (cpu_seconds(&processes) - cpu) / elapsed * 100.0;
        self.measures.add("idle cpu", "idle with leases: CPU", "% of a core", share);
        self.measures.add("idle disk", "idle with leases: to disk", "MB/s", (written() - bytes) / elapsed / 1e6);
        Ok(())
    }
}
