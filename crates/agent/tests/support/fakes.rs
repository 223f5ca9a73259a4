//! Small neighbours of the worker: they write down what they are told.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use everynode_agent::admission::NodeAdmission;
use everynode_agent::config::{AgentConfig, Cgroups, ClusterDns, Directories, LogLimits};
use everynode_agent::cri::{Runtime, v1::Mount};
use everynode_agent::host::{Host, LinuxHost};
use everynode_agent::ports::{
    BoxFuture, Clock, ConfigError, EnvVar, Environment, Event, EventSink, MountError, OwnNode, PodRef, PodWriter,
    ProbeReports, ProbeTarget, Probes, PullCredential, PullSecrets, SystemClock, Volumes, WriteError,
};
use everynode_agent::sync::NodeFacts;
use everynode_agent::worker::{Context, Dispatcher, Inspector, PodUpdate};
use everynode_api::view::Node;
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use tokio::sync::{Notify, Semaphore, mpsc, watch};

/// The configuration of an agent in one directory.
pub fn config(dir: &Path, node: &str) -> AgentConfig {
    AgentConfig {
        node_name: node.into(),
        node_ips: vec![IpAddr::from([127, 0, 0, 1])],
        hostname: "localhost".into(),
        node_labels: BTreeMap::new(),
        dirs: Directories {
            root: dir.join("kubelet"),
            pod_logs: dir.join("log/pods"),
            container_logs: dir.join("log/containers"),
        },
        cgroups: Cgroups { mount: "/sys/fs/cgroup".into(), root: cgroup_root(dir, node) },
        dns: ClusterDns { servers: Vec::new(), domain: "cluster.local".into(), resolv_conf: "/etc/resolv.conf".into() },
        extra_hosts: vec![(IpAddr::from([127, 0, 0, 7]), vec!["kubernetes.default.svc".into()])],
        kubernetes_service: None,
        server_address: "127.0.0.1:0".parse().unwrap(),
        max_pods: 110,
        logs: LogLimits::default(),
        pod_max_pids: Some(4096),
        cni_conf_dir: None,
        parallel_pulls: 2,
        relist_interval: Duration::from_millis(200),
        status_interval: Duration::from_secs(10),
    }
}

/// One per test and node; [`super::Containerd`] removes it.
fn cgroup_root(dir: &Path, node: &str) -> String {
    format!("everynode-{}-{node}", dir.file_name().unwrap().to_str().unwrap())
}

/// Everything that the worker's neighbours were told.
#[derive(Default)]
pub struct Record {
    pub events: Mutex<Vec<Event>>,
    pub status: Mutex<BTreeMap<String, PodStatus>>,
    pub deleted: Mutex<Vec<String>>,
    /// How many writes and deletions fail from now on.
    pub failures: AtomicUsize,
    /// Of the newest status that was written.
    pub revision: AtomicU64,
    /// Where deletions are told, as a watch would.
    watch: Mutex<Option<mpsc::WeakSender<PodUpdate>>>,
}

/// A clock that follows tokio's, which tests run paused.
pub struct TokioClock {
    origin: jiff::Timestamp,
    start: tokio::time::Instant,
}

impl TokioClock {
    pub fn new() -> Arc<TokioClock> {
        let origin = jiff::Timestamp::from_second(1_800_000_000).unwrap();
        Arc::new(TokioClock { origin, start: tokio::time::Instant::now() })
    }
}

impl Clock for TokioClock {
    fn now(&self) -> jiff::Timestamp {
        self.origin + jiff::SignedDuration::try_from(self.start.elapsed()).unwrap()
    }
}

impl Record {
    pub fn status(&self, uid: &str) -> PodStatus {
        self.status.lock().unwrap().get(uid).cloned().unwrap_or_default()
    }

    /// Another client writes a status.
    pub fn put_status(&self, uid: &str, status: PodStatus) {
        self.status.lock().unwrap().insert(uid.to_owned(), status);
    }

    /// `Reason message` of every event, in order.
    pub fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().iter().map(|event| format!("{} {}", event.reason, event.message)).collect()
    }

    pub fn has_event(&self, text: &str) -> bool {
        self.events().iter().any(|event| event.contains(text))
    }

    fn answer(&self) -> Result<(), WriteError> {
        let fail = |left: usize| left.checked_sub(1);
        match self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fail) {
            Ok(_) => Err(WriteError::Retry("the server is away".into())),
            Err(_) => Ok(()),
        }
    }

    pub fn was_deleted(&self, uid: &str) -> bool {
        self.deleted.lock().unwrap().iter().any(|found| found == uid)
    }
}

