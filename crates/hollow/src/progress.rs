//! Where a run stands.

use std::fmt;
use std::time::Duration;

use crate::fleet::{Now, Tally};

/// A moment of a run. Display is one line for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    pub since_start: Duration,
    /// Nodes that have not left, dead ones included.
    pub nodes: u64,
    pub nodes_up: u64,
    pub pods: u64,
    pub running: u64,
    pub ready: u64,
    pub requests: u64,
    /// Watches that are open, and how often one was opened.
    pub watches: u64,
    pub watches_opened: u64,
    pub reconnects: u64,
    pub relists: u64,
    pub retries: u64,
    /// The latest kind of failure that was new, with its text.
    pub failure: Option<String>,
}

impl Progress {
    pub(crate) fn new(now: Now, tally: &Tally, since_start: Duration) -> Self {
        let worst = tally.failures.iter().max_by_key(|(_, (count, _))| *count);
        Progress {
            since_start,
            nodes: now.nodes,
            nodes_up: now.nodes_up,
            pods: now.pods,
            running: now.running,
            ready: now.ready,
            requests: tally.requests,
            watches: now.watches,
            watches_opened: tally.watches_opened,
            reconnects: tally.reconnects,
            relists: tally.relists,
            retries: tally.retries,
            failure: worst.map(|(kind, (count, text))| format!("{count} × {kind}: {text}")),
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Progress { nodes, nodes_up, pods, ready, requests, reconnects, retries, .. } = self;
        write!(
            f,
            "{:>5.1} s  nodes {nodes_up}/{nodes} up  pods {ready}/{pods} ready  ",
            self.since_start.as_secs_f64()
        )?;
        write!(f, "{requests} requests")?;
        if reconnects + retries > 0 {
            write!(f, "  {reconnects} reconnects, {retries} retries")?;
        }
        self.failure.as_ref().map_or(Ok(()), |failure| write!(f, "  ({failure})"))
    }
}
