//! Disruption budgets: how many of a budget's pods may be evicted now (DS-G21, DS-G23).
//!
//! The status is a promise: the eviction API and the scheduler spend `disruptionsAllowed` without
//! looking at pods. So it is only written onto the very state that it was computed from, and a pod
//! whose eviction was granted counts as lost from that moment, until it has ended or two minutes
//! have passed.
//!
//! Percentages and `maxUnavailable` need to know how many pods there should be. The original asks
//! the controller's `scale`, which DaemonSets do not have, and gives up. We know: as many as the
//! set's status says, on nodes that should have one (`desiredNumberScheduled`) and on those that
//! have one nevertheless (`numberMisscheduled`).

use std::collections::BTreeMap;
use std::sync::Arc;

use everynode_api::int_or_string::Round;
use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::ports::PatchType;
use everynode_api::reconcile::{Action, Event, EventType, Plan, Reconciler, Violation};
use everynode_api::time::rfc3339;
use everynode_api::view::{Change, DaemonSet, Item, Object, Pod, View};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::budget::{Budget, BudgetNumbers, conditions, is_healthy};
use crate::common::{pod_event, regarding, target, unchanged};

/// How long a granted eviction may take to show; then the pod counts again.
const EVICTION_MAX: SignedDuration = SignedDuration::from_secs(120);

/// The disruption controller. One key per PodDisruptionBudget.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disruption;

/// A budget, its pods, and how many pods their controllers want.
#[derive(Debug)]
pub struct DisruptionInput {
    object: Arc<Object>,
    budget: Budget,
    pods: Vec<Arc<Pod>>,
    /// By the controller's uid; `None` for one whose count is not known.
    wanted: BTreeMap<Box<str>, Option<i64>>,
}

/// Why a budget allows what it allows.
#[derive(Clone, Debug, PartialEq)]
pub enum DisruptionNote {
    Spent { budget: Key, desired: i64, healthy: i64 },
    Unknown { budget: Key, why: Box<str> },
}

impl std::fmt::Display for DisruptionNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DisruptionNote::Spent { budget, desired, healthy } => {
                write!(f, "budget {budget} allows no disruption: it needs {desired} healthy pods and has {healthy}")
            }
            DisruptionNote::Unknown { budget, why } => write!(f, "budget {budget} allows no disruption: {why}"),
        }
    }
}

impl Reconciler for Disruption {
    type Input = DisruptionInput;
    type Memory = ();
    type Note = DisruptionNote;

    fn name(&self) -> &'static str {
        "disruption-controller"
    }

    fn watches(&self) -> Vec<Kind> {
        vec![kinds::POD_DISRUPTION_BUDGET, kinds::POD, kinds::DAEMON_SET]
    }

    fn wake(&self, view: &View, change: &Change) -> Vec<Key> {
        let budgets = || view.objects_in(&kinds::POD_DISRUPTION_BUDGET, &change.key.namespace);
        let states = [&change.old, &change.new].map(Option::as_ref);
        match () {
            () if change.kind == kinds::POD_DISRUPTION_BUDGET => vec![change.key.clone()],
            () if change.kind == kinds::DAEMON_SET && states.map(set_facts)[0] != states.map(set_facts)[1] => {
                budgets().map(|budget| budget.meta.key()).collect()
            }
            () if change.kind == kinds::POD && states.map(pod_facts)[0] != states.map(pod_facts)[1] => {
                let pods = || states.into_iter().flatten().map(Item::meta);
                let covers = |budget: &&Arc<Object>| {
                    let budget = Budget::read(budget);
                    pods().any(|pod| budget.covers(pod))
                };
                budgets().filter(covers).map(|budget| budget.meta.key()).collect()
            }
            () => Vec::new(),
        }
    }

    fn all(&self, view: &View) -> Vec<Key> {
        view.objects(&kinds::POD_DISRUPTION_BUDGET).map(|budget| budget.meta.key()).collect()
    }

    fn gather(&self, view: &View, key: &Key) -> Option<DisruptionInput> {
        let object = view.object(&kinds::POD_DISRUPTION_BUDGET, key)?.clone();
        let budget = Budget::read(&object);
        let pods = view.pods().in_namespace(&key.namespace).filter(|pod| budget.covers(&pod.meta));
        let pods: Vec<_> = pods.cloned().collect();
        let owners = pods.iter().filter_map(|pod| pod.meta.controller());
        let wanted = owners.map(|owner| (owner.uid.clone(), pods_wanted(view, &owner.uid))).collect();
        Some(DisruptionInput { object, budget, pods, wanted })
    }

    fn plan(&self, seen: &DisruptionInput, _memory: &(), now: Timestamp) -> Plan<DisruptionNote, ()> {
        let mut plan = Plan::default();
        let disrupted = still_disrupted(seen, now, &mut plan);
        match numbers(seen, &disrupted) {
            Ok(numbers) => promise(seen, &numbers, &disrupted, now, &mut plan),
            Err(why) => refuse(seen, &why, now, &mut plan),
        }
        plan
    }

    fn audit(&self, seen: &DisruptionInput, plan: &Plan<DisruptionNote, ()>) -> Vec<Violation> {
        let bodies = plan.actions.iter().filter_map(|action| match action {
            Action::Patch { body, .. } => Some(&body["status"]),
            _ => None,
        });
        bodies.flat_map(|status| broken_promise(seen, status)).map(Violation).collect()
    }
}