impl EventSink for Record {
    fn emit(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }
}

impl PodWriter for Record {
    fn write_status<'a>(&'a self, pod: &'a Pod, status: &'a PodStatus) -> BoxFuture<'a, Result<u64, WriteError>> {
        let answer = self.answer();
        if answer.is_ok() {
            self.status.lock().unwrap().insert(PodRef::of(pod).uid, status.clone());
        }
        Box::pin(std::future::ready(answer.map(|()| self.revision.fetch_add(10, Ordering::SeqCst) + 10)))
    }

    fn delete<'a>(&'a self, pod: &'a PodRef) -> BoxFuture<'a, Result<(), WriteError>> {
        let answer = self.answer();
        if answer.is_ok() {
            self.deleted.lock().unwrap().push(pod.uid.clone());
            let watch = self.watch.lock().unwrap().as_ref().and_then(mpsc::WeakSender::upgrade);
            let told = watch.is_none_or(|watch| watch.try_send(PodUpdate::Gone { uid: pod.uid.clone() }).is_ok());
            assert!(told, "the dispatcher takes what it is told");
        }
        Box::pin(std::future::ready(answer))
    }
}

/// Host paths only; values of variables only; no probes.
pub struct Plain;

impl Volumes for Plain {
    fn set_up<'a>(&'a self, _pod: &'a Arc<Pod>) -> BoxFuture<'a, Result<(), MountError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn mounts<'a>(
        &'a self,
        pod: &'a Pod,
        container: &'a Container,
        _env: &'a [EnvVar],
    ) -> BoxFuture<'a, Result<Vec<Mount>, ConfigError>> {
        let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.clone()).unwrap_or_default();
        let path = |name: &str| {
            let found = volumes.iter().find(|volume| volume.name == name).and_then(|volume| volume.host_path.clone());
            found.map(|host| host.path).ok_or_else(|| ConfigError::new(format!("no volume {name}")))
        };
        let mounts = container.volume_mounts.iter().flatten().map(|mount| {
            let host_path = path(&mount.name)?;
            let readonly = mount.read_only == Some(true);
            Ok(Mount { container_path: mount.mount_path.clone(), host_path, readonly, ..Mount::default() })
        });
        Box::pin(std::future::ready(mounts.collect()))
    }

    fn pod_changed(&self, _pod: &Arc<Pod>) {}

    fn tear_down<'a>(&'a self, _pod_uid: &'a str) -> BoxFuture<'a, Result<(), MountError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Environment for Plain {
    fn resolve<'a>(
        &'a self,
        _pod: &'a Pod,
        container: &'a Container,
        _ips: &'a [IpAddr],
    ) -> BoxFuture<'a, Result<Vec<EnvVar>, ConfigError>> {
        let list = container.env.iter().flatten();
        let env = list.map(|var| EnvVar { name: var.name.clone(), value: var.value.clone().unwrap_or_default() });
        Box::pin(std::future::ready(Ok(env.collect())))
    }
}

impl PullSecrets for Plain {
    fn credentials<'a>(&'a self, _pod: &'a Pod, _image: &'a str) -> BoxFuture<'a, Vec<PullCredential>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}

impl Probes for Plain {
    fn start(&self, _target: ProbeTarget, _reports: ProbeReports) {}
    fn stop(&self, _pod_uid: &str, _container: &str) {}
    fn terminating(&self, _pod_uid: &str) {}
    fn forget(&self, _pod_uid: &str) {}
}

/// A node of 4 CPUs, which tests may change: the server then has it so, and the agent does not know
/// it yet.
#[derive(Default)]
pub struct SmallNode {
    pub now: Mutex<Option<Node>>,
}

impl OwnNode for SmallNode {
    fn known(&self) -> Arc<Node> {
        let json = r#"{"status":{"allocatable":{"cpu":"4","memory":"8Gi","ephemeral-storage":"9Gi","pods":"110"}}}"#;
        Arc::new(serde_json::from_str(json).unwrap())
    }

    fn fresh(&self) -> BoxFuture<'_, Arc<Node>> {
        let now = self.now.lock().unwrap().clone().map(Arc::new);
        Box::pin(std::future::ready(now.unwrap_or_else(|| self.known())))
    }
}

