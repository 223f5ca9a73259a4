//! Draws what the benchmark measured: `charts FROM TO` reads the JSON files of
//! `scripts/bench-fleet.sh` in FROM, and writes three pictures to TO, with copies of the files that
//! they show.
//!
//! * `time-to-ready.svg`: from apply until all are ready, against the number of nodes;
//! * `memory.svg`: resident memory, against the number of nodes;
//! * `latency.svg`: how long one more node waits for its pod, as a distribution.
//!
//! Beside our series stand the figures of stock Kubernetes 1.36.2 on the same kind of machine
//! (README.md, *How it compares*), and, where there is a file `peer-….json`, what was measured of
//! another cluster in the same run.

mod draw;
mod runs;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::draw::{Axis, Chart, Look, Series};
use crate::runs::{Run, Runs};

/// Stock Kubernetes with lifted client limits: nodes, and seconds or MiB (etcd, API server,
/// controllers, scheduler).
const PEER_READY: [(f64, f64); 2] = [(1000.0, 4.6), (5000.0, 16.8)];
const PEER_APPLIED: [(f64, f64); 2] = [(1000.0, 962.0), (5000.0, 2099.0)];
const PEER_UPDATED: [(f64, f64); 1] = [(5000.0, 3899.0)];
/// The same at 5,000 nodes, 20 samples: milliseconds, and the share of nodes that had their pod
/// bound by then.
const PEER_BOUND: [(f64, f64); 3] = [(38.0, 50.0), (70.0, 90.0), (146.0, 100.0)];

const NODES: [f64; 6] = [500.0, 1000.0, 2000.0, 5000.0, 10_000.0, 20_000.0];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [from, to] = &arguments[..] else { anyhow::bail!("usage: charts FROM TO") };
    let runs = Runs::read(from)?;
    ensure!(!runs.is_empty(), "{} has no results; run `make bench-fleet` first", from.display());
    std::fs::create_dir_all(to)?;
    runs.copy_to(to)?;
    for (name, chart) in [("time-to-ready", time(&runs)), ("memory", memory(&runs)), ("latency", latency(&runs))] {
        match chart.is_worth_it() {
            true => write(&to.join(format!("{name}.svg")), &chart)?,
            false => eprintln!("nothing to draw for {name}"),
        }
    }
    Ok(())
}

fn write(path: &Path, chart: &Chart) -> anyhow::Result<()> {
    std::fs::write(path, chart.svg()?).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

/// Medians of one measure against the number of nodes.
fn by_nodes(runs: &Runs, per_node: bool, peer: bool, key: &str) -> Vec<(f64, f64)> {
    let fits = |run: &&Run| run.is_growth && run.per_node == per_node && run.is_peer == peer;
    runs.iter().filter(fits).filter_map(|run| Some((run.nodes, run.median(key)?))).collect()
}

fn time(runs: &Runs) -> Chart {
    let series = |per_node, peer| by_nodes(runs, per_node, peer, "apply");
    Chart {
        title: "From apply until every node's pod is ready".into(),
        x: Axis::log("nodes", &NODES),
        y: Axis::log("seconds", &[0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]),
        series: vec![
            Series::marked("everynode, one watch for all nodes", Look::First, series(false, false)),
            Series::marked("everynode, a connection for each node", Look::Second, series(true, false)),
            Series::marked("another cluster, measured beside it", Look::Fourth, series(false, true)),
            Series::marked("Kubernetes 1.36, client limits lifted", Look::Peer, PEER_READY.to_vec()),
        ],
    }
}

fn memory(runs: &Runs) -> Chart {
    let series = |per_node, key| by_nodes(runs, per_node, false, key);
    Chart {
        title: "Resident memory".into(),
        x: Axis::log("nodes", &NODES),
        y: Axis::log("MiB", &[10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0]),
        series: vec![
            Series::marked("everynode, after the apply", Look::First, series(false, "memory, after apply")),
            Series::marked("everynode, after the updates", Look::Second, series(false, "memory, after the updates")),
            Series::marked(
                "the same with a connection for each node",
                Look::Third,
                series(true, "memory, after the updates"),
            ),
            Series::marked("the simulated nodes themselves", Look::Fourth, series(false, "nodes memory")),
            Series::marked("Kubernetes 1.36, after the apply", Look::Peer, PEER_APPLIED.to_vec()),
            Series::marked("Kubernetes 1.36, after the updates", Look::OtherPeer, PEER_UPDATED.to_vec()),
        ],
    }
}

/// The share of values up to each value, in percent.
fn distribution(values: &[f64]) -> Vec<(f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let share = |index: usize| (index + 1) as f64 / sorted.len() as f64 * 100.0;
    sorted.iter().enumerate().map(|(index, value)| (*value, share(index))).collect()
}

fn latency(runs: &Runs) -> Chart {
    let biggest = runs.iter().filter(|run| run.is_round && !run.is_peer).max_by(|a, b| a.nodes.total_cmp(&b.nodes));
    let values = |key| biggest.map_or(&[][..], |run| run.values(key));
    let nodes = biggest.map_or(0.0, |run| run.nodes);
    let peer = if nodes == 5000.0 { PEER_BOUND.to_vec() } else { Vec::new() };
    Chart {
        title: format!("One more node at {}: from its creation to its pod", draw::number(nodes)),
        x: Axis::log("milliseconds", &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0]),
        y: Axis::linear("nodes that have got there, %", &[0.0, 25.0, 50.0, 75.0, 90.0, 100.0]),
        series: vec![
            Series::line("everynode: bound", Look::First, distribution(values("join bound"))),
            Series::line("everynode: ready", Look::Second, distribution(values("join ready"))),
            Series::marked("Kubernetes 1.36: bound (median, p90, max)", Look::Peer, peer),
        ],
    }
}
