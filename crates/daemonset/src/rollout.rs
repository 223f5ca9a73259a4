//! Which outdated pods go next: candidates, their order, the gates, the budget
//! (docs/requirements.md, D).
//!
//! With the original (strict) every node counts alike. Ours tells nodes apart whose agent is
//! silent: one that fell silent before it had the new revision neither spends the budget nor is
//! touched; one that fell silent, or whose pod broke, after it ran the new revision counts, and
//! stops the rollout when there are too many. And what is ready is serving: it is taken down within
//! the budget only, even if it is not yet available (DS-K04 to DS-K06).

use std::sync::Arc;

use everynode_api::int_or_string::{IntOrString, Round};
use everynode_api::view::DaemonSetSpec;

use crate::explain::{CreateReason, DeleteReason, WaitReason};
use crate::input::DaemonSetInput;
use crate::judge::{Judge, PodState, fell_silent_after};
use crate::sites::{Site, Sites, node_of};

/// The strategy, with its numbers resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strategy {
    /// False: `OnDelete`.
    pub rolling: bool,
    pub max_unavailable: i64,
    pub max_surge: i64,
    /// DS-C32
    pub surge_allowed: bool,
}

impl Strategy {
    /// DS-D05, DS-D06.
    pub fn resolve(spec: &DaemonSetSpec, desired: i64) -> Self {
        let rolling = spec.update_strategy.kind.as_ref() == "RollingUpdate" || spec.update_strategy.kind.is_empty();
        let numbers = spec.update_strategy.rolling_update.as_ref();
        let resolve = |value: Option<&IntOrString>, default: i64, total: i64| {
            value.map_or(default, |value| value.scaled(total, Round::Up).unwrap_or(default)).max(0)
        };
        let unavailable = numbers.and_then(|numbers| numbers.max_unavailable.as_ref());
        let surge = numbers.and_then(|numbers| numbers.max_surge.as_ref());
        let mut strategy = Strategy {
            rolling,
            max_unavailable: resolve(unavailable, 1, desired),
            max_surge: resolve(surge, 0, desired),
            surge_allowed: rolling && resolve(surge, 0, 1) > 0,
        };
        if strategy.max_unavailable == 0 && strategy.max_surge == 0 && desired > 0 {
            strategy.max_unavailable = 1;
        }
        strategy
    }
}

/// What a rollout does in one pass.
#[derive(Default)]
pub(crate) struct Rollout<'p> {
    pub deletes: Vec<(&'p PodState, DeleteReason)>,
    pub creates: Vec<(&'p Site, CreateReason)>,
    pub holds: Vec<(&'p Site, &'p PodState, WaitReason)>,
    /// Those of the [waiting](Sites::waiting) pods whose turn has not come.
    pub queue: Option<Queue>,
    /// Nodes that take up the budget or the surge.
    pub blockers: Vec<Arc<str>>,
    pub spent: i64,
    pub allowed: i64,
}

/// Outdated pods that wait, and for what: all [waiting](Sites::waiting) ones from a node on, in the
/// order of names. Told as one, for there may be thousands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Queue {
    pub from: Arc<str>,
    pub why: WaitReason,
}

impl<'p> Rollout<'p> {
    /// No rollout: pods are updated when a user deletes them (DS-D01).
    pub fn on_delete(sites: &Sites) -> Self {
        let queue =
            sites.waiting().next().map(|(_, site)| Queue { from: site.name.clone(), why: WaitReason::OnDelete });
        Rollout { queue, ..Rollout::default() }
    }

    /// Something outdated waits for the budget and nothing moves.
    pub fn is_blocked(&self) -> bool {
        let holds = self.holds.iter().map(|(_, _, why)| why).chain(self.queue.as_ref().map(|queue| &queue.why));
        let mut holds = holds.filter(|why| matches!(why, WaitReason::Budget { .. } | WaitReason::Surge { .. }));
        self.deletes.is_empty() && self.creates.is_empty() && holds.next().is_some()
    }

    /// Candidates take their turns, in the order of names, while there is room. `taken` is how much
    /// is taken before, the result how much is then. `go` gets a candidate and the place that it
    /// takes.
    fn spend_budget(
        &mut self,
        mut taken: i64,
        active: Vec<Candidate<'p>>,
        waiting: impl Iterator<Item = Candidate<'p>>,
        go: impl Fn(&mut Self, Candidate<'p>, i64),
        hold: impl Fn(i64) -> WaitReason,
    ) -> i64 {
        let (mut active, mut waiting) = (active.into_iter().peekable(), waiting.peekable());
        while taken < self.allowed {
            let next = match (active.peek(), waiting.peek()) {
                (Some((_, one)), Some((_, other))) if one.name < other.name => active.next(),
                (_, Some(_)) => waiting.next(),
                (_, None) => active.next(),
            };
            let Some(candidate) = next else { break };
            taken += 1;
            go(self, candidate, taken);
        }
        let why = hold(taken);
        self.holds.extend(active.map(|(old, site)| (site, old, why.clone())));
        if let Some((_, site)) = waiting.next() {
            self.queue = Some(Queue { from: site.name.clone(), why });
        }
        taken
    }
}

/// The next steps. `busy` says of an active node (by its number) that it is being worked on
/// already. What is not active has one available pod: it counts as that, and if it
/// [waits](Sites::waiting) it is a candidate.
pub(crate) fn roll<'p>(
    judge: &Judge<'_>,
    seen: &DaemonSetInput,
    strategy: Strategy,
    sites: &'p Sites,
    busy: impl Fn(usize) -> bool,
) -> Rollout<'p> {
    match strategy.max_surge > 0 {
        true => surge(judge, seen, strategy, sites, busy),
        false => in_place(judge, seen, strategy, sites, busy),
    }
}

