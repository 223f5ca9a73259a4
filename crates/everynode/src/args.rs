//! The command line: what can be asked for. Parsed here, decided elsewhere.

mod advice;
mod hollow;
mod store;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::advice::explain;
pub(crate) use self::hollow::{HollowArgs, HollowProfile, HollowWatch};
pub(crate) use self::store::{RepairArgs, RestoredArgs, StoreArgs, StoreVerb, VerifyArgs};
pub(crate) use self::values::NamedSet;
use self::values::{duration, label, log_level, named_set, node_name, pod_cidr, server_url, service_network, validity};

/// One pod of every DaemonSet on every node that it fits.
#[derive(Debug, Parser)]
#[command(
    name = "everynode",
    version,
    about = "Keeps one pod of every DaemonSet on every node that it fits",
    long_about = "everynode keeps one pod of every DaemonSet on every node that it fits.\n\n\
        It speaks the Kubernetes API, so kubectl and other Kubernetes clients work with it unchanged.\n\
        Begin with `everynode up` on one machine; `everynode server` and `everynode agent` make a fleet;\n\
        `everynode controller` brings only the DaemonSet controller to an existing Kubernetes cluster.",
    after_help = "EXIT CODES\n\
        \x20 0  done          1  failed                 2  wrong usage\n\
        \x20 3  the data directory is in use, damaged or not writable\n\
        \x20 4  the API server cannot be reached, or refuses the credentials or what they ask for\n\
        \x20 5  not done within --timeout\n\
        \x20 6  `everynode plan` has found something to do\n\
        \x20 7  `everynode store` has found damage\n\
        \x20 8  `everynode audit` has found something that fails\n\n\
        EXAMPLES\n\
        \x20 everynode up                                     a one-node cluster, here and now\n\
        \x20 everynode apply -f examples/node-exporter.yaml   run a node service\n\
        \x20 everynode status                                 what runs where, and what does not and why"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// How to log.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArgs {
    /// The form of log lines
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, help_heading = "Logging")]
    pub(crate) log_format: LogFormat,
    /// The least important level to log: error, warn, info, debug, trace, or filters such as
    /// `info,everynode_agent=debug`
    #[arg(long, global = true, default_value = "info", value_parser = log_level, env = "EVERYNODE_LOG", help_heading = "Logging")]
    pub(crate) log_level: String,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole one-node cluster: API server, controllers and agent in one process
    Up(UpArgs),
    /// Stop the pods, and the private container runtime, that `up` or `agent` left running here
    Down(DownArgs),
    /// Run the control plane: API server and controllers
    Server(ServerArgs),
    /// Run the node agent of this machine
    Agent(AgentArgs),
    /// Create or update the objects of manifests
    Apply(ApplyArgs),
    /// Delete the objects of manifests
    Delete(DeleteArgs),
    /// Show every DaemonSet, and per node what runs and what does not and why
    Status(StatusArgs),
    /// Say why a DaemonSet has, or has no, pod on a node
    Why(WhyArgs),
    /// Check a cluster, and this machine's files, against the CIS Kubernetes benchmark; changes
    /// nothing
    Audit(AuditArgs),
    /// Say what the DaemonSet controller would do, without doing it
    Plan(PlanArgs),
    /// Follow, list, undo or repeat the rollouts of a DaemonSet
    Rollout(RolloutArgs),
    /// Print the token with which machines join
    Token(TokenArgs),
    /// Check the store of a stopped server, or make one of what can be read of a damaged one
    Store(StoreArgs),
    /// Print the administrator's kubeconfig
    Kubeconfig(KubeconfigArgs),
    /// Run only the DaemonSet controller, against any Kubernetes cluster
    Controller(ControllerArgs),
    /// Simulate nodes, thousands of them, against any Kubernetes API server
    Hollow(Box<HollowArgs>),
    /// Write a completion script for a shell
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages
    #[command(after_help = "EXAMPLES\n\
        \x20 everynode man | man -l -                               the page of everynode itself\n\
        \x20 everynode man --directory /usr/local/share/man/man1    a page for every command")]
    Man {
        /// Where to write a page for every command
        #[arg(long, value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

/// The API server's part.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApiArgs {
    /// Where the API listens
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:6443", help_heading = "API server")]
    pub(crate) listen: SocketAddr,
    /// Further names and addresses that clients reach the API by; they go into its certificate
    #[arg(long, value_name = "NAME|IP", value_delimiter = ',', help_heading = "API server")]
    pub(crate) tls_san: Vec<String>,
    /// Where to write the administrator's kubeconfig [default: DATA_DIR/admin.kubeconfig]
    #[arg(long, value_name = "FILE", help_heading = "API server")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Addresses of services; the first one is that of `kubernetes.default`
    #[arg(
        long = "service-cidr",
        value_name = "CIDR",
        default_value = "10.96.0.0/16",
        value_parser = service_network,
        help_heading = "API server"
    )]
    pub(crate) service_network: [u8; 3],
    /// How long the pods of a deleted node are kept in case it comes back
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration, help_heading = "API server")]
    pub(crate) gone_node_quarantine: Duration,
    /// How long a node may be silent before it counts as lost
    #[arg(long, value_name = "DURATION", default_value = "50s", value_parser = duration, help_heading = "API server")]
    pub(crate) node_monitor_grace: Duration,
    /// How long certificates are valid that the server issues, to itself and to nodes; all are
    /// renewed in time
    #[arg(long, value_name = "DURATION", default_value = "365d", value_parser = validity, help_heading = "API server")]
    pub(crate) certificate_validity_period: Duration,
    /// Behave exactly as the original DaemonSet controller, without everynode's improvements
    #[arg(long, help_heading = "API server")]
    pub(crate) strict: bool,
}

