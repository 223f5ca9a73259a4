//! All simulated nodes as one state machine without I/O: events in, commands out.
//!
//! ```text
//! Heard (watch) ─┐                      ┌─► Command::Call   one request
//! Done (answer) ─┼─► Fleet (one owner) ─┤
//! time           ┘                      └─► Command::Watch  a node's own watch
//! ```
//!
//! [`nodes`] registers nodes and keeps their leases, [`pods`] brings pods up and down, [`faults`]
//! makes things go wrong, [`timers`] says when, [`tally`] counts.

mod faults;
mod nodes;
mod pods;
mod tally;
mod timers;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_api::ports::ApiError;
use everynode_common::backoff;
use everynode_runtime::clock::later;
use everynode_runtime::follow::retry_after;
use jiff::Timestamp;

use self::pods::Tracked;
pub(crate) use self::tally::Tally;
use self::timers::{Timer, Timers};
use crate::dice::Dice;
use crate::options::{Group, Options, Step};
use crate::work::{Done, NodeId, NodeRef, Work};

/// The pause after a failed request: the first, and the longest.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(7);

/// What to do outside.
#[derive(Debug)]
pub(crate) enum Command {
    Call { work: Work, failures: u32 },
    Watch(NodeId, Arc<str>),
    Unwatch(NodeId),
}

/// What a watch tells. `scope` is the node whose own watch it is.
#[derive(Debug)]
pub(crate) enum Heard {
    /// All there are.
    Listed {
        scope: Option<NodeId>,
        pods: Vec<Bytes>,
    },
    Set(Bytes),
    Gone(Bytes),
    /// Events flow from now on.
    Opened {
        scope: Option<NodeId>,
    },
    /// The watch ended in an orderly way, and is opened again at once.
    Ended {
        scope: Option<NodeId>,
    },
    /// The watch ended, or did not open; it is opened again after a pause.
    Broke {
        scope: Option<NodeId>,
        error: Option<ApiError>,
    },
}

/// What is known of a pod now.
#[derive(Clone, Debug)]
enum Change {
    Set(Bytes),
    Gone,
}

/// How a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Planned,
    Registering,
    Up,
    /// Pods run on, but no request arrives and no event comes. Ends in `Up`.
    CutOff,
    /// Nothing runs. Ends in `Registering`.
    Down,
    Dead,
    Left,
}

#[derive(Debug)]
struct Node {
    name: Arc<str>,
    group: Arc<Group>,
    state: State,
    /// Moves on with every change of state: older timers are void.
    epoch: u32,
    uid: Arc<str>,
    since: Timestamp,
    pods: BTreeSet<Arc<str>>,
    /// What happened to its pods while it could not hear of it.
    missed: BTreeMap<Arc<str>, Change>,
    images: BTreeSet<u64>,
    has_lease: bool,
    /// A lease request is under way.
    is_renewing: bool,
    /// Joined later, and has no pod yet.
    awaits_pod: bool,
}

pub(crate) struct Fleet {
    options: Arc<Options>,
    /// Those of the options, then those that were ordered.
    steps: Vec<Step>,
    groups: Vec<Arc<Group>>,
    nodes: Vec<Node>,
    by_name: HashMap<Arc<str>, NodeId>,
    pods: HashMap<Arc<str>, Tracked>,
    /// Pods that were seen before they were bound: when.
    unbound: HashMap<Arc<str>, Timestamp>,
    timers: Timers,
    dice: Dice,
    tally: Tally,
    commands: Vec<Command>,
    /// Watches that are open, by node; `None`: the shared one.
    watches: HashSet<Option<NodeId>>,
    began: Timestamp,
    sequence: u32,
    up: u64,
    running: u64,
    ready: u64,
}

/// How things are now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Now {
    pub nodes: u64,
    pub nodes_up: u64,
    pub pods: u64,
    pub running: u64,
    pub ready: u64,
    pub watches: u64,
}

impl Fleet {
    pub(crate) fn new(options: Arc<Options>, now: Timestamp) -> Self {
        let mut fleet = Fleet {
            groups: options.groups.iter().cloned().map(Arc::new).collect(),
            nodes: Vec::with_capacity(options.nodes_ever()),
            by_name: HashMap::new(),
            pods: HashMap::new(),
            unbound: HashMap::new(),
            timers: Timers::default(),
            dice: Dice::new(options.seed),
            tally: Tally::default(),
            commands: Vec::new(),
            watches: HashSet::new(),
            began: now,
            sequence: 0,
            up: 0,
            running: 0,
            ready: 0,
            steps: options.steps.clone(),
            options,
        };
        for group in fleet.groups.clone() {
            for _ in 0..group.count {
                fleet.add_node(group.clone(), now);
            }
        }
        for (index, step) in fleet.steps.iter().enumerate() {
            fleet.timers.set(later(now, step.at), Timer::Step(index));
        }
        fleet
    }

    /// The next moment at which [`Fleet::due`] wants to be called.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    pub(crate) fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    pub(crate) fn node_name(&self, id: NodeId) -> Arc<str> {
        self.nodes[id as usize].name.clone()
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(crate) fn now(&self) -> Now {
        let left = self.nodes.iter().filter(|node| node.state == State::Left).count();
        Now {
            nodes: (self.nodes.len() - left) as u64,
            nodes_up: self.up,
            pods: self.pods.len() as u64,
            running: self.running,
            ready: self.ready,
            watches: self.watches.len() as u64,
        }
    }

