//! One run: a cluster is made, a scenario is played, everything heals, and the cluster is judged.

mod restore;

use std::cell::RefCell;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use everynode_api::ports::Api;
use everynode_apiserver::{ApiServer, Config, StartError, User as Identity};
use everynode_runtime::Env;
use everynode_store::{Limits, MemoryStore};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::clock::{ServerClock, environment, origin};
use crate::controller_process::{ControllerProcess, LIST_EVERY};
use crate::judge::judge;
use crate::ledger::{Counts, Ledger, WatchedStore};
use crate::machine::{Condition, Machine};
use crate::scenario::{Participant, Scenario, ScenarioEvent};
use crate::user::User;
use crate::wire::{Server, Wire};

/// After so long without trouble, what is not as it has to be never will be: the longest back-offs
/// (of pods: 15 minutes) fit in.
const PATIENCE: Duration = Duration::from_secs(2_400);
/// How much longer it may take where watch events were lost: every client has listed again by then.
pub const RESYNC_MAX: Duration = Duration::from_millis(LIST_EVERY.as_millis() as u64 * 3 / 2);
/// How often the healed cluster is judged, and how often in a row it has to be well.
const JUDGE_EVERY: Duration = Duration::from_secs(3);
const WELL_TIMES: u32 = 4;

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// A hash of every write, its value and its time.
    pub trace: u64,
    pub writes: u64,
    /// How long after the trouble the cluster had converged, simulated.
    pub converged_after: Duration,
    pub failure: Option<String>,
    /// How often each event was done and each fault hit.
    pub counts: Counts,
    /// What happened to pods, and what users and bad luck did.
    pub story: Vec<String>,
}

thread_local! {
    /// The first panic of the run on this thread; `None` outside of runs.
    static PANIC: RefCell<Option<Option<String>>> = const { RefCell::new(None) };
}

/// Plays a scenario. `pki` is a directory for the server's keys; runs one after the other may share
/// it.
pub fn run(scenario: &Scenario, pki: &Path) -> Report {
    catch_panics();
    make_keys(pki);
    let runtime = runtime();
    PANIC.with_borrow_mut(|panic| *panic = Some(None));
    let played = panic::catch_unwind(panic::AssertUnwindSafe(|| runtime.block_on(play(scenario, pki))));
    drop(runtime);
    let panicked = PANIC.with_borrow_mut(Option::take).flatten();
    let mut report = played.unwrap_or_default();
    report.failure = panicked.map(|panic| format!("a part panicked: {panic}")).or(report.failure);
    report
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap_or_else(|error| panic!("no runtime: {error}"))
}

/// Keys are drawn from the same dice as everything else: they are made beforehand, so that all runs
/// begin alike.
pub(crate) fn make_keys(pki: &Path) {
    if pki.join("pki").exists() {
        return;
    }
    runtime().block_on(async {
        let clock = ServerClock(Env::simulated(0, origin()));
        let store = Arc::new(MemoryStore::with_clock(Arc::new(clock.clone()), Limits::default()));
        let opened = open(&store, &Ledger::new(clock.0.clone(), false), &clock, pki, true).await;
        opened.unwrap_or_else(|error| panic!("no keys can be made: {error}"));
    });
}

/// Tasks swallow panics; a run has to know of them.
fn catch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let in_run = PANIC.try_with(|panic| match &mut *panic.borrow_mut() {
                Some(first) => {
                    first.get_or_insert_with(|| info.to_string());
                    true
                }
                None => false,
            });
            if !in_run.unwrap_or(false) {
                usual(info);
            }
        }));
    });
}

async fn play(scenario: &Scenario, pki: &Path) -> Report {
    let began = Instant::now();
    let mut cluster = match Cluster::start(scenario, pki).await {
        Ok(cluster) => cluster,
        Err(error) => panic!("the cluster does not start: {error}"),
    };
    cluster.live(scenario, began).await;
    let converged_after = cluster.settle(scenario).await;
    Report {
        trace: cluster.ledger.trace(),
        writes: cluster.ledger.writes(),
        converged_after,
        failure: cluster.ledger.failure(),
        counts: cluster.ledger.counts(),
        story: cluster.ledger.story(),
    }
}

/// Everything that runs.
struct Cluster {
    ledger: Arc<Ledger>,
    clock: ServerClock,
    pki: PathBuf,
    store: Arc<MemoryStore>,
    /// What the store was when it was last backed up.
    backup: Option<Arc<MemoryStore>>,
    server: Arc<Server>,
    foreign: bool,
    user: Arc<User>,
    controller_processes: [Arc<ControllerProcess>; 2],
    second: Option<AbortHandle>,
    machines: Vec<(Arc<Wire>, Env, watch::Sender<Condition>)>,
    /// Everything that lives as long as the run.
    tasks: JoinSet<()>,
    /// What ends troubles.
    ends: JoinSet<()>,
    /// What users are about.
    errands: JoinSet<()>,
}