/// The agent's part.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeArgs {
    /// The node's name [default: this machine's host name]
    #[arg(long, value_name = "NAME", value_parser = node_name, help_heading = "Node")]
    pub(crate) node_name: Option<String>,
    /// The node's address [default: the one that leads to the API server]
    #[arg(long, value_name = "IP", help_heading = "Node")]
    pub(crate) node_ip: Option<std::net::IpAddr>,
    /// Labels that the node registers with
    #[arg(long, value_name = "K=V", value_delimiter = ',', value_parser = label, help_heading = "Node")]
    pub(crate) node_labels: Vec<(String, String)>,
    /// The container runtime [default: a running one with a network for pods, else a private
    /// containerd in the data directory]
    #[arg(long, value_name = "unix:///PATH", help_heading = "Node")]
    pub(crate) cri_endpoint: Option<String>,
    /// Where the agent's own server (logs, exec) listens; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Node")]
    pub(crate) agent_listen: Option<SocketAddr>,
    /// The directory that node services expect at /var/lib/kubelet [default: that, or
    /// DATA_DIR/kubelet if another agent has it]
    #[arg(long, value_name = "DIR", help_heading = "Node")]
    pub(crate) kubelet_dir: Option<PathBuf>,
    /// Where pod logs go [default: /var/log/pods and /var/log/containers, or below the data
    /// directory if another agent has them]
    #[arg(long, value_name = "DIR", help_heading = "Node")]
    pub(crate) log_dir: Option<PathBuf>,
    /// The cgroup below which pods run [default: none, or everynode/NODE if another agent runs
    /// here]
    #[arg(long, value_name = "PATH", help_heading = "Node")]
    pub(crate) cgroup_root: Option<String>,
    /// Where the private containerd finds network configurations [default: /etc/cni/net.d, then its
    /// own bridge]
    #[arg(long, value_name = "DIR", help_heading = "Node")]
    pub(crate) cni_conf_dir: Option<PathBuf>,
    /// The addresses of pods on the private containerd's own bridge [default: 10.200.0.0/24, or
    /// another /24 of 10.200.0.0/16 if another agent runs here]
    #[arg(long, value_name = "CIDR", value_parser = pod_cidr, help_heading = "Node")]
    pub(crate) pod_cidr: Option<String>,
    /// Processes and threads that a pod may have; -1: as many as the machine
    #[arg(long, value_name = "N", default_value_t = 4096, allow_negative_numbers = true, help_heading = "Node")]
    pub(crate) pod_max_pids: i64,
    /// Kernel parameters that pods may set besides the safe ones: names, or beginnings with `*`,
    /// like net.core.*
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help_heading = "Node")]
    pub(crate) allowed_unsafe_sysctls: Vec<String>,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "EXAMPLES\n\
    \x20 everynode up                                   everything below /var/lib/everynode\n\
    \x20 everynode up --data-dir /tmp/try --listen 127.0.0.1:7443 --node-name try\n\
    \x20 everynode up --no-agent                        only the control plane\n\n\
    Ctrl-C leaves pods running; the next start picks them up. `everynode down` stops them.")]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// Run no agent on this machine
    #[arg(long)]
    pub(crate) no_agent: bool,
}

/// Where things are kept.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataArgs {
    /// Everything that everynode keeps: state, keys, logs of its runtime
    #[arg(long, value_name = "DIR", default_value = "/var/lib/everynode", env = "EVERYNODE_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "EXAMPLES\n\
    \x20 everynode down                        stop every pod of the node, then the private runtime\n\
    \x20 everynode down --data-dir /tmp/try    the same for another data directory")]
