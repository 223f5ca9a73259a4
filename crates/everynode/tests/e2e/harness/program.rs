//! Processes of the binary under test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{Outcome, poll};

/// The binary under test.
pub(crate) const EVERYNODE: &str = env!("CARGO_BIN_EXE_everynode");

/// A running `everynode`; killed when dropped.
pub(crate) struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it with its output appended to `log`, and its process id in `log` with the ending
    /// `pid`.
    pub(crate) fn start(arguments: &[String], log: &Path) -> Program {
        let output = File::options().create(true).append(true).open(log).expect("open the log");
        let mut command = everynode(arguments);
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("share the log")).stderr(output);
        let child = command.spawn().expect("start everynode");
        std::fs::write(log.with_extension("pid"), child.id().to_string()).expect("write the process id");
        Program { child, log: log.to_owned() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process is there");
    }

    /// Its exit code, or none if a signal ended it.
    pub(crate) fn wait(mut self, limit: Duration) -> Option<i32> {
        let child = &mut self.child;
        let status = poll(limit, || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}")),
        });
        let status: ExitStatus = status.unwrap_or_else(|_| panic!("still runs after {limit:?}\n{}", self.tail(40)));
        status.code()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The last lines of its log.
    pub(crate) fn tail(&self, lines: usize) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn everynode(arguments: &[String]) -> Command {
    let mut command = Command::new(EVERYNODE);
    command.args(arguments);
    for variable in ["KUBECONFIG", "EVERYNODE_DATA_DIR", "EVERYNODE_TOKEN", "EVERYNODE_LOG"] {
        command.env_remove(variable);
    }
    command
}

/// Runs `everynode` to its end; one that does not end in time is killed and its exit code is 137.
pub(crate) fn run(arguments: &[&str], limit: Duration) -> Outcome {
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    Outcome::of(&mut everynode(&arguments), None, limit)
}
