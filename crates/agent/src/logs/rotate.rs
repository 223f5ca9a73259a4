//! Rotating the logs of running containers (DS-H51): the file is moved aside, the runtime is told
//! to write to a new one, the oldest files go. Rotated files stay as they are, so that they can be
//! read and followed like any other.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::LogLimits;
use crate::container::LOG_FILE_ANNOTATION;
use crate::cri::{Container, ContainerState, Runtime};
use crate::files::{self, Directory};
use crate::ports::Clock;
use crate::worker::Inspector;

/// How often the sizes are looked at. What is written in between is what a log can be too large by.
const INTERVAL: Duration = Duration::from_secs(1);
/// The same while one of them grows so fast that it would be too large before the next look.
const INTERVAL_FAST: Duration = Duration::from_millis(100);
/// Names that are tried within one second.
const NAME_TRIES: u32 = 100;

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
        let mut lengths = BTreeMap::new();
        let mut interval = INTERVAL;
        loop {
            tokio::time::sleep(interval).await;
            let fast = self.pass(&self.inspector.containers(), &mut lengths).await;
            interval = if fast { INTERVAL_FAST } else { INTERVAL };
        }
    }

    /// Rotates the logs that have grown too large. Answers whether one grows fast: by a tenth of
    /// what it may have since the last look. `lengths` are those of the last look, by container.
    async fn pass(&self, containers: &[Container], lengths: &mut BTreeMap<String, u64>) -> bool {
        let mut fast = false;
        let mut found_lengths = BTreeMap::new();
        for found in containers.iter().filter(|found| found.state == ContainerState::Running) {
            let Some(log) = found.annotations.get(LOG_FILE_ANNOTATION).map(Path::new) else { continue };
            let Ok(length) = files::length(log) else { continue };
            let grown = length.saturating_sub(lengths.get(&found.id).copied().unwrap_or(0));
            fast |= lengths.contains_key(&found.id) && grown > self.limits.max_bytes / 10;
            let too_large = length > self.limits.max_bytes;
            if too_large {
                self.rotate(&found.id, log).await;
            }
            found_lengths.insert(found.id.clone(), if too_large { 0 } else { length });
        }
        *lengths = found_lengths;
        fast
    }

    /// If the runtime cannot be told, the file goes back: otherwise it would be written to and
    /// deleted later on.
    async fn rotate(&self, id: &str, log: &Path) {
        let told = |error: &dyn std::fmt::Display| {
            tracing::warn!(log = %log.display(), %error, "cannot rotate a container's log");
        };
        let (directory, rotated) = match move_aside(log, self.clock.now()) {
            Ok(moved) => moved,
            Err(error) => return told(&error),
        };
        if let Err(error) = self.runtime.reopen_log(id).await {
            told(&error);
            let back = files::name_of(log).and_then(|name| directory.rename(&rotated, name));
            return if let Err(error) = back {
                told(&error)
            };
        }
        if let Err(error) = remove_oldest(log, &directory, self.limits) {
            told(&error);
        }
    }
}

