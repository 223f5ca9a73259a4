//! The control plane that is measured: processes that run already, or a server that is started
//! here, and can then be stopped, killed and started again.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::process::{Child, Command};

use crate::Args;
use crate::process::{Process, signal};

/// Until the kubeconfig is there.
const START_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

pub(crate) struct Plane {
    others: Vec<Process>,
    server: Option<Server>,
}

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Asked to (TERM).
    Stop,
    /// Without a chance to do anything (KILL).
    Kill,
}

struct Server {
    command: Vec<String>,
    log: PathBuf,
    child: Child,
}

impl Plane {
    pub(crate) async fn start(args: &Args) -> anyhow::Result<Plane> {
        let others = args.pids.iter().map(|text| Process::parse(text)).collect::<Result<_, _>>()?;
        if args.server.is_empty() {
            return Ok(Plane { others, server: None });
        }
        let path = args.kubeconfig.as_ref().context("--kubeconfig must say where the server writes it")?;
        let (command, log) = (args.server.clone(), args.server_log.clone());
        let mut server = Server { child: spawn(&command, &log)?, command, log };
        let deadline = Instant::now() + START_MAX;
        while !path.exists() {
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended ({status}); see {}", server.log.display());
            }
            if Instant::now() > deadline {
                bail!("the server wrote no {}", path.display());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(Plane { others, server: Some(server) })
    }

    pub(crate) fn processes(&self) -> Vec<Process> {
        let server = self.server.as_ref().and_then(|server| server.child.id());
        let server = server.map(|pid| Process { name: "server".into(), pid });
        self.others.iter().cloned().chain(server).collect()
    }

    /// Ends the server and waits until it is gone.
    pub(crate) async fn end(&mut self, how: End) -> anyhow::Result<()> {
        let server = self.server()?;
        match (how, server.child.id()) {
            (End::Stop, Some(pid)) => signal(pid, "TERM").await?,
            _ => server.child.start_kill()?,
        }
        tokio::time::timeout(STOP_MAX, server.child.wait()).await.context("the server does not stop")??;
        Ok(())
    }

    /// Starts it again, on what it left.
    pub(crate) fn start_again(&mut self) -> anyhow::Result<()> {
        let server = self.server()?;
        server.child = spawn(&server.command, &server.log)?;
        Ok(())
    }

    fn server(&mut self) -> anyhow::Result<&mut Server> {
        self.server.as_mut().context("the server must be started here: give its command after --")
    }
}

fn spawn(command: &[String], log: &PathBuf) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(log).with_context(|| log.display().to_string())?;
    let child = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn();
    child.with_context(|| format!("cannot run {}", command[0]))
}
