//! What is to happen when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::options::StepEvent;
use crate::work::{NodeId, Work};

/// Something that waits for its time. Those with an epoch are void when the node's has moved on.
#[derive(Debug)]
pub(crate) enum Timer {
    /// The node registers.
    Join(NodeId),
    Lease(NodeId, u32),
    Status(NodeId, u32),
    Fault(NodeId, u32, StepEvent),
    /// The node comes back.
    Back(NodeId, u32),
    Pod(Arc<str>),
    /// A step of the scenario begins.
    Step(usize),
    /// One of the nodes of a step.
    Pick(usize),
    Retry {
        work: Box<Work>,
        failures: u32,
    },
}

/// Timers in order of time; those of the same moment in the order they were set.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
}

#[derive(Debug)]
struct Entry {
    at: Timestamp,
    sequence: u64,
    timer: Timer,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl Timers {
    pub(crate) fn set(&mut self, at: Timestamp, timer: Timer) {
        self.sequence += 1;
        self.heap.push(Reverse(Entry { at, sequence: self.sequence, timer }));
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<Timer> {
        let is_due = self.next().is_some_and(|at| at <= now);
        if is_due { self.heap.pop().map(|Reverse(entry)| entry.timer) } else { None }
    }
}
