//! What the agent is told at start. Nothing below reads the process environment.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The agent's whole configuration, validated by the caller.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    pub node_name: String,
    /// The node's addresses, first one primary: `hostIP`, and the address of host-network pods.
    pub node_ips: Vec<IpAddr>,
    /// What host-network pods see as their host name.
    pub hostname: String,
    /// Labels put on the Node object at registration.
    pub node_labels: std::collections::BTreeMap<String, String>,
    pub dirs: Directories,
    pub cgroups: Cgroups,
    pub dns: ClusterDns,
    /// Lines added to every managed hosts file: address and its names (for example the local
    /// forwarder for `kubernetes.default.svc`).
    pub extra_hosts: Vec<(IpAddr, Vec<String>)>,
    /// `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT` of every container.
    pub kubernetes_service: Option<SocketAddr>,
    /// Where the runtime finds network configurations; `None`: not known.
    pub cni_conf_dir: Option<PathBuf>,
    /// Where the agent's server listens; its port goes to the Node's `kubeletEndpoint`.
    pub server_address: SocketAddr,
    pub max_pods: u32,
    /// Processes and threads that a pod may have; `None`: as many as the machine.
    pub pod_max_pids: Option<u64>,
    pub logs: LogLimits,
    /// Image pulls at the same time.
    pub parallel_pulls: usize,
    /// Time between two looks at the runtime.
    pub relist_interval: Duration,
    pub status_interval: Duration,
}

/// Where the agent keeps things on the host.
#[derive(Clone, Debug)]
pub struct Directories {
    /// `/var/lib/kubelet`: `pods/UID/…`, `plugins`, `plugins_registry` (DS-H38).
    pub root: PathBuf,
    /// `/var/log/pods` (DS-H50).
    pub pod_logs: PathBuf,
    /// `/var/log/containers`.
    pub container_logs: PathBuf,
}

impl Directories {
    /// `ROOT/pods/UID`.
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(uid)
    }

    /// `ROOT/pods/UID/volumes`.
    pub fn pod_volumes(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("volumes")
    }
}

/// Where pods' cgroups are made.
#[derive(Clone, Debug)]
pub struct Cgroups {
    /// The mount point, `/sys/fs/cgroup`.
    pub mount: PathBuf,
    /// The parent of `kubepods`, without slashes at its ends; empty: directly under the mount.
    /// Several agents on one machine have one each.
    pub root: String,
}

/// What `dnsPolicy: ClusterFirst` means (DS-H44).
#[derive(Clone, Debug)]
pub struct ClusterDns {
    /// Addresses of the cluster's DNS servers; empty: there are none, and ClusterFirst acts as
    /// Default.
    pub servers: Vec<IpAddr>,
    /// `cluster.local`
    pub domain: String,
    /// The node's own `resolv.conf`.
    pub resolv_conf: PathBuf,
}

/// When logs are rotated (DS-H51).
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    pub max_bytes: u64,
    pub max_files: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        LogLimits { max_bytes: 10 * 1024 * 1024, max_files: 5 }
    }
}