/// What a budget's decision depends on in a pod.
fn pod_facts(item: Option<&Item>) -> Option<(&everynode_api::meta::Labels, bool, bool, Option<&str>)> {
    let pod = item?.pod()?;
    let owner = pod.meta.controller().map(|owner| owner.uid.as_ref());
    Some((&pod.meta.labels, pod.is_ready(), pod.is_terminating(), owner))
}

fn set_facts(item: Option<&Item>) -> Option<i64> {
    match item? {
        Item::DaemonSet(set) => Some(count_of(set)),
        _ => None,
    }
}

fn count_of(set: &DaemonSet) -> i64 {
    set.status.desired_number_scheduled + set.status.number_misscheduled
}

/// How many pods a controller wants; `None` if it is of a kind that does not tell.
fn pods_wanted(view: &View, uid: &str) -> Option<i64> {
    let (kind, key) = view.by_uid(uid)?;
    let set = view.daemon_set(key).filter(|_| *kind == kinds::DAEMON_SET)?;
    Some(count_of(set))
}

/// Pods whose granted eviction may still show; tells of those for which it did not.
fn still_disrupted(
    seen: &DisruptionInput,
    now: Timestamp,
    plan: &mut Plan<DisruptionNote, ()>,
) -> BTreeMap<Box<str>, Timestamp> {
    let mut disrupted = BTreeMap::new();
    for pod in seen.pods.iter().filter(|pod| !pod.is_terminating()) {
        let Some((name, since)) = seen.budget.disrupted.get_key_value(pod.meta.name.as_ref()) else { continue };
        let until = *since + EVICTION_MAX;
        if until <= now {
            let text = format!("Pod was expected by PDB {} to be deleted but it wasn't", seen.object.meta.key());
            plan.actions.push(pod_event(pod, EventType::Warning, "NotDeleted", text));
            continue;
        }
        plan.wake_at = Some(plan.wake_at.map_or(until, |at| at.min(until)));
        disrupted.insert(name.clone(), *since);
    }
    disrupted
}

fn numbers(seen: &DisruptionInput, disrupted: &BTreeMap<Box<str>, Timestamp>) -> Result<BudgetNumbers, String> {
    use everynode_api::int_or_string::IntOrString::Int;
    let pods = i64::try_from(seen.pods.len()).unwrap_or(i64::MAX);
    let (expected, desired) = match (&seen.budget.max_unavailable, &seen.budget.min_available) {
        (Some(most), _) => {
            let expected = wanted(seen)?;
            (expected, (expected - most.scaled(expected, Round::Up)?).max(0))
        }
        (None, Some(Int(least))) => (pods, (*least).into()),
        (None, Some(share)) => {
            let expected = wanted(seen)?;
            (expected, share.scaled(expected, Round::Up)?)
        }
        (None, None) => (pods, 0),
    };
    let healthy = seen.pods.iter().filter(|pod| is_healthy(pod, disrupted)).count();
    Ok(BudgetNumbers { expected, desired, healthy: i64::try_from(healthy).unwrap_or(i64::MAX) })
}

/// What all controllers of the pods want together. Pods without one count for nothing.
fn wanted(seen: &DisruptionInput) -> Result<i64, String> {
    let count = |pod: &Arc<Pod>| {
        let known = seen.wanted.get(&pod.meta.controller()?.uid)?;
        known.is_none().then(|| format!("found no controllers for pod \"{}\"", pod.meta.name))
    };
    match seen.pods.iter().find_map(count) {
        Some(unknown) => Err(unknown),
        None => Ok(seen.wanted.values().flatten().sum()),
    }
}

