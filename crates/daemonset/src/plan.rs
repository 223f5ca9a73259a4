//! The narrative of one pass: guard, history, claim, nodes, rollout, cleanup, status.
//!
//! What is decided is put into actions by [`act`] and into words and numbers by [`report`].

mod act;
mod report;

use std::sync::Arc;

use everynode_api::kinds;
use everynode_api::reconcile::{Action, EventType};
use everynode_api::selector::Selector;
use jiff::{SignedDuration, Timestamp};

use crate::claim::Claims;
use crate::explain::DaemonSetNote;
use crate::judge::{self, Judge, PodState, Terms};
use crate::memory::DaemonSetMemory;
use crate::node::{self, Managed};
use crate::pod;
use crate::revision::{self, History, Newest};
use crate::rollout::{self, Queue, Rollout, Strategy};
use crate::sites::{Site, Sites};
use crate::status;
use crate::{DaemonSetInput, Options, Plan, actions, conditions, input};

/// How soon a set is looked at again while orphans wait to be adopted.
const ADOPTION_RETRY: SignedDuration = SignedDuration::from_secs(1);

/// Decides what to do for one set.
pub(crate) fn plan(options: &Options, seen: &DaemonSetInput, memory: &DaemonSetMemory, now: Timestamp) -> Plan {
    let set = &seen.set;
    let fresh = DaemonSetMemory::default();
    // DS-C59: a set that was made anew under the same name starts clean.
    let memory = if memory.set_uid == set.meta.uid { memory } else { &fresh };
    let selector = input::selector(set);
    let silent = |note: DaemonSetNote| Plan { notes: vec![note], memory: memory.clone(), ..Plan::default() };
    if set.meta.is_terminating() {
        return silent(DaemonSetNote::SetTerminating); // DS-C03
    }
    if selector.is_everything() {
        return selecting_all(seen, memory); // DS-C02
    }
    if selector.is_nothing() {
        return silent(DaemonSetNote::SelectsNothing);
    }
    match revision::newest(seen, &selector, options.strict, now) {
        Newest::Known(history) => Pass::new(options, seen, memory, now, &selector, history).run(),
        Newest::Taken { name, count } => {
            let status = everynode_api::view::DaemonSetStatus { collision_count: Some(count), ..set.status.clone() };
            Plan { status: status::write(set, status), ..silent(DaemonSetNote::Collision { name, count }) }
        }
        Newest::NameTooLong { name } => {
            let note = DaemonSetNote::NameTooLong { bytes: name.len() };
            let event = actions::emit(set, EventType::Warning, "FailedCreate", note.to_string());
            let mut status = set.status.clone();
            if !options.strict {
                status.conditions = Some(conditions::impossible(status.conditions.as_ref(), note.to_string(), now));
            }
            Plan { actions: vec![event], status: status::write(set, status), ..silent(note) }
        }
    }
}

/// Why nodes are left alone that are not active: they have no claim to a pod, or their pod waits
/// for its turn.
pub(crate) fn at_rest(seen: &DaemonSetInput, memory: &DaemonSetMemory) -> Vec<DaemonSetNote> {
    let Some(terms) = memory.sites.terms() else { return Vec::new() };
    let reasons = |name: &str| seen.node(name).map_or_else(Vec::new, |node| terms.reasons(node));
    let skip = |node: &Arc<str>| DaemonSetNote::Skip { node: node.clone(), reasons: reasons(node) };
    let queued = |Queue { from, why }: &Queue| {
        let waiting = memory.sites.waiting().filter(|(_, site)| site.name >= *from);
        let hold = |(state, site): (&PodState, &Site)| {
            let (pod, node) = (state.name(), site.name.clone());
            DaemonSetNote::Hold { pod, node, why: why.clone() }
        };
        waiting.map(hold).collect::<Vec<_>>()
    };
    let skipped = memory.sites.skipped().map(skip);
    skipped.chain(memory.queue.iter().flat_map(queued)).collect()
}

fn selecting_all(seen: &DaemonSetInput, memory: &DaemonSetMemory) -> Plan {
    let message = "This daemon set is selecting all pods. A non-empty selector is required.";
    let event = actions::emit(&seen.set, EventType::Warning, "SelectingAll", message.into());
    Plan { actions: vec![event], notes: vec![DaemonSetNote::SelectingAll], memory: memory.clone(), ..Plan::default() }
}

/// One pass over a set whose newest revision is known.
struct Pass<'a> {
    options: &'a Options,
    seen: &'a DaemonSetInput,
    memory: &'a DaemonSetMemory,
    now: Timestamp,
    history: History<'a>,
    claims: Claims<'a>,
    respect_cordon: bool,
    next: DaemonSetMemory,
    out: Plan,
    creates: usize,
    deletes: usize,
    left: usize,
}

/// What one pass has found out and decided.
struct Decided<'p> {
    judge: &'p Judge<'p>,
    sites: &'p Sites,
    /// By active site.
    managed: &'p [Managed<'p>],
    rollout: &'p Rollout<'p>,
    strategy: Strategy,
}

