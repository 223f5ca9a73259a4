//! Clusters of the real binary: `up` for one node in one process, `server` and `agent` for a fleet.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, OnceLock};
use std::time::Duration;

use rustix::process::Signal;

use super::workloads::condition;
use super::{Credentials, Directory, Kubectl, Outcome, Program, Space, Waiting, poll};

/// How a cluster is made.
#[derive(Clone, Copy, Default)]
pub(crate) struct Options {
    /// Only the control plane: `everynode server`. Nodes come by [`Cluster::join`].
    pub(crate) server_only: bool,
    /// The node has the machine's standard directories (`/var/lib/kubelet`, `/var/log/pods`, …), if
    /// that is possible here: in `scripts/sandbox.sh` they are this test run's own.
    pub(crate) standard_paths: bool,
    /// More arguments of `up` or `server`.
    pub(crate) more: &'static str,
}

/// A control plane, and its own node unless it is `server_only`.
pub(crate) struct Cluster {
    programs: Mutex<Programs>,
    directory: Directory,
    options: Options,
    port: u16,
    credentials: OnceLock<Credentials>,
}

#[derive(Default)]
struct Programs {
    server: Option<Program>,
    agents: Vec<(String, Program)>,
    /// The arguments of all agents so far; each has an address range of its own.
    joined: Vec<(String, Vec<String>)>,
}

pub(crate) const NODE: &str = "node-a";
const START: Duration = Duration::from_secs(40);

/// A port that nothing listens on at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind a free port");
    listener.local_addr().expect("a bound address").port()
}

