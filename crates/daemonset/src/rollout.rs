//! Which outdated pods go next: candidates, their order, the gates, the budget (behaviour.md D.1 to D.3).
//!
//! With the original (strict) every node counts alike. Ours tells nodes apart whose agent is silent: one that fell
//! silent before it had the new revision neither spends the budget nor is touched; one that fell silent, or
//! whose pod broke, after it ran the new revision counts, and stops the rollout when there are too many. And what is
//! ready is serving: it is taken down within the budget only, even if it is not yet available (DS-K04 to DS-K06).

use std::sync::Arc;

use everynode_api::int_or_string::{IntOrString, Round};
use everynode_api::view::DaemonSetSpec;

use crate::explain::{Hold, Want, Why};
use crate::sites::{Judge, PodState, Site, Sites, fell_silent_after};

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
pub(crate) struct Rollout<'p, 'a> {
    pub deletes: Vec<(&'p PodState<'a>, Why)>,
    pub creates: Vec<(&'p Site<'a>, Want)>,
    pub holds: Vec<(&'p PodState<'a>, Hold)>,
    /// Nodes that take up the budget or the surge.
    pub blockers: Vec<Arc<str>>,
    pub spent: i64,
    pub allowed: i64,
}

impl Rollout<'_, '_> {
    /// Something outdated waits for the budget and nothing moves.
    pub fn is_blocked(&self) -> bool {
        let waits = |(_, hold): &(_, Hold)| matches!(hold, Hold::Budget { .. } | Hold::Surge { .. });
        self.deletes.is_empty() && self.creates.is_empty() && self.holds.iter().any(waits)
    }
}

/// The next steps. `busy` says of a node (by its number) that it is being worked on already.
pub(crate) fn roll<'p, 'a>(
    judge: &Judge<'_>,
    strategy: Strategy,
    sites: &'p Sites<'a>,
    busy: impl Fn(usize) -> bool,
) -> Rollout<'p, 'a> {
    if strategy.max_surge > 0 { surge(judge, strategy, sites, busy) } else { in_place(judge, strategy, sites, busy) }
}

/// A node as a rollout sees it: its pods that are not terminating, by revision.
struct Pair<'p, 'a> {
    site: &'p Site<'a>,
    new: Option<&'p PodState<'a>>,
    old: Option<&'p PodState<'a>>,
    /// Two of a kind: left to manage (DS-D10).
    doubled: bool,
    /// Whether the node may take up the budget when it has no available pod.
    counts: bool,
}

