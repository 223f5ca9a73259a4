//! The fleet part of `make bench`: what a control plane does with thousands of simulated nodes,
//! measured from outside through its API.
//!
//! ```text
//! round      apply → all ready, update at 10 % and at 100 %, nodes that join one by one, delete → no pods
//! idle       nothing happens but leases
//! sets       many DaemonSets, all updated at once; no budget may be exceeded at any time
//! restart    the server stops, or is killed, and starts again on the same data
//! hostile    silent connections, slow bodies and abused HTTP/2, beside nodes that speak as nodes
//! ```
//!
//! The nodes run in this process, or with `--hollow FILE` in one of their own (`everynode hollow`),
//! whose memory and CPU are then measured too. The control plane is one that runs already (`--pid`
//! says which processes are measured) or is started here: what stands after `--`. Aims and a stock
//! control plane's figures stand beside the medians.

mod aims;
mod attack;
mod budget;
mod cluster;
mod endpoint;
mod fleet;
mod hostile;
mod identities;
mod idle;
mod outside;
mod plane;
mod process;
mod restart;
mod round;
mod sets;
mod stall;
mod stats;
mod table;
mod writes;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use serde_json::Value;

use crate::aims::Run;
use crate::cluster::Cluster;
use crate::fleet::Fleet;
use crate::plane::Plane;
use crate::table::Measures;
use crate::writes::Writes;

#[derive(Debug, Parser)]
#[command(
    about = "Measures a control plane with simulated nodes",
    after_help = "EXAMPLES\n\
    \x20 fleet --kubeconfig F --nodes 1000 --pid server=4711\n\
    \x20 fleet --kubeconfig F --nodes 5000 --rounds 3 --json fleet.json --pid etcd=11 --pid apiserver=12\n\
    \x20 fleet --kubeconfig D/admin.kubeconfig --scenario restart -- everynode up --no-agent --data-dir D\n\
    \x20 fleet --kubeconfig D/admin.kubeconfig --scenario hostile -- everynode up --no-agent --data-dir D"
)]
pub(crate) struct Args {
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Scenario::Round)]
    scenario: Scenario,
    #[arg(long, default_value_t = 1000)]
    nodes: usize,
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Nodes that join one by one, per round
    #[arg(long, default_value_t = 20)]
    joins: usize,
    /// DaemonSets of the scenarios `sets` and `restart` [default: 100 and 5]
    #[arg(long)]
    sets: Option<usize>,
    /// Seconds of the scenario `idle`, and of each of the three parts of `hostile`
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// One connection and one watch for each node
    #[arg(long)]
    watch_per_node: bool,
    /// The nodes run in a process of their own: this everynode's `hollow`
    #[arg(long, value_name = "FILE")]
    hollow: Option<PathBuf>,
    /// Processes of the control plane, whose memory and CPU are measured
    #[arg(long = "pid", value_name = "NAME=PID")]
    pids: Vec<String>,
    /// Seconds until a measure is given up
    #[arg(long, default_value_t = 600)]
    patience: u64,
    /// Delete the nodes at the end
    #[arg(long)]
    clean_up: bool,
    #[arg(long)]
    json: Option<PathBuf>,
    /// Results of the same scenario against another cluster, which stand beside these then
    #[arg(long, value_name = "JSON")]
    beside: Option<PathBuf>,
    /// Where the output of the server that is started here goes
    #[arg(long, value_name = "FILE", default_value = "/dev/null")]
    server_log: PathBuf,
    /// The server, started here; it writes the kubeconfig
    #[arg(last = true, value_name = "COMMAND")]
    server: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    Round,
    Idle,
    Sets,
    Restart,
    Hostile,
}

/// What a scenario works with.
pub(crate) struct Bench {
    args: Args,
    plane: Plane,
    cluster: Cluster,
    fleet: Fleet,
    writes: Writes,
    measures: Measures,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1).peekable();
    if words.peek().is_some_and(|word| word == "attack") {
        return attack::run(attack::AttackArgs::parse_from(words)).await;
    }
    let args = Args::parse();
    tokio::select! {
        result = run(args) => result,
        // What was started here ends with this process.
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        () = terminated() => anyhow::bail!("terminated"),
    }
}

async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let plane = Plane::start(&args).await?;
    let cluster = Cluster::connect(args.kubeconfig.as_deref(), args.patience).await?;
    cluster.until_serving().await?;
    let writes = Writes::default();
    let fleet = Fleet::start(&args, &cluster, &writes).await?;
    let mut measures = Measures::default();
    if let Some(path) = &args.beside {
        let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        measures.compare_with(&serde_json::from_slice(&text)?);
    }
    let mut bench = Bench { args, plane, cluster, fleet, writes, measures };
    bench.measures.add_memory("memory, nodes only", &bench.plane.processes());
    let measured = bench.measure().await;
    bench.measure_nodes();
    let Bench { args, fleet, measures, .. } = bench;
    let report = fleet.stop().await?;
    let run = Run { nodes: args.nodes, per_node: args.watch_per_node, scenario: args.scenario };
    print!("{}", measures.text(run));
    eprintln!("nodes: {}", report["trouble"]);
    // Only now: what the nodes have to say is most wanted when something did not work.
    measured?;
    write(&args, &measures.json(run, &report))
}

fn write(args: &Args, json: &Value) -> anyhow::Result<()> {
    let Some(path) = &args.json else { return Ok(()) };
    let json = serde_json::to_string_pretty(json)? + "\n";
    std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))
}

impl Bench {
    async fn measure(&mut self) -> anyhow::Result<()> {
        match self.args.scenario {
            Scenario::Round => self.rounds().await,
            Scenario::Idle => self.idle().await,
            Scenario::Sets => self.many_sets().await,
            Scenario::Restart => self.restarts().await,
            Scenario::Hostile => self.hostile().await,
        }
    }

    /// What the nodes themselves cost, where they are a process of their own.
    fn measure_nodes(&mut self) {
        if let Some(process) = self.fleet.process() {
            self.measures.add("nodes memory", "memory of the nodes' process", "MiB", process.resident_mib());
            self.measures.add("nodes memory peak", "memory of the nodes' process, peak", "MiB", process.peak_mib());
            self.measures.add("nodes cpu", "CPU of the nodes' process, whole run", "s", process.cpu_seconds());
        }
    }
}