impl Cluster {
    async fn start(scenario: &Scenario, pki: &Path) -> Result<Cluster, StartError> {
        let seed = scenario.seed;
        let env = |number: u64| Env::simulated(seed.wrapping_mul(1009).wrapping_add(number), origin());
        let clock = ServerClock(env(0));
        let ledger = Ledger::new(clock.0.clone(), scenario.foreign);
        let store = Arc::new(MemoryStore::with_clock(Arc::new(clock.clone()), Limits::default()));
        let opened = open(&store, &ledger, &clock, pki, !scenario.foreign).await?;
        let server: Arc<Server> = Arc::new(Mutex::new(opened));
        let wire = |number: u64| Wire::new(server.clone(), seed.wrapping_mul(31).wrapping_add(number), ledger.clone());
        let controller_process =
            |number: u64, name| ControllerProcess::new(name, wire(number), env(number), scenario, ledger.clone());
        let controller_processes = [controller_process(1, "the first"), controller_process(2, "the second")];
        let mut tasks = JoinSet::new();
        tasks.spawn(controller_processes[0].clone().run());
        let user = User::new(server.clone(), ledger.clone(), scenario);
        let mut machines = Vec::new();
        for number in 0..scenario.machines {
            let id = 10 + number as u64;
            let condition = Condition { on: true, slowness: 1, crash_percent: scenario.crash_percent };
            let (wire, env, (sender, receiver)) = (wire(id), env(id), watch::channel(condition));
            tasks.spawn(Machine::new(number, wire.clone(), env.clone(), receiver, seed ^ id).run());
            machines.push((wire, env, sender));
        }
        if let Err(error) = user.set_up().await {
            ledger.fail(format!("the first sets are refused: {error}"));
        }
        let (pki, foreign) = (pki.to_owned(), scenario.foreign);
        let (ends, errands) = (JoinSet::new(), JoinSet::new());
        let second = None;
        Ok(Cluster {
            ledger,
            clock,
            pki,
            store,
            backup: None,
            server,
            foreign,
            user,
            controller_processes,
            second,
            machines,
            tasks,
            ends,
            errands,
        })
    }

    /// Plays the steps.
    async fn live(&mut self, scenario: &Scenario, began: Instant) {
        for step in &scenario.steps {
            tokio::time::sleep_until(began + Duration::from_millis(step.at_ms)).await;
            if self.ledger.failure().is_some() {
                return;
            }
            self.ledger.tell(step.scenario_event.to_string());
            self.perform(&step.scenario_event).await;
        }
        tokio::time::sleep_until(began + Duration::from_millis(scenario.calm_at_ms)).await;
    }

    async fn perform(&mut self, scenario_event: &ScenarioEvent) {
        match *scenario_event {
            ScenarioEvent::PowerOff { node, for_ms } => {
                self.condition(node, for_ms, |condition, bad| condition.on = !bad)
            }
            ScenarioEvent::Slow { node, factor, for_ms } => {
                self.condition(node, for_ms, move |condition, bad| condition.slowness = if bad { factor } else { 1 });
            }
            ScenarioEvent::Cut { who, for_ms } => self.wire_for(who, for_ms, |wire, bad| wire.cut(bad)),
            ScenarioEvent::Trouble { who, percent, for_ms } => {
                self.wire_for(who, for_ms, move |wire, bad| wire.trouble(if bad { percent } else { 0 }));
            }
            ScenarioEvent::Lag { who, for_ms } => self.wire_for(who, for_ms, |wire, bad| wire.lag(bad)),
            ScenarioEvent::Skew { who, for_ms } => self.wire_for(who, for_ms, |wire, bad| wire.skew(bad)),
            ScenarioEvent::Twice { who, percent, for_ms } => {
                self.wire_for(who, for_ms, move |wire, bad| wire.twice(if bad { percent } else { 0 }));
            }
            ScenarioEvent::Lose { who, percent, for_ms } => {
                self.wire_for(who, for_ms, move |wire, bad| wire.lose(if bad { percent } else { 0 }));
            }
            ScenarioEvent::EndWatches { who, ending } => self.wire(who).end_watches(ending),
            ScenarioEvent::Crash { second, calls, carried_out, down_ms } => {
                self.controller_processes[usize::from(second)].crash_in(calls, carried_out, down_ms);
            }
            ScenarioEvent::Kill { second, down_ms } => self.controller_processes[usize::from(second)].kill(down_ms),
            ScenarioEvent::TwoLeaders { for_ms } => self.two_leaders(for_ms),
            ScenarioEvent::Jump { who, by_ms } => self.env(who).jump(by_ms),
            ScenarioEvent::CrashServer {} => self.crash_server().await,
            ScenarioEvent::BackUp {} => self.back_up(),
            ScenarioEvent::Restore { announced } => {
                if !self.restore(announced).await {
                    return;
                }
            }
            _ => return self.act(scenario_event).await,
        }
        self.ledger.count(scenario_event.word());
    }