    /// Does what the time has come for.
    pub(crate) fn due(&mut self, now: Timestamp) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Join(node) => self.join(node),
                Timer::Lease(node, epoch) if self.is_current(node, epoch) => self.renew(node, now),
                Timer::Status(node, epoch) if self.is_current(node, epoch) => self.post_status(node, now),
                Timer::Fault(node, epoch, fault) if self.is_current(node, epoch) => self.fail(node, fault, now),
                Timer::Back(node, epoch) if self.is_current(node, epoch) => self.back(node, now),
                Timer::Pod(uid) => self.run_pod(&uid, now),
                Timer::Step(step) => self.begin_step(step, now),
                Timer::Pick(step) => self.pick(step, now),
                Timer::Retry { work, failures } => self.retry(*work, failures),
                Timer::Lease(..) | Timer::Status(..) | Timer::Fault(..) | Timer::Back(..) => {}
            }
        }
    }

    /// Something happens that was not planned; its time is counted from now.
    pub(crate) fn order(&mut self, step: Step, now: Timestamp) {
        self.timers.set(later(now, step.at), Timer::Step(self.steps.len()));
        self.steps.push(step);
    }

    pub(crate) fn heard(&mut self, heard: Heard, now: Timestamp) {
        match heard {
            Heard::Listed { scope, pods } => self.listed(scope, pods, now),
            Heard::Set(json) => drop(self.pod_set(json, now)),
            Heard::Gone(json) => self.pod_gone(&json, now),
            Heard::Opened { scope } => self.watch_opened(scope),
            Heard::Ended { scope } => drop(self.watches.remove(&scope)),
            Heard::Broke { scope, error } => self.watch_broke(scope, error),
        }
    }

    fn watch_opened(&mut self, scope: Option<NodeId>) {
        // The word of a watch that was given up since then is late.
        if scope.is_none_or(|id| self.node(id).state == State::Up) {
            self.watches.insert(scope);
            self.tally.watches_opened += 1;
        }
    }

    fn watch_broke(&mut self, scope: Option<NodeId>, error: Option<ApiError>) {
        self.watches.remove(&scope);
        self.tally.reconnects += 1;
        if let Some(error) = error {
            self.tally.relists += u64::from(error.is_expired());
            self.tally.throttled += u64::from(is_throttled(&error));
            self.tally.failure(&error);
        }
    }

    /// The node hears nothing any more.
    fn unwatch(&mut self, id: NodeId) {
        self.watches.remove(&Some(id));
        self.commands.push(Command::Unwatch(id));
    }

    pub(crate) fn done(&mut self, done: Done, now: Timestamp) {
        self.tally.call(done.work.verb(), done.took);
        if let Err(error) = &done.result {
            self.tally.throttled += u64::from(is_throttled(error));
            // Answers that are part of the conversation are no failures.
            if !error.is_not_found() && !error.is_already_exists() {
                self.tally.failure(error);
            }
        }
        if done.work.pod().is_some() { self.pod_done(done, now) } else { self.node_done(done, now) }
    }

    /// Removes what the nodes have registered.
    pub(crate) fn clean_up(&mut self) {
        for id in 0..self.nodes.len() as NodeId {
            let node = &self.nodes[id as usize];
            if node.uid.is_empty() || node.state == State::Left {
                continue;
            }
            let (has_lease, node) = (node.has_lease, self.node_ref(id));
            if has_lease {
                self.call(Work::RemoveLease(node.clone()));
            }
            self.call(Work::RemoveNode(node));
        }
    }

    fn call(&mut self, work: Work) {
        self.commands.push(Command::Call { work, failures: 0 });
    }

    fn node(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    fn node_ref(&self, id: NodeId) -> NodeRef {
        let node = &self.nodes[id as usize];
        NodeRef { id, name: node.name.clone(), group: node.group.clone(), since: node.since }
    }

    fn is_current(&self, id: NodeId, epoch: u32) -> bool {
        self.nodes[id as usize].epoch == epoch
    }

    /// Whether requests of this node arrive.
    fn is_connected(&self, id: NodeId) -> bool {
        matches!(self.nodes[id as usize].state, State::Up | State::Registering)
    }

    /// Changes the state; timers of the old one are void.
    fn enter(&mut self, id: NodeId, state: State) -> State {
        let node = self.node(id);
        let old = std::mem::replace(&mut node.state, state);
        node.epoch += 1;
        self.up += u64::from(state == State::Up);
        self.up -= u64::from(old == State::Up);
        old
    }

    /// The pause after the failure of a request; the server's own word counts more.
    fn pause(&mut self, error: &ApiError, failures: u32) -> Duration {
        self.tally.retries += 1;
        let doubled = backoff::doubled(RETRY_FIRST, failures, RETRY_MAX);
        let jittered = doubled.mul_f64(0.5 + self.dice.unit());
        jittered.max(retry_after(error))
    }
}

fn is_throttled(error: &ApiError) -> bool {
    error.status().is_some_and(|status| status.code == 429)
}

#[cfg(test)]
mod tests;
