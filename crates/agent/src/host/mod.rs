//! The machine's side of a pod that is neither the runtime's nor a volume's: its cgroup, its
//! directories, hosts file, termination messages and log links.

mod cgroups;
mod linux;
mod message;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::cri::{self, v1};
use crate::ports::PodRef;

pub use linux::LinuxHost;
pub(crate) use linux::pod_of;

/// What pods need of the machine. Calls are short: directories and small files.
pub trait Host: Send + Sync + 'static {
    /// Directories and cgroup of a pod. Idempotent.
    ///
    /// # Errors
    /// Of the file system.
    fn prepare_pod(&self, pod: &Pod) -> io::Result<()>;

    /// The uids of the pods that have a directory here: also those that ended while no agent ran.
    fn known_pods(&self) -> Vec<String>;

    /// The text of the node's resolver configuration.
    fn resolv_conf(&self) -> String;

    /// Files of one container: its log directory, its message file, the pod's hosts file.
    ///
    /// # Errors
    /// Of the file system.
    fn container_files(&self, pod: &Pod, container: &Container, attempt: u32, ips: &[IpAddr]) -> io::Result<Files>;

    /// Makes the container's log visible to log collectors (DS-H50).
    fn link_log(&self, pod: &PodRef, container: &str, attempt: u32, id: &str);

    /// What the container left as its last words; empty: nothing.
    fn termination_message(&self, found: &cri::Container) -> String;

    /// The container is removed: its log and link go too.
    fn remove_log(&self, found: &cri::Container);

    /// The logs of a pod that is gone, and the links to them.
    fn remove_logs(&self, pod: &PodRef);

    /// The pod's cgroup and directories go; its logs stay.
    ///
    /// # Errors
    /// Something is still in use: try again.
    fn remove_pod(&self, pod: &PodRef) -> io::Result<()>;

    /// The machine's memory in bytes.
    fn memory_capacity(&self) -> u64;
}

/// What [`Host::container_files`] made.
#[derive(Clone, Debug, Default)]
pub struct Files {
    pub mounts: Vec<v1::Mount>,
    pub message_file: PathBuf,
}

/// A machine without anything: for simulated nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHost;

impl Host for NoHost {
    fn prepare_pod(&self, _pod: &Pod) -> io::Result<()> {
        Ok(())
    }

    fn known_pods(&self) -> Vec<String> {
        Vec::new()
    }

    fn resolv_conf(&self) -> String {
        String::new()
    }

    fn container_files(&self, _: &Pod, _: &Container, _: u32, _: &[IpAddr]) -> io::Result<Files> {
        Ok(Files::default())
    }

    fn link_log(&self, _pod: &PodRef, _container: &str, _attempt: u32, _id: &str) {}

    fn termination_message(&self, _found: &cri::Container) -> String {
        String::new()
    }

    fn remove_log(&self, _found: &cri::Container) {}

    fn remove_logs(&self, _pod: &PodRef) {}

    fn remove_pod(&self, _pod: &PodRef) -> io::Result<()> {
        Ok(())
    }

    fn memory_capacity(&self) -> u64 {
        8 << 30
    }
}
