//! What this machine is and has, measured from the kernel.

use std::path::Path;

use everynode_api::quantity::{Format, Quantity};
use rustix::fs::StatVfs;

use crate::env::Allocatable;

/// Eviction thresholds of Kubernetes (DS-H62); here they only make conditions.
const MEMORY_AVAILABLE_MIN: u64 = 100 << 20;
const DISK_AVAILABLE_MIN_PERCENT: u64 = 10;
const INODES_FREE_MIN_PERCENT: u64 = 5;
/// Fewer free process ids than this share of all is pressure.
const PIDS_FREE_MIN_PERCENT: u64 = 10;

/// Facts that do not change while the machine runs.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub cpus: u64,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
    pub max_pods: u32,
    pub machine_id: String,
    pub system_uuid: String,
    pub boot_id: String,
    pub kernel_version: String,
    pub os_image: String,
}

/// What is scarce right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    pub memory: bool,
    pub disk: bool,
    pub pids: bool,
}

impl Machine {
    /// Measures; `root` is the agent's directory, whose file system counts as the node's disk.
    pub fn measure(root: &Path, max_pods: u32) -> Machine {
        let disk = rustix::fs::statvfs(root).ok();
        Machine {
            cpus: cpus(),
            memory_bytes: meminfo("MemTotal").unwrap_or(0),
            disk_bytes: disk.map_or(0, |disk| disk.f_blocks * disk.f_frsize),
            max_pods,
            machine_id: read("/etc/machine-id"),
            system_uuid: read("/sys/class/dmi/id/product_uuid"),
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            kernel_version: read("/proc/sys/kernel/osrelease"),
            os_image: os_image(&read("/etc/os-release")),
        }
    }

    /// Amounts for `status.capacity` and `status.allocatable` (nothing is held back).
    pub fn capacity(&self) -> Allocatable {
        let whole = |amount: u64, format| Quantity::from_units(i64::try_from(amount).unwrap_or(i64::MAX), format);
        Allocatable::from([
            ("cpu".to_owned(), whole(self.cpus, Format::DecimalSi)),
            ("memory".to_owned(), whole(self.memory_bytes, Format::BinarySi)),
            ("ephemeral-storage".to_owned(), whole(self.disk_bytes, Format::BinarySi)),
            ("pods".to_owned(), whole(self.max_pods.into(), Format::DecimalSi)),
        ])
    }

    /// What is scarce now.
    pub fn pressure(&self, root: &Path) -> Pressure {
        let disk = rustix::fs::statvfs(root).ok();
        Pressure {
            memory: meminfo("MemAvailable").is_some_and(|available| available < MEMORY_AVAILABLE_MIN),
            disk: disk.as_ref().is_some_and(disk_is_short),
            pids: pids_are_short(),
        }
    }
}

fn disk_is_short(disk: &StatVfs) -> bool {
    let below = |free: u64, all: u64, percent: u64| all > 0 && free.saturating_mul(100) < all.saturating_mul(percent);
    below(disk.f_bavail, disk.f_blocks, DISK_AVAILABLE_MIN_PERCENT)
        || below(disk.f_favail, disk.f_files, INODES_FREE_MIN_PERCENT)
}

/// `/proc/loadavg` has `running/total` tasks; the limit is `pid_max`.
fn pids_are_short() -> bool {
    let tasks = read("/proc/loadavg").split(' ').nth(3).and_then(|field| field.split_once('/')?.1.parse::<u64>().ok());
    let limit = read("/proc/sys/kernel/pid_max").parse::<u64>().ok();
    match (tasks, limit) {
        (Some(tasks), Some(limit)) => limit.saturating_sub(tasks) * 100 < limit * PIDS_FREE_MIN_PERCENT,
        _ => false,
    }
}

fn cpus() -> u64 {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let count = text.lines().filter(|line| line.starts_with("processor")).count();
    u64::try_from(count).unwrap_or(1).max(1)
}

/// A value of `/proc/meminfo`, in bytes.
fn meminfo(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// `PRETTY_NAME` of os-release(5).
fn os_image(os_release: &str) -> String {
    let line = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.unwrap_or("Linux").trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_this_machine() {
        let machine = Machine::measure(Path::new("/"), 110);
        assert!(machine.cpus >= 1 && machine.memory_bytes > 1 << 20 && machine.disk_bytes > 1 << 20);
        assert!(!machine.kernel_version.is_empty() && !machine.boot_id.is_empty());
        assert_eq!(machine.capacity()["pods"].to_string(), "110");
        assert_eq!(os_image("ID=debian\nPRETTY_NAME=\"Debian 12\"\n"), "Debian 12");
    }
}
