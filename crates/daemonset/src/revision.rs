//! Revisions: which one is the newest, what it is called, which old ones go (docs/requirements.md,
//! D).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use everynode_api::kinds;
use everynode_api::meta::Meta;
use everynode_api::ports::Target;
use everynode_api::reconcile::Action;
use everynode_api::selector::Selector;
use everynode_api::time::rfc3339;
use everynode_api::view::{ControllerRevision, Pod};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::claim::{Claim, claim};
use crate::explain::DaemonSetNote;
use crate::input::DaemonSetInput;
use crate::pod::HASH_LABEL;
use crate::{actions, names, normal};

/// On a revision that a rollback made the newest again: when that was. A new revision has its
/// creation time.
pub(crate) const STARTED_ANNOTATION: &str = "everynode.dev/rollout-started-at";

/// What the API takes as the name of an object.
pub(crate) const NAME_BYTES_MAX: usize = 253;

/// The revisions of the set.
pub(crate) struct History<'a> {
    /// The hash label of the newest one (DS-D44).
    pub label: String,
    /// When its rollout began; `None` if it only begins.
    pub started: Option<Timestamp>,
    /// It is only created in this pass: nothing is taken down before it is there.
    pub is_new: bool,
    /// Other revisions with the same template (DS-D50).
    pub duplicates: Vec<&'a Arc<ControllerRevision>>,
    /// By number, then name.
    pub old: Vec<&'a Arc<ControllerRevision>>,
    /// Those that are only being adopted: nothing else is done to them in this pass.
    fresh: BTreeSet<&'a str>,
    pub actions: Vec<Action>,
    pub notes: Vec<DaemonSetNote>,
}

/// What a pass knows of the newest revision.
pub(crate) enum Newest<'a> {
    Known(History<'a>),
    /// Its name is taken by another template: the collision count is to be raised (DS-D51).
    Taken {
        name: String,
        count: i32,
    },
    /// No object may have a name as long as its would be: nothing can be made.
    NameTooLong {
        name: String,
    },
}

/// Finds the newest revision, and puts labels and numbers right.
pub(crate) fn newest<'a>(seen: &'a DaemonSetInput, selector: &Selector, strict: bool, now: Timestamp) -> Newest<'a> {
    let mut claimed: Vec<&Arc<ControllerRevision>> = Vec::new();
    let (mut actions, mut notes) = (Vec::new(), Vec::new());
    let mut fresh = BTreeSet::new();
    for revision in &seen.revisions {
        let claim = claim_one(seen, selector, revision, &mut actions, &mut notes);
        if matches!(claim, Claim::Adopt | Claim::Wait) {
            fresh.insert(&*revision.meta.name);
        }
        if !matches!(claim, Claim::Release | Claim::Ignore) {
            claimed.push(revision);
        }
    }
    claimed.sort_by(|a, b| (a.revision, &a.meta.name).cmp(&(b.revision, &b.meta.name)));
    let template = &seen.set.spec.template.raw;
    let is_current = |revision: &&Arc<ControllerRevision>| is_same(revision, template);
    let (mut current, old): (Vec<_>, Vec<_>) = claimed.into_iter().partition(is_current);
    let next = old.last().map_or(0, |last| last.revision) + 1;
    let Some(newest) = current.pop() else {
        return missing(seen, next, old, fresh, actions, notes);
    };
    if newest.revision < next && !fresh.contains(&*newest.meta.name) {
        // DS-D49: a rollback moves the revision to the top.
        let mut body = json!({ "revision": next });
        if !strict {
            body["metadata"] = json!({ "annotations": { STARTED_ANNOTATION: rfc3339(now) } });
        }
        actions.push(actions::merge(&kinds::CONTROLLER_REVISION, &newest.meta, body));
    }
    let (label, started) = (label(&newest.meta).to_owned(), started(&newest.meta));
    Newest::Known(History { label, started, is_new: false, duplicates: current, old, fresh, actions, notes })
}

