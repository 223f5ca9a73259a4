//! A directory for one cluster: removed, with everything that runs from it, when it is dropped or
//! when the test process is gone.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::program::EVERYNODE;

/// A directory with a short path: unix sockets below it may have 107 bytes only.
pub(crate) struct Directory {
    path: PathBuf,
    number: usize,
    /// Waits, on its standard input, for the end of this process.
    sweeper: Child,
}

impl Directory {
    pub(crate) fn new() -> Directory {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Its name is also that of its control groups, which are those of the whole machine:
        // process numbers are not enough where several sandboxes have numbers of their own.
        let run = std::env::var("EVERYNODE_SANDBOX").unwrap_or_else(|_| std::process::id().to_string());
        let path = PathBuf::from(format!("/tmp/e2e-{run}-{number}"));
        // A former process of this number may have been killed before its sweeper ran.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("make the directory");
        let sweeper = sweep(&path).stdin(Stdio::piped()).spawn().expect("start the sweeper");
        Directory { path, number, sweeper }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Different for every directory of this process.
    pub(crate) fn number(&self) -> usize {
        self.number
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Closing its input is the word to begin.
        drop(self.sweeper.stdin.take());
        let _ = self.sweeper.wait();
    }
}

fn sweep(path: &Path) -> Command {
    let mut command = Command::new("sh");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/harness/sweep.sh")).arg(path).arg(EVERYNODE);
    command
}