impl Cluster {
    /// The one-node cluster that tests share which disturb nothing outside their namespace.
    pub(crate) fn shared() -> &'static Cluster {
        static SHARED: LazyLock<Cluster> = LazyLock::new(|| {
            Cluster::start(Options { server_only: std::env::var_os("EN_TMP").is_some(), ..Options::default() })
        });
        &SHARED
    }

    /// A running cluster: its API is ready, its node too, and the test images are there.
    pub(crate) fn start(options: Options) -> Cluster {
        let cluster = Cluster::new(options);
        cluster.up();
        if !options.server_only {
            cluster.node_ready(NODE);
            cluster.import_images("data");
        }
        cluster
    }

    /// A cluster that does not run yet.
    pub(crate) fn new(options: Options) -> Cluster {
        assert!(rustix::process::geteuid().is_root(), "containers need root: sudo make test");
        let directory = Directory::new();
        Cluster { programs: Mutex::default(), directory, options, port: free_port(), credentials: OnceLock::new() }
    }

    /// Starts `up` or `server` and waits until the API is ready.
    pub(crate) fn up(&self) {
        self.up_until("/readyz");
    }

    /// The same where it will not be ready.
    pub(crate) fn up_alive(&self) {
        self.up_until("/livez");
    }

    fn up_until(&self, probe: &str) {
        let arguments = self.arguments();
        self.programs().server = Some(Program::start(&arguments, &self.path("everynode.log")));
        self.until(&format!("the API answers {probe}"), START, || {
            let server = self.api_try()?;
            let answer = server.get(probe);
            if answer.code == 200 { Ok(()) } else { Err(format!("{probe}: {} {}", answer.code, answer.text)) }
        });
    }

    /// What `up` is started with.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let n = self.directory.number();
        let word = if self.options.server_only { "server" } else { "up" };
        let mut line = format!(
            "{word} --data-dir {} --listen 127.0.0.1:{} --kubeconfig {} --service-cidr 10.{}.{n}.0/24 --gone-node-quarantine 1s",
            self.path("data").display(),
            self.port,
            self.path("kubeconfig").display(),
            60 + std::process::id() % 64,
        );
        if !self.options.server_only {
            line += &self.node_arguments(NODE, "data", 0);
        }
        line = line + " " + self.options.more;
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn node_arguments(&self, node: &str, data: &str, index: usize) -> String {
        // 32 clusters share a second number of the address, the next ones have the next.
        let network = self.directory.number() * 8 + index;
        let (block, n) = ((std::process::id() as usize + network / 256) % 64, network % 256);
        let mut line = format!(
            " --node-name {node} --node-ip 127.0.0.1 --agent-listen 127.0.0.1:0 --pod-cidr 10.{}.{n}.0/24 --cgroup-root {}",
            160 + block,
            self.cgroup_root(node),
        );
        if !self.standard_paths() {
            let data = self.path(data);
            for (flag, place) in [("kubelet-dir", "kubelet"), ("log-dir", "log"), ("cni-conf-dir", "cni/net.d")] {
                line += &format!(" --{flag} {}", data.join(place).display());
            }
        }
        line
    }

    /// Below every control group hierarchy.
    pub(crate) fn cgroup_root(&self, node: &str) -> String {
        format!("{}/{node}", self.directory.path().file_name().unwrap_or_default().display())
    }

    /// Whether the node really has the machine's standard directories.
    pub(crate) fn standard_paths(&self) -> bool {
        self.options.standard_paths && std::env::var_os("EVERYNODE_SANDBOX").is_some()
    }

    /// Where the node keeps what a manifest calls `path`: the same, or a place in the data
    /// directory.
    pub(crate) fn host_path(&self, path: &str) -> PathBuf {
        if self.standard_paths() {
            return path.into();
        }
        let places = [
            ("/var/lib/kubelet", "kubelet"),
            ("/var/log", "log"),
            ("/etc/cni/net.d", "cni/net.d"),
            ("/opt/cni/bin", "cni/bin"),
        ];
        let found = places.iter().find_map(|(from, to)| Some((to, path.strip_prefix(from)?)));
        let (place, rest) = found.unwrap_or_else(|| panic!("{path} is no path of a node's"));
        self.path("data").join(place).join(rest.trim_start_matches('/'))
    }

    /// A manifest of `examples/`, with the node's directories put in where they are not the
    /// standard ones.
    pub(crate) fn example(&self, file: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(file);
        let mut text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if !self.standard_paths() {
            for path in ["/var/lib/kubelet", "/var/log", "/etc/cni/net.d", "/opt/cni/bin"] {
                let ours = self.host_path(path).display().to_string();
                if path == "/var/log" {
                    // The links in `containers` are absolute, so the pod must see the directory at
                    // its own place.
                    text = text.replace(path, ours.trim_end_matches('/'));
                }
                text = text.replace(&format!("path: {path}"), &format!("path: {}", ours.trim_end_matches('/')));
            }
        }
        text
    }

    /// Joins another machine, played by an agent with directories, addresses and a runtime of its
    /// own.
    pub(crate) fn join(&self, node: &str) {
        self.join_by(node, self.port);
    }

    /// The same, with the API server reached at another port: that of a [`super::Link`].
    pub(crate) fn join_by(&self, node: &str, port: u16) {
        let data = self.path("data").display().to_string();
        let token = super::run(&["token", "--data-dir", &data], START).succeeded().stdout.trim().to_owned();
        let index = self.programs().joined.len() + 1;
        let line = format!(
            "agent --server https://127.0.0.1:{port} --token {token} --data-dir {}{}",
            self.path(node).display(),
            self.node_arguments(node, node, index)
        );
        let arguments = line.split_whitespace().map(str::to_owned).collect();
        self.programs().joined.push((node.to_owned(), arguments));
        self.start_agent(node);
    }

    /// Starts the agent of a machine that has joined.
    pub(crate) fn start_agent(&self, node: &str) {
        let mut programs = self.programs();
        let (_, arguments) = programs.joined.iter().find(|(name, _)| name == node).expect("it has joined");
        let agent = Program::start(arguments, &self.path(&format!("{node}.log")));
        programs.agents.push((node.to_owned(), agent));
    }

    /// Ends an agent as a lost machine ends: at once, its containers left to themselves.
    pub(crate) fn kill_agent(&self, node: &str) {
        self.programs().agents.retain(|(name, _)| name != node);
    }

    /// Where the API listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends the server as a crash does, and starts it again.
    pub(crate) fn crash(&self) {
        self.stop(Signal::KILL);
        self.up();
    }

    /// Imports the test images into the private runtime of the node whose data directory has this
    /// name.
    pub(crate) fn import_images(&self, data: &str) {
        let socket = self.path(data).join("containerd/containerd.sock");
        self.until("the private containerd is there", START, || {
            if socket.exists() { Ok(()) } else { Err(format!("no {}", socket.display())) }
        });
        let output = Command::new("ctr")
            .arg("-a")
            .arg(&socket)
            .args(["-n", "k8s.io", "images", "import"])
            .arg(images())
            .output();
        let output = output.expect("run ctr");
        assert!(output.status.success(), "import: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Waits until the node is Ready.
    pub(crate) fn node_ready(&self, node: &str) {
        self.until(&format!("node {node} is Ready"), START, || {
            let object = self.api().object(&format!("/api/v1/nodes/{node}"))?;
            let ready = condition(&object, "Ready");
            if ready["status"] == "True" { Ok(()) } else { Err(format!("Ready is {ready}")) }
        });
    }

    /// Sends `up` a signal and gives its exit code.
    pub(crate) fn stop(&self, signal: Signal) -> Option<i32> {
        let server = self.programs().server.take().expect("it runs");
        server.signal(signal);
        server.wait(Duration::from_secs(20))
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("everynode.log")).unwrap_or_default()
    }

    /// Runs a verb of everynode to its end, as this cluster's administrator. Words are divided at
    /// blanks.
    pub(crate) fn everynode(&self, words: &str) -> Outcome {
        let kubeconfig = self.kubeconfig().display().to_string();
        let arguments: Vec<&str> = words.split_whitespace().chain(["--kubeconfig", &kubeconfig]).collect();
        super::run(&arguments, START)
    }

    pub(crate) fn kubectl(&self, namespace: &str) -> Kubectl {
        Kubectl::new(&self.kubeconfig(), namespace)
    }

    /// The API, as the administrator.
    pub(crate) fn api(&self) -> &Credentials {
        self.api_try().unwrap_or_else(|reason| panic!("{reason}"))
    }

    fn api_try(&self) -> Waiting<&Credentials> {
        if let Some(known) = self.credentials.get() {
            return Ok(known);
        }
        let found = Credentials::of(&self.kubeconfig(), &self.path("credentials"))?;
        Ok(self.credentials.get_or_init(|| found))
    }

    /// Waits for a condition; when it is not met in time, says what the cluster looks like.
    pub(crate) fn until<T>(&self, what: &str, limit: Duration, look: impl FnMut() -> Waiting<T>) -> T {
        let mut look = look;
        let waited = poll(limit, || match self.programs().server.as_mut().and_then(Program::ended) {
            Some(status) => Ok(Err(format!("everynode ended: {status}"))),
            None => look().map(Ok),
        });
        waited.and_then(|value| value).unwrap_or_else(|reason| {
            panic!("waited {limit:?} for this: {what}\nat last: {reason}\n{}", self.picture());
        })
    }

    fn picture(&self) -> String {
        let mut text = String::new();
        if self.api_try().is_ok_and(|api| api.get("/readyz").code == 200) {
            for words in ["get nodes,daemonsets,pods -A -o wide", "get events -A --sort-by=.lastTimestamp"] {
                let shown = self.kubectl("default").run(words);
                let lines: Vec<&str> = shown.stdout.lines().collect();
                text +=
                    &format!("--- {words}\n{}\n{}\n", lines[lines.len().saturating_sub(30)..].join("\n"), shown.stderr);
            }
        }
        let programs = self.programs();
        let all = programs
            .server
            .iter()
            .map(|p| ("everynode", p))
            .chain(programs.agents.iter().map(|(n, p)| (n.as_str(), p)));
        for (name, program) in all {
            text += &format!("--- log of {name} in {}\n{}\n", self.directory.path().display(), program.tail(25));
        }
        text
    }

    fn programs(&self) -> std::sync::MutexGuard<'_, Programs> {
        self.programs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A namespace for one test.
    pub(crate) fn space(&self, namespace: &str) -> Space<'_> {
        let body = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let answer = self.api().post("/api/v1/namespaces", &body);
        assert_eq!(answer.code, 201, "{}", answer.text);
        self.at(namespace)
    }

    /// A namespace that is there.
    pub(crate) fn at(&self, namespace: &str) -> Space<'_> {
        Space::new(self, namespace)
    }
}

/// An archive of the images of tests and examples: made before, or now by `scripts/images.sh`.
fn images() -> &'static Path {
    static IMAGES: LazyLock<PathBuf> = LazyLock::new(|| {
        if let Some(archive) = std::env::var_os("EVERYNODE_TEST_IMAGES") {
            return archive.into();
        }
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let archive = top.join("target/images/e2e.tar");
        let output =
            Command::new(top.join("scripts/images.sh")).arg("--out").arg(&archive).args(["base", "examples"]).output();
        let output = output.expect("run scripts/images.sh");
        assert!(output.status.success(), "scripts/images.sh: {}", String::from_utf8_lossy(&output.stderr));
        archive
    });
    &IMAGES
}
