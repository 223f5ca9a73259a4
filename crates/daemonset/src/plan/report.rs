//! What a pass has to say: notes, status, conditions, and when to look again.

use std::collections::BTreeSet;

use everynode_api::view::DaemonSetStatus;
use jiff::Timestamp;

use super::{Decided, Pass};
use crate::conditions::{Facts, START_GRACE, few};
use crate::explain::{DaemonSetNote, WaitReason};
use crate::judge::PodState;
use crate::memory::Progress;
use crate::node::Managed;
use crate::sites::{Site, node_of};
use crate::status::{self, Counts};

impl Pass<'_> {
    /// Says why there is no pod, or why one stays.
    pub(super) fn explain(&mut self, pass: &Decided<'_>) {
        let Decided { judge, sites, managed, rollout, strategy } = pass;
        let leaving: BTreeSet<&str> = rollout.deletes.iter().map(|(state, _)| &*state.pod.meta.name).collect();
        for (site, managed) in sites.active().zip(*managed) {
            let (pods, node) = (site.pods(), || site.name.clone());
            let reasons = || node_of(self.seen, site).map_or_else(Vec::new, |node| judge.reasons(node));
            let hold = |(state, why): &(&PodState, WaitReason)| DaemonSetNote::Hold {
                pod: state.name(),
                node: node(),
                why: why.clone(),
            };
            let staying = |(state, _): &&(&PodState, WaitReason)| !leaving.contains(&*state.pod.meta.name);
            self.out.notes.extend(managed.holds.iter().filter(staying).map(hold));
            let verdict = site.eligibility;
            match pods.first() {
                None if !verdict.should_run => {
                    self.out.notes.push(DaemonSetNote::Skip { node: node(), reasons: reasons() });
                }
                Some(first) if leaving.contains(&*first.pod.meta.name) => {}
                Some(first) if !verdict.should_run && verdict.should_continue => {
                    self.out.notes.push(DaemonSetNote::Stays { pod: first.name(), node: node(), reasons: reasons() });
                }
                Some(first) if managed.create.is_none() && pods.iter().all(PodState::is_terminating) => {
                    self.out.notes.push(DaemonSetNote::Leaving { pod: first.name(), node: node() });
                }
                Some(first) if !strategy.rolling && !first.updated && managed.is_idle() => {
                    let why = WaitReason::OnDelete;
                    self.out.notes.push(DaemonSetNote::Hold { pod: first.name(), node: node(), why });
                }
                _ => {}
            }
        }
    }

    /// Status, conditions, and when to look again.
    pub(super) fn report(&mut self, pass: &Decided<'_>) {
        let Decided { sites, managed, rollout, .. } = pass;
        let hold = |(site, state, why): &(&Site, &PodState, WaitReason)| {
            let (pod, node) = (state.name(), site.name.clone());
            DaemonSetNote::Hold { pod, node, why: why.clone() }
        };
        let holds = rollout.holds.iter().map(hold);
        self.out.notes.extend(holds);
        let counts = sites.counts();
        let since = self.progress(counts);
        let mut status = status::status(&self.seen.set, counts);
        let facts = self.facts(pass, counts, since);
        if rollout.is_blocked() && managed.iter().all(Managed::is_idle) {
            let (nodes, more) = few(&rollout.blockers);
            let (unavailable, allowed) = (rollout.spent, rollout.allowed);
            self.out.notes.push(DaemonSetNote::Stalled { nodes, more, unavailable, allowed, since });
        }
        if !self.options.strict {
            status.conditions = Some(facts.merge(status.conditions.as_ref()));
            if let Some(at) = facts.deadline() {
                self.wake_at(at);
            }
        }
        self.out.status = status::write(&self.seen.set, status);
    }

    fn facts(&mut self, pass: &Decided<'_>, counts: Counts, since: Timestamp) -> Facts {
        let Decided { sites, managed, rollout, strategy, .. } = pass;
        let mut facts = Facts {
            counts,
            max_unavailable: strategy.max_unavailable,
            on_delete: !strategy.rolling,
            adoptions_waiting: self
                .out
                .notes
                .iter()
                .filter(|note| matches!(note, DaemonSetNote::AdoptionWaits { .. }))
                .count(),
            failing: Vec::new(),
            unavailable: Vec::new(),
            held: Vec::new(),
            blockers: rollout.blockers.clone(),
            since,
            now: self.now,
        };
        for (site, managed) in sites.active().zip(*managed) {
            let (node, pods) = (&site.name, site.pods());
            let first = pods.first();
            let backs_off = managed.holds.iter().any(|(_, hold)| matches!(hold, WaitReason::BackOff { .. }));
            let held = managed.holds.iter().find(|(_, hold)| matches!(hold, WaitReason::PortHeld { .. }));
            facts.held.extend(held.map(|(_, hold)| (node.clone(), hold.to_string())));
            let late = first.filter(|first| !first.ready && first.is_reported()).and_then(failing_from);
            match late {
                _ if backs_off => facts.failing.push(node.clone()),
                Some(late) if late <= self.now => facts.failing.push(node.clone()),
                Some(late) => self.wake_at(late),
                None => {}
            }
            if site.eligibility.should_run && !first.is_some_and(|first| first.available) {
                facts.unavailable.push(node.clone());
            }
            let baking = pods.iter().filter(|state| state.ready && !state.available);
            for state in baking.filter(|state| state.available_at < Timestamp::MAX) {
                self.wake_at(state.available_at); // DS-E13
            }
        }
        facts
    }

    /// Since when nothing has moved, for this revision.
    fn progress(&mut self, counts: Counts) -> Timestamp {
        let revision = &self.history.label;
        let same = |progress: &&Progress| {
            *progress.revision == **revision
                && progress.updated == counts.updated
                && progress.available == counts.available
        };
        let since = match &self.memory.progress {
            Some(progress) => Some(progress).filter(same).map(|progress| progress.since),
            // After a restart: what the condition says.
            None => stalled_since(&self.seen.set.status),
        };
        let since = since.unwrap_or(self.now);
        let (updated, available) = (counts.updated, counts.available);
        self.next.progress = Some(Progress { revision: revision.as_str().into(), updated, available, since });
        since
    }
}

/// From when on a started pod that is not ready is called failing.
fn failing_from(state: &PodState) -> Option<Timestamp> {
    let condition = state.pod.condition("Ready").and_then(|ready| ready.last_transition_time);
    condition.or(state.pod.status.start_time)?.saturating_add(START_GRACE).ok()
}

fn stalled_since(status: &DaemonSetStatus) -> Option<Timestamp> {
    let condition = status.conditions.iter().flatten().find(|condition| condition["type"] == "Progressing")?;
    let stalled = condition["status"] == "False";
    condition["lastTransitionTime"].as_str().filter(|_| stalled)?.parse().ok()
}
