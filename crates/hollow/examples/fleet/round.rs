//! The scenarios.

use std::time::{Duration, Instant};

use anyhow::Context;
use everynode_api::kinds;

use crate::cluster::Cluster;
use crate::fleet::Fleet;
use crate::process::{Process, cpu_seconds};
use crate::table::Measures;

/// A node that joins gets its pod within this, or something is wrong.
const JOIN_MAX: Duration = Duration::from_secs(30);
/// Between two joins: nothing of the last one is under way any more.
const JOIN_PAUSE: Duration = Duration::from_millis(150);

/// Everything from apply to delete with one DaemonSet.
pub(crate) async fn round(
    cluster: &Cluster,
    fleet: &Fleet,
    number: usize,
    joins: usize,
    processes: &[Process],
    measures: &mut Measures,
) -> anyhow::Result<()> {
    let (name, nodes) = (format!("bench-{number}"), fleet.nodes());
    let cpu = cpu_seconds(processes);
    let began = Instant::now();
    cluster.create_set(&name).await?;
    cluster.until_ready(&name, 1, nodes).await.context("apply")?;
    measures.add("apply", "apply → all ready", "s", began.elapsed().as_secs_f64());
    measures.add("apply cpu", "CPU of the apply, control plane", "s", cpu_seconds(processes) - cpu);
    measures.add_memory("memory, after apply", processes);
    for (key, title, unavailable) in
        [("update 10", "update, maxUnavailable 10 %", "10%"), ("update 100", "update, maxUnavailable 100 %", "100%")]
    {
        let cpu = cpu_seconds(processes);
        let began = Instant::now();
        let generation = cluster.update_set(&name, key, unavailable).await?;
        cluster.until_ready(&name, generation, nodes).await.context(title)?;
        measures.add(key, title, "s", began.elapsed().as_secs_f64());
        measures.add(&format!("{key} cpu"), &format!("CPU of it ({unavailable})"), "s", cpu_seconds(processes) - cpu);
    }
    measures.add_memory("memory, after the updates", processes);
    for index in 0..joins {
        let id = nodes + number * joins + index;
        join(cluster, fleet, &format!("joining-{id}"), measures).await.context("one more node")?;
        tokio::time::sleep(JOIN_PAUSE).await;
    }
    let began = Instant::now();
    cluster.delete_set(&name).await?;
    cluster.until_no_pods(&name).await.context("delete")?;
    measures.add("delete", "delete → no pods", "s", began.elapsed().as_secs_f64());
    fleet.leave(joins).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(())
}

/// From the event of the node's creation to the events of its pod, all seen by one client.
async fn join(cluster: &Cluster, fleet: &Fleet, node: &str, measures: &mut Measures) -> anyhow::Result<()> {
    let mut nodes = cluster.watch(kinds::NODE, format!("metadata.name={node}")).await?;
    let mut pods = cluster.watch(kinds::POD, format!("spec.nodeName={node}")).await?;
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
    fleet.join_one().await?;
    let (created, (bound, ready)) = tokio::try_join!(seen, followed)?;
    let ms = |at: Instant| at.saturating_duration_since(created).as_secs_f64() * 1000.0;
    measures.add("join bound", "one more node: created → its pod bound", "ms", ms(bound));
    measures.add("join ready", "one more node: created → its pod ready", "ms", ms(ready));
    Ok(())
}

/// What the control plane needs while nodes only renew their leases.
pub(crate) async fn idle(seconds: u64, processes: &[Process], measures: &mut Measures) -> anyhow::Result<()> {
    // Registration has its echo.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let written = || processes.iter().map(Process::written_bytes).sum::<f64>();
    let (cpu, bytes, began) = (cpu_seconds(processes), written(), Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let elapsed = began.elapsed().as_secs_f64();
    measures.add("idle cpu", "idle with leases: CPU", "% of a core", (cpu_seconds(processes) - cpu) / elapsed * 100.0);
    measures.add("idle disk", "idle with leases: to disk", "MB/s", (written() - bytes) / elapsed / 1e6);
    Ok(())
}

/// Many DaemonSets on all nodes, all of them updated at once.
pub(crate) async fn many_sets(
    cluster: &Cluster,
    sets: usize,
    nodes: usize,
    measures: &mut Measures,
) -> anyhow::Result<()> {
    let names: Vec<String> = (0..sets).map(|index| format!("many-{index}")).collect();
    let began = Instant::now();
    for name in &names {
        cluster.create_set(name).await?;
    }
    for name in &names {
        cluster.until_ready(name, 1, nodes).await.context("apply")?;
    }
    measures.add("many apply", &format!("{sets} DaemonSets: apply → all ready"), "s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    let mut generations = Vec::new();
    for name in &names {
        generations.push(cluster.update_set(name, "2", "10%").await?);
    }
    for (name, generation) in names.iter().zip(generations) {
        cluster.until_ready(name, generation, nodes).await.context("update")?;
    }
    measures.add(
        "many update",
        &format!("{sets} DaemonSets: all updated at once, 10 %"),
        "s",
        began.elapsed().as_secs_f64(),
    );
    let began = Instant::now();
    for name in &names {
        cluster.delete_set(name).await?;
    }
    for name in &names {
        cluster.until_no_pods(name).await.context("delete")?;
    }
    measures.add("many delete", &format!("{sets} DaemonSets: delete → no pods"), "s", began.elapsed().as_secs_f64());
    Ok(())
}
