//! The fleet part of `make bench`: what a control plane does with thousands of simulated nodes, measured
//! from outside through its API. It runs the nodes itself, in this process.
//!
//! One round: apply → all ready, update at maxUnavailable 10 %, update at 100 %, nodes that join one by
//! one, delete → no pods. The figures of a stock control plane and the aims stand beside the medians.

mod cluster;
mod fleet;
mod process;
mod round;
mod table;

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use everynode_hollow::Mode;

use crate::cluster::Cluster;
use crate::fleet::Fleet;
use crate::process::Process;

#[derive(Debug, Parser)]
#[command(
    about = "Measures a control plane with simulated nodes",
    after_help = "EXAMPLES\n\
    \x20 fleet --kubeconfig F --nodes 1000 --pid server=4711\n\
    \x20 fleet --kubeconfig F --nodes 5000 --rounds 3 --json fleet.json --pid etcd=11 --pid apiserver=12"
)]
pub(crate) struct Args {
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    #[arg(long, default_value_t = 1000)]
    nodes: usize,
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Nodes that join one by one, per round
    #[arg(long, default_value_t = 20)]
    joins: usize,
    /// One connection and one watch for each node
    #[arg(long)]
    watch_per_node: bool,
    /// Processes of the control plane, whose memory and CPU are measured
    #[arg(long = "pid", value_name = "NAME=PID")]
    pids: Vec<String>,
    /// Seconds during which nothing happens but leases; nodes have leases from the start then
    #[arg(long, default_value_t = 0)]
    idle: u64,
    /// DaemonSets that are updated at once instead of the rounds
    #[arg(long, default_value_t = 0)]
    sets: usize,
    /// Seconds until a measure is given up
    #[arg(long, default_value_t = 600)]
    patience: u64,
    /// Delete the nodes at the end
    #[arg(long)]
    clean_up: bool,
    #[arg(long)]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mode = if args.watch_per_node { Mode::WatchPerNode } else { Mode::SharedWatch };
    let processes: Vec<Process> = args.pids.iter().map(|text| Process::parse(text)).collect::<Result<_, _>>()?;
    let cluster = Cluster::connect(args.kubeconfig.as_deref(), args.patience).await?;
    let fleet = Fleet::start(&args, mode).await?;
    let mut measures = table::Measures::default();
    measures.add_memory("memory, nodes only", &processes);
    let measured = measure(&args, &cluster, &fleet, &processes, &mut measures).await;
    let report = fleet.stop().await?;
    let kind = table::Run { nodes: args.nodes, per_node: args.watch_per_node };
    print!("{}", measures.text(kind));
    eprintln!("nodes: {}", serde_json::to_string(&report.trouble)?);
    // Only now: what the nodes have to say is most wanted when something did not work.
    measured?;
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&measures.json(kind, &report))?;
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

async fn measure(
    args: &Args,
    cluster: &Cluster,
    fleet: &Fleet,
    processes: &[Process],
    measures: &mut table::Measures,
) -> anyhow::Result<()> {
    if args.idle > 0 {
        round::idle(args.idle, processes, measures).await?;
    }
    if args.sets > 0 {
        return round::many_sets(cluster, args.sets, fleet.nodes(), measures).await;
    }
    for number in 0..args.rounds {
        round::round(cluster, fleet, number, args.joins, processes, measures).await?;
    }
    Ok(())
}