    /// What users do.
    async fn act(&mut self, scenario_event: &ScenarioEvent) {
        let user = self.user.clone();
        match *scenario_event {
            ScenarioEvent::Drain { node, for_ms } => {
                drop(self.errands.spawn(async move { user.drain(node, for_ms).await }));
            }
            ScenarioEvent::DeleteNamespace { again } => {
                drop(self.errands.spawn(async move { user.delete_namespace(again).await }));
            }
            _ => match user.act(scenario_event).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return self.ledger.tell(format!("refused: {error}")),
            },
        }
        self.ledger.count(scenario_event.word());
    }

    fn machine(&self, number: usize) -> &(Arc<Wire>, Env, watch::Sender<Condition>) {
        &self.machines[number % self.machines.len()]
    }

    fn wire(&self, who: Participant) -> Arc<Wire> {
        match who {
            Participant::First => self.controller_processes[0].wire.clone(),
            Participant::Second => self.controller_processes[1].wire.clone(),
            Participant::Machine(number) => self.machine(number).0.clone(),
        }
    }

    fn env(&self, who: Participant) -> Env {
        match who {
            Participant::First => self.controller_processes[0].env.clone(),
            Participant::Second => self.controller_processes[1].env.clone(),
            Participant::Machine(number) => self.machine(number).1.clone(),
        }
    }

    /// Something is wrong with a wire for a while.
    fn wire_for(&mut self, who: Participant, for_ms: u64, change: impl Fn(&Wire, bool) + Send + 'static) {
        let wire = self.wire(who);
        change(&wire, true);
        self.ends.spawn(async move {
            tokio::time::sleep(Duration::from_millis(for_ms)).await;
            change(&wire, false);
        });
    }

    fn condition(&mut self, node: usize, for_ms: u64, change: impl Fn(&mut Condition, bool) + Send + 'static) {
        let sender = self.machine(node).2.clone();
        sender.send_modify(|condition| change(condition, true));
        self.ends.spawn(async move {
            tokio::time::sleep(Duration::from_millis(for_ms)).await;
            sender.send_modify(|condition| change(condition, false));
        });
    }

    fn two_leaders(&mut self, for_ms: u64) {
        self.end_second();
        let handle = self.tasks.spawn(self.controller_processes[1].clone().run());
        self.second = Some(handle.clone());
        self.ends.spawn(async move {
            tokio::time::sleep(Duration::from_millis(for_ms)).await;
            handle.abort();
        });
    }

    fn end_second(&mut self) {
        if let Some(second) = self.second.take() {
            second.abort();
        }
    }

    async fn crash_server(&mut self) {
        self.store = Arc::new(self.store.crashed());
        self.start_server().await;
    }

    /// Puts a server on the store in the place of the one that has ended.
    async fn start_server(&mut self) {
        match open(&self.store, &self.ledger, &self.clock, &self.pki, !self.foreign).await {
            Ok(server) => *self.server.lock().unwrap_or_else(PoisonError::into_inner) = server,
            Err(error) => self.ledger.fail(format!("the server does not start again: {error}")),
        }
    }

    fn heal(&mut self) {
        self.ends.abort_all();
        self.errands.abort_all();
        self.end_second();
        for (wire, _, condition) in &self.machines {
            wire.heal();
            condition.send_replace(Condition { on: true, slowness: 1, crash_percent: 0 });
        }
        self.controller_processes.iter().for_each(|controller_process| controller_process.wire.heal());
    }

    /// Everything heals; how long it took until all was well.
    async fn settle(&mut self, scenario: &Scenario) -> Duration {
        self.heal();
        self.ledger.tell("everything heals".into());
        let healed = Instant::now();
        if let Err(error) = self.user.mend().await {
            self.ledger.fail(format!("nobody can mend the sets: {error}"));
        }
        let patience = if scenario.waits_for_lists() { PATIENCE + RESYNC_MAX } else { PATIENCE };
        let (mut well, mut changes, mut wrong, mut well_since) = (0, 0, Vec::new(), healed.elapsed());
        while self.ledger.failure().is_none() && healed.elapsed() < patience {
            tokio::time::sleep(JUDGE_EVERY).await;
            match judge(&self.user, scenario, self.clock.0.now()).await {
                Ok(found) => wrong = found,
                Err(error) => wrong = vec![error.to_string()],
            }
            let quiet = changes == self.ledger.pod_changes();
            changes = self.ledger.pod_changes();
            well = if wrong.is_empty() && quiet { well + 1 } else { 0 };
            match well {
                1 => well_since = healed.elapsed(),
                WELL_TIMES => return well_since,
                _ => {}
            }
        }
        self.ledger.fail(format!("did not converge:\n  {}", wrong.join("\n  ")));
        healed.elapsed()
    }
}

pub(crate) async fn open(
    store: &Arc<MemoryStore>,
    ledger: &Arc<Ledger>,
    clock: &ServerClock,
    pki: &Path,
    exclusive_places: bool,
) -> Result<Arc<dyn Api>, StartError> {
    let watched = WatchedStore { inner: store.clone(), ledger: ledger.clone() };
    let config = Config { environment: environment(clock), exclusive_places, ..Config::new(pki.to_owned()) };
    let server = ApiServer::new(Arc::new(watched), config).await?;
    Ok(server.client(Identity::internal("system:simulated")))
}
