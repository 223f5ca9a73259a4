//! Memory, CPU and disk of other processes, from /proc.

use anyhow::{Context, bail, ensure};

/// A process that is measured.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) pid: u32,
}

impl Process {
    pub(crate) fn parse(text: &str) -> anyhow::Result<Process> {
        let Some((name, pid)) = text.split_once('=') else { bail!("--pid wants NAME=PID, not {text}") };
        let pid = pid.parse().with_context(|| format!("{pid} is not a process id"))?;
        Ok(Process { name: name.into(), pid })
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.pid)).unwrap_or_default()
    }

    /// Resident memory now, in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        field(&self.read("status"), "VmRSS:") / 1024.0
    }

    /// The most that it ever was.
    pub(crate) fn peak_mib(&self) -> f64 {
        field(&self.read("status"), "VmHWM:") / 1024.0
    }

    /// User and system time so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = self.read("stat");
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) / 100.0
    }

    /// Bytes sent to disk so far.
    pub(crate) fn written_bytes(&self) -> f64 {
        field(&self.read("io"), "write_bytes:")
    }
}

fn field(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}

pub(crate) fn cpu_seconds(processes: &[Process]) -> f64 {
    processes.iter().map(Process::cpu_seconds).sum()
}

/// Sends a signal by name.
pub(crate) async fn signal(pid: u32, name: &str) -> anyhow::Result<()> {
    let status = tokio::process::Command::new("kill").args(["-s", name, &pid.to_string()]).status().await?;
    ensure!(status.success(), "kill -s {name} {pid}: {status}");
    Ok(())
}
