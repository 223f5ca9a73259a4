//! Aggregation: a ClusterRole with an `aggregationRule` has the rules of all ClusterRoles that its
//! selectors choose.
//!
//! So `view`, `edit` and `admin` grow with what is installed, by labels such as
//! `rbac.authorization.k8s.io/aggregate-to-view: "true"`.

use std::sync::Arc;

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::ports::PatchType;
use everynode_api::reconcile::{Action, Plan, Reconciler};
use everynode_api::selector::{LabelSelector, Selector};
use everynode_api::view::{Change, Object, View};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::common::{target, unchanged};

/// One key per aggregated role.
#[derive(Clone, Debug)]
pub struct ClusterRoles;

/// An aggregated role, and the others that it is made of, in the order of their names.
#[derive(Debug)]
pub struct ClusterRoleInput {
    role: Arc<Object>,
    chosen: Vec<Arc<Object>>,
}

/// This controller never waits.
#[derive(Clone, Debug, PartialEq)]
pub enum ClusterRoleNote {}

impl std::fmt::Display for ClusterRoleNote {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {}
    }
}

impl Reconciler for ClusterRoles {
    type Input = ClusterRoleInput;
    type Memory = ();
    type Note = ClusterRoleNote;

    fn name(&self) -> &'static str {
        "clusterrole-aggregation-controller"
    }

    fn watches(&self) -> Vec<Kind> {
        vec![kinds::CLUSTER_ROLE]
    }

    /// Any role may be part of any other, before the change or after it.
    fn wake(&self, view: &View, change: &Change) -> Vec<Key> {
        if change.kind == kinds::CLUSTER_ROLE { self.all(view) } else { Vec::new() }
    }

    fn all(&self, view: &View) -> Vec<Key> {
        view.objects(&kinds::CLUSTER_ROLE).filter(|role| is_aggregated(role)).map(|role| role.meta.key()).collect()
    }

    fn gather(&self, view: &View, key: &Key) -> Option<ClusterRoleInput> {
        let role = view.object(&kinds::CLUSTER_ROLE, key).filter(|role| is_aggregated(role))?.clone();
        let selectors = selectors(&role);
        let chosen = |other: &&Arc<Object>| {
            other.meta.name != role.meta.name && selectors.iter().any(|selector| chooses(selector, other))
        };
        let mut chosen: Vec<Arc<Object>> = view.objects(&kinds::CLUSTER_ROLE).filter(chosen).cloned().collect();
        chosen.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
        Some(ClusterRoleInput { role, chosen })
    }

    fn plan(&self, seen: &ClusterRoleInput, _memory: &(), _now: Timestamp) -> Plan<ClusterRoleNote, ()> {
        let mut wanted: Vec<&Value> = Vec::new();
        for rule in seen.chosen.iter().flat_map(|role| rules(role)) {
            if !wanted.contains(&rule) {
                wanted.push(rule);
            }
        }
        if seen.role.meta.is_terminating() || wanted.iter().copied().eq(rules(&seen.role)) {
            return Plan::default();
        }
        let patch = Action::Patch {
            target: target(&kinds::CLUSTER_ROLE, &seen.role.meta),
            patch: PatchType::Merge,
            body: json!({ "rules": wanted }),
            preconditions: unchanged(&seen.role.meta),
            report: None,
        };
        Plan { actions: vec![patch], ..Plan::default() }
    }
}

fn is_aggregated(role: &Object) -> bool {
    !role.at(&["aggregationRule"]).is_null()
}

fn rules(role: &Object) -> impl Iterator<Item = &Value> {
    role.at(&["rules"]).as_array().into_iter().flatten()
}

/// A selector that cannot be read chooses nothing.
fn selectors(role: &Object) -> Vec<Selector> {
    let given = role.at(&["aggregationRule", "clusterRoleSelectors"]).as_array();
    let parse = |selector: &Value| {
        let selector: LabelSelector = serde_json::from_value(selector.clone()).ok()?;
        selector.to_selector().ok()
    };
    given.into_iter().flatten().filter_map(parse).collect()
}

fn chooses(selector: &Selector, role: &Object) -> bool {
    let labels = role.at(&["metadata", "labels"]);
    selector.matches(|key| labels[key].as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{TestBed, at};

    fn role(name: &str, label: &str, verbs: &[&str], aggregates: Option<&str>) -> String {
        let rules: Vec<Value> =
            verbs.iter().map(|verb| json!({"apiGroups": [""], "resources": ["pods"], "verbs": [verb]})).collect();
        let labels = if label.is_empty() { json!({}) } else { json!({label: "true"}) };
        let mut role = json!({"metadata": {"name": name, "labels": labels}, "rules": rules});
        if let Some(label) = aggregates {
            role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
        }
        role.to_string()
    }

    #[test]
    fn a_role_has_the_rules_of_those_that_it_chooses() {
        let mut bed = TestBed::new(ClusterRoles);
        let mut put = |text: String| bed.put(&kinds::CLUSTER_ROLE, &text);
        put(role("view", "to-edit", &[], Some("to-view")));
        put(role("b", "to-view", &["list", "get"], None));
        put(role("a", "to-view", &["get"], None));
        put(role("other", "", &["delete"], None));
        assert_eq!(bed.run("view", at(0)), ["patch clusterroles/view"]);
        // As it then is: in the order of the names, each rule once.
        bed.put(&kinds::CLUSTER_ROLE, &role("view", "to-edit", &["get", "list"], Some("to-view")));
        assert!(bed.run("view", at(0)).is_empty());
        bed.put(&kinds::CLUSTER_ROLE, &role("a", "", &["get"], None));
        assert_eq!(bed.run("view", at(0)), ["patch clusterroles/view"]);
        assert_eq!(bed.run("other", at(0)), ["forget"]);
    }
}
