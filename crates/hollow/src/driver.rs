//! The one task that owns the fleet, and the tasks that carry its requests.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use everynode_api::ports::{Api, ApiError};
use everynode_runtime::clock::until;
use everynode_runtime::{Env, Shutdown};
use jiff::Timestamp;
use tokio::sync::{OnceCell, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use crate::apis::ApiFactory;
use crate::fleet::{Command, Fleet, Heard};
use crate::options::{Mode, Options, OptionsError, Step};
use crate::progress::Progress;
use crate::report::Report;
use crate::watch::Watcher;
use crate::work::{Done, NodeId, Work};

/// Watch events that wait for the fleet: 4 MB of pods.
const HEARD_MAX: usize = 1024;
/// Events that are taken in before requests are sent.
const BATCH_MAX: usize = 256;
/// Orders that wait.
const ORDERS_MAX: usize = 64;
/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// Time for the last requests and for cleaning up.
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// Connections that are set up at the same time, where each node has its own.
const CONNECTING_MAX: usize = 32;
/// The pause where there can be no connection at all (a kubeconfig that is just written anew).
const CONNECT_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Why there is no run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("the options make no run")]
    Options(#[from] OptionsError),
    #[error("there can be no connection to the API server: {0}")]
    Client(String),
}

/// Runs simulated nodes until `shutdown` or the options' duration.
///
/// # Errors
/// Options or credentials that cannot work. A server that is away is no error: it is waited for,
/// and the report says so.
pub async fn run(options: Options, apis: ApiFactory, shutdown: Shutdown) -> Result<Report, RunError> {
    run_with(options, apis, shutdown, Env::real(), Orders::none(), |_| {}).await
}

/// Steps that are ordered while the run goes on; their times count from the moment of the order.
#[derive(Debug)]
pub struct Orders(Option<mpsc::Receiver<Step>>);

impl Orders {
    pub fn none() -> Orders {
        Orders(None)
    }

    /// What is sent is done.
    pub fn channel() -> (mpsc::Sender<Step>, Orders) {
        let (sender, receiver) = mpsc::channel(ORDERS_MAX);
        (sender, Orders(Some(receiver)))
    }

    async fn next(&mut self) -> Step {
        loop {
            match &mut self.0 {
                None => std::future::pending().await,
                Some(orders) => match orders.recv().await {
                    Some(step) => return step,
                    None => self.0 = None,
                },
            }
        }
    }
}

/// As [`run`], with a clock, orders, and a function that is given the progress about ten times a
/// second.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    options: Options,
    apis: ApiFactory,
    shutdown: Shutdown,
    env: Env,
    orders: Orders,
    progress: impl FnMut(&Progress) + Send,
) -> Result<Report, RunError> {
    options.validate()?;
    let api = apis.connect().await.map_err(RunError::Client)?;
    let options = Arc::new(options);
    let began = env.now();
    let (sender, heard) = mpsc::channel(HEARD_MAX);
    let mut driver = Driver {
        fleet: Fleet::new(options.clone(), began),
        options,
        node_clients: Arc::new(NodeClients { apis: apis.clone(), shared: api.clone(), own: Mutex::default() }),
        apis,
        api,
        env,
        began,
        calls: JoinSet::new(),
        waiting: VecDeque::new(),
        watches: JoinSet::new(),
        watching: HashMap::new(),
        connecting: Arc::new(tokio::sync::Semaphore::new(CONNECTING_MAX)),
        sender,
        heard,
    };
    driver.run(shutdown, orders, progress).await;
    Ok(driver.report())
}

struct Driver {
    options: Arc<Options>,
    apis: ApiFactory,
    /// For everything but the watches of single nodes, unless nodes have identities of their own.
    api: Arc<dyn Api>,
    node_clients: Arc<NodeClients>,
    env: Env,
    began: Timestamp,
    fleet: Fleet,
    calls: JoinSet<Done>,
    waiting: VecDeque<(Work, u32)>,
    watches: JoinSet<()>,
    watching: HashMap<NodeId, AbortHandle>,
    connecting: Arc<tokio::sync::Semaphore>,
    sender: mpsc::Sender<Heard>,
    heard: mpsc::Receiver<Heard>,
}

impl Driver {
    async fn run(&mut self, shutdown: Shutdown, mut orders: Orders, mut progress: impl FnMut(&Progress) + Send) {
        if self.options.mode == Mode::SharedWatch {
            let (api, env, heard) = (self.api.clone(), self.env.clone(), self.sender.clone());
            self.watches.spawn(Watcher { api, env, node: None, heard }.run());
        }
        let end = self
            .options
            .duration
            .map_or(Timestamp::MAX, |duration| everynode_runtime::clock::later(self.began, duration));
        let mut told_at = self.began;
        while !shutdown.is_fired() && self.env.now() < end {
            self.act();
            let wake_at = [self.fleet.next_due(), Some(end)].into_iter().flatten().min().unwrap_or(end);
            let wake_at = wake_at.min(everynode_runtime::clock::later(told_at, PROGRESS_EVERY));
            tokio::select! {
                () = shutdown.wait() => {}
                Some(heard) = self.heard.recv() => self.take_heard(heard),
                Some(done) = self.calls.join_next(), if !self.calls.is_empty() => self.take_done(done),
                step = orders.next() => self.fleet.order(step, self.env.now()),
                () = self.env.sleep_until(wake_at) => {}
            }
            let now = self.env.now();
            self.fleet.due(now);
            if until(told_at, now) >= PROGRESS_EVERY {
                told_at = now;
                progress(&self.progress());
            }
        }
        self.finish().await;
        progress(&self.progress());
    }

