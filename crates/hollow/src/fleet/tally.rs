//! What is counted and measured during a run.

use std::collections::BTreeMap;
use std::time::Duration;

use everynode_api::ports::ApiError;

use crate::histogram::Histogram;
use crate::work::Verb;

/// Error texts that are kept: one per kind.
const ERROR_KINDS_MAX: usize = 20;

/// Counters and latencies.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub registered: u64,
    pub died: u64,
    pub flapped: u64,
    pub cut_off: u64,
    pub left: u64,
    pub pods: u64,
    pub pods_ended: u64,
    pub crashes: u64,
    pub created: Histogram,
    pub bound: Histogram,
    pub running: Histogram,
    pub ready: Histogram,
    pub joined_to_bound: Histogram,
    pub by_verb: BTreeMap<Verb, Histogram>,
    pub requests: u64,
    pub throttled: u64,
    pub retries: u64,
    pub watches_opened: u64,
    pub reconnects: u64,
    pub relists: u64,
    /// Failures by kind: how often, and the first text.
    pub failures: BTreeMap<String, (u64, String)>,
}

impl Tally {
    pub(crate) fn call(&mut self, verb: Verb, took: Duration) {
        self.requests += 1;
        self.by_verb.entry(verb).or_default().add(took);
    }

    pub(crate) fn failure(&mut self, error: &ApiError) {
        let kind = match error {
            ApiError::Unreachable(_) => "unreachable".to_owned(),
            ApiError::UnknownOutcome(_) => "no answer".to_owned(),
            ApiError::Garbled(_) => "garbled".to_owned(),
            ApiError::Status(status) => format!("{} {}", status.code, status.reason),
        };
        if self.failures.len() < ERROR_KINDS_MAX || self.failures.contains_key(&kind) {
            let entry = self.failures.entry(kind).or_insert_with(|| (0, error.to_string()));
            entry.0 += 1;
        }
    }
}
