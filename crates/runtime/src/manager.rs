//! The manager: several reconcilers on one cache, one informer per kind, one queue of events.
//!
//! The kinds that reconcilers ask for are followed from the beginning to the end; those that
//! discovery finds come and go ([`Manager::discover`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use everynode_api::kinds::{self, Kind};
use everynode_api::ports::{Api, BoxFuture, Selection};
use everynode_api::reconcile::Reconciler;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cache::Cache;
use crate::clock::Env;
use crate::discovery::{Discovery, DiscoveryRequests, Wanted};
use crate::driver::{Driver, Handle, Options};
use crate::events::{EventWriter, Events};
use crate::execute::Executor;
use crate::follow::{LIST_EVERY, Source};
use crate::informer::Informer;
use crate::metrics::{Counters, QueueNumbers, render_queues};
use crate::shutdown::{Shutdown, Trigger};

/// Writes in flight, of all controllers together: enough to keep a server busy that answers in
/// milliseconds, few enough not to bury one that does not.
pub const WRITES_IN_FLIGHT: usize = 64;

type Start = Box<dyn FnOnce(Shutdown) -> BoxFuture<'static, ()> + Send>;
type QueueNumbersSource = Arc<dyn Fn() -> QueueNumbers + Send + Sync>;

/// Events that an informer applies under one lock: well under a millisecond of work.
const BATCH_MAX: usize = 256;

/// Reconcilers, ready to run.
pub struct Manager {
    api: Arc<dyn Api>,
    env: Env,
    cache: Arc<Cache>,
    counters: Arc<Counters>,
    events: Events,
    event_writer: EventWriter,
    writes: Arc<Semaphore>,
    kinds: BTreeMap<Kind, Selection>,
    discovered: Option<Wanted>,
    drivers: Vec<Start>,
    queues: Vec<(&'static str, QueueNumbersSource)>,
    list_every: Option<Duration>,
    stop_writes: (Trigger, Shutdown),
}

/// The numbers of a manager and its drivers; outlives [`Manager::run`]. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    queues: Vec<(&'static str, QueueNumbersSource)>,
    counters: Arc<Counters>,
}

impl Metrics {
    /// In the Prometheus text format.
    pub fn render(&self) -> String {
        let queues: Vec<_> = self.queues.iter().map(|(name, numbers)| (*name, numbers())).collect();
        render_queues(&queues) + &self.counters.render()
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Manager {
    /// A manager without reconcilers.
    pub fn new(api: Arc<dyn Api>, env: Env) -> Manager {
        let counters = Arc::new(Counters::default());
        let (events, event_writer) = Events::new(api.clone(), env.clone(), counters.clone());
        Manager {
            api,
            env,
            cache: Arc::new(Cache::default()),
            counters,
            events,
            event_writer,
            writes: Arc::new(Semaphore::new(WRITES_IN_FLIGHT)),
            kinds: BTreeMap::new(),
            discovered: None,
            drivers: Vec::new(),
            queues: Vec::new(),
            list_every: Some(LIST_EVERY),
            stop_writes: Shutdown::new(),
        }
    }

    /// Bounds the writes in flight, of all reconcilers together. Call it before [`Manager::add`].
    pub fn set_writes_in_flight(&mut self, writes: usize) {
        self.writes = Arc::new(Semaphore::new(writes.max(1)));
    }

    /// How often each kind is listed although nothing is amiss; `None`: never.
    pub fn set_list_every(&mut self, every: Option<Duration>) {
        self.list_every = every;
    }

    /// Caches `kind` even if no reconciler asks for it, and only what `selection` selects.
    pub fn watch(&mut self, kind: Kind, selection: Selection) {
        self.cache.register(&kind);
        self.kinds.insert(kind, selection);
    }

    /// Follows discovery: every kind that is served, can be listed, watched and deleted, and that
    /// `wanted` accepts, is in the view as long as it is served, for reconcilers that follow what
    /// is served.
    pub fn discover(&mut self, wanted: impl Fn(&Kind) -> bool + Send + Sync + 'static) {
        self.discovered = Some(Box::new(wanted));
    }

    /// Adds a reconciler; the handle tells of it while it runs.
    pub fn add<R: Reconciler>(&mut self, reconciler: R, options: Options) -> Arc<Handle<R::Note>> {
        for kind in reconciler.watches() {
            self.cache.register(&kind);
            self.kinds.entry(kind).or_default();
        }
        let name = reconciler.name();
        let component = options.event_component.clone().unwrap_or_else(|| format!("{name}-controller"));
        let executor = Executor {
            api: self.api.clone(),
            cache: self.cache.clone(),
            recorder: self.events.recorder(&component, ""),
            writes: self.writes.clone(),
            counters: self.counters.clone(),
            shutdown: self.stop_writes.1.clone(),
        };
        let driver = Driver::new(reconciler, options, self.cache.clone(), self.env.clone(), executor);
        let handle = driver.handle();
        let numbers = handle.clone();
        self.queues.push((name, Arc::new(move || numbers.numbers())));
        self.drivers.push(Box::new(move |shutdown| Box::pin(driver.run(shutdown))));
        handle
    }

    /// The cache that all reconcilers share.
    pub fn cache(&self) -> Arc<Cache> {
        self.cache.clone()
    }

    /// For voices beside the reconcilers'.
    pub fn events(&self) -> Events {
        self.events.clone()
    }

    /// The numbers of all reconcilers that were added so far.
    pub fn metrics(&self) -> Metrics {
        Metrics { queues: self.queues.clone(), counters: self.counters.clone() }
    }

    /// Runs until shutdown, or until a part of it ends by itself, which it never should: then no
    /// further write is begun, those in flight are waited for, the last events are written, and
    /// everything has ended when this returns.
    pub async fn run(self, shutdown: Shutdown) {
        let (stop_rest, rest_stopped) = Shutdown::new();
        let (stop_drivers, drivers_stopped) = Shutdown::new();
        let mut rest = JoinSet::new();
        let source = Source {
            api: self.api,
            env: self.env,
            kind: kinds::NAMESPACE,
            selection: Selection::default(),
            list_every: self.list_every,
            batch_max: BATCH_MAX,
        };
        let template = Informer { source, cache: self.cache, counters: self.counters };
        for (kind, selection) in self.kinds.clone() {
            rest.spawn(template.of(kind, selection).run(rest_stopped.clone()));
        }
        if let Some(wanted) = self.discovered {
            let asked = Arc::new(DiscoveryRequests::default());
            let subscriber = Arc::downgrade(&asked);
            template.cache.subscribe(subscriber);
            let discovery = Discovery { template, wanted, fixed: self.kinds, asked };
            rest.spawn(discovery.run(rest_stopped.clone()));
        }
        rest.spawn(self.event_writer.run(rest_stopped));
        let mut drivers: JoinSet<()> = self.drivers.into_iter().map(|start| start(drivers_stopped.clone())).collect();
        let (stop_writes, _) = self.stop_writes;
        // A part that ends by itself has a bug: better to stop as a whole than to go on in part.
        tokio::select! {
            biased;
            () = shutdown.wait() => {}
            Some(ended) = drivers.join_next() => tracing::error!(?ended, "a controller ended by itself"),
            Some(ended) = rest.join_next() => tracing::error!(?ended, "an informer ended by itself"),
        }
        stop_writes.fire();
        stop_drivers.fire();
        while drivers.join_next().await.is_some() {}
        stop_rest.fire();
        while rest.join_next().await.is_some() {}
    }
}
