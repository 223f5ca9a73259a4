//! Which pods have workers, and what each worker is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use everynode_placement::{Needs, Occupancy};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::pod::{DesiredPod, PodObservation, PodSnapshot, PodWorker, Start};
use super::relist::{Relist, RelistResult, Resync};
use super::{Context, PodUpdate};
use crate::ports::{PodRef, Rejection, Severity};
use crate::sync::{Memory, Observed};
use crate::view;

/// Logs of a pod that is gone stay this long, so that log collectors can read their end.
const LOG_LINGER: Duration = Duration::from_secs(60);

/// Owns the workers.
pub struct Dispatcher {
    context: Arc<Context>,
    workers: BTreeMap<String, Worker>,
    tasks: JoinSet<PodRef>,
    /// The latest look at every pod, with and without a worker.
    observed: BTreeMap<String, PodObservation>,
    resync: Resync,
    inspector: Inspector,
    /// Whether the pods of this node are known: only then can a sandbox be an orphan.
    listed: bool,
    /// Pods that are gone, with logs that are not.
    lingering: JoinSet<PodRef>,
    logs: BTreeSet<PodRef>,
}

struct Worker {
    told: watch::Sender<DesiredPod>,
    looks: watch::Sender<PodObservation>,
    /// What the pod takes of the node; `None`: it was refused, or stands for what is being ended.
    needs: Option<Needs>,
}

impl Worker {
    /// What the pod takes now, and its name: nothing once it has ended or gone.
    fn part(&self) -> Option<(&Needs, String)> {
        let needs = self.needs.as_ref()?;
        let told = self.told.borrow();
        (!told.gone && !has_ended(&told.pod)).then(|| (needs, PodRef::of(&told.pod).to_string()))
    }
}

/// A new pod's verdict.
struct Admitted {
    memory: Memory,
    needs: Option<Needs>,
}

/// What the agent's server may know about pods.
#[derive(Clone, Default)]
pub struct Inspector(Arc<Mutex<BTreeMap<String, watch::Receiver<PodSnapshot>>>>);

impl Inspector {
    /// Every pod with a worker.
    pub fn pods(&self) -> Vec<Arc<Pod>> {
        self.snapshots().into_iter().map(|snapshot| snapshot.pod).collect()
    }

    /// The pod of this name, and what the runtime has of it.
    pub fn find(&self, namespace: &str, name: &str) -> Option<PodSnapshot> {
        let is = |snapshot: &PodSnapshot| {
            let metadata = &snapshot.pod.metadata;
            metadata.namespace.as_deref() == Some(namespace) && metadata.name.as_deref() == Some(name)
        };
        self.snapshots().into_iter().find(is)
    }

    /// Every container of every pod.
    pub fn containers(&self) -> Vec<crate::cri::Container> {
        self.snapshots().into_iter().flat_map(|snapshot| snapshot.observed.containers).collect()
    }

    /// One container by its id.
    pub fn container(&self, id: &str) -> Option<crate::cri::Container> {
        self.snapshots().into_iter().find_map(|snapshot| snapshot.observed.container(id).cloned())
    }

    pub(crate) fn snapshots(&self) -> Vec<PodSnapshot> {
        let map = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        map.values().map(|snapshot| snapshot.borrow().clone()).collect()
    }

    fn set(&self, uid: &str, snapshot: watch::Receiver<PodSnapshot>) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(uid.to_owned(), snapshot);
    }

    fn remove(&self, uid: &str) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(uid);
    }
}

impl Dispatcher {
    pub fn new(context: Arc<Context>) -> Self {
        Dispatcher {
            context,
            workers: BTreeMap::new(),
            tasks: JoinSet::new(),
            observed: BTreeMap::new(),
            resync: Resync::default(),
            inspector: Inspector::default(),
            listed: false,
            lingering: JoinSet::new(),
            logs: BTreeSet::new(),
        }
    }

    pub fn inspector(&self) -> Inspector {
        self.inspector.clone()
    }

    /// Runs until `updates` ends; then the workers end too and the containers run on. `poke` makes
    /// the next look at the runtime happen at once.
    pub async fn run(mut self, mut updates: mpsc::Receiver<PodUpdate>, poke: Arc<Notify>) {
        let (sender, mut looks) = mpsc::channel(1);
        let relist = Relist::new(self.context.clone(), self.resync.clone());
        let relist = tokio::spawn(relist.run(poke, sender));
        // Nothing is decided before the runtime was seen once: what runs must be known, and so must
        // the runtime's name, which is part of container ids.
        let mut facts = self.context.facts.clone();
        let _ = facts.wait_for(|facts| !facts.runtime.is_empty()).await;
        let mut seen_once = false;
        loop {
            tokio::select! {
                Some(looked) = looks.recv() => {
                    seen_once = true;
                    self.looked(looked);
                }
                update = updates.recv(), if seen_once => match update {
                    Some(update) => self.update(update).await,
                    None => break,
                },
                Some(Ok(pod)) = self.tasks.join_next(), if !self.tasks.is_empty() => self.finished(pod).await,
                Some(Ok(pod)) = self.lingering.join_next(), if !self.lingering.is_empty() => self.remove_logs(&pod),
            }
        }
        relist.abort();
        self.tasks.shutdown().await;
        // No later run would know of them.
        while let Some(pod) = self.logs.first().cloned() {
            self.remove_logs(&pod);
        }
    }

