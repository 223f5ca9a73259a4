//! What a run came to, as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::fleet::{Now, Tally};
use crate::histogram::Percentiles;
use crate::options::{Mode, Options, Profile};
use crate::work::Verb;

/// The whole report.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub profile: &'static str,
    pub mode: &'static str,
    pub seed: u64,
    pub leases: bool,
    /// How long the run took.
    pub seconds: f64,
    pub nodes: NodeCounts,
    pub pods: PodCounts,
    /// In milliseconds, per pod.
    pub pod_latency_ms: PodLatencies,
    /// In milliseconds, from request to answer, by verb.
    pub api_latency_ms: BTreeMap<&'static str, Percentiles>,
    pub requests: u64,
    pub trouble: Trouble,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeCounts {
    pub asked_for: usize,
    /// Registrations, repeated ones included.
    pub registered: u64,
    /// At the end.
    pub up: u64,
    pub died: u64,
    pub flapped: u64,
    pub cut_off: u64,
    pub left: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodCounts {
    pub seen: u64,
    pub ended: u64,
    /// At the end.
    pub there: u64,
    pub running: u64,
    pub ready: u64,
    /// Containers that crashed.
    pub crashes: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodLatencies {
    /// From `creationTimestamp`, which has whole seconds, to its first event here: it tells of
    /// watches that lag by seconds, nothing finer.
    pub created: Percentiles,
    /// From its first event here until it was bound; 0 for pods that arrive bound. Nodes with a
    /// watch of their own do not see pods earlier.
    pub bound: Percentiles,
    /// From its first event until the server has acknowledged `Running`.
    pub running: Percentiles,
    /// From its first event until the server has acknowledged `Ready`.
    pub ready: Percentiles,
    /// For nodes that joined later: from the registration until the first pod is bound to it.
    pub joined_to_bound: Percentiles,
}

/// What went wrong between the nodes and the server.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// Watches that broke off, or did not open, and were tried again after a pause.
    pub reconnects: u64,
    /// Of these, those that had to list again because history was gone.
    pub relists: u64,
    /// Requests that were sent again after a pause.
    pub retries: u64,
    /// Answers that asked to come back later (429, and 503 with Retry-After), which was honoured.
    pub throttled: u64,
    /// Failures by kind.
    pub failures: BTreeMap<String, Failure>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    pub count: u64,
    /// The first one.
    pub example: String,
}

impl Report {
    pub(crate) fn new(options: &Options, tally: &Tally, now: Now, seconds: f64, throttled_inside: u64) -> Report {
        let failures = tally
            .failures
            .iter()
            .map(|(kind, (count, example))| (kind.clone(), Failure { count: *count, example: example.clone() }));
        Report {
            profile: match options.profile {
                Profile::Real => "real",
                Profile::Fast => "fast",
            },
            mode: match options.mode {
                Mode::SharedWatch => "shared",
                Mode::WatchPerNode => "perNode",
            },
            seed: options.seed,
            leases: options.leases,
            seconds,
            nodes: NodeCounts {
                asked_for: options.nodes_ever(),
                registered: tally.registered,
                up: now.nodes_up,
                died: tally.died,
                flapped: tally.flapped,
                cut_off: tally.cut_off,
                left: tally.left,
            },
            pods: PodCounts {
                seen: tally.pods,
                ended: tally.pods_ended,
                there: now.pods,
                running: now.running,
                ready: now.ready,
                crashes: tally.crashes,
            },
            pod_latency_ms: PodLatencies {
                created: tally.created.percentiles(),
                bound: tally.bound.percentiles(),
                running: tally.running.percentiles(),
                ready: tally.ready.percentiles(),
                joined_to_bound: tally.joined_to_bound.percentiles(),
            },
            api_latency_ms: tally.by_verb.iter().map(|(verb, one)| (verb.name(), one.percentiles())).collect(),
            requests: tally.requests,
            trouble: Trouble {
                reconnects: tally.reconnects,
                relists: tally.relists,
                retries: tally.retries,
                throttled: tally.throttled + throttled_inside,
                failures: failures.collect(),
            },
        }
    }
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
        }
    }
}