/// A node as a rollout sees it: its pods that are not terminating, by revision.
struct Pair<'p> {
    site: &'p Site,
    new: Option<&'p PodState>,
    old: Option<&'p PodState>,
    /// Two of a kind: left to manage (DS-D10).
    doubled: bool,
    /// Whether the node may take up the budget when it has no available pod.
    counts: bool,
}

fn pair<'p>(judge: &Judge<'_>, seen: &DaemonSetInput, site: &'p Site) -> Pair<'p> {
    let pods = site.pods();
    let staying = || pods.iter().filter(|state| !state.is_terminating());
    let new = || staying().filter(|state| state.updated);
    let old = || staying().filter(|state| !state.updated);
    // A silent node counts if it had the new revision, and its agent had taken that up: terminating
    // pods tell, too. After a rollback it may have had it, and fallen silent, long before.
    let received = || pods.iter().any(|state| state.updated && state.is_reported());
    let silent_after = || node_of(seen, site).is_none_or(|node| fell_silent_after(node, judge.started));
    let after = || received() && silent_after();
    Pair {
        site,
        new: new().next(),
        old: old().next(),
        doubled: new().nth(1).is_some() || old().nth(1).is_some(),
        counts: judge.terms.strict || site.heard || after(),
    }
}

/// Nodes that the rollout looks at: those that have pods or should (DS-D07).
fn pairs<'p>(judge: &Judge<'_>, seen: &DaemonSetInput, sites: &'p Sites) -> impl Iterator<Item = (usize, Pair<'p>)> {
    let entries = sites.active().enumerate();
    let entries = entries.filter(|(_, site)| site.eligibility.should_run || !site.pods().is_empty());
    entries.map(|(number, site)| (number, pair(judge, seen, site)))
}

/// Candidates among the active, in two classes; each class is in name order.
#[derive(Default)]
struct Candidates<'p> {
    /// Serving, but not long enough to be available: first.
    ready: Vec<Candidate<'p>>,
    /// These take turns with those that wait.
    available: Vec<Candidate<'p>>,
}

/// An outdated pod that may go, and where it is.
type Candidate<'p> = (&'p PodState, &'p Site);

/// maxUnavailable (DS-D10 to DS-D16).
fn in_place<'p>(
    judge: &Judge<'_>,
    seen: &DaemonSetInput,
    strategy: Strategy,
    sites: &'p Sites,
    busy: impl Fn(usize) -> bool,
) -> Rollout<'p> {
    let mut rollout = Rollout { allowed: strategy.max_unavailable, ..Rollout::default() };
    let mut candidates = Candidates::default();
    for (number, pair) in pairs(judge, seen, sites) {
        let unavailable = match (pair.new, pair.old) {
            _ if pair.doubled || busy(number) => true,
            (Some(new), None) => !new.available,
            (None, Some(old)) => outdated(judge, &pair, old, &mut rollout, &mut candidates),
            (Some(_), Some(_)) | (None, None) => true,
        };
        if unavailable && pair.counts {
            rollout.spent += 1;
            rollout.blockers.push(pair.site.name.clone());
        }
    }
    spend(&mut rollout, candidates, sites.waiting());
    rollout
}

/// A node with only an outdated pod; returns whether it spends the budget as it is.
fn outdated<'p>(
    judge: &Judge<'_>,
    pair: &Pair<'p>,
    old: &'p PodState,
    rollout: &mut Rollout<'p>,
    candidates: &mut Candidates<'p>,
) -> bool {
    match () {
        () if old.adopting => rollout.holds.push((pair.site, old, WaitReason::Adopting)),
        () if !pair.site.heard && !judge.terms.strict => rollout.holds.push((pair.site, old, WaitReason::NodeSilent)),
        () if old.available => candidates.available.push((old, pair.site)),
        () if old.ready && !judge.terms.strict => {
            candidates.ready.push((old, pair.site));
            return false; // counted as a candidate, below
        }
        () => rollout.deletes.push((old, DeleteReason::OutdatedUnavailable)), // DS-D13
    }
    !old.available
}

