//! This machine as a node: from flags and from what is there to the agent's configuration.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use everynode_agent::admission::{AllowedSysctls, NodeAdmission};
use everynode_agent::config::{AgentConfig, Cgroups, ClusterDns, Directories, LogLimits};
use everynode_agent::cri::{CriRuntime, Runtime};
use everynode_common::fnv;

use crate::args::NodeArgs;
use crate::containerd::{Containerd, Network, SYSTEM_PLUGINS, missing_plugins, process};
use crate::data::{DataDir, NodeState, claim_primary};

/// Where other runtimes serve CRI.
const KNOWN_ENDPOINTS: [&str; 2] = ["/run/containerd/containerd.sock", "/run/crio/crio.sock"];
/// The kubelet's port; monitoring systems look for it there.
const KUBELET_PORT: u16 = 10250;
const MAX_PODS: u32 = 110;
const PARALLEL_PULLS: usize = 3;
/// How long a runtime that was found may take to say how it is.
const RUNTIME_PATIENCE: Duration = Duration::from_secs(3);
const RELIST: Duration = Duration::from_secs(1);
const STATUS: Duration = Duration::from_secs(10);

/// Everything that an agent needs to start.
pub(crate) struct NodeSetup {
    pub(crate) config: AgentConfig,
    pub(crate) endpoint: String,
    /// The runtime that we run ourselves, where none was there.
    pub(crate) private: Option<(Containerd, Network)>,
    pub(crate) state: NodeState,
    /// What this node refuses to run.
    pub(crate) admission: NodeAdmission,
}

/// Decides where everything of this node is, and notes it for `everynode down`.
///
/// `towards` is the API server's address, if it is not on this machine; `service` the address of
/// `kubernetes.default`.
pub(crate) async fn set_up(
    args: &NodeArgs,
    data: &DataDir,
    towards: Option<SocketAddr>,
    service: SocketAddr,
) -> anyhow::Result<NodeSetup> {
    let hostname = hostname()?;
    let node_name = args.node_name.clone().unwrap_or_else(|| hostname.to_lowercase().replace('_', "-"));
    let wrong = everynode_api::names::dns1123_subdomain(&node_name);
    ensure!(wrong.is_empty(), "`{node_name}` cannot be a node's name: {}", wrong.join("; "));
    let sysctls = AllowedSysctls::new(&args.allowed_unsafe_sysctls).context("--allowed-unsafe-sysctls")?;
    let admission = NodeAdmission { sysctls };
    let former = data.node_state();
    let wants_standard = args.kubelet_dir.is_none() || args.log_dir.is_none();
    let primary = wants_standard && claim_primary(data);
    let node_ip = args.node_ip.unwrap_or_else(|| node_address(args.agent_listen, towards));
    let dirs = directories(args, data, primary);
    // Two clusters on one machine may have nodes of one name (its host name): the directory tells
    // them apart.
    let own = format!("{} {node_name}", data.root().display());
    let bridge = bridge_name(primary, &own);
    let network = network(args, data, primary, &bridge, pod_cidr(args, primary, &own));
    let (endpoint, private) = runtime(args, data, former.as_ref()).await;
    let cgroup_root = args.cgroup_root.clone().unwrap_or_else(|| match primary {
        true => String::new(),
        false => format!("everynode/{node_name}"),
    });
    let config = AgentConfig {
        node_name: node_name.clone(),
        node_ips: vec![node_ip],
        hostname,
        node_labels: args.node_labels.iter().cloned().collect(),
        dirs: dirs.clone(),
        cgroups: Cgroups { mount: "/sys/fs/cgroup".into(), root: cgroup_root.trim_matches('/').to_owned() },
        dns: ClusterDns { servers: Vec::new(), domain: "cluster.local".into(), resolv_conf: "/etc/resolv.conf".into() },
        extra_hosts: vec![(service.ip(), service_names())],
        kubernetes_service: Some(service),
        server_address: args.agent_listen.unwrap_or_else(|| free_address(node_ip, primary)),
        max_pods: MAX_PODS,
        cni_conf_dir: Some(network.conf_dir.clone()),
        pod_max_pids: u64::try_from(args.pod_max_pids).ok().filter(|pids| *pids > 0),
        logs: LogLimits::default(),
        parallel_pulls: PARALLEL_PULLS,
        relist_interval: RELIST,
        status_interval: STATUS,
    };
    let state = NodeState {
        node_name,
        cri_endpoint: endpoint.clone(),
        private_runtime: private.is_some(),
        kubelet_dir: dirs.root,
        pod_logs: dirs.pod_logs,
        container_logs: dirs.container_logs,
        cgroup_root: config.cgroups.root.clone(),
        bridge,
        made: former.map(|former| former.made).unwrap_or_default(),
        primary,
        service: Some(service),
    };
    let private = private.map(|containerd| (containerd, network));
    Ok(NodeSetup { config, endpoint, private, state, admission })
}

