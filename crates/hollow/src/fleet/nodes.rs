//! Registration, node status, leases.

use std::sync::Arc;
use std::time::Duration;

use everynode_api::ports::ApiError;
use everynode_runtime::clock::later;
use jiff::Timestamp;
use serde::Deserialize;

use super::timers::Timer;
use super::{Command, Fleet, Node, State};
use crate::options::{Group, Mode, StepEvent};
use crate::work::{Done, NodeId, Work};

const RENEW_SECONDS: f64 = 10.0;
/// How much later a renewal may come (client-go's number).
const RENEW_JITTER: f64 = 0.04;
/// An unchanged status is posted this often.
const STATUS_SECONDS: f64 = 300.0;

impl Fleet {
    /// Adds a node that joins at `at`.
    pub(super) fn add_node(&mut self, group: Arc<Group>, at: Timestamp) -> NodeId {
        let id = self.nodes.len() as NodeId;
        let name: Arc<str> = group.node_name.replace("{}", &id.to_string()).into();
        self.by_name.insert(name.clone(), id);
        self.nodes.push(Node {
            name,
            group,
            state: State::Planned,
            epoch: 0,
            uid: "".into(),
            since: at,
            pods: Default::default(),
            missed: Default::default(),
            images: Default::default(),
            has_lease: false,
            is_renewing: false,
            awaits_pod: false,
        });
        self.timers.set(at, Timer::Join(id));
        id
    }

    /// The node registers, or registers again.
    pub(super) fn join(&mut self, id: NodeId) {
        self.enter(id, State::Registering);
        let node = self.node_ref(id);
        self.call(Work::Register(node));
    }

    /// The node is registered: it begins its work.
    fn up(&mut self, id: NodeId, now: Timestamp) {
        self.enter(id, State::Up);
        let (epoch, name) = (self.node(id).epoch, self.node(id).name.clone());
        self.node(id).since = now;
        if self.options.leases {
            self.begin_heartbeats(id, epoch, now);
        }
        if self.options.mode == Mode::WatchPerNode {
            self.commands.push(Command::Watch(id, name));
        }
        self.draw_faults(id, epoch, now);
        self.catch_up(id, now);
    }

    fn begin_heartbeats(&mut self, id: NodeId, epoch: u32, now: Timestamp) {
        self.node(id).is_renewing = false;
        self.request_lease(id);
        let first = Duration::from_secs_f64(RENEW_SECONDS * self.dice.unit());
        self.timers.set(later(now, first), Timer::Lease(id, epoch));
        let status = Duration::from_secs_f64(STATUS_SECONDS * (0.1 + self.dice.unit()));
        self.timers.set(later(now, status), Timer::Status(id, epoch));
    }

    /// The node is back from being cut off.
    pub(super) fn reconnected(&mut self, id: NodeId, now: Timestamp) {
        self.up(id, now);
    }

    pub(super) fn renew(&mut self, id: NodeId, now: Timestamp) {
        let epoch = self.node(id).epoch;
        if self.node(id).state == State::Up {
            self.request_lease(id);
        }
        let next = Duration::from_secs_f64(RENEW_SECONDS * (1.0 + RENEW_JITTER * self.dice.unit()));
        self.timers.set(later(now, next), Timer::Lease(id, epoch));
    }

    fn request_lease(&mut self, id: NodeId) {
        if std::mem::replace(&mut self.node(id).is_renewing, true) {
            return;
        }
        let node = self.node_ref(id);
        let (has_lease, node_uid) = (self.node(id).has_lease, self.node(id).uid.clone());
        self.call(if has_lease { Work::RenewLease(node) } else { Work::CreateLease { node, node_uid } });
    }

    pub(super) fn post_status(&mut self, id: NodeId, now: Timestamp) {
        let (epoch, node) = (self.node(id).epoch, self.node_ref(id));
        if self.node(id).state == State::Up {
            self.call(Work::NodeStatus(node));
        }
        self.timers.set(later(now, Duration::from_secs_f64(STATUS_SECONDS)), Timer::Status(id, epoch));
    }

