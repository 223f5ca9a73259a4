//! Simulated nodes in a process of their own: `everynode hollow`.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::Args;
use crate::cluster::Cluster;
use crate::process::{Process, signal};

const POLL: Duration = Duration::from_millis(50);
const STOP_MAX: Duration = Duration::from_secs(120);

pub(crate) struct Outside {
    child: Child,
    process: Process,
    report: PathBuf,
}

impl Outside {
    /// Answers when every node is registered, and has its watch.
    pub(crate) async fn start(args: &Args, binary: &PathBuf, cluster: &Cluster) -> anyhow::Result<Outside> {
        let report = std::env::temp_dir().join(format!("everynode-hollow-{}.json", std::process::id()));
        let mut command = Command::new(binary);
        command.args(["hollow", "--profile", "fast", "--nodes", &args.nodes.to_string(), "--report"]).arg(&report);
        if let Some(path) = &args.kubeconfig {
            command.arg("--kubeconfig").arg(path);
        }
        if args.watch_per_node {
            command.args(["--watch", "per-node"]);
        }
        if args.clean_up {
            command.arg("--clean-up");
        }
        let before = cluster.watchers().await?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("cannot run {}", binary.display()))?;
        let process = Process { name: "nodes".into(), pid: child.id().context("the nodes' process is gone")? };
        let mut outside = Outside { child, process, report };
        let deadline = Instant::now() + Duration::from_secs(args.patience);
        let watches = if args.watch_per_node { args.nodes } else { 1 };
        while cluster.nodes().await? < args.nodes || cluster.watchers().await? < before + watches {
            if let Some(status) = outside.child.try_wait()? {
                bail!("the nodes' process ended: {status}");
            }
            if Instant::now() > deadline {
                bail!("the nodes did not come up in time");
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(outside)
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Ends the nodes; answers their report.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Value> {
        signal(self.process.pid, "TERM").await?;
        tokio::time::timeout(STOP_MAX, self.child.wait()).await.context("the nodes do not stop")??;
        let text = std::fs::read(&self.report).context("the nodes wrote no report")?;
        std::fs::remove_file(&self.report)?;
        Ok(serde_json::from_slice(&text)?)
    }
}
