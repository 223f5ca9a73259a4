//! The processes of the attackers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::attack::{Kind, State};
use crate::endpoint::pki;

/// `nice -n`: after the server and the nodes.
const PRIORITY: &str = "10";
const STOP_MAX: Duration = Duration::from_secs(30);
/// The first address that attackers come from; nodes come from 127.0.0.1.
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// One process for each kind of attack.
pub(super) struct Attackers([Attacker; 3]);

struct Attacker {
    kind: Kind,
    child: Child,
    state: Arc<Mutex<State>>,
}

impl Attackers {
    /// Starts so many of each kind.
    pub(super) fn start(
        kubeconfig: &Path,
        server: SocketAddr,
        token: &str,
        counts: &[(Kind, usize); 3],
    ) -> anyhow::Result<Attackers> {
        let ca = pki(kubeconfig)?.join("ca.crt");
        let mut all = Vec::new();
        for (address, (kind, count)) in (FIRST_ADDRESS.to_bits()..).zip(counts) {
            let name = kind.to_possible_value().context("a kind without a name")?;
            let mut command = Command::new("nice");
            command.args(["-n", PRIORITY]).arg(std::env::current_exe()?).args(["attack", name.get_name()]);
            command.arg("--server").arg(server.to_string()).arg("--ca").arg(&ca);
            command.arg("--count").arg(count.to_string());
            command.arg("--from").arg(Ipv4Addr::from_bits(address).to_string());
            if *kind == Kind::Slow {
                command.arg("--token").arg(token);
            }
            all.push(Attacker::start(*kind, command)?);
        }
        let all: Result<[Attacker; 3], _> = all.try_into();
        all.map(Attackers).map_err(|_| anyhow::anyhow!("three kinds are expected"))
    }

    /// # Errors
    /// One of them has ended.
    pub(super) fn look(&mut self) -> anyhow::Result<()> {
        for attacker in &mut self.0 {
            if let Some(status) = attacker.child.try_wait()? {
                bail!("the attackers of kind {:?} ended: {status}", attacker.kind);
            }
        }
        Ok(())
    }

    /// What each said last.
    pub(super) fn states(&self) -> [State; 3] {
        self.0.each_ref().map(|attacker| attacker.state.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Ends them, and with them their connections.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        for mut attacker in self.0 {
            drop(attacker.child.stdin.take());
            tokio::time::timeout(STOP_MAX, attacker.child.wait()).await.context("attackers do not stop")??;
        }
        Ok(())
    }
}

impl Attacker {
    fn start(kind: Kind, mut command: Command) -> anyhow::Result<Attacker> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut child = command.spawn().context("cannot start attackers")?;
        let output = child.stdout.take().context("attackers without output")?;
        let state = Arc::new(Mutex::new(State::default()));
        let kept = state.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(told) = serde_json::from_str(&line) {
                    *kept.lock().unwrap_or_else(PoisonError::into_inner) = told;
                }
            }
        });
        Ok(Attacker { kind, child, state })
    }
}
