//! RBAC: rules from roles and bindings in the store, compiled once per change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use everynode_api::kinds::{CLUSTER_ROLE, CLUSTER_ROLE_BINDING, Kind, ROLE, ROLE_BINDING, find};
use serde::Deserialize;

use super::authorize::Attributes;
use super::{SERVICE_ACCOUNT_PREFIX, User};
use crate::registry::Registry;

/// The compiled policy, made anew when a role or binding has changed.
#[derive(Default)]
pub(crate) struct Rbac {
    compiled: Mutex<(u64, Arc<Policy>)>,
}

/// A namespace (empty: everywhere) and the rules that hold there.
type Grant = (String, Arc<[Rule]>);

/// Who has which rules where.
#[derive(Debug, Default)]
struct Policy {
    grants: HashMap<Subject, Vec<Grant>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
struct Subject {
    kind: Box<str>,
    name: Box<str>,
}

/// One `PolicyRule`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rule {
    pub(crate) verbs: Vec<String>,
    pub(crate) api_groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    pub(crate) non_resource_urls: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Role {
    rules: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binding {
    #[serde(default)]
    subjects: Option<Vec<BoundSubject>>,
    role_ref: RoleRef,
}

#[derive(Deserialize)]
struct RoleRef {
    kind: String,
    name: String,
}

#[derive(Deserialize)]
struct BoundSubject {
    kind: String,
    name: String,
    #[serde(default)]
    namespace: String,
}

impl Rbac {
    pub(crate) fn allows(&self, registry: &Registry, user: &User, attributes: &Attributes) -> bool {
        let policy = self.policy(registry);
        subjects(user).any(|subject| policy.grants.get(&subject).is_some_and(|grants| granted(grants, attributes)))
    }

    /// Every rule that the user has in a namespace (or everywhere).
    pub(crate) fn rules(&self, registry: &Registry, user: &User, namespace: &str) -> Vec<Arc<[Rule]>> {
        let policy = self.policy(registry);
        let grants = subjects(user).filter_map(|subject| policy.grants.get(&subject));
        let here = grants.flatten().filter(|(place, _)| place.is_empty() || place == namespace);
        here.map(|(_, rules)| rules.clone()).collect()
    }

    fn policy(&self, registry: &Registry) -> Arc<Policy> {
        let kinds = [&ROLE, &ROLE_BINDING, &CLUSTER_ROLE, &CLUSTER_ROLE_BINDING];
        // Each kind's version only grows: their sum says whether any of them changed.
        let version: u64 = kinds.iter().map(|kind| topic(registry, kind).map_or(0, |topic| topic.version())).sum();
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if compiled.0 != version {
            *compiled = (version, Arc::new(Policy::compile(registry)));
        }
        compiled.1.clone()
    }
}

fn topic<'a>(registry: &'a Registry, kind: &Kind) -> Option<&'a Arc<crate::hub::Topic>> {
    registry.hub.topic(find(&kind.group, &kind.plural)?.storage)
}

fn subjects(user: &User) -> impl Iterator<Item = Subject> + '_ {
    let of = |kind: &str, name: &str| Subject { kind: kind.into(), name: name.into() };
    let account = user
        .name
        .strip_prefix(SERVICE_ACCOUNT_PREFIX)
        .map(|name| Subject { kind: "ServiceAccount".into(), name: name.into() });
    let groups = user.groups.iter().map(move |group| of("Group", group));
    [Subject { kind: "User".into(), name: user.name.as_str().into() }].into_iter().chain(account).chain(groups)
}

fn granted(grants: &[Grant], attributes: &Attributes) -> bool {
    let here = |place: &str| place.is_empty() || (place == attributes.namespace && !attributes.resource.is_empty());
    grants.iter().any(|(place, rules)| here(place) && rules.iter().any(|rule| rule.allows(attributes)))
}

impl Policy {
    fn compile(registry: &Registry) -> Policy {
        let cluster_roles = roles(registry, &CLUSTER_ROLE);
        let roles = roles(registry, &ROLE);
        let mut policy = Policy::default();
        let mut grant = |binding: Binding, place: &str| {
            let rules = match binding.role_ref.kind.as_str() {
                "ClusterRole" => cluster_roles.get(&(String::new(), binding.role_ref.name)),
                _ => roles.get(&(place.to_owned(), binding.role_ref.name)),
            };
            let Some(rules) = rules else { return };
            for subject in binding.subjects.into_iter().flatten() {
                policy.grants.entry(subject.named(place)).or_default().push((place.to_owned(), rules.clone()));
            }
        };
        for (_, _, binding) in objects::<Binding>(registry, &CLUSTER_ROLE_BINDING) {
            grant(binding, "");
        }
        for (namespace, _, binding) in objects::<Binding>(registry, &ROLE_BINDING) {
            grant(binding, &namespace);
        }
        policy
    }
}

impl BoundSubject {
    fn named(self, place: &str) -> Subject {
        let name = match self.kind.as_str() {
            "ServiceAccount" if self.namespace.is_empty() => format!("{place}:{}", self.name),
            "ServiceAccount" => format!("{}:{}", self.namespace, self.name),
            _ => self.name,
        };
        Subject { kind: self.kind.into(), name: name.into() }
    }
}

type Roles = HashMap<(String, String), Arc<[Rule]>>;

