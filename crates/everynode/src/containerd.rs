//! The private containerd: started where no container runtime answers.
//!
//! It has its own root, state and configuration below the data directory and its own session: it
//! outlives this process, because pods do (their output flows through it). A later start adopts it;
//! `everynode down` stops it.

mod config;
mod network;
mod pause;
pub(crate) mod process;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

pub(crate) use config::{Network, SYSTEM_PLUGINS, missing_plugins};

/// Unix socket paths have at most 107 bytes, and containerd also listens on `ADDRESS.ttrpc`.
const SOCKET_PATH_MAX: usize = 101;
/// Cold starts take about 0.15 s; a loaded machine may need much longer.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A private containerd in `DIR/containerd`.
#[derive(Debug, Clone)]
pub(crate) struct Containerd {
    directory: PathBuf,
}

impl Containerd {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Containerd { directory: data_dir.join("containerd") }
    }

    /// As the `--cri-endpoint` of an agent.
    pub(crate) fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("containerd.sock")
    }

    fn pid_file(&self) -> PathBuf {
        self.directory.join("containerd.pid")
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("containerd.log")
    }

    /// Starts containerd, or adopts the one that a former process left running. Returns once its
    /// socket accepts connections and the sandbox image is there.
    pub(crate) async fn start(&self, network: &Network) -> anyhow::Result<()> {
        let socket = self.socket();
        let length = socket.as_os_str().len();
        ensure!(
            length <= SOCKET_PATH_MAX,
            "the path {} has {length} bytes, unix sockets take {SOCKET_PATH_MAX}: choose a shorter --data-dir",
            socket.display()
        );
        if process::accepts(&socket).await {
            tracing::debug!(socket = %socket.display(), "adopting the running private containerd");
            // The directory of network configurations may have been emptied meanwhile.
            config::write_network(&self.directory, network)?;
        } else {
            self.spawn(network).await?;
        }
        pause::import(&self.directory, &socket).await
    }

    async fn spawn(&self, network: &Network) -> anyhow::Result<()> {
        let program = process::find("containerd").context(
            "no container runtime answers and containerd is not installed: `apt-get install containerd runc containernetworking-plugins`, or name one with --cri-endpoint",
        )?;
        config::write(&self.directory, &self.socket(), network)?;
        let log = self.log_file();
        let pid =
            process::spawn_detached(&program, &["-c", "config.toml", "--log-level", "warn"], &self.directory, &log)?;
        std::fs::write(self.pid_file(), pid.to_string())
            .with_context(|| format!("cannot write {}", self.pid_file().display()))?;
        let deadline = Instant::now() + START_TIMEOUT;
        while !process::accepts(&self.socket()).await {
            if !process::alive(pid) {
                bail!(
                    "containerd ended at once; its last words in {}:\n{}",
                    log.display(),
                    process::last_lines(&log, 5)
                );
            }
            ensure!(
                Instant::now() < deadline,
                "containerd does not answer after {START_TIMEOUT:?}; see {}",
                log.display()
            );
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Keeps it running: starts it again whenever it has died, until `stop` resolves.
    pub(crate) async fn supervise(self, network: Network, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let mut pause = Duration::from_secs(1);
        loop {
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(pause) => {}
            }
            if process::accepts(&self.socket()).await {
                pause = Duration::from_secs(1);
                continue;
            }
            tracing::warn!("the private containerd is gone; starting it again");
            if let Err(error) = self.start(&network).await {
                tracing::error!("cannot start the private containerd: {error:#}");
                pause = (pause * 2).min(Duration::from_secs(30));
            }
        }
    }

    /// Undoes what is left of its pods' networks: of those that hold an address still, and of
    /// `sandboxes`. Only after it was stopped.
    ///
    /// # Errors
    /// Rules that are there cannot be removed.
    pub(crate) fn forget_networks(&self, sandboxes: &BTreeSet<String>) -> anyhow::Result<()> {
        let pool = config::address_pool(&self.directory);
        let ids: BTreeSet<String> = network::holders(&pool).union(sandboxes).cloned().collect();
        network::remove_results(Path::new(network::RESULTS), &ids);
        network::remove_rules(&ids)?;
        // Last: a `down` that was broken off finds them again.
        match std::fs::remove_dir_all(&pool) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", pool.display()))
            }
            _ => Ok(()),
        }
    }

    /// Stops it and waits until it is gone, then unmounts what is left below its directory.
    /// Only after its pods are gone.
    pub(crate) async fn stop(&self) -> anyhow::Result<bool> {
        let Some(pid) = std::fs::read_to_string(self.pid_file()).ok().and_then(|text| text.trim().parse::<i32>().ok())
        else {
            return Ok(false);
        };
        let running = process::is_program(pid, "containerd");
        if running {
            process::terminate(pid, Duration::from_secs(10)).await?;
        }
        process::kill_trees("containerd-shim", &self.socket())?;
        process::unmount_below(&self.directory)?;
        let _ = std::fs::remove_file(self.pid_file());
        Ok(running)
    }
}