/// Claims one revision (DS-D45, DS-D46).
fn claim_one(
    seen: &DaemonSetInput,
    selector: &Selector,
    revision: &ControllerRevision,
    actions: &mut Vec<Action>,
    notes: &mut Vec<DaemonSetNote>,
) -> Claim {
    let (meta, set) = (&revision.meta, &seen.set.meta);
    let object = || meta.name.clone();
    let claim = claim(meta, selector, seen);
    match claim {
        Claim::Own if !meta.labels.contains_key(HASH_LABEL) => {
            let label = json!({ "metadata": { "labels": { HASH_LABEL: &*meta.name } } });
            actions.push(actions::merge(&kinds::CONTROLLER_REVISION, meta, label));
        }
        Claim::Own | Claim::Ignore => {}
        Claim::Adopt => {
            notes.push(DaemonSetNote::Adopt { object: object() });
            actions.push(actions::adopt(&kinds::CONTROLLER_REVISION, meta, set));
        }
        Claim::Wait => notes.push(DaemonSetNote::AdoptionWaits { object: object() }),
        Claim::Release => {
            notes.push(DaemonSetNote::Release { object: object() });
            actions.push(actions::release(&kinds::CONTROLLER_REVISION, meta, set));
        }
    }
    claim
}

fn is_same(revision: &ControllerRevision, template: &Value) -> bool {
    normal::same_template(template, normal::template_of(&revision.data))
}

/// Records the template (DS-D48).
fn missing<'a>(
    seen: &'a DaemonSetInput,
    revision: i64,
    old: Vec<&'a Arc<ControllerRevision>>,
    fresh: BTreeSet<&'a str>,
    mut actions: Vec<Action>,
    mut notes: Vec<DaemonSetNote>,
) -> Newest<'a> {
    let set = &seen.set;
    let data = normal::revision_data(&set.spec.template.raw);
    let bytes = serde_json::to_vec(&data).unwrap_or_default();
    let hash = names::template_hash(&bytes, set.status.collision_count);
    let name = format!("{}-{hash}", set.meta.name);
    if name.len() > NAME_BYTES_MAX {
        return Newest::NameTooLong { name };
    }
    let mut others = seen.foreign_revisions.iter().chain(old.iter().copied());
    match others.find(|other| *other.meta.name == *name) {
        // DS-D51: the same template of another owner serves as well.
        Some(same) if is_same(same, &set.spec.template.raw) => {
            let (label, started) = (label(&same.meta).to_owned(), started(&same.meta));
            let duplicates = Vec::new();
            return Newest::Known(History { label, started, is_new: false, duplicates, old, fresh, actions, notes });
        }
        Some(_) => {
            let count = set.status.collision_count.unwrap_or(0).saturating_add(1);
            return Newest::Taken { name, count };
        }
        None => {}
    }
    let target = Target::new(kinds::CONTROLLER_REVISION, &set.meta.namespace, &name);
    let body = body(seen, &name, &hash, revision, data);
    actions.push(Action::Create { target, body, report: None });
    notes.push(DaemonSetNote::CreatingRevision { name, revision });
    let (label, duplicates) = (hash, Vec::new());
    Newest::Known(History { label, started: None, is_new: true, duplicates, old, fresh, actions, notes })
}

/// DS-D42
fn body(seen: &DaemonSetInput, name: &str, hash: &str, revision: i64, data: Value) -> Value {
    let set = &seen.set;
    let labels = set.spec.template.labels.with(HASH_LABEL, hash);
    let mut metadata = json!({
        "name": name,
        "namespace": &*set.meta.namespace,
        "labels": labels,
        "ownerReferences": [actions::owner_reference(&actions::OWNER, &set.meta)],
    });
    if !set.meta.annotations.is_empty() {
        metadata["annotations"] = json!(set.meta.annotations);
    }
    json!({
        "apiVersion": kinds::CONTROLLER_REVISION.api_version(),
        "kind": kinds::CONTROLLER_REVISION.kind,
        "metadata": metadata,
        "data": data,
        "revision": revision,
    })
}