/// # Errors
/// We are not root, which `up` and `agent` have to be before anything else makes sense.
pub(crate) fn need_root(verb: &str) -> anyhow::Result<()> {
    let root = rustix::process::geteuid().is_root();
    ensure!(
        root,
        "root is needed: `everynode {verb}` makes mounts, networks and control groups (sudo everynode {verb})"
    );
    Ok(())
}

/// The node's name: the flag's, or the machine's in lower case.
pub(crate) fn node_name(args: &NodeArgs) -> anyhow::Result<String> {
    let name = match &args.node_name {
        Some(name) => name.clone(),
        None => hostname()?.to_lowercase().replace('_', "-"),
    };
    let wrong = everynode_api::names::dns1123_subdomain(&name);
    ensure!(wrong.is_empty(), "`{name}` cannot be a node's name: {}", wrong.join("; "));
    Ok(name)
}

impl NodeSetup {
    /// Starts the private runtime where there is one, and makes it found where node services look.
    pub(crate) async fn start_runtime(&mut self, data: &DataDir) -> anyhow::Result<()> {
        // Noted before anything is started: `down` must find what a crash leaves.
        if let Some((_, network)) = self.private.as_ref().filter(|_| self.state.primary) {
            for (_, plugin) in missing_plugins(Path::new(SYSTEM_PLUGINS), &network.bin_dir) {
                note(&mut self.state.made, plugin);
            }
        }
        data.write_node_state(&self.state)?;
        let Some((containerd, network)) = &self.private else {
            return Ok(());
        };
        let conflist = network.conf_dir.join("90-everynode.conflist");
        containerd.start(network).await?;
        if self.state.primary {
            let standard = Path::new(KNOWN_ENDPOINTS[0]);
            note(&mut self.state.made, conflist);
            if publish_socket(&containerd.socket(), standard) {
                note(&mut self.state.made, standard.to_owned());
            }
        }
        data.write_node_state(&self.state)
    }
}

fn note(made: &mut Vec<PathBuf>, path: PathBuf) {
    if !made.contains(&path) {
        made.push(path);
    }
}

/// Links the standard socket path to our runtime's, unless it is there.
fn publish_socket(socket: &Path, standard: &Path) -> bool {
    let _ = standard.parent().map(std::fs::create_dir_all);
    if std::fs::read_link(standard).is_ok_and(|target| target == socket) {
        return true;
    }
    // A dangling link is a leftover of an agent whose data directory is gone.
    if std::fs::symlink_metadata(standard).is_ok() && !standard.exists() {
        let _ = std::fs::remove_file(standard);
    }
    std::os::unix::fs::symlink(socket, standard).is_ok()
}

async fn runtime(args: &NodeArgs, data: &DataDir, former: Option<&NodeState>) -> (String, Option<Containerd>) {
    if let Some(endpoint) = &args.cri_endpoint {
        return (endpoint.clone(), None);
    }
    let private = Containerd::new(data.root());
    // Pods run in the former one: never another under an agent that starts again.
    let former_private = former.is_some_and(|former| former.private_runtime);
    let known = KNOWN_ENDPOINTS.map(|path| format!("unix://{path}"));
    if let Some(former) = former.filter(|former| !former_private && known.contains(&former.cri_endpoint)) {
        return (former.cri_endpoint.clone(), None);
    }
    for path in KNOWN_ENDPOINTS.map(Path::new) {
        // A link is another everynode's private runtime, which ends with it.
        let foreign = std::fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_symlink());
        if former_private || !foreign || !process::accepts(path).await {
            continue;
        }
        let endpoint = format!("unix://{}", path.display());
        match unfit(&endpoint).await {
            None => return (endpoint, None),
            Some(why) => tracing::info!(
                "the container runtime at {} is not used: {why} (--cri-endpoint {endpoint} uses it all the same)",
                path.display()
            ),
        }
    }
    (private.endpoint(), Some(private))
}

/// Why a runtime that is there cannot run pods as it is. Docker's containerd serves no CRI, and a
/// distribution's has no network for pods until one is configured.
async fn unfit(endpoint: &str) -> Option<String> {
    let status = match CriRuntime::new(endpoint) {
        Ok(runtime) => tokio::time::timeout(RUNTIME_PATIENCE, runtime.status()).await,
        Err(error) => return Some(error.to_string()),
    };
    match status {
        Err(_) => Some(format!("it does not answer within {RUNTIME_PATIENCE:?}")),
        Ok(Err(error)) => Some(format!("it does not serve CRI: {error}")),
        Ok(Ok(ready)) if !ready.runtime_ready() => Some("it says that it is not ready".into()),
        Ok(Ok(ready)) if !ready.network_ready() => Some("it has no network for pods".into()),
        Ok(Ok(_)) => None,
    }
}

