//! Which sets a change concerns (docs/requirements.md, F). Precise, because every key that wakes
//! costs a pass.

use everynode_api::kinds;
use everynode_api::meta::{Key, Meta};
use everynode_api::view::{Change, DaemonSet, Item, Node, View};
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::Options;
use crate::actions::OWNER;
use crate::input::{is_ours, matches, selector};
use crate::judge::{eligibility, respects_cordon, verdict_spec};

pub(crate) fn wake(options: &Options, view: &View, change: &Change) -> Vec<Key> {
    let mut keys = BTreeSet::new();
    match () {
        () if change.kind == kinds::DAEMON_SET => {
            keys.insert(change.key.clone());
        }
        () if change.kind == kinds::NODE => node(options, view, change, &mut keys),
        () => dependent(view, change, &mut keys),
    }
    let ours =
        |key: &Key| change.kind == kinds::DAEMON_SET || view.daemon_set(key).is_some_and(|set| is_ours(options, set));
    keys.into_iter().filter(ours).collect()
}

/// Nothing of the set is under way: a revision that appears can only be another owner's, which
/// needs no action (DS-F11). Its own is waited for.
fn is_at_rest(set: &DaemonSet) -> bool {
    let status = &set.status;
    let desired = status.desired_number_scheduled;
    let settled = status.updated_number_scheduled == desired && status.number_available == desired;
    status.observed_generation == set.meta.generation && settled
}

/// A pod or a revision: its controllers, old and new; an orphan: every set that it matches (DS-F07
/// to DS-F11).
fn dependent(view: &View, change: &Change, keys: &mut BTreeSet<Key>) {
    let metas = [&change.old, &change.new].map(|item| item.as_ref().map(Item::meta));
    let appears = change.kind == kinds::CONTROLLER_REVISION && change.old.is_none();
    let owners = metas.iter().flatten().filter_map(|meta| owner(view, meta));
    keys.extend(owners.filter(|key| !appears || !view.daemon_set(key).is_some_and(|set| is_at_rest(set))));
    let [old, new] = metas;
    let Some(new) = new.filter(|new| new.controller().is_none()) else {
        return;
    };
    let news = old.is_none_or(|old| old.labels != new.labels || old.controller().is_some());
    if news || new.is_terminating() {
        let sets = view.daemon_sets_in(&change.key.namespace);
        keys.extend(sets.filter(|set| matches(&selector(set), new)).map(|set| set.meta.key()));
    }
}

/// The set that controls an object, by name and uid (DS-F10).
fn owner(view: &View, meta: &Meta) -> Option<Key> {
    let owner = meta.controller().filter(|owner| *owner.kind == *OWNER.kind)?;
    let key = Key::new(&meta.namespace, &owner.name);
    view.daemon_set(&key).filter(|set| *set.meta.uid == *owner.uid)?;
    Some(key)
}

/// A node: the sets whose verdict changes, and where its agent fell silent or came back, those with
/// pods there (DS-F12 to DS-F16, DS-K24).
fn node(options: &Options, view: &View, change: &Change, keys: &mut BTreeSet<Key>) {
    let [old, new] = [&change.old, &change.new].map(|item| item.as_ref().and_then(Item::node));
    if let (Some(old), Some(new)) = (old, new)
        && old.looks_like(new)
    {
        return;
    }
    let concerned = view.daemon_sets().filter(|set| is_concerned(options, set, old, new));
    keys.extend(concerned.map(|set| set.meta.key()));
    let same_voice = old.map(|old| old.is_heard()) == new.map(|new| new.is_heard());
    let silent_loss = options.strict && new.is_none(); // DS-F13
    if !same_voice && !silent_loss {
        keys.extend(view.pods().on_node(&change.key.name).filter_map(|pod| owner(view, &pod.meta)));
    }
}

fn is_concerned(options: &Options, set: &DaemonSet, old: Option<&Arc<Node>>, new: Option<&Arc<Node>>) -> bool {
    let cordon = respects_cordon(options, &set.meta);
    let spec = verdict_spec(&set.spec.template.spec, cordon);
    let verdict = |node: &Arc<Node>| eligibility(&spec, cordon, node);
    match (old, new) {
        (Some(old), Some(new)) => old.meta.uid != new.meta.uid || verdict(old) != verdict(new),
        (None, Some(new)) => verdict(new).should_run,
        (Some(old), None) => !options.strict && verdict(old).should_run,
        (None, None) => false,
    }
}