/// When the rollout of the newest revision began.
pub(crate) fn started(revision: &Meta) -> Option<Timestamp> {
    let noted = revision.annotations.get(STARTED_ANNOTATION).and_then(|text| text.parse().ok());
    noted.or(revision.creation_timestamp)
}

/// The hash label of a revision; one that lacks it is labelled with its name (DS-D46).
pub(crate) fn label(revision: &Meta) -> &str {
    revision.labels.get(HASH_LABEL).unwrap_or(&revision.name)
}

impl<'a> History<'a> {
    /// The labels of pods that are made from the newest template.
    pub fn labels(&self) -> Vec<String> {
        let duplicates = self.duplicates.iter().map(|revision| label(&revision.meta).to_owned());
        std::iter::once(self.label.clone()).chain(duplicates).collect()
    }

    /// Pods of duplicate revisions are relabelled; duplicates that no pod refers to any more are
    /// deleted (DS-D50). The original marks every pod as current, outdated ones, too (DS-K08): that
    /// is what `all` asks for.
    pub fn merge_duplicates<'p>(
        &self,
        all: bool,
        pods: impl Iterator<Item = &'p Arc<Pod>>,
        notes: &mut Vec<DaemonSetNote>,
    ) -> Vec<Action> {
        let kept = self.label.as_str();
        if self.duplicates.is_empty() {
            return Vec::new();
        }
        let doubled: BTreeSet<&str> = self.duplicates.iter().map(|revision| label(&revision.meta)).collect();
        let mut in_use = BTreeSet::new();
        let mut actions = Vec::new();
        for pod in pods {
            let carried = pod.meta.labels.get(HASH_LABEL).unwrap_or("");
            in_use.insert(carried);
            if carried != kept && (all || doubled.contains(carried)) {
                let body = json!({ "metadata": { "labels": { HASH_LABEL: kept } } });
                actions.push(actions::merge(&kinds::POD, &pod.meta, body));
                notes.push(DaemonSetNote::Relabel { pod: pod.meta.name.clone(), revision: kept.into() });
            }
        }
        // Pods with the label of the newest revision refer to that one.
        in_use.remove(kept);
        let free = self.duplicates.iter().filter(|revision| !in_use.contains(label(&revision.meta)));
        let free = free.filter(|revision| !self.fresh.contains(&*revision.meta.name));
        actions.extend(free.map(|revision| actions::delete_revision(&revision.meta)));
        actions
    }

    /// The oldest revisions beyond the limit that no pod refers to (DS-D52, DS-D53). Of several with
    /// the hash label of a pod one is enough: the newest revision, or else the one with the highest
    /// number. The original (`strict`) keeps them all.
    pub fn beyond_limit<'p>(&self, strict: bool, limit: i64, pods: impl Iterator<Item = &'p Arc<Pod>>) -> Vec<Action> {
        let excess = self.old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        if excess == 0 {
            return Vec::new();
        }
        let in_use: BTreeSet<&str> = pods.filter_map(|pod| pod.meta.labels.get(HASH_LABEL)).collect();
        let mut kept: BTreeMap<&str, usize> = BTreeMap::from([(self.label.as_str(), 1)]);
        for revision in &self.old {
            *kept.entry(label(&revision.meta)).or_default() += 1;
        }
        let free = self.old.iter().filter(|revision| {
            let label = label(&revision.meta);
            let others = kept.get_mut(label).filter(|count| **count > 1 && !strict);
            let is_free = !self.fresh.contains(&*revision.meta.name) && (!in_use.contains(label) || others.is_some());
            if let Some(count) = others.filter(|_| is_free) {
                *count -= 1;
            }
            is_free
        });
        free.take(excess).map(|revision| actions::delete_revision(&revision.meta)).collect()
    }
}