    fn looked(&mut self, looked: RelistResult) {
        let RelistResult { begun, changed } = looked;
        for (uid, observed) in changed {
            let look = PodObservation { begun, observed };
            if let Some(worker) = self.workers.get(&uid) {
                worker.looks.send_replace(look.clone());
            }
            self.observed.insert(uid, look);
        }
        self.observed.retain(|_, look| !look.observed.sandboxes.is_empty() || !look.observed.containers.is_empty());
        self.adopt_orphans();
    }

    async fn update(&mut self, update: PodUpdate) {
        match update {
            PodUpdate::Set(pod) => self.set(pod).await,
            PodUpdate::Gone { uid } => self.gone(&uid),
            PodUpdate::Evict { uid, message } => self.evict(&uid, message),
            PodUpdate::Replace(mut pods) => {
                let uids: BTreeSet<String> = pods.iter().map(|pod| PodRef::of(pod).uid).collect();
                let gone: Vec<String> = self.workers.keys().filter(|uid| !uids.contains(*uid)).cloned().collect();
                gone.iter().for_each(|uid| self.gone(uid));
                // What runs keeps its part; of the others the oldest come first, as in Kubernetes.
                pods.sort_by_cached_key(|pod| {
                    let uid = PodRef::of(pod).uid;
                    let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
                    (!self.workers.contains_key(&uid) && !self.observed.contains_key(&uid), created)
                });
                for pod in pods {
                    self.set(pod).await;
                }
                if !std::mem::replace(&mut self.listed, true) {
                    self.adopt_directories();
                }
                self.adopt_orphans();
            }
        }
    }

    async fn set(&mut self, pod: Arc<Pod>) {
        let uid = PodRef::of(&pod).uid;
        match self.workers.get(&uid) {
            Some(worker) => worker.told.send_modify(|told| (told.pod, told.gone) = (pod, false)),
            None => {
                let admitted = self.first_memory(&pod, &uid).await;
                self.spawn(&uid, DesiredPod { pod, gone: false, evicted: None }, admitted);
            }
        }
    }

    /// A pod whose containers run is known; a new one must be admitted (DS-H09).
    async fn first_memory(&self, pod: &Arc<Pod>, uid: &str) -> Admitted {
        let spec = pod.spec.as_ref().and_then(|spec| view::pod_spec(spec).ok());
        let needs = spec.map(|spec| Needs::of(&spec));
        if let Some(look) = self.observed.get(uid) {
            return Admitted { memory: Memory::adopt(&look.observed, pod.status.as_ref()), needs };
        }
        let mut memory = Memory::default();
        if pod.metadata.deletion_timestamp.is_some() || has_ended(pod) {
            return Admitted { memory, needs };
        }
        match self.judge(pod).await {
            Ok(()) => Admitted { memory, needs },
            Err(rejection) => {
                let reason = event_reason(&rejection.reason);
                self.context.emit_pod(pod, Severity::Warning, reason, rejection.message.clone());
                memory.reject(rejection);
                Admitted { memory, needs: None }
            }
        }
    }

    /// Refused only by the node's newest object: labels and amounts may just have changed.
    async fn judge(&self, pod: &Pod) -> Result<(), Rejection> {
        let mut taken = Occupancy::default();
        for (needs, holder) in self.workers.values().filter_map(Worker::part) {
            taken.add_needs(needs, &holder);
        }
        let Context { admission, node, .. } = &*self.context;
        match admission.admit(pod, &node.known(), &taken) {
            Ok(()) => Ok(()),
            Err(_) => {
                let fresh = node.fresh().await;
                admission.admit(pod, &fresh, &taken)
            }
        }
    }

    /// Told once.
    fn evict(&mut self, uid: &str, message: String) {
        let Some(worker) = self.workers.get(uid).filter(|worker| worker.told.borrow().evicted.is_none()) else {
            return;
        };
        let pod = worker.told.borrow().pod.clone();
        self.context.emit_pod(&pod, Severity::Warning, "Evicted", message.clone());
        worker.told.send_modify(|told| told.evicted = Some(message));
    }

    fn gone(&mut self, uid: &str) {
        if let Some(worker) = self.workers.get(uid) {
            worker.told.send_modify(|told| told.gone = true);
        }
    }