    fn progress(&self) -> Progress {
        Progress::new(self.fleet.now(), self.fleet.tally(), until(self.began, self.env.now()))
    }

    fn take_heard(&mut self, first: Heard) {
        let now = self.env.now();
        self.fleet.heard(first, now);
        for _ in 0..BATCH_MAX {
            let Ok(heard) = self.heard.try_recv() else { return };
            self.fleet.heard(heard, now);
        }
    }

    fn take_done(&mut self, first: Result<Done, tokio::task::JoinError>) {
        let now = self.env.now();
        let mut next = Some(first);
        while let Some(done) = next {
            match done {
                Ok(done) => self.fleet.done(done, now),
                Err(error) => tracing::error!(%error, "a request failed unexpectedly"),
            }
            next = self.calls.try_join_next();
        }
    }

    /// Carries out what the fleet wants, as much as may be under way at once.
    fn act(&mut self) {
        for command in self.fleet.take_commands() {
            match command {
                Command::Call { work, failures } => self.waiting.push_back((work, failures)),
                Command::Watch(id, name) => self.watch(id, name),
                Command::Unwatch(id) => self.unwatch(id),
            }
        }
        while self.calls.len() < self.options.in_flight_max
            && let Some((work, failures)) = self.waiting.pop_front()
        {
            let name = self.fleet.node_name(work.node());
            self.calls.spawn(perform(self.node_clients.clone(), name, self.env.clone(), work, failures));
        }
    }

    fn watch(&mut self, id: NodeId, name: Arc<str>) {
        self.unwatch(id);
        let (apis, env, heard, connecting) =
            (self.apis.clone(), self.env.clone(), self.sender.clone(), self.connecting.clone());
        let clients = self.node_clients.clone();
        let task = async move {
            loop {
                let connected = {
                    let _permit = connecting.acquire().await;
                    match clients.own(&name).await {
                        Ok(Some(api)) => Ok(api),
                        Ok(None) => apis.connect().await,
                        Err(error) => Err(error),
                    }
                };
                match connected {
                    Ok(api) => return Watcher { api, env, node: Some((id, name)), heard }.run().await,
                    Err(error) => {
                        let error = Some(ApiError::Unreachable(error));
                        let _ = heard.send(Heard::Broke { scope: Some(id), error }).await;
                        env.sleep(env.jitter(CONNECT_AGAIN_AFTER)).await;
                    }
                }
            }
        };
        self.watching.insert(id, self.watches.spawn(task));
    }

    fn unwatch(&mut self, id: NodeId) {
        if let Some(task) = self.watching.remove(&id) {
            task.abort();
        }
        while self.watches.try_join_next().is_some() {}
    }

    /// Removes the nodes if asked to, and waits for the last answers.
    async fn finish(&mut self) {
        self.watches.abort_all();
        self.waiting.clear();
        if self.options.clean_up {
            drop(self.fleet.take_commands());
            self.fleet.clean_up();
        } else {
            drop(self.fleet.take_commands());
        }
        let env = self.env.clone();
        tokio::select! {
            () = self.drain() => {}
            () = env.sleep(DRAIN_MAX) => tracing::warn!("the last requests were not answered in time"),
        }
    }

    async fn drain(&mut self) {
        loop {
            self.act();
            let Some(done) = self.calls.join_next().await else { return };
            self.take_done(done);
        }
    }

    fn report(&self) -> Report {
        let seconds = until(self.began, self.env.now()).as_secs_f64();
        Report::new(&self.options, self.fleet.tally(), self.fleet.now(), seconds, self.apis.throttled_total())
    }
}

/// A node's client once it was asked for; `None` within: it has none.
type OwnClient = OnceCell<Option<Arc<dyn Api>>>;

/// The clients of nodes that have identities of their own.
struct NodeClients {
    apis: ApiFactory,
    /// What all other nodes use.
    shared: Arc<dyn Api>,
    /// One for each node, made when it is first needed.
    own: Mutex<HashMap<Arc<str>, Arc<OwnClient>>>,
}

impl NodeClients {
    /// The node's own client; `None`: it has none.
    async fn own(&self, node: &Arc<str>) -> Result<Option<Arc<dyn Api>>, String> {
        let cell = {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            own.entry(node.clone()).or_default().clone()
        };
        cell.get_or_try_init(|| self.apis.connect_node(node)).await.cloned()
    }
}

async fn perform(clients: Arc<NodeClients>, node: Arc<str>, env: Env, work: Work, failures: u32) -> Done {
    let own = clients.own(&node).await;
    let sent_at = env.now();
    let result = match own {
        Ok(own) => own.as_ref().unwrap_or(&clients.shared).call(work.request(sent_at)).await,
        Err(error) => Err(ApiError::Unreachable(error)),
    };
    Done { work, failures, took: until(sent_at, env.now()), result }
}