pub(crate) struct DownArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// How long pods may take to end
    #[arg(long, value_name = "DURATION", default_value = "40s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// The form of the result
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "EXAMPLES\n\
    \x20 everynode server --listen 0.0.0.0:6443 --tls-san fleet.example.com\n\
    \x20 everynode token                       then, on each machine: everynode agent --server … --token …")]
pub(crate) struct ServerArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "EXAMPLES\n\
    \x20 everynode agent --server https://10.0.0.1:6443 --token TOKEN\n\
    \x20 everynode agent --kubeconfig /etc/everynode/agent.kubeconfig --node-name edge-7")]
pub(crate) struct AgentArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// Credentials of this node, or ones that may register it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "token"])]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The API server to join
    #[arg(long, value_name = "URL", value_parser = server_url, requires = "token")]
    pub(crate) server: Option<String>,
    /// The join token, from `everynode token`
    #[arg(long, value_name = "TOKEN", env = "EVERYNODE_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
}

/// Which API server to speak to.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClientArgs {
    /// Credentials [default: $KUBECONFIG, DATA_DIR/admin.kubeconfig, ~/.kube/config, the pod's own
    /// account]
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME", help_heading = "Connection")]
    pub(crate) context: Option<String>,
    /// The data directory whose kubeconfig is tried
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/var/lib/everynode",
        env = "EVERYNODE_DATA_DIR",
        help_heading = "Connection"
    )]
    pub(crate) data_dir: PathBuf,
    /// The namespace of objects that name none [default: the kubeconfig's, else `default`]
    #[arg(short, long, help_heading = "Connection")]
    pub(crate) namespace: Option<String>,
}

/// Where manifests are.
#[derive(Debug, Clone, Args)]
pub(crate) struct ManifestArgs {
    /// Files or directories of manifests (YAML or JSON); - reads standard input
    #[arg(short, long, value_name = "FILE|DIR|-", required = true)]
    pub(crate) filename: Vec<PathBuf>,
    /// Read the directories below directories, too
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
}

/// The form of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "EXAMPLES\n\
    \x20 everynode apply -f node-exporter.yaml\n\
    \x20 everynode apply -f manifests/ --wait\n\
    \x20 everynode apply -f node-exporter.yaml --dry-run      what would be, checked by the server
    \x20 cat x.yaml | everynode apply -f -")]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) manifests: ManifestArgs,
    /// Let the server check and answer everything, and keep nothing
    #[arg(long, conflicts_with = "wait")]
    pub(crate) dry_run: bool,
    /// Wait until the DaemonSets among them run everywhere
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// The form of results
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "EXAMPLES\n\
    \x20 everynode delete -f node-exporter.yaml\n\
    \x20 everynode delete -R -f manifests/ --ignore-not-found -o json")]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) manifests: ManifestArgs,
    /// Let the server check and answer everything, and keep what there is
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not complain about objects that do not exist
    #[arg(long)]
    pub(crate) ignore_not_found: bool,
    /// Do not wait until the objects are gone
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// The form of results
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "EXAMPLES\n\
    \x20 everynode status                     every namespace\n\
    \x20 everynode status -n monitoring -w    one, and again when it changes\n\
    \x20 everynode status -o json | jq '.daemonSets[] | select(.ready < .desired)'")]
pub(crate) struct StatusArgs {
    /// Only DaemonSets of the namespace that -n or the kubeconfig names; `-n NAMESPACE` alone does
    /// the same
    #[arg(long, hide = true)]
    pub(crate) only_namespace: bool,
    /// Show it again whenever it has changed, until Ctrl-C
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// The form of the result
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "EXAMPLES\n\
    \x20 everynode audit                                        on the server, as root: objects and files\n\
    \x20 everynode audit --kubeconfig admin.kubeconfig          from anywhere: objects only\n\
    \x20 everynode audit -o json | jq '.findings[] | select(.outcome == \"fail\")'\n\n\
    Each item has its evidence and what to do. Nothing is changed. The exit code is 8 if something fails; what is to be\n\
    looked at (warn) or cannot be seen from here (manual) does not count. It needs to read pods, accounts, roles and bindings.")]
pub(crate) struct AuditArgs {
    /// The form of the result
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "EXAMPLES\n\
    \x20 everynode why monitoring/node-exporter               every node\n\
    \x20 everynode why node-exporter -n monitoring --node a")]
