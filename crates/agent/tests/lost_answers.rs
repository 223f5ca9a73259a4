//! Workers beside a server that dies, loses answers, tells late and knows less than it did, by
//! seed: when it is well again, no pod that was deleted is left, and every other one is told as it
//! is.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use everynode_agent::cri::FakeRuntime;
use everynode_agent::host::NoHost;
use everynode_agent::ports::{BoxFuture, PodRef, PodWriter, WriteError};
use everynode_agent::worker::PodUpdate;
use everynode_common::random::Random;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::json;
use support::fakes::{Record, TokioClock, Workers, config, deleted, pod};

const SEEDS: u64 = 25;
const PODS: usize = 6;

/// What the server has, and how bad its day is.
struct Server(Mutex<State>);

struct State {
    pods: BTreeMap<String, Pod>,
    revision: u64,
    random: Random,
    faults: bool,
    /// What the watch has not told yet.
    untold: Vec<PodUpdate>,
}

/// What becomes of a write.
enum Fate {
    Answered,
    /// Carried out, and the answer is lost.
    Unanswered,
    /// Lost before it was carried out.
    Lost,
    /// A server that starts says that there is no such pod.
    Denied,
    /// Acknowledged, and not there after a restart from an older state.
    Undone,
}

impl State {
    fn fate(&mut self) -> Fate {
        match self.random.below(if self.faults { 8 } else { 1 }) {
            1 => Fate::Unanswered,
            2 => Fate::Lost,
            3 => Fate::Denied,
            4 => Fate::Undone,
            _ => Fate::Answered,
        }
    }

    fn change(&mut self, uid: &str, change: impl FnOnce(&mut Pod)) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        change(pod);
        self.revision += 1;
        pod.metadata.resource_version = Some(self.revision.to_string());
        self.untold.push(PodUpdate::Set(Arc::new(pod.clone())));
    }

    fn remove(&mut self, uid: &str) {
        if self.pods.remove(uid).is_some() {
            self.untold.push(PodUpdate::Gone { uid: uid.to_owned() });
        }
    }

    fn list(&mut self) -> PodUpdate {
        self.untold.clear();
        PodUpdate::Replace(self.pods.values().cloned().map(Arc::new).collect())
    }
}

impl Server {
    fn new(seed: u64, pods: impl Iterator<Item = Pod>) -> Arc<Server> {
        let pods = pods.map(|pod| (PodRef::of(&pod).uid, pod)).collect();
        let state = State { pods, revision: 1, random: Random::new(seed), faults: true, untold: Vec::new() };
        Arc::new(Server(Mutex::new(state)))
    }

    fn with<T>(&self, ask: impl FnOnce(&mut State) -> T) -> T {
        ask(&mut self.0.lock().unwrap())
    }

    /// Carries a write out, or does not, and answers, or does not.
    fn write(&self, uid: &str, write: impl FnOnce(&mut State)) -> Result<u64, WriteError> {
        self.with(|state| {
            let lost = Err(WriteError::Retry("connection reset".into()));
            match state.fate() {
                _ if !state.pods.contains_key(uid) => Err(WriteError::Gone),
                Fate::Answered => {
                    write(state);
                    Ok(state.revision)
                }
                Fate::Unanswered => {
                    write(state);
                    lost
                }
                Fate::Lost => lost,
                Fate::Denied => Err(WriteError::Gone),
                Fate::Undone => Ok(state.revision),
            }
        })
    }

    /// Tells some of what is untold, or everything anew as after a restart.
    async fn tell(&self, workers: &Workers) {
        let updates = self.with(|state| match state.random.below(4) {
            0 => vec![state.list()],
            1 => Vec::new(),
            _ => std::mem::take(&mut state.untold),
        });
        for update in updates {
            workers.updates.send(update).await.unwrap();
        }
    }
}

impl PodWriter for Server {
    fn write_status<'a>(&'a self, pod: &'a Pod, status: &'a PodStatus) -> BoxFuture<'a, Result<u64, WriteError>> {
        Box::pin(async move {
            let delay = self.with(|state| state.random.below(300));
            tokio::time::sleep(Duration::from_millis(delay)).await;
            let uid = PodRef::of(pod).uid;
            let result = self.write(&uid, |state| state.change(&uid, |pod| pod.status = Some(status.clone())));
            let delay = self.with(|state| state.random.below(300));
            tokio::time::sleep(Duration::from_millis(delay)).await;
            result
        })
    }

    fn delete<'a>(&'a self, pod: &'a PodRef) -> BoxFuture<'a, Result<(), WriteError>> {
        Box::pin(std::future::ready(self.write(&pod.uid, |state| state.remove(&pod.uid)).map(drop)))
    }
}

/// One run: pods start, half of them are deleted in between, and in the end the server is well.
async fn run(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let clock = TokioClock::new();
    let runtime = Arc::new(FakeRuntime::new(clock.clone()));
    let names: Vec<String> = (0..PODS).map(|number| format!("p{number}")).collect();
    let spec = json!({"containers": [{"name": "main", "image": "web:1"}]});
    let server = Server::new(seed, names.iter().map(|name| pod(name, spec.clone())));
    let (config, record) = (Arc::new(config(dir.path(), "one")), Arc::new(Record::default()));
    let workers = Workers::written_by(server.clone(), record, config, runtime.clone(), Arc::new(NoHost), clock);
    workers.updates.send(server.with(State::list)).await.unwrap();
    for round in 0..60 {
        let delay = server.with(|state| state.random.below(400));
        tokio::time::sleep(Duration::from_millis(delay)).await;
        if round % 10 == 3 {
            let uid = format!("p{}-uid", round / 20);
            server.with(|state| state.change(&uid, |pod| *pod = deleted(pod, 1)));
        }
        server.tell(&workers).await;
    }
    server.with(|state| state.faults = false);
    // After its last restart every client lists anew.
    tokio::time::sleep(Duration::from_secs(1)).await;
    workers.updates.send(server.with(State::list)).await.unwrap();
    let end = tokio::time::Instant::now() + Duration::from_secs(90);
    while tokio::time::Instant::now() < end {
        let updates = server.with(|state| std::mem::take(&mut state.untold));
        for update in updates {
            workers.updates.send(update).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let phases: BTreeMap<String, String> = server.with(|state| {
        let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        state.pods.iter().map(|(uid, pod)| (uid.clone(), phase(pod))).collect()
    });
    let expected = (PODS / 2..PODS).map(|number| (format!("p{number}-uid"), "Running".to_owned())).collect();
    assert_eq!(phases, expected, "seed {seed}");
    assert_eq!(runtime.sandboxes().len(), PODS - PODS / 2, "seed {seed}");
    workers.stop().await;
}

/// No pod is left terminating, whatever happened to the server in between.
#[tokio::test(start_paused = true)]
async fn deleted_pods_end_and_all_others_are_reported_as_they_are() {
    for seed in 0..SEEDS {
        run(seed).await;
    }
}
