//! One node: which pods go, and whether one is missing (docs/requirements.md, C).

use everynode_api::view::PodPhase;
use everynode_placement::contested_port;
use jiff::Timestamp;

use crate::backoff::BackOffs;
use crate::explain::{CreateReason, DeleteReason, WaitReason};
use crate::input::DaemonSetInput;
use crate::judge::{Judge, PodState};
use crate::sites::{Site, node_of};

/// What to do on one node, before any rollout.
#[derive(Default)]
pub(crate) struct Managed<'p> {
    pub create: Option<CreateReason>,
    pub deletes: Vec<(&'p PodState, DeleteReason)>,
    pub holds: Vec<(&'p PodState, WaitReason)>,
    /// The end of a back-off.
    pub wake_at: Option<Timestamp>,
}

impl Managed<'_> {
    pub fn is_idle(&self) -> bool {
        self.create.is_none() && self.deletes.is_empty()
    }
}

/// Decides about one node. `surge`: the strategy lets a second pod start beside the first (DS-C32).
pub(crate) fn manage<'p>(
    judge: &Judge<'_>,
    seen: &DaemonSetInput,
    back_offs: &mut BackOffs,
    surge: bool,
    site: &'p Site,
) -> Managed<'p> {
    let mut managed = Managed::default();
    let pods = site.pods();
    if !site.eligibility.should_continue {
        evict(judge, seen, site, &mut managed); // DS-C24
        return managed;
    }
    if pods.is_empty() {
        managed.create = site.eligibility.should_run.then_some(CreateReason::Missing); // DS-C21
        return managed;
    }
    let running = sort_out(judge, seen, back_offs, site, &mut managed);
    let waiting = !judge.terms.strict && !managed.holds.is_empty();
    if surge && running.is_empty() && site.eligibility.should_run && !waiting {
        managed.create = Some(CreateReason::Missing); // DS-C29
    }
    match surge {
        true if running.len() > 1 => settle_surge(judge, site, &running, &mut managed),
        false if running.len() > 1 => keep_first(&running, &mut managed), // DS-C27
        _ => {}
    }
    managed
}

fn evict<'p>(judge: &Judge<'_>, seen: &DaemonSetInput, site: &'p Site, managed: &mut Managed<'p>) {
    let leaving = site.pods().iter().filter(|state| !state.is_terminating() && !state.adopting);
    let reasons = || node_of(seen, site).map_or_else(Vec::new, |node| judge.reasons(node));
    managed.deletes = leaving.map(|state| (state, DeleteReason::NotEligible { reasons: reasons() })).collect();
}

/// Takes out what is failed, ended or from another machine (DS-C25); returns the running set.
fn sort_out<'p>(
    judge: &Judge<'_>,
    seen: &DaemonSetInput,
    back_offs: &mut BackOffs,
    site: &'p Site,
    managed: &mut Managed<'p>,
) -> Vec<&'p PodState> {
    let mut running = Vec::new();
    for state in site.pods().iter().filter(|state| !state.is_terminating()) {
        let ended = match state.phase() {
            PodPhase::Failed => Some(DeleteReason::Failed),
            PodPhase::Succeeded => Some(DeleteReason::Succeeded),
            _ if is_of_former_node(judge, seen, site, state) => Some(DeleteReason::NodeReplaced),
            _ => None,
        };
        match ended {
            _ if state.adopting => running.push(state),
            None => running.push(state),
            Some(why) => replace(judge, back_offs, site, state, why, managed),
        }
    }
    running
}

fn replace<'p>(
    judge: &Judge<'_>,
    back_offs: &mut BackOffs,
    site: &Site,
    state: &'p PodState,
    why: DeleteReason,
    managed: &mut Managed<'p>,
) {
    // The original replaces ended pods without delay (DS-K18).
    let backs_off = why == DeleteReason::Failed || (why == DeleteReason::Succeeded && !judge.terms.strict);
    if !backs_off {
        return managed.deletes.push((state, why));
    }
    match back_offs.until(&site.name, judge.now) {
        Some(until) => {
            managed.holds.push((state, WaitReason::BackOff { until }));
            managed.wake_at = Some(managed.wake_at.map_or(until, |at| at.min(until)));
        }
        None => {
            back_offs.step(&site.name, judge.now);
            managed.deletes.push((state, why));
        }
    }
}

/// A bound pod that is older than the node object which replaced its own (DS-K25). Only a
/// replacement that was witnessed counts: a takeover restarts nothing.
pub(crate) fn is_of_former_node(judge: &Judge<'_>, seen: &DaemonSetInput, site: &Site, state: &PodState) -> bool {
    let replaced = site.occupant.as_ref().is_some_and(|occupant| Some(&occupant.node_uid) != site.node_uid.as_ref());
    let is_older = || {
        let node = node_of(seen, site);
        node.is_some_and(|node| state.pod.meta.creation_timestamp <= node.meta.creation_timestamp)
    };
    !judge.terms.strict && replaced && !state.pod.spec.node_name.is_empty() && is_older()
}

fn keep_first<'p>(running: &[&'p PodState], managed: &mut Managed<'p>) {
    let Some((kept, others)) = running.split_first() else {
        return;
    };
    delete_duplicates(kept, others, managed);
}

fn delete_duplicates<'p>(kept: &PodState, others: &[&'p PodState], managed: &mut Managed<'p>) {
    for state in others.iter().filter(|state| !state.adopting) {
        managed.deletes.push((state, DeleteReason::Duplicate { of: kept.name() }));
    }
}

/// Keeps the oldest pod of the newest revision and the oldest other one; of the two, the old one
/// goes when it is not ready or the new one is available (DS-C30, DS-C31).
fn settle_surge<'p>(judge: &Judge<'_>, site: &Site, running: &[&'p PodState], managed: &mut Managed<'p>) {
    let (new, old): (Vec<_>, Vec<_>) = running.iter().copied().partition(|state| state.newest_hash);
    keep_first(&new, managed);
    keep_first(&old, managed);
    let (Some(new), Some(old)) = (new.first(), old.first()) else {
        return;
    };
    let why = match () {
        () if old.adopting => return,
        () if new.available => DeleteReason::Replaced { by: new.name() },
        // What a silent node does is not known; its old pod may well be serving.
        () if !old.ready && (site.heard || judge.terms.strict) => DeleteReason::Superseded { by: new.name() },
        () => return managed.holds.push((old, held_back(new, old))),
    };
    managed.deletes.push((old, why));
}

/// Why the old pod stays beside a new one. A new one that has no node yet because the old one holds
/// its host port never gets one: that is for the set's author to mend.
fn held_back(new: &PodState, old: &PodState) -> WaitReason {
    let contested = contested_port(&new.pod.spec, &old.pod.spec).filter(|_| new.pod.spec.node_name.is_empty());
    contested.map_or(WaitReason::AwaitingReplacement, |port| WaitReason::PortHeld {
        port: port.host_port,
        protocol: port.protocol,
    })
}
