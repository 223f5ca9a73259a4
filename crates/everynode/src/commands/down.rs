//! `everynode down`: stop what `up` or `agent` left running on this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use everynode_agent::container::NODE_LABEL;
use everynode_agent::cri::{CriRuntime, Runtime, RuntimeError};
use serde::Serialize;

use crate::args::{DownArgs, Output};
use crate::containerd::{Containerd, process};
use crate::data::{DataDir, NodeState, release_primary};
use crate::output;

/// How long one container gets between TERM and KILL.
const GRACE: Duration = Duration::from_secs(10);

pub(crate) async fn run(args: DownArgs) -> anyhow::Result<()> {
    let data = DataDir::new(&args.data.data_dir);
    if let Some(pid) = data.holder() {
        say(&args, format_args!("stopping everynode (process {pid})"))?;
        process::terminate(pid, args.timeout).await?;
    }
    let containerd = Containerd::new(data.root());
    let Some(state) = data.node_state() else {
        // An earlier `down` may have been broken off.
        containerd.forget_networks(&BTreeSet::new())?;
        say(&args, format_args!("nothing runs from {}", data.root().display()))?;
        return report(&args, &Stopped::default());
    };
    let mut done = Stopped { node: state.node_name.clone(), ..Stopped::default() };
    let mut sandboxes = BTreeSet::new();
    let reachable = process::accepts(Path::new(state.cri_endpoint.trim_start_matches("unix://"))).await;
    if reachable {
        let stopped = tokio::time::timeout(args.timeout, stop_pods(&state, &mut sandboxes)).await;
        let (count, failures) = stopped
            .with_context(|| format!("pods still run after {:?}; a larger --timeout may help", args.timeout))??;
        done.pods = count;
        say(&args, format_args!("stopped {count} pods of node {}", state.node_name))?;
        for failure in &failures {
            eprintln!("warning: {failure}");
            done.warnings.push(failure.to_string());
        }
        if !failures.is_empty() && !state.private_runtime {
            bail!("{} pods could not be removed from the runtime; `everynode down` tries again", failures.len());
        }
    }
    if state.private_runtime && containerd.stop().await? {
        done.runtime = true;
        say(&args, "stopped the private containerd")?;
    }
    if state.private_runtime
        && let Err(error) = containerd.forget_networks(&sandboxes)
    {
        eprintln!("warning: {error:#}");
        done.warnings.push(format!("{error:#}"));
    }
    clean_up(&data, &state)?;
    report(&args, &done)
}

/// What was stopped, for `-o json`.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stopped {
    node: String,
    pods: usize,
    /// Whether a private container runtime was stopped.
    runtime: bool,
    warnings: Vec<String>,
}

fn say(args: &DownArgs, text: impl Display) -> anyhow::Result<()> {
    if args.output == Output::Text { output::line(text) } else { Ok(()) }
}

fn report(args: &DownArgs, done: &Stopped) -> anyhow::Result<()> {
    if args.output == Output::Json { output::line(serde_json::to_string(done)?) } else { Ok(()) }
}

/// Answers how many pods ended, and what the runtime could not undo (it is told, and goes on: a
/// network plugin that was replaced under a pod cannot take the pod's network down any more). `ids`
/// are the sandboxes that there were.
async fn stop_pods(state: &NodeState, ids: &mut BTreeSet<String>) -> anyhow::Result<(usize, Vec<RuntimeError>)> {
    let runtime: Arc<dyn Runtime> = Arc::new(CriRuntime::new(&state.cri_endpoint)?);
    let ours = BTreeMap::from([(NODE_LABEL.to_owned(), state.node_name.clone())]);
    let containers = runtime.list_containers(&ours).await?;
    let mut stops = tokio::task::JoinSet::new();
    for container in containers {
        let runtime = runtime.clone();
        stops.spawn(async move { runtime.stop_container(&container.id, GRACE).await });
    }
    let mut failures = Vec::new();
    while let Some(stopped) = stops.join_next().await {
        failures.extend(stopped?.err());
    }
    let sandboxes = runtime.list_sandboxes(&ours).await?;
    ids.extend(sandboxes.iter().map(|sandbox| sandbox.id.clone()));
    let mut count = 0;
    for sandbox in sandboxes {
        match remove_sandbox(runtime.as_ref(), &sandbox.id).await {
            Ok(()) => count += 1,
            Err(error) => failures.push(error),
        }
    }
    Ok((count, failures))
}

async fn remove_sandbox(runtime: &dyn Runtime, id: &str) -> Result<(), RuntimeError> {
    runtime.stop_sandbox(id).await?;
    runtime.remove_sandbox(id).await
}

/// Unmounts volumes, removes cgroups, links and files of ours; keeps state, keys and logs.
fn clean_up(data: &DataDir, state: &NodeState) -> anyhow::Result<()> {
    let pods = state.kubelet_dir.join("pods");
    process::unmount_below(&pods)?;
    if let Err(error) = remove_pod_directories(&pods) {
        eprintln!("warning: {error:#}");
    }
    remove_cgroups(&state.cgroup_root);
    for path in &state.made {
        let _ = std::fs::remove_file(path);
    }
    if state.private_runtime && !state.bridge.is_empty() {
        let _ = std::process::Command::new("ip").args(["link", "del", &state.bridge]).output();
    }
    if let Some(service) = state.service {
        release_address(service);
    }
    if state.primary {
        release_primary(data);
    }
    data.remove_node_state();
    Ok(())
}

/// Takes the API's address off the loopback interface, unless another agent of this machine serves
/// it.
fn release_address(service: SocketAddr) {
    let served = TcpStream::connect_timeout(&service, Duration::from_secs(1)).is_ok();
    if !served && !service.ip().is_loopback() {
        let bits = if service.is_ipv4() { 32 } else { 128 };
        let address = format!("{}/{bits}", service.ip());
        let _ = std::process::Command::new("ip").args(["address", "del", &address, "dev", "lo"]).output();
    }
}

fn remove_pod_directories(pods: &Path) -> anyhow::Result<()> {
    let Ok(entries) = std::fs::read_dir(pods) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        std::fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// Removes our cgroups in every hierarchy; only empty ones can be removed, so nothing else is hit.
fn remove_cgroups(root: &str) {
    let mount = Path::new("/sys/fs/cgroup");
    let own = Path::new(root).join("kubepods");
    let hierarchies = std::fs::read_dir(mount).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    for hierarchy in hierarchies.chain([mount.to_owned()]).filter(|path| path.is_dir()) {
        remove_empty(&hierarchy.join(&own));
        let mut parent = Path::new(root);
        while parent.file_name().is_some() {
            let _ = std::fs::remove_dir(hierarchy.join(parent));
            parent = parent.parent().unwrap_or(Path::new(""));
        }
    }
}

fn remove_empty(directory: &Path) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_empty(&entry.path());
    }
    let _ = std::fs::remove_dir(directory);
}