impl<'a> Pass<'a> {
    fn new(
        options: &'a Options,
        seen: &'a DaemonSetInput,
        memory: &'a DaemonSetMemory,
        now: Timestamp,
        selector: &'a Selector,
        history: History<'a>,
    ) -> Self {
        Pass {
            options,
            seen,
            memory,
            now,
            history,
            claims: Claims::new(seen, selector),
            respect_cordon: judge::respects_cordon(options, &seen.set.meta),
            next: DaemonSetMemory {
                back_offs: memory.back_offs.at(seen.set.meta.generation, now),
                sites: Sites::default(),
                queue: None,
                progress: memory.progress.clone(),
                planned_at: Some(now),
                set_uid: seen.set.meta.uid.clone(),
                bound: Default::default(),
            },
            out: Plan::default(),
            creates: 0,
            deletes: 0,
            left: 0,
        }
    }

    fn run(mut self) -> Plan {
        let terms = self.terms();
        let judge = Judge { terms: &terms, now: self.now, started: self.history.started };
        let sites = self.memory.sites.gather(&terms, self.seen, &self.claims, &judge);
        let relabels = self.settle_claims(&sites);
        let desired = sites.desired();
        let strategy = Strategy::resolve(&self.seen.set.spec, desired);

        let managed = self.manage(&judge, &sites, strategy.surge_allowed);
        let worked = managed.iter().any(|managed| !managed.is_idle());
        // The original rolls only when there is nothing else to do (DS-D02).
        let held_up = relabels || self.history.is_new || (self.options.strict && worked);
        let rollout = match strategy.rolling && !held_up {
            true => rollout::roll(&judge, self.seen, strategy, &sites, |number| !managed[number].is_idle()),
            false if !strategy.rolling => Rollout::on_delete(&sites),
            false => Rollout::default(),
        };

        let decided = Decided { judge: &judge, sites: &sites, managed: &managed, rollout: &rollout, strategy };
        self.gone(&sites);
        self.act(&decided);
        self.explain(&decided);
        self.announce_bound();
        self.report(&decided);
        match self.history.is_new {
            true => self.out.status = None, // DS-C04: not before the revision is there.
            false => self.cleanup(),
        }
        self.next.queue = rollout.queue.clone();
        drop((managed, rollout));
        self.next.sites = sites.settle(&judge, self.seen);
        if self.left > 0 {
            self.out.notes.push(DaemonSetNote::Truncated { left: self.left });
            self.wake_at(self.now);
        }
        self.out.memory = self.next;
        self.out
    }

    /// The terms of this pass: those of the last one if they are the same, so that they need not be
    /// compared in full.
    fn terms(&self) -> Arc<Terms> {
        let spec = &self.seen.set.spec;
        let terms = Terms {
            strict: self.options.strict,
            hashes: self.history.labels(),
            generation: pod::template_generation(self.seen).map(str::to_owned),
            min_ready: SignedDuration::from_secs(spec.min_ready_seconds.max(0)),
            spec: judge::pod_spec(&spec.template.spec, self.respect_cordon),
            respect_cordon: self.respect_cordon,
            selector: spec.selector.clone(),
        };
        match self.memory.sites.terms() {
            Some(known) if **known == terms => known.clone(),
            _ => Arc::new(terms),
        }
    }

    /// Adoptions, releases, duplicate revisions; whether pods are being relabelled.
    fn settle_claims(&mut self, sites: &Sites) -> bool {
        let set = &self.seen.set.meta;
        let out = &mut self.out;
        out.actions.append(&mut self.history.actions);
        out.notes.append(&mut self.history.notes);
        for pod in sites.released() {
            out.actions.push(actions::release(&kinds::POD, &pod.meta, set));
            out.notes.push(DaemonSetNote::Release { object: pod.meta.name.clone() });
        }
        for pod in &self.claims.adopt {
            out.actions.push(actions::adopt(&kinds::POD, &pod.meta, set));
            out.notes.push(DaemonSetNote::Adopt { object: pod.meta.name.clone() });
        }
        for pod in &self.claims.wait {
            out.notes.push(DaemonSetNote::AdoptionWaits { object: pod.meta.name.clone() });
        }
        let pods = self.claims.pods(self.seen);
        let merged = self.history.merge_duplicates(self.options.strict, pods, &mut out.notes);
        let relabels = merged.iter().any(|action| matches!(action, Action::Patch { .. }));
        out.actions.extend(merged);
        if !self.claims.wait.is_empty() {
            self.wake_at(self.now + ADOPTION_RETRY);
        }
        relabels
    }

    fn manage<'p>(&mut self, judge: &Judge<'_>, sites: &'p Sites, surge: bool) -> Vec<Managed<'p>> {
        let mut back_offs = std::mem::take(&mut self.next.back_offs);
        let one = |site| node::manage(judge, self.seen, &mut back_offs, surge, site);
        let managed: Vec<_> = sites.active().map(one).collect();
        self.next.back_offs = back_offs;
        for at in managed.iter().filter_map(|managed| managed.wake_at) {
            self.wake_at(at);
        }
        managed
    }

    fn cleanup(&mut self) {
        let limit = self.seen.set.spec.revision_history_limit.unwrap_or(10);
        let pods = self.claims.pods(self.seen);
        self.out.actions.extend(self.history.beyond_limit(self.options.strict, limit, pods));
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.out.wake_at = Some(self.out.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}
