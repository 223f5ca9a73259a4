//! No user can grant rights that it does not have: roles and bindings are compared with the
//! writer's own rules, unless the writer may `escalate` (roles) or `bind` (bindings), as in
//! Kubernetes.

use std::collections::BTreeMap;

use everynode_api::kinds::ROLE;
use everynode_api::status::Status;
use serde_json::{Value, json};

use super::authorize::{Attributes, allowed};
use super::rbac::{Rule, Single};
use super::{MASTERS, User};
use crate::catalogue::built_in;
use crate::object::text;
use crate::registry::{Registry, Target};

/// Checks a role that is about to be written.
pub(crate) fn check_role(
    registry: &Registry,
    user: &User,
    target: &Target,
    value: &Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    if user.is_in(MASTERS) || unchanged(&["rules", "aggregationRule"], value, old) {
        return Ok(());
    }
    let name = crate::object::meta(value, "name");
    let kind = &target.info.kind;
    if may(registry, user, "escalate", &kind.plural, &target.namespace, name) {
        return Ok(());
    }
    // It gathers whatever others write, and rights that are taken away come back.
    let aggregated = |role: &Value| !role["aggregationRule"].is_null();
    if (aggregated(value) || old.is_some_and(aggregated)) && covered(registry, user, target, &everything()).is_err() {
        let text = "must have cluster-admin privileges to use the aggregationRule";
        return Err(Status::forbidden(kind, name, text));
    }
    covered(registry, user, target, &value["rules"])
}

/// Checks a binding that is about to be written.
pub(crate) fn check_binding(
    registry: &Registry,
    user: &User,
    target: &Target,
    value: &Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    if user.is_in(MASTERS) || unchanged(&["subjects", "roleRef"], value, old) {
        return Ok(());
    }
    binding(registry, user, target, value)
}

fn unchanged(members: &[&str], value: &Value, old: Option<&Value>) -> bool {
    old.is_some_and(|old| members.iter().all(|name| old[*name] == value[*name]))
}

fn everything() -> Value {
    json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]}])
}

fn binding(registry: &Registry, user: &User, target: &Target, value: &Value) -> Result<(), Status> {
    let name = text(value, &["roleRef", "name"]);
    let (row, namespace) = match text(value, &["roleRef", "kind"]) {
        "ClusterRole" => (&built_in::CLUSTER_ROLE, ""),
        _ => (&built_in::ROLE, target.namespace.as_str()),
    };
    if may(registry, user, "bind", &row.kind.plural, &target.namespace, name) {
        return Ok(());
    }
    let role = Target::of(row, namespace, name);
    let role = registry.current_value(&role);
    // As in Kubernetes, it is the binding that is said not to be found.
    let (_, role) = role.map_err(|status| match status.is_not_found() {
        true => Status::not_found(&target.info.kind, name),
        false => status,
    })?;
    covered(registry, user, target, &role["rules"])
}

fn may(registry: &Registry, user: &User, verb: &str, resource: &str, namespace: &str, name: &str) -> bool {
    let own = str::to_owned;
    let attributes = Attributes {
        verb: own(verb),
        resource: own(resource),
        group: ROLE.group.to_string(),
        namespace: own(namespace),
        name: own(name),
        ..Attributes::default()
    };
    allowed(registry, user, &attributes)
}

/// What is not held, with all verbs of a resource (or path) in one, sorted as Kubernetes sorts it.
fn compact<'a>(missing: impl Iterator<Item = Single<'a>>) -> Vec<String> {
    let mut verbs: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for single in missing {
        let held = verbs.entry(single.to_string()).or_default();
        if !held.contains(&single.verb()) {
            held.push(single.verb());
        }
    }
    let quoted = |verbs: Vec<&str>| verbs.into_iter().map(|verb| format!("{verb:?}")).collect::<Vec<_>>().join(" ");
    verbs.into_iter().map(|(what, verbs)| format!("{{{what}, Verbs:[{}]}}", quoted(verbs))).collect()
}

fn covered(registry: &Registry, user: &User, target: &Target, rules: &Value) -> Result<(), Status> {
    let wanted: Vec<Rule> = serde_json::from_value(rules.clone()).unwrap_or_default();
    let held = registry.rbac.rules(registry, user, &target.namespace);
    let has = |single: &Single<'_>| held.iter().flat_map(|rules| rules.iter()).any(|rule| rule.covers(single));
    let missing = wanted.iter().flat_map(Rule::singles).filter(|single| !has(single));
    let missing = compact(missing);
    if missing.is_empty() {
        return Ok(());
    }
    let text = format!(
        "user {:?} (groups={:?}) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        user.groups,
        missing.join("\n")
    );
    Err(Status::forbidden(&target.info.kind, &target.name, &text))
}
