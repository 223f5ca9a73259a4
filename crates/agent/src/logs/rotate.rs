//! Rotating the logs of running containers (DS-H51): the file is moved aside, the runtime is told
//! to write to a new one, the oldest files go. Rotated files stay as they are, so that they can be
//! read and followed like any other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::LogLimits;
use crate::container::LOG_FILE_ANNOTATION;
use crate::cri::{Container, ContainerState, Runtime};
use crate::ports::Clock;
use crate::worker::Inspector;

/// How often the sizes are looked at.
const INTERVAL: Duration = Duration::from_secs(10);

/// Keeps the logs of this node's containers within their limits.
pub(crate) struct Rotation {
    pub limits: LogLimits,
    pub runtime: Arc<dyn Runtime>,
    pub inspector: Inspector,
    pub clock: Arc<dyn Clock>,
}

impl Rotation {
    /// Looks again and again, until dropped.
    pub async fn run(self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            self.pass(&self.inspector.containers()).await;
        }
    }

    /// Rotates the logs that have grown too large.
    async fn pass(&self, containers: &[Container]) {
        for found in containers.iter().filter(|found| found.state == ContainerState::Running) {
            let Some(log) = found.annotations.get(LOG_FILE_ANNOTATION).map(Path::new) else { continue };
            if std::fs::metadata(log).is_ok_and(|metadata| metadata.len() > self.limits.max_bytes) {
                self.rotate(&found.id, log).await;
            }
        }
    }

    /// If the runtime cannot be told, the file goes back: otherwise it would be written to and
    /// deleted later on.
    async fn rotate(&self, id: &str, log: &Path) {
        let rotated = rotated_name(log, self.clock.now());
        if let Err(error) = std::fs::rename(log, &rotated) {
            tracing::warn!(log = %log.display(), %error, "cannot rotate a container's log");
            return;
        }
        if let Err(error) = self.runtime.reopen_log(id).await {
            tracing::warn!(log = %log.display(), %error, "cannot rotate a container's log");
            let _ = std::fs::rename(&rotated, log);
            return;
        }
        remove_oldest(log, self.limits.max_files);
    }
}

/// `0.log.20261121-013852`: sorts by time.
fn rotated_name(log: &Path, now: jiff::Timestamp) -> PathBuf {
    let time = now.strftime("%Y%m%d-%H%M%S").to_string();
    let name = log.file_name().and_then(|name| name.to_str()).unwrap_or("log");
    log.with_file_name(format!("{name}.{time}"))
}

/// Keeps `max_files` files, the one that is written to included.
fn remove_oldest(log: &Path, max_files: usize) {
    let rotated = super::rotated_files(log);
    let spare = rotated.len().saturating_sub(max_files.saturating_sub(1));
    for file in &rotated[..spare] {
        if let Err(error) = std::fs::remove_file(file) {
            tracing::warn!(file = %file.display(), %error, "cannot remove an old log");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cri::{FakeRuntime, v1};
    use crate::ports::SystemClock;

    use super::*;

    /// A running container of the fake runtime, with a log of 11 bytes.
    async fn container(runtime: &FakeRuntime, log: &Path) -> Container {
        std::fs::write(log, "hello world").unwrap();
        let annotations = [(LOG_FILE_ANNOTATION.to_owned(), log.display().to_string())].into();
        let config = v1::ContainerConfig { annotations, ..v1::ContainerConfig::default() };
        let id = runtime.create_container("s", &config, &v1::PodSandboxConfig::default()).await.unwrap();
        runtime.start_container(&id).await.unwrap();
        runtime.container_status(&id).await.unwrap()
    }

    /// DS-H51: moved aside and the runtime told, or left as it was.
    #[tokio::test]
    async fn rotates_what_is_too_large() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("0.log");
        let runtime = Arc::new(FakeRuntime::new(Arc::new(SystemClock)));
        let found = container(&runtime, &log).await;
        let rotation = |max_bytes: u64| Rotation {
            limits: LogLimits { max_bytes, max_files: 2 },
            runtime: runtime.clone(),
            inspector: Inspector::default(),
            clock: Arc::new(SystemClock),
        };
        let files = || super::super::files_of(&log).iter().filter(|file| file.exists()).count();
        rotation(11).pass(std::slice::from_ref(&found)).await;
        assert!(log.exists() && files() == 1, "not larger than the limit");
        runtime.fail("ReopenContainerLog", "", 1, "no");
        rotation(10).pass(std::slice::from_ref(&found)).await;
        assert!(log.exists() && files() == 1, "the runtime still writes to it");
        rotation(10).pass(&[found]).await;
        assert!(!log.exists() && files() == 1, "the runtime makes the new one");
        assert_eq!(runtime.calls().iter().filter(|call| call.starts_with("ReopenContainerLog")).count(), 2);
    }

    /// DS-H51
    #[test]
    fn keeps_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("0.log");
        for second in 0..7 {
            let at = jiff::Timestamp::from_second(1_800_000_000 + second).unwrap();
            std::fs::write(rotated_name(&log, at), "x").unwrap();
        }
        std::fs::write(&log, "x").unwrap();
        remove_oldest(&log, 5);
        let left = super::super::files_of(&log);
        assert_eq!(left.len(), 5);
        let names: Vec<_> = left.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!((names[0], names[4]), ("0.log.20270115-080003", "0.log"));
    }
}