fn pair<'p, 'a>(judge: &Judge<'_>, site: &'p Site<'a>, pods: &'p [PodState<'a>]) -> Pair<'p, 'a> {
    let staying = || pods.iter().filter(|state| !state.is_terminating());
    let new = || staying().filter(|state| state.updated);
    let old = || staying().filter(|state| !state.updated);
    // A silent node counts if it had the new revision, and its agent had taken that up: terminating pods tell, too. After
    // a rollback it may have had it, and fallen silent, long before.
    let received = || pods.iter().any(|state| state.updated && state.is_reported());
    let after = || received() && fell_silent_after(site.node, judge.started);
    Pair {
        site,
        new: new().next(),
        old: old().next(),
        doubled: new().nth(1).is_some() || old().nth(1).is_some(),
        counts: judge.strict || site.heard || after(),
    }
}

/// Nodes that the rollout looks at: those that have pods or should (DS-D07).
fn pairs<'p, 'a>(judge: &Judge<'_>, sites: &'p Sites<'a>) -> impl Iterator<Item = (usize, Pair<'p, 'a>)> {
    let entries = sites.iter().enumerate();
    let entries = entries.filter(|(_, (site, pods))| site.eligibility.should_run || !pods.is_empty());
    entries.map(|(number, (site, pods))| (number, pair(judge, site, pods)))
}

/// Candidates of one rollout, in two classes; each class is in name order.
#[derive(Default)]
struct Candidates<'p, 'a> {
    /// Serving, but not long enough to be available: first.
    ready: Vec<Candidate<'p, 'a>>,
    available: Vec<Candidate<'p, 'a>>,
}

/// An outdated pod that may go, and where it is.
type Candidate<'p, 'a> = (&'p PodState<'a>, &'p Site<'a>);

/// maxUnavailable (DS-D10 to DS-D16).
fn in_place<'p, 'a>(
    judge: &Judge<'_>,
    strategy: Strategy,
    sites: &'p Sites<'a>,
    busy: impl Fn(usize) -> bool,
) -> Rollout<'p, 'a> {
    let mut rollout = Rollout { allowed: strategy.max_unavailable, ..Rollout::default() };
    let mut candidates = Candidates::default();
    for (number, pair) in pairs(judge, sites) {
        let unavailable = match (pair.new, pair.old) {
            _ if pair.doubled || busy(number) => true,
            (Some(new), None) => !new.available,
            (None, Some(old)) => outdated(judge, &pair, old, &mut rollout, &mut candidates),
            (Some(_), Some(_)) | (None, None) => true,
        };
        if unavailable && pair.counts {
            rollout.spent += 1;
            rollout.blockers.push(pair.site.node.meta.name.clone());
        }
    }
    spend(&mut rollout, candidates);
    rollout
}

/// A node with only an outdated pod; returns whether it spends the budget as it is.
fn outdated<'p, 'a>(
    judge: &Judge<'_>,
    pair: &Pair<'p, 'a>,
    old: &'p PodState<'a>,
    rollout: &mut Rollout<'p, 'a>,
    candidates: &mut Candidates<'p, 'a>,
) -> bool {
    match () {
        () if old.adopting => rollout.holds.push((old, Hold::Adopting)),
        () if !pair.site.heard && !judge.strict => rollout.holds.push((old, Hold::NodeSilent)),
        () if old.available => candidates.available.push((old, pair.site)),
        () if old.ready && !judge.strict => {
            candidates.ready.push((old, pair.site));
            return false; // counted as a candidate, below
        }
        () => rollout.deletes.push((old, Why::OutdatedUnavailable)), // DS-D13
    }
    !old.available
}

/// Spends what is left of the budget: on pods that are ready but not available first.
fn spend<'p, 'a>(rollout: &mut Rollout<'p, 'a>, candidates: Candidates<'p, 'a>) {
    let allowed = rollout.allowed;
    let mut number = rollout.spent;
    for (old, _) in &candidates.ready {
        choose(rollout, old, &mut number, allowed);
    }
    // Those that are not available spend the budget whether they go or stay.
    let not_available = candidates.ready.len() as i64;
    number = rollout.spent + not_available;
    let spent = number;
    for (old, _) in &candidates.available {
        choose(rollout, old, &mut number, allowed); // DS-D14
    }
    rollout.spent = spent;
}

fn choose<'p, 'a>(rollout: &mut Rollout<'p, 'a>, old: &'p PodState<'a>, number: &mut i64, allowed: i64) {
    if *number < allowed {
        *number += 1;
        rollout.deletes.push((old, Why::Outdated { number: *number, allowed }));
    } else {
        rollout.holds.push((old, Hold::Budget { unavailable: *number, allowed }));
    }
}

/// maxSurge (DS-D20 to DS-D29).
fn surge<'p, 'a>(
    judge: &Judge<'_>,
    strategy: Strategy,
    sites: &'p Sites<'a>,
    busy: impl Fn(usize) -> bool,
) -> Rollout<'p, 'a> {
    let mut rollout = Rollout { allowed: strategy.max_surge, ..Rollout::default() };
    let mut candidates: Candidates<'p, 'a> = Candidates::default();
    let mut misplaced = Vec::new();
    let mut available = 0;
    for (number, pair) in pairs(judge, sites) {
        available += i64::from(pair.old.or(pair.new).is_some_and(|state| state.available)); // DS-D21
        let surging = match (pair.new, pair.old) {
            _ if pair.doubled => true, // DS-D20
            _ if busy(number) => pair.new.is_some() && pair.old.is_some(),
            (_, None) => false, // DS-D22
            (Some(new), Some(old)) => {
                beside(new, old, &mut rollout);
                !new.available
            }
            (None, Some(old)) => {
                match alone(judge, &pair, old) {
                    Alone::Hold(hold) => rollout.holds.push((old, hold)),
                    Alone::Delete => rollout.deletes.push((old, Why::OutdatedUnavailable)),
                    Alone::Create => rollout.creates.push((pair.site, Want::Replace)),
                    Alone::Misplaced => misplaced.push(old),
                    Alone::Ready => candidates.ready.push((old, pair.site)),
                    Alone::Available => candidates.available.push((old, pair.site)),
                }
                false
            }
        };
        if surging && pair.counts {
            rollout.spent += 1;
            rollout.blockers.push(pair.site.node.meta.name.clone());
        }
    }
    start(&mut rollout, candidates);
    remove_misplaced(&mut rollout, misplaced, available - sites.desired());
    rollout
}

/// DS-D25
fn beside<'p, 'a>(new: &'p PodState<'a>, old: &'p PodState<'a>, rollout: &mut Rollout<'p, 'a>) {
    if new.available && !old.adopting {
        rollout.deletes.push((old, Why::Replaced { by: new.name() }));
    }
}

/// What a node with only an outdated pod waits for under surge.
enum Alone {
    Hold(Hold),
    Delete,
    Create,
    Misplaced,
    Ready,
    Available,
}

fn alone(judge: &Judge<'_>, pair: &Pair<'_, '_>, old: &PodState<'_>) -> Alone {
    let serving = old.available || (old.ready && !judge.strict);
    match pair.site.eligibility.should_run {
        _ if old.adopting => Alone::Hold(Hold::Adopting),
        _ if !pair.site.heard && !judge.strict => Alone::Hold(Hold::NodeSilent),
        false if serving => Alone::Misplaced, // DS-D24
        false => Alone::Delete,               // DS-D23
        true if old.available => Alone::Available,
        true if serving => Alone::Ready,
        true => Alone::Create,
    }
}

/// Starts new pods beside the first candidates (DS-D26).
fn start<'p, 'a>(rollout: &mut Rollout<'p, 'a>, candidates: Candidates<'p, 'a>) {
    let (mut surging, allowed) = (rollout.spent, rollout.allowed);
    for (old, site) in candidates.ready.into_iter().chain(candidates.available) {
        if surging < allowed {
            surging += 1;
            rollout.creates.push((site, Want::Surge));
        } else {
            rollout.holds.push((old, Hold::Surge { surging, allowed }));
        }
    }
}

/// Outdated pods on nodes that should not run any go only while enough others are available (DS-D27).
fn remove_misplaced<'p, 'a>(rollout: &mut Rollout<'p, 'a>, misplaced: Vec<&'p PodState<'a>>, spare: i64) {
    for (old, number) in misplaced.into_iter().zip(0..) {
        if number < spare {
            rollout.deletes.push((old, Why::OutdatedMisplaced));
        } else {
            rollout.holds.push((old, Hold::NeededElsewhere));
        }
    }
}