pub(crate) struct WhyArgs {
    /// The DaemonSet: NAME, ds/NAME or NAMESPACE/NAME
    #[arg(value_parser = named_set)]
    pub(crate) name: NamedSet,
    /// Only this node
    #[arg(long)]
    pub(crate) node: Option<String>,
    /// The form of the result
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Nothing is written. The forecast is the best case: every new pod on a node that is ready becomes ready.\n\
    Exit code 0: nothing to do. 6: something to do. 1, 2 or 4: it could not be found out.\n\n\
    EXAMPLES\n\
    \x20 everynode plan                                       every DaemonSet of the cluster\n\
    \x20 everynode plan node-exporter -n monitoring -o json   one of them\n\
    \x20 everynode plan --kubeconfig ~/.kube/config           before a takeover: what would the new controller change?\n\
    \x20 everynode plan -f daemonset.yaml -f nodes.yaml       from files alone; no server is asked"
)]
pub(crate) struct PlanArgs {
    /// Only this DaemonSet: NAME, ds/NAME or NAMESPACE/NAME
    #[arg(value_parser = named_set)]
    pub(crate) name: Option<NamedSet>,
    /// Files or directories with DaemonSets, Nodes, Pods and ControllerRevisions; - reads standard
    /// input
    #[arg(short, long, value_name = "FILE|DIR|-")]
    pub(crate) filename: Vec<PathBuf>,
    /// Read the directories below directories, too
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// As the original DaemonSet controller would, without everynode's improvements
    #[arg(long)]
    pub(crate) strict: bool,
    /// As the controller of this class, which looks after DaemonSets with the annotation
    /// everynode.dev/class
    #[arg(long)]
    pub(crate) class: Option<String>,
    /// The form of the result
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "`kubectl rollout` does the same.\n\n\
    EXAMPLES\n\
    \x20 everynode rollout status node-exporter -n monitoring\n\
    \x20 everynode rollout history node-exporter -n monitoring --revision 2\n\
    \x20 everynode rollout undo node-exporter -n monitoring")]
pub(crate) struct RolloutArgs {
    #[command(subcommand)]
    pub(crate) verb: RolloutVerb,
}

/// What to do about a rollout.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum RolloutVerb {
    /// Wait until the rollout is done, saying how far it is
    Status {
        #[command(flatten)]
        of: RolloutTarget,
        /// How long to wait
        #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
        timeout: Duration,
    },
    /// List the revisions, or show the pod template of one
    History {
        #[command(flatten)]
        of: RolloutTarget,
        /// The revision to show
        #[arg(long, value_name = "NUMBER")]
        revision: Option<i64>,
    },
    /// Go back to an earlier revision
    Undo {
        #[command(flatten)]
        of: RolloutTarget,
        /// The revision to go back to [default: the one before the newest]
        #[arg(long, value_name = "NUMBER")]
        to_revision: Option<i64>,
    },
    /// Replace every pod by a new one of the same template
    Restart {
        #[command(flatten)]
        of: RolloutTarget,
    },
}

/// The DaemonSet whose rollout it is.
#[derive(Debug, Clone, Args)]
pub(crate) struct RolloutTarget {
    /// The DaemonSet: NAME, ds/NAME or NAMESPACE/NAME
    #[arg(value_parser = named_set)]
    pub(crate) name: NamedSet,
    /// The form of the result
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Clone, Args)]
#[command(
    after_help = "The token proves to the server that the machine may join, and to the machine that the server is\n\
    the right one: it holds the fingerprint of the cluster's certificate authority. Keep it secret.\n\n\
    EXAMPLES\n\
    \x20 everynode token                                               on the server's machine\n\
    \x20 everynode agent --server https://10.0.0.1:6443 --token TOKEN  on each machine that joins"
)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// The form of the result
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Args)]
#[command(
    after_help = "EXAMPLES\n\x20 export KUBECONFIG=$(everynode kubeconfig --path)\n\x20 everynode kubeconfig > ~/.kube/config"
)]
pub(crate) struct KubeconfigArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Print where it is instead
    #[arg(long)]
    pub(crate) path: bool,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "The cluster's own DaemonSet controller must be off:\n\
    \x20 kube-controller-manager --controllers=*,-daemonset-controller\n\n\
    EXAMPLES\n\
    \x20 everynode controller --kubeconfig ~/.kube/config\n\
    \x20 everynode controller                            in a pod, with its service account")]
pub(crate) struct ControllerArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Behave exactly as the original DaemonSet controller, without everynode's improvements
    #[arg(long)]
    pub(crate) strict: bool,
    /// Only DaemonSets with the annotation everynode.dev/class of this value
    #[arg(long)]
    pub(crate) class: Option<String>,
    /// Run without a leader lease (only ever one such process per cluster)
    #[arg(long)]
    pub(crate) no_leader_election: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
