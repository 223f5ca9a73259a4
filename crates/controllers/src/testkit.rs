//! A bed to try one reconciler in: put objects, run a key, read what it would do.

use everynode_api::kinds::Kind;
use everynode_api::meta::Key;
use everynode_api::reconcile::{Action, Plan, Reconciler};
use everynode_api::view::{Item, Served, View};
use jiff::Timestamp;

/// A moment, in seconds after the beginning of 2026.
pub(crate) fn at(seconds: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(seconds)
}

pub(crate) struct TestBed<R: Reconciler> {
    reconciler: R,
    pub(crate) view: View,
    memory: std::collections::BTreeMap<Key, R::Memory>,
    last: Option<Plan<R::Note, R::Memory>>,
}

impl<R: Reconciler> TestBed<R> {
    pub(crate) fn new(reconciler: R) -> Self {
        TestBed { reconciler, view: View::default(), memory: Default::default(), last: None }
    }

    /// Exactly these kinds are served, and known up to `revision`.
    pub(crate) fn serve(&mut self, kinds: &[Kind], revision: u64) {
        self.view.set_served(Served::always(kinds.iter().cloned()));
        kinds.iter().for_each(|kind| self.view.observe_revision(kind, revision));
    }

    /// Adds or replaces an object.
    pub(crate) fn put(&mut self, kind: &Kind, json: &str) {
        self.view.upsert(kind, Item::parse(kind, json.as_bytes()).unwrap());
    }

    pub(crate) fn remove(&mut self, kind: &Kind, key: &str) {
        self.view.remove(kind, &parse_key(key), 0);
    }

    /// Adds or replaces an object; returns the keys that this wakes.
    pub(crate) fn woken(&mut self, kind: &Kind, json: &str) -> Vec<String> {
        self.woken_at(kind, json, Timestamp::MIN)
    }

    /// The same of an object that is heard of at `now`.
    pub(crate) fn woken_at(&mut self, kind: &Kind, json: &str, now: Timestamp) -> Vec<String> {
        let change = self.view.upsert(kind, Item::heard(kind, json.as_bytes(), now).unwrap());
        self.reconciler.wake(&self.view, &change).iter().map(ToString::to_string).collect()
    }

    /// The keys of a full pass.
    pub(crate) fn all(&self) -> Vec<String> {
        self.reconciler.all(&self.view).iter().map(ToString::to_string).collect()
    }

    /// Plans one key and returns each action as `verb resource/namespace/name subresource`.
    pub(crate) fn run(&mut self, key: &str, now: Timestamp) -> Vec<String> {
        let key = parse_key(key);
        let Some(seen) = self.reconciler.gather(&self.view, &key) else {
            self.memory.remove(&key);
            self.last = None;
            return vec!["forget".into()];
        };
        let memory = self.memory.get(&key).cloned().unwrap_or_default();
        let plan = self.reconciler.plan(&seen, &memory, now);
        assert_eq!(self.reconciler.audit(&seen, &plan), []);
        self.memory.insert(key, plan.memory.clone());
        let said = plan.actions.iter().map(describe).collect();
        self.last = Some(plan);
        said
    }

    pub(crate) fn wake_at(&self) -> Option<Timestamp> {
        self.last.as_ref().and_then(|plan| plan.wake_at)
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        self.last.iter().flat_map(|plan| &plan.notes).map(ToString::to_string).collect()
    }

    /// The status that the last plan writes.
    pub(crate) fn last_status(&self) -> Option<serde_json::Value> {
        self.last.as_ref()?.status.as_ref().map(|write| write.status.clone())
    }

    /// What the last plan's action with this index says when it has succeeded.
    pub(crate) fn last_report(&self, index: usize) -> String {
        let action = &self.last.as_ref().unwrap().actions[index];
        let (Action::Create { report, .. } | Action::Patch { report, .. } | Action::Delete { report, .. }) = action
        else {
            return String::new();
        };
        let Some(report) = report else { return String::new() };
        let (reason, message) = report.success.clone().unwrap_or_default();
        format!("{reason} ({}): {message}", report.action)
    }

    /// The body (or message) of the last plan's action with this index.
    pub(crate) fn last_body(&self, index: usize) -> String {
        match &self.last.as_ref().unwrap().actions[index] {
            Action::Create { body, .. } | Action::Patch { body, .. } => body.to_string(),
            Action::Emit(event) => event.message.clone(),
            Action::Delete { preconditions, grace_period_seconds, .. } => {
                format!("{preconditions:?} {grace_period_seconds:?}")
            }
        }
    }
}

fn parse_key(key: &str) -> Key {
    match key.split_once('/') {
        Some((namespace, name)) => Key::new(namespace, name),
        None => Key::cluster(key),
    }
}

fn describe(action: &Action) -> String {
    let (verb, target) = match action {
        Action::Create { target, .. } => ("create", target),
        Action::Patch { target, .. } => ("patch", target),
        Action::Delete { target, .. } => ("delete", target),
        Action::Emit(event) => return format!("emit {}", event.reason),
    };
    let key = Key::new(&target.namespace, &target.name);
    let subresource = target.subresource.map(|name| format!(" {name}")).unwrap_or_default();
    format!("{verb} {}/{key}{subresource}", target.kind.plural)
}