    /// Sandboxes of this node whose pod does not exist get a worker that ends them.
    fn adopt_orphans(&mut self) {
        if !self.listed {
            return;
        }
        let orphans: Vec<String> =
            self.observed.keys().filter(|uid| !self.workers.contains_key(*uid)).cloned().collect();
        for uid in orphans {
            let Some(pod) = self.observed.get(&uid).and_then(|look| orphan(&look.observed)) else { continue };
            tracing::info!(pod = %PodRef::of(&pod), "ending a pod that does not exist any more");
            self.spawn_ending(&uid, pod);
        }
    }

    /// Directories of pods that ended while no agent ran and no sandbox is left of: a worker each,
    /// which tears them down.
    fn adopt_directories(&mut self) {
        for uid in self.context.host.known_pods() {
            if self.workers.contains_key(&uid) || self.observed.contains_key(&uid) {
                continue;
            }
            let metadata = ObjectMeta { uid: Some(uid.clone()), ..ObjectMeta::default() };
            let pod = Pod { metadata, spec: Some(PodSpec::default()), status: None };
            self.spawn_ending(&uid, pod);
        }
    }

    /// A worker that ends what is left of a pod which does not exist.
    fn spawn_ending(&mut self, uid: &str, pod: Pod) {
        let told = DesiredPod { pod: Arc::new(pod), gone: true, evicted: None };
        self.spawn(uid, told, Admitted { memory: Memory::default(), needs: None });
    }

    fn spawn(&mut self, uid: &str, told: DesiredPod, admitted: Admitted) {
        let Admitted { memory, needs } = admitted;
        let look = self.observed.get(uid).cloned();
        let look = look.unwrap_or_else(|| PodObservation { begun: Instant::now(), observed: Arc::default() });
        let reference = PodRef::of(&told.pod);
        let (glance_sender, snapshot) =
            watch::channel(PodSnapshot { pod: told.pod.clone(), observed: Observed::clone(&look.observed) });
        let (told_sender, told) = watch::channel(told);
        let (looks_sender, looks) = watch::channel(look);
        let worker = PodWorker::new(Start {
            context: self.context.clone(),
            told,
            looks,
            snapshot: glance_sender,
            memory,
            resync: self.resync.clone(),
        });
        self.tasks.spawn(async move {
            worker.run().await;
            reference
        });
        self.inspector.set(uid, snapshot);
        self.workers.insert(uid.to_owned(), Worker { told: told_sender, looks: looks_sender, needs });
    }

    /// A worker has ended: nothing of its pod is left but its logs. If the object is there again
    /// (an older state of the server was restored, say), it gets a new one.
    async fn finished(&mut self, pod: PodRef) {
        let worker = self.workers.remove(&pod.uid);
        self.observed.remove(&pod.uid);
        self.inspector.remove(&pod.uid);
        let told = worker.map(|worker| worker.told.borrow().clone());
        if let Some(told) = told.filter(|told| !told.gone) {
            return self.set(told.pod).await;
        }
        self.logs.insert(pod.clone());
        self.lingering.spawn(async move {
            tokio::time::sleep(LOG_LINGER).await;
            pod
        });
    }

    fn remove_logs(&mut self, pod: &PodRef) {
        if self.logs.remove(pod) {
            self.context.host.remove_logs(pod);
        }
    }
}

/// Whether the server knows that the pod has ended.
fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

/// A stand-in for an object that does not exist: enough to end its containers.
fn orphan(observed: &Observed) -> Option<Pod> {
    let from_sandbox = observed.sandboxes.first().map(|sandbox| PodRef {
        namespace: sandbox.namespace.clone(),
        name: sandbox.pod.clone(),
        uid: sandbox.uid.clone(),
    });
    let PodRef { namespace, name, uid } =
        from_sandbox.or_else(|| observed.containers.first().and_then(crate::host::pod_of))?;
    let metadata = ObjectMeta { namespace: Some(namespace), name: Some(name), uid: Some(uid), ..ObjectMeta::default() };
    Some(Pod { metadata, spec: Some(PodSpec::default()), status: None })
}

/// The event carries the rejection's reason (DS-H09); amounts of extended resources share one.
fn event_reason(reason: &str) -> &'static str {
    const KNOWN: [&str; 13] = [
        "OutOfcpu",
        "OutOfmemory",
        "OutOfpods",
        "OutOfephemeral-storage",
        "NodeAffinity",
        "NodeName",
        "NodePorts",
        "TaintToleration",
        "Evicted",
        "NodeShutdown",
        "AppArmor",
        "PodOSNotSupported",
        "SysctlForbidden",
    ];
    KNOWN.into_iter().find(|known| *known == reason).unwrap_or("UnexpectedAdmissionError")
}