fn roles(registry: &Registry, kind: &Kind) -> Roles {
    let rules = |role: Role| role.rules.unwrap_or_default().into();
    objects::<Role>(registry, kind)
        .into_iter()
        .map(|(namespace, name, role)| ((namespace, name), rules(role)))
        .collect()
}

/// (namespace, name, object) of all objects of a kind; those that cannot be read grant nothing.
fn objects<T: for<'de> Deserialize<'de>>(registry: &Registry, kind: &Kind) -> Vec<(String, String, T)> {
    let items = topic(registry, kind).map(|topic| topic.all()).unwrap_or_default();
    let parse = |item: &Arc<crate::hub::Item>| {
        let (namespace, name) = item.namespace_and_name();
        Some((namespace.to_owned(), name.to_owned(), serde_json::from_slice(&item.kv.value).ok()?))
    };
    items.iter().filter_map(parse).collect()
}

impl Rule {
    fn allows(&self, a: &Attributes) -> bool {
        if !has(&self.verbs, &a.verb) {
            return false;
        }
        if a.resource.is_empty() {
            return self.non_resource_urls.iter().any(|pattern| matches_path(pattern, &a.path));
        }
        let resource = self.resources.iter().any(|pattern| matches_resource(pattern, a));
        let name = self.resource_names.is_empty() || self.resource_names.contains(&a.name);
        has(&self.api_groups, &a.group) && resource && name
    }
}

/// One verb on one resource (or path): what a rule is made of.
pub(crate) enum Single<'a> {
    Resource { verb: &'a str, group: &'a str, resource: &'a str, name: Option<&'a str> },
    Path { verb: &'a str, path: &'a str },
}

impl std::fmt::Display for Single<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Single::Resource { verb, group, resource, name: None } => {
                write!(f, "{{APIGroups:[{group:?}], Resources:[{resource:?}], Verbs:[{verb:?}]}}")
            }
            Single::Resource { verb, group, resource, name: Some(name) } => {
                write!(
                    f,
                    "{{APIGroups:[{group:?}], Resources:[{resource:?}], ResourceNames:[{name:?}], Verbs:[{verb:?}]}}"
                )
            }
            Single::Path { verb, path } => write!(f, "{{NonResourceURLs:[{path:?}], Verbs:[{verb:?}]}}"),
        }
    }
}

impl Rule {
    /// Everything that the rule grants, one by one.
    pub(crate) fn singles(&self) -> Vec<Single<'_>> {
        let names: Vec<Option<&str>> = match self.resource_names.as_slice() {
            [] => vec![None],
            names => names.iter().map(|name| Some(name.as_str())).collect(),
        };
        let mut all = Vec::new();
        for verb in &self.verbs {
            all.extend(self.non_resource_urls.iter().map(|path| Single::Path { verb, path }));
            for (group, resource) in
                self.api_groups.iter().flat_map(|group| self.resources.iter().map(move |r| (group, r)))
            {
                all.extend(names.iter().map(|name| Single::Resource { verb, group, resource, name: *name }));
            }
        }
        all
    }

    /// Whether this rule grants at least the single. A wildcard is covered by a wildcard only.
    pub(crate) fn covers(&self, single: &Single<'_>) -> bool {
        match single {
            Single::Path { verb, path } => {
                has(&self.verbs, verb) && self.non_resource_urls.iter().any(|pattern| matches_path(pattern, path))
            }
            Single::Resource { verb, group, resource, name } => {
                let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
                let asked =
                    Attributes { resource: resource.into(), subresource: subresource.into(), ..Attributes::default() };
                has(&self.verbs, verb)
                    && has(&self.api_groups, group)
                    && self.resources.iter().any(|pattern| matches_resource(pattern, &asked))
                    && (self.resource_names.is_empty()
                        || name.is_some_and(|name| self.resource_names.iter().any(|held| held == name)))
            }
        }
    }
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

/// `pods`, `pods/log`, `*`, `*/scale`
fn matches_resource(pattern: &str, a: &Attributes) -> bool {
    match pattern.split_once('/') {
        _ if pattern == "*" => true,
        None => a.subresource.is_empty() && pattern == a.resource,
        Some((resource, subresource)) => {
            (resource == "*" || resource == a.resource)
                && (subresource == "*" || subresource == a.subresource)
                && !a.subresource.is_empty()
        }
    }
}

fn matches_path(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => pattern == path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Rule {
        let owned = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect();
        Rule { verbs: owned(verbs), api_groups: owned(groups), resources: owned(resources), ..Rule::default() }
    }

    fn asks(verb: &str, group: &str, resource: &str, subresource: &str) -> Attributes {
        let own = str::to_owned;
        Attributes {
            verb: own(verb),
            group: own(group),
            resource: own(resource),
            subresource: own(subresource),
            ..Attributes::default()
        }
    }

    #[test]
    fn rules_match_as_in_kubernetes() {
        let pods = rule(&["get"], &[""], &["pods"]);
        assert!(pods.allows(&asks("get", "", "pods", "")));
        assert!(!pods.allows(&asks("get", "", "pods", "log")) && !pods.allows(&asks("list", "", "pods", "")));
        assert!(rule(&["*"], &["*"], &["*"]).allows(&asks("patch", "apps", "daemonsets", "status")));
        assert!(rule(&["get"], &[""], &["pods/log"]).allows(&asks("get", "", "pods", "log")));
        assert!(matches_path("/healthz/*", "/healthz/ping") && !matches_path("/healthz", "/healthz/ping"));
    }
}