/// Spends what is left of the budget: on pods that are ready but not available first.
fn spend<'p>(rollout: &mut Rollout<'p>, candidates: Candidates<'p>, waiting: impl Iterator<Item = Candidate<'p>>) {
    let allowed = rollout.allowed;
    let go = |rollout: &mut Rollout<'p>, (old, _): Candidate<'p>, number| {
        rollout.deletes.push((old, DeleteReason::Outdated { number, allowed }));
    };
    let hold = |unavailable| WaitReason::Budget { unavailable, allowed };
    // Those that are not available spend the budget whether they go or stay.
    let spent = rollout.spent + candidates.ready.len() as i64;
    rollout.spend_budget(rollout.spent, candidates.ready, std::iter::empty(), go, hold);
    rollout.spend_budget(spent, candidates.available, waiting, go, hold); // DS-D14
    rollout.spent = spent;
}

/// maxSurge (DS-D20 to DS-D29).
fn surge<'p>(
    judge: &Judge<'_>,
    seen: &DaemonSetInput,
    strategy: Strategy,
    sites: &'p Sites,
    busy: impl Fn(usize) -> bool,
) -> Rollout<'p> {
    let mut rollout = Rollout { allowed: strategy.max_surge, ..Rollout::default() };
    let mut candidates: Candidates<'p> = Candidates::default();
    let mut misplaced = Vec::new();
    let mut available = sites.serving();
    for (number, pair) in pairs(judge, seen, sites) {
        available += i64::from(pair.old.or(pair.new).is_some_and(|state| state.available)); // DS-D21
        let surging = match (pair.new, pair.old) {
            _ if pair.doubled => true, // DS-D20
            _ if busy(number) => pair.new.is_some() && pair.old.is_some(),
            (_, None) => false, // DS-D22
            (Some(new), Some(old)) => {
                with_both_pods(new, old, &mut rollout);
                !new.available
            }
            (None, Some(old)) => {
                match surge_step(judge, &pair, old) {
                    SurgeStep::Hold(hold) => rollout.holds.push((pair.site, old, hold)),
                    SurgeStep::Delete => rollout.deletes.push((old, DeleteReason::OutdatedUnavailable)),
                    SurgeStep::Create => rollout.creates.push((pair.site, CreateReason::Replace)),
                    SurgeStep::Misplaced => misplaced.push((old, pair.site)),
                    SurgeStep::Ready => candidates.ready.push((old, pair.site)),
                    SurgeStep::Available => candidates.available.push((old, pair.site)),
                }
                false
            }
        };
        if surging && pair.counts {
            rollout.spent += 1;
            rollout.blockers.push(pair.site.name.clone());
        }
    }
    start(&mut rollout, candidates, sites.waiting());
    remove_misplaced(&mut rollout, misplaced, available - sites.desired());
    rollout
}

/// DS-D25
fn with_both_pods<'p>(new: &'p PodState, old: &'p PodState, rollout: &mut Rollout<'p>) {
    if new.available && !old.adopting {
        rollout.deletes.push((old, DeleteReason::Replaced { by: new.name() }));
    }
}

/// What a node with only an outdated pod waits for under surge.
enum SurgeStep {
    Hold(WaitReason),
    Delete,
    Create,
    Misplaced,
    Ready,
    Available,
}

fn surge_step(judge: &Judge<'_>, pair: &Pair<'_>, old: &PodState) -> SurgeStep {
    let serving = old.available || (old.ready && !judge.terms.strict);
    match pair.site.eligibility.should_run {
        _ if old.adopting => SurgeStep::Hold(WaitReason::Adopting),
        _ if !pair.site.heard && !judge.terms.strict => SurgeStep::Hold(WaitReason::NodeSilent),
        false if serving => SurgeStep::Misplaced, // DS-D24
        false => SurgeStep::Delete,               // DS-D23
        true if old.available => SurgeStep::Available,
        true if serving => SurgeStep::Ready,
        true => SurgeStep::Create,
    }
}

/// Starts new pods beside the first candidates (DS-D26).
fn start<'p>(rollout: &mut Rollout<'p>, candidates: Candidates<'p>, waiting: impl Iterator<Item = Candidate<'p>>) {
    let allowed = rollout.allowed;
    let go = |rollout: &mut Rollout<'p>, (_, site): Candidate<'p>, _| rollout.creates.push((site, CreateReason::Surge));
    let hold = |surging| WaitReason::Surge { surging, allowed };
    let surging = rollout.spend_budget(rollout.spent, candidates.ready, std::iter::empty(), go, hold);
    rollout.spend_budget(surging, candidates.available, waiting, go, hold);
}

/// Outdated pods on nodes that should not run any go only while enough others are available
/// (DS-D27).
fn remove_misplaced<'p>(rollout: &mut Rollout<'p>, misplaced: Vec<Candidate<'p>>, spare: i64) {
    for ((old, site), number) in misplaced.into_iter().zip(0..) {
        if number < spare {
            rollout.deletes.push((old, DeleteReason::OutdatedMisplaced));
        } else {
            rollout.holds.push((site, old, WaitReason::NeededElsewhere));
        }
    }
}
