//! How long the container runtime alone takes to start a pod: sandbox, create, start, up to the
//! first line in the container's log. `scripts/bench.sh` compares everynode with it.
//!
//! `runtime_baseline SOCKET IMAGE LOG_DIR ROUNDS` prints milliseconds, one line per round.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use everynode_agent::cri::v1::{
    ContainerConfig, ContainerMetadata, ImageSpec, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, NamespaceMode,
    NamespaceOption, PodSandboxConfig, PodSandboxMetadata,
};
use everynode_agent::cri::{CriRuntime, Runtime};
use jiff::Timestamp;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [socket, image, logs, rounds] = words.as_slice() else {
        return Err("usage: runtime_baseline SOCKET IMAGE LOG_DIR ROUNDS".into());
    };
    let runtime = CriRuntime::new(socket)?;
    for number in 0..rounds.parse::<u32>()? {
        println!("{:.1}", one(&runtime, image, logs, number).await?);
    }
    Ok(())
}

async fn one(runtime: &CriRuntime, image: &str, logs: &str, number: u32) -> Result<f64, Box<dyn Error>> {
    let sandbox = sandbox(&format!("baseline-{number}"), logs);
    let container = container(image);
    // The runtime does not make it; the agent does the same for every container.
    std::fs::create_dir_all(Path::new(&sandbox.log_directory).join("main"))?;
    let began = Timestamp::now();
    let id = runtime.run_sandbox(&sandbox).await?;
    let created = runtime.create_container(&id, &container, &sandbox).await?;
    runtime.start_container(&created).await?;
    let started = first_log_line(&Path::new(&sandbox.log_directory).join(&container.log_path)).await?;
    runtime.stop_sandbox(&id).await?;
    runtime.remove_sandbox(&id).await?;
    Ok(started.duration_since(began).as_secs_f64() * 1e3)
}

/// The time that the runtime wrote before the first line.
async fn first_log_line(path: &Path) -> Result<Timestamp, Box<dyn Error>> {
    for _ in 0..500 {
        let log = std::fs::read_to_string(path).unwrap_or_default();
        if let Some((time, _)) = log.split_once(' ') {
            return Ok(time.parse()?);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(format!("no line in {}", path.display()).into())
}

fn sandbox(name: &str, logs: &str) -> PodSandboxConfig {
    let host_network = NamespaceOption {
        network: NamespaceMode::Node as i32,
        pid: NamespaceMode::Container as i32,
        ..NamespaceOption::default()
    };
    let security =
        LinuxSandboxSecurityContext { namespace_options: Some(host_network), ..LinuxSandboxSecurityContext::default() };
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: name.to_owned(),
            uid: name.to_owned(),
            namespace: "bench".to_owned(),
            attempt: 0,
        }),
        log_directory: format!("{logs}/{name}"),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: format!("/everynode-bench/{name}"),
            security_context: Some(security),
            ..LinuxPodSandboxConfig::default()
        }),
        ..PodSandboxConfig::default()
    }
}

fn container(image: &str) -> ContainerConfig {
    ContainerConfig {
        metadata: Some(ContainerMetadata { name: "main".to_owned(), attempt: 0 }),
        image: Some(ImageSpec { image: image.to_owned(), ..ImageSpec::default() }),
        args: vec!["ignore-term".to_owned()],
        log_path: "main/0.log".to_owned(),
        ..ContainerConfig::default()
    }
}