fn directories(args: &NodeArgs, data: &DataDir, primary: bool) -> Directories {
    let own = |name: &str| data.root().join(name);
    let logs = args.log_dir.clone().or_else(|| (!primary).then(|| own("log")));
    let standard = |name: &str| logs.clone().unwrap_or_else(|| "/var/log".into()).join(name);
    let root = args.kubelet_dir.clone();
    Directories {
        root: root.unwrap_or_else(|| if primary { "/var/lib/kubelet".into() } else { own("kubelet") }),
        pod_logs: standard("pods"),
        container_logs: standard("containers"),
    }
}

/// Interface names have at most 15 bytes; the first agent of a machine has the plain one.
fn bridge_name(primary: bool, agent: &str) -> String {
    if primary {
        return "everynode0".into();
    }
    format!("en-{:08x}", hash(agent))
}

fn hash(text: &str) -> u32 {
    fnv::hash_32(text.bytes())
}

/// The flag's range; else one that other agents of this machine hardly have, so that bridges do not
/// share addresses.
fn pod_cidr(args: &NodeArgs, primary: bool, agent: &str) -> String {
    let Some(cidr) = &args.pod_cidr else {
        let third = if primary { 0 } else { 1 + hash(agent) % 254 };
        return format!("10.200.{third}.0/24");
    };
    cidr.clone()
}

fn network(args: &NodeArgs, data: &DataDir, primary: bool, bridge: &str, pod_cidr: String) -> Network {
    let own_conf = data.root().join("containerd/cni/net.d");
    let (conf_dir, bin_dir) = match (&args.cni_conf_dir, primary) {
        (Some(conf), _) => (conf.clone(), SYSTEM_PLUGINS.into()),
        (None, true) => ("/etc/cni/net.d".into(), "/opt/cni/bin".into()),
        (None, false) => (own_conf, SYSTEM_PLUGINS.into()),
    };
    Network { bin_dir, conf_dir, bridge: bridge.to_owned(), pod_cidr }
}

/// The names by which pods reach the API server.
fn service_names() -> Vec<String> {
    ["kubernetes.default.svc", "kubernetes.default", "kubernetes", "kubernetes.default.svc.cluster.local"]
        .map(str::to_owned)
        .into()
}

/// A specific listening address is the node's; else the one that leads to the API server.
fn node_address(listen: Option<SocketAddr>, towards: Option<SocketAddr>) -> IpAddr {
    let specific = listen.map(|listen| listen.ip()).filter(|ip| !ip.is_unspecified());
    specific.unwrap_or_else(|| address_towards(towards))
}

/// The address of this machine that leads to `towards`, or out of the machine; the loopback
/// address where nothing leads out. Nothing is sent: connecting a UDP socket only asks for a route.
pub(crate) fn address_towards(towards: Option<SocketAddr>) -> IpAddr {
    let loopback = IpAddr::from([127, 0, 0, 1]);
    let outside = SocketAddr::from(([192, 0, 2, 1], 9));
    let target = towards.filter(|address| !address.ip().is_loopback()).unwrap_or(outside);
    let any: IpAddr = if target.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(target).map(|()| socket));
    socket.and_then(|socket| socket.local_addr()).map_or(loopback, |address| address.ip())
}

/// The kubelet's port for the machine's first agent, where it is free; else any. Two agents that
/// start at the same time would both find it free.
fn free_address(ip: IpAddr, primary: bool) -> SocketAddr {
    let port = if primary && TcpListener::bind((ip, KUBELET_PORT)).is_ok() { KUBELET_PORT } else { 0 };
    SocketAddr::new(ip, port)
}

fn hostname() -> anyhow::Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").context("cannot read this machine's name")?;
    Ok(name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridge_names_fit_interfaces() {
        assert!(bridge_name(false, &"long".repeat(40)).len() <= 15);
        assert_ne!(bridge_name(false, "a"), bridge_name(false, "b"));
    }

    #[test]
    fn pod_addresses_are_checked_and_differ_between_agents() {
        let cidr = |flag: Option<&str>, primary, name: &str| {
            let mut line = vec!["everynode", "up"];
            line.extend(flag.iter().flat_map(|flag| ["--pod-cidr", flag]));
            let crate::args::Command::Up(up) = <crate::args::Cli as clap::Parser>::parse_from(line).command else {
                panic!("not up")
            };
            pod_cidr(&up.node, primary, name)
        };
        assert_eq!(cidr(None, true, "a"), "10.200.0.0/24");
        assert_ne!(cidr(None, false, "a"), cidr(None, false, "b"));
        assert_eq!(cidr(Some("10.9.8.0/22"), true, "a"), "10.9.8.0/22");
    }

    #[test]
    fn a_node_is_where_its_agent_listens() {
        let listen = Some("192.0.2.7:0".parse().unwrap());
        assert_eq!(node_address(listen, None).to_string(), "192.0.2.7");
        assert!(!node_address(Some("0.0.0.0:10250".parse().unwrap()), None).is_unspecified());
    }

    #[test]
    fn some_address_is_always_found() {
        assert!(!address_towards(None).is_unspecified());
    }
}