/// Gives the log the first free name of this second.
fn move_aside(log: &Path, now: jiff::Timestamp) -> io::Result<(Directory, OsString)> {
    let directory = Directory::of(log)?;
    for attempt in 0..NAME_TRIES {
        let name = rotated_name(log, now, attempt);
        match directory.rename(files::name_of(log)?, &name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            done => return done.map(|()| (directory, name)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// `0.log.20261121-013852`, and `0.log.20261121-013852.01` for the next one of that second: sorts
/// by time.
fn rotated_name(log: &Path, now: jiff::Timestamp, attempt: u32) -> OsString {
    let time = now.strftime("%Y%m%d-%H%M%S").to_string();
    let name = log.file_name().and_then(OsStr::to_str).unwrap_or("log");
    let number = if attempt == 0 { String::new() } else { format!(".{attempt:02}") };
    format!("{name}.{time}{number}").into()
}

/// Keeps so many files that they are not more, and together not larger, than they may be, the one
/// that is written to included. The newest that was moved aside stays however large it is: a burst
/// has its end read.
fn remove_oldest(log: &Path, directory: &Directory, limits: LogLimits) -> io::Result<()> {
    let name = log.file_name().and_then(OsStr::to_str).unwrap_or("log");
    let rotated = directory.names(&format!("{name}."))?;
    let files_max = limits.max_files.saturating_sub(1);
    let mut left_bytes = limits.max_bytes.saturating_mul(u64::try_from(files_max).unwrap_or(u64::MAX));
    for (index, file) in rotated.iter().rev().enumerate() {
        let bytes = directory.bytes(file);
        let fits = index == 0 || bytes <= left_bytes;
        left_bytes = if fits { left_bytes.saturating_sub(bytes) } else { 0 };
        if index >= files_max || !fits {
            directory.remove(file)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::cri::{FakeRuntime, v1};
    use crate::ports::SystemClock;

    fn no_lengths() -> BTreeMap<String, u64> {
        BTreeMap::new()
    }

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
        rotation(11).pass(std::slice::from_ref(&found), &mut no_lengths()).await;
        assert!(log.exists() && files() == 1, "not larger than the limit");
        runtime.fail("ReopenContainerLog", "", 1, "no");
        rotation(10).pass(std::slice::from_ref(&found), &mut no_lengths()).await;
        assert!(log.exists() && files() == 1, "the runtime still writes to it");
        rotation(10).pass(&[found], &mut no_lengths()).await;
        assert!(!log.exists() && files() == 1, "the runtime makes the new one");
        assert_eq!(runtime.calls().iter().filter(|call| call.starts_with("ReopenContainerLog")).count(), 2);
    }

    const SECOND: i64 = 1_800_000_000;

    /// Moves a log of this many bytes aside, as the runtime would begin a new one.
    fn rotated(log: &Path, second: i64, bytes: usize, limits: LogLimits) {
        std::fs::write(log, "x".repeat(bytes)).unwrap();
        let (directory, _) = move_aside(log, jiff::Timestamp::from_second(SECOND + second).unwrap()).unwrap();
        remove_oldest(log, &directory, limits).unwrap();
    }

    /// DS-H51
    #[test]
    fn keeps_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("0.log");
        let limits = LogLimits { max_bytes: 1 << 20, max_files: 5 };
        // Several in one second too: none takes the place of another.
        (0..7).for_each(|number| rotated(&log, number / 2, 1, limits));
        std::fs::write(&log, "x").unwrap();
        let left = super::super::files_of(&log);
        let names: Vec<_> = left.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        let expected = ["0.log.20270115-080001.01", "0.log.20270115-080002", "0.log.20270115-080002.01"];
        assert_eq!((names.len(), &names[..3]), (5, &expected[..]));
    }

    /// A writer that is faster than the looks makes files that are too large: fewer of them are
    /// kept.
    #[test]
    fn a_fast_writer_keeps_no_more_bytes_than_a_slow_one() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("0.log");
        let limits = LogLimits { max_bytes: 100_000, max_files: 5 };
        let kept =
            |log: &Path| super::super::rotated_files(log).iter().map(|file| file.metadata().unwrap().len()).sum();
        for second in 0..10 {
            rotated(&log, second, 150_000, limits);
            let bytes: u64 = kept(&log);
            assert!(bytes <= 400_000, "{bytes}");
        }
        rotated(&log, 10, 2_000_000, limits);
        assert_eq!(kept(&log), 2_000_000, "the newest stays");
        rotated(&log, 11, 100_000, limits);
        assert_eq!(kept(&log), 100_000, "the burst goes with the next rotation");
    }

    /// A link in place of a log, or of its directory: nothing that it leads to is moved or removed.
    #[tokio::test]
    async fn what_is_no_log_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let log = files::tests::log_path(dir.path());
        let runtime = Arc::new(FakeRuntime::new(Arc::new(SystemClock)));
        let found = container(&runtime, &log).await;
        let rotation = Rotation {
            limits: LogLimits { max_bytes: 1, max_files: 2 },
            runtime: runtime.clone(),
            inspector: Inspector::default(),
            clock: Arc::new(SystemClock),
        };
        let (pipe, link) = (log.with_file_name("pipe"), log.with_file_name("secret"));
        std::fs::rename(&log, &link).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o666.into()).unwrap();
        for target in [&link, &pipe] {
            std::os::unix::fs::symlink(target, &log).unwrap();
            rotation.pass(std::slice::from_ref(&found), &mut no_lengths()).await;
            std::fs::remove_file(&log).unwrap();
        }
        assert!(!runtime.calls().iter().any(|call| call.starts_with("ReopenContainerLog")));
        assert_eq!(std::fs::read_to_string(&link).unwrap(), "hello world");
    }
}