    /// Draws when each thing will go wrong with this node.
    fn draw_faults(&mut self, id: NodeId, epoch: u32, now: Timestamp) {
        let failures = self.options.failures;
        let (down_for, cut_off_for) = (failures.flap_for, failures.cut_off_for);
        let faults = [
            (failures.death, StepEvent::Die),
            (failures.flap, StepEvent::Flap { down_for }),
            (failures.cut_off, StepEvent::CutOff { cut_off_for }),
        ];
        for (rate, fault) in faults {
            if let Some(after) = rate.draw(&mut self.dice) {
                self.timers.set(later(now, after), Timer::Fault(id, epoch, fault));
            }
        }
    }

    /// A request about a node was answered, or was not.
    pub(super) fn node_done(&mut self, done: Done, now: Timestamp) {
        let Done { work, failures, result, .. } = done;
        let id = work.node();
        if matches!(work, Work::RenewLease(_) | Work::CreateLease { .. }) {
            return self.lease_done(work, failures, result.map(drop), now);
        }
        match (&work, result) {
            (Work::Register(_), Ok(body)) if self.node(id).state == State::Registering => {
                self.registered(id, &body, now)
            }
            (Work::Adopt(node), Ok(body)) if self.node(id).state == State::Registering => {
                self.call(Work::NodeStatus(node.clone()));
                self.registered(id, &body, now);
            }
            (Work::Register(node), Err(error)) if error.is_already_exists() => self.call(Work::Adopt(node.clone())),
            // Another client removed the object in the meantime.
            (Work::Adopt(_), Err(error)) if error.is_not_found() => self.join(id),
            (Work::NodeStatus(_), Err(error)) if error.is_not_found() && self.node(id).state == State::Up => {
                self.join(id)
            }
            (Work::RemoveNode(_) | Work::RemoveLease(_), Err(error)) if error.is_not_found() => {}
            (_, Ok(_)) => {}
            (_, Err(error)) => self.try_again(work, failures, &error, now),
        }
    }

    fn lease_done(&mut self, work: Work, failures: u32, result: Result<(), ApiError>, now: Timestamp) {
        let id = work.node();
        let is_creation = matches!(work, Work::CreateLease { .. });
        match result {
            Ok(()) => (self.node(id).is_renewing, self.node(id).has_lease) = (false, true),
            Err(error) if is_creation && error.is_already_exists() => self.lease_is(id, true),
            Err(error) if !is_creation && error.is_not_found() => self.lease_is(id, false),
            Err(error) => self.try_again(work, failures, &error, now),
        }
    }

    /// Tries the other way.
    fn lease_is(&mut self, id: NodeId, there: bool) {
        (self.node(id).is_renewing, self.node(id).has_lease) = (false, there);
        if self.is_connected(id) {
            self.request_lease(id);
        }
    }

    fn registered(&mut self, id: NodeId, body: &[u8], now: Timestamp) {
        #[derive(Deserialize)]
        struct Object {
            metadata: Meta,
        }
        #[derive(Deserialize)]
        struct Meta {
            #[serde(default)]
            uid: String,
        }
        let uid = serde_json::from_slice::<Object>(body).map(|object| object.metadata.uid).unwrap_or_default();
        self.node(id).uid = uid.into();
        self.tally.registered += 1;
        self.up(id, now);
    }

    fn try_again(&mut self, work: Work, failures: u32, error: &ApiError, now: Timestamp) {
        let pause = self.pause(error, failures);
        let (work, failures) = (Box::new(work), failures.saturating_add(1));
        self.timers.set(later(now, pause), Timer::Retry { work, failures });
    }

    /// Asks again, unless the node has changed its mind.
    pub(super) fn retry(&mut self, work: Work, failures: u32) {
        let id = work.node();
        let wanted = match work {
            Work::Register(_) | Work::Adopt(_) => self.node(id).state == State::Registering,
            Work::RemoveNode(_) | Work::RemoveLease(_) => true,
            _ => self.node(id).state == State::Up,
        };
        if wanted {
            self.commands.push(Command::Call { work, failures });
        }
    }
}