fn promise(
    seen: &DisruptionInput,
    numbers: &BudgetNumbers,
    disrupted: &BTreeMap<Box<str>, Timestamp>,
    now: Timestamp,
    plan: &mut Plan<DisruptionNote, ()>,
) {
    let allowed = numbers.allowed();
    let reason = if allowed > 0 { "SufficientPods" } else { "InsufficientPods" };
    let status = json!({
        "observedGeneration": seen.object.meta.generation,
        "expectedPods": numbers.expected, "desiredHealthy": numbers.desired, "currentHealthy": numbers.healthy,
        "disruptionsAllowed": allowed,
        "disruptedPods": disrupted_patch(seen, disrupted),
        "conditions": conditions(&seen.object, allowed > 0, reason, "", now),
    });
    if allowed == 0 {
        let (desired, healthy) = (numbers.desired, numbers.healthy);
        plan.notes.push(DisruptionNote::Spent { budget: seen.object.meta.key(), desired, healthy });
    }
    let Some(write) = write(seen, status) else { return };
    plan.actions.push(write);
    if seen.pods.is_empty() {
        plan.actions.push(event(seen, EventType::Normal, "NoPods", "No matching pods found".into()));
    }
}

/// It is not known how many pods there should be: nothing may be disrupted.
fn refuse(seen: &DisruptionInput, why: &str, now: Timestamp, plan: &mut Plan<DisruptionNote, ()>) {
    plan.notes.push(DisruptionNote::Unknown { budget: seen.object.meta.key(), why: why.into() });
    let status = json!({
        "observedGeneration": seen.object.meta.generation, "disruptionsAllowed": 0,
        "conditions": conditions(&seen.object, false, "SyncFailed", why, now),
    });
    let Some(write) = write(seen, status) else { return };
    let text = format!("Failed to calculate the number of expected pods: {why}");
    plan.actions.push(write);
    plan.actions.push(event(seen, EventType::Warning, "CalculateExpectedPodCountFailed", text));
}

/// As a merge patch has it: entries that are over are `null`.
fn disrupted_patch(seen: &DisruptionInput, disrupted: &BTreeMap<Box<str>, Timestamp>) -> Value {
    let old = seen.object.at(&["status", "disruptedPods"]).as_object().into_iter().flatten();
    let entry = |name: &str| disrupted.get(name).map(|since| json!(rfc3339(*since)));
    old.map(|(name, _)| (name.clone(), entry(name).unwrap_or(Value::Null))).collect()
}

/// The patch that makes the status so, if it is not so already, and if the budget is still the one
/// that was seen: an eviction that was granted meanwhile must not be overwritten.
fn write(seen: &DisruptionInput, status: Value) -> Option<Action> {
    let old = seen.object.at(&["status"]);
    let same = |(name, value): (&String, &Value)| match value {
        Value::Object(entries) => entries.values().all(|entry| !entry.is_null()),
        // Some servers leave zeros out.
        value => old[name] == *value || (old[name].is_null() && *value == 0),
    };
    if status.as_object()?.iter().all(same) {
        return None;
    }
    Some(Action::Patch {
        target: target(&kinds::POD_DISRUPTION_BUDGET, &seen.object.meta).subresource("status"),
        patch: PatchType::Merge,
        body: json!({ "status": status }),
        preconditions: unchanged(&seen.object.meta),
        report: None,
    })
}

fn event(seen: &DisruptionInput, kind: EventType, reason: &str, message: String) -> Action {
    Action::Emit(Event {
        regarding: regarding(&kinds::POD_DISRUPTION_BUDGET, &seen.object.meta),
        kind,
        reason: reason.into(),
        action: String::new(),
        message,
    })
}

/// After all disruptions that a status allows, at least as many pods as it needs are ready and
/// stay.
fn broken_promise(seen: &DisruptionInput, status: &Value) -> Option<String> {
    let number = |name: &str| status[name].as_i64().unwrap_or(0);
    let granted = |pod: &Pod| status["disruptedPods"][pod.meta.name.as_ref()].is_string();
    let stay = seen.pods.iter().filter(|pod| pod.is_ready() && !pod.is_terminating() && !granted(pod)).count();
    let left = i64::try_from(stay).unwrap_or(i64::MAX) - number("disruptionsAllowed");
    let name = seen.object.meta.key();
    (number("disruptionsAllowed") > 0 && left < number("desiredHealthy"))
        .then(|| format!("budget {name} allows {} disruptions of {stay} healthy pods", number("disruptionsAllowed")))
}

#[cfg(test)]
#[path = "disruption_tests.rs"]
mod tests;