/// A dispatcher that runs, and the way to talk to it.
pub struct Workers {
    pub updates: mpsc::Sender<PodUpdate>,
    pub record: Arc<Record>,
    pub inspector: Inspector,
    pub config: Arc<AgentConfig>,
    pub context: Arc<Context>,
    pub node: Arc<SmallNode>,
    task: tokio::task::JoinHandle<()>,
    _facts: watch::Sender<Arc<NodeFacts>>,
}

impl Workers {
    pub fn start(config: AgentConfig, runtime: Arc<dyn Runtime>) -> Workers {
        let config = Arc::new(config);
        let host = Arc::new(LinuxHost::new(config.clone()));
        Workers::with(config, runtime, host, Arc::new(SystemClock))
    }

    pub fn with(
        config: Arc<AgentConfig>,
        runtime: Arc<dyn Runtime>,
        host: Arc<dyn Host>,
        clock: Arc<dyn Clock>,
    ) -> Workers {
        let record = Arc::new(Record::default());
        Workers::written_by(record.clone(), record, config, runtime, host, clock)
    }

    /// Workers whose statuses and deletions go to `writer` instead of the record.
    pub fn written_by(
        writer: Arc<dyn PodWriter>,
        record: Arc<Record>,
        config: Arc<AgentConfig>,
        runtime: Arc<dyn Runtime>,
        host: Arc<dyn Host>,
        clock: Arc<dyn Clock>,
    ) -> Workers {
        let facts = NodeFacts { ips: config.node_ips.clone(), runtime: "containerd".into(), network_error: None };
        let (facts_sender, facts) = watch::channel(Arc::new(facts));
        let node = Arc::new(SmallNode::default());
        let context = Context {
            pulls: Semaphore::new(config.parallel_pulls),
            config: config.clone(),
            runtime,
            host,
            volumes: Arc::new(Plain),
            environment: Arc::new(Plain),
            secrets: Arc::new(Plain),
            probes: Arc::new(Plain),
            events: record.clone(),
            writer,
            admission: Arc::new(NodeAdmission::default()),
            node: node.clone(),
            clock,
            facts,
        };
        let context = Arc::new(context);
        let dispatcher = Dispatcher::new(context.clone());
        let inspector = dispatcher.inspector();
        let (updates, receiver) = mpsc::channel(16);
        *record.watch.lock().unwrap() = Some(updates.downgrade());
        let task = tokio::spawn(dispatcher.run(receiver, Arc::new(Notify::new())));
        Workers { updates, record, inspector, config, context, node, task, _facts: facts_sender }
    }

    pub async fn set(&self, pod: &Pod) {
        self.updates.send(PodUpdate::Set(Arc::new(pod.clone()))).await.unwrap();
    }

    pub async fn replace(&self, pods: &[Pod]) {
        let pods = pods.iter().cloned().map(Arc::new).collect();
        self.updates.send(PodUpdate::Replace(pods)).await.unwrap();
    }

    /// Ends the agent's part; containers run on.
    pub async fn stop(self) {
        drop(self.updates);
        self.task.await.unwrap();
    }

    /// Waits until the pod is deleted and nothing of it is left.
    pub async fn wait_gone(&self, uid: &str) {
        let look = || (self.record.was_deleted(uid) && self.inspector.pods().is_empty()).then_some(());
        wait("the pod is gone", look, || format!("{:#?}", self.record.events())).await;
    }

    /// Waits until the pod's status satisfies `reached`.
    pub async fn wait_status(&self, uid: &str, what: &str, reached: impl Fn(&PodStatus) -> bool) -> PodStatus {
        wait(
            what,
            || Some(self.record.status(uid)).filter(|status| reached(status)),
            || format!("{:#?}\n{:#?}", self.record.status(uid), self.record.events()),
        )
        .await
    }
}

/// Waits for a value; fails with what there is instead after a generous time.
pub async fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>, instead: impl Fn() -> String) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited too long for: {what}\n{}", instead());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A pod from YAML-like JSON, with the fields that every pod has.
pub fn pod(name: &str, spec: serde_json::Value) -> Pod {
    serde_json::from_value(serde_json::json!({
        "metadata": {"name": name, "namespace": "default", "uid": format!("{name}-uid"), "generation": 1},
        "spec": spec,
    }))
    .unwrap()
}

/// The same pod, being deleted.
pub fn deleted(pod: &Pod, grace_seconds: i64) -> Pod {
    let mut pod = pod.clone();
    pod.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::now()));
    pod.metadata.deletion_grace_period_seconds = Some(grace_seconds);
    pod
}
