//! What goes wrong with nodes, by chance or by the scenario; joins and leaves.

use everynode_runtime::clock::later;
use jiff::Timestamp;

use super::timers::Timer;
use super::{Fleet, State};
use crate::options::{Mode, StepEvent};
use crate::work::{NodeId, Work};

/// Random picks before looking at all nodes in turn.
const PICKS_MAX: usize = 32;

impl Fleet {
    /// Spreads a step over its time.
    pub(super) fn begin_step(&mut self, step: usize, now: Timestamp) {
        let (count, over) = (self.steps[step].count, self.steps[step].over);
        for index in 0..count {
            let after = over.mul_f64(index as f64 / count as f64);
            self.timers.set(later(now, after), Timer::Pick(step));
        }
    }

    /// Does a step's event to one node.
    pub(super) fn pick(&mut self, step: usize, now: Timestamp) {
        let event = self.steps[step].event;
        if event == StepEvent::Join {
            let named = self.steps[step].group.as_deref();
            let group = self.groups.iter().find(|group| named.is_none_or(|name| group.name == name)).cloned();
            if let Some(group) = group {
                let id = self.add_node(group, now);
                self.node(id).awaits_pod = true;
            }
            return;
        }
        match self.random_node(step) {
            Some(id) => self.fail(id, event, now),
            None => tracing::warn!(step, "no node is up for this step"),
        }
    }

    /// A node of the step's group that is up.
    fn random_node(&mut self, step: usize) -> Option<NodeId> {
        if self.nodes.is_empty() {
            return None;
        }
        let all = self.nodes.len();
        let start = self.dice.below(all);
        let picks: Vec<usize> = (0..PICKS_MAX).map(|_| self.dice.below(all)).collect();
        let group = self.steps[step].group.as_deref();
        let fits = |index: &usize| {
            let node = &self.nodes[*index];
            node.state == State::Up && group.is_none_or(|name| node.group.name == name)
        };
        let found = picks.into_iter().chain((start..all).chain(0..start)).find(fits);
        found.map(|index| index as NodeId)
    }

    /// Something happens to a node that is up.
    pub(super) fn fail(&mut self, id: NodeId, event: StepEvent, now: Timestamp) {
        if self.node(id).state != State::Up {
            return;
        }
        match event {
            StepEvent::Join => {}
            StepEvent::Leave => self.leave(id),
            StepEvent::Die => {
                self.enter(id, State::Dead);
                self.tally.died += 1;
            }
            StepEvent::Flap { down_for } => self.out(id, State::Down, down_for, now),
            StepEvent::CutOff { cut_off_for } => self.out(id, State::CutOff, cut_off_for, now),
        }
        if self.options.mode == Mode::WatchPerNode {
            self.unwatch(id);
        }
    }

    fn out(&mut self, id: NodeId, state: State, delay: crate::delay::Delay, now: Timestamp) {
        self.enter(id, state);
        let counter = if state == State::Down { &mut self.tally.flapped } else { &mut self.tally.cut_off };
        *counter += 1;
        let after = delay.draw(&mut self.dice);
        let epoch = self.node(id).epoch;
        self.timers.set(later(now, after), Timer::Back(id, epoch));
    }

    fn leave(&mut self, id: NodeId) {
        self.enter(id, State::Left);
        self.tally.left += 1;
        let (node, has_lease) = (self.node_ref(id), self.node(id).has_lease);
        self.call(Work::RemoveNode(node.clone()));
        if has_lease {
            self.call(Work::RemoveLease(node));
        }
        let pods = std::mem::take(&mut self.node(id).pods);
        pods.iter().for_each(|uid| self.forget(uid));
        self.node(id).missed.clear();
    }

    /// An outage is over.
    pub(super) fn back(&mut self, id: NodeId, now: Timestamp) {
        match self.node(id).state {
            State::CutOff => self.reconnected(id, now),
            State::Down => {
                self.reboot_pods(id, now);
                self.join(id);
            }
            _ => {}
        }
    }
}
