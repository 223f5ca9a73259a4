//! RBAC: rules from roles and bindings in the store, prepared when one of them changes.

mod index;
mod rule;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::authorize::Attributes;
use super::{SERVICE_ACCOUNT_PREFIX, User};
use crate::catalogue::{Row, built_in};
use crate::registry::Registry;
use index::{Policy, Prepared, Subject};
pub(crate) use rule::{Rule, Single};

/// The group that roles, users and groups belong to.
const API_GROUP: &str = "rbac.authorization.k8s.io";

/// The policy that the stored roles and bindings make.
#[derive(Default)]
pub(crate) struct Rbac {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Of which versions of roles and bindings the policy was made.
    version: u64,
    policy: Arc<Policy>,
    /// What was read of each object, so that a change costs what changed.
    roles: Objects<Prepared>,
    cluster_roles: Objects<Prepared>,
    bindings: Objects<Binding>,
    cluster_bindings: Objects<Binding>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Role {
    rules: Option<Vec<Rule>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binding {
    #[serde(default)]
    subjects: Option<Vec<BoundSubject>>,
    role_ref: RoleRef,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RoleRef {
    api_group: String,
    kind: String,
    name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BoundSubject {
    api_group: String,
    kind: String,
    name: String,
    namespace: String,
}

impl Rbac {
    pub(crate) fn allows(&self, registry: &Registry, user: &User, attributes: &Attributes) -> bool {
        self.policy(registry).allows(user, attributes)
    }

    /// Every rule that the user has in a namespace (or everywhere).
    pub(crate) fn rules(&self, registry: &Registry, user: &User, namespace: &str) -> Vec<Arc<[Rule]>> {
        self.policy(registry).rules(user, namespace)
    }

    fn policy(&self, registry: &Registry) -> Arc<Policy> {
        let kinds =
            [&built_in::ROLE, &built_in::ROLE_BINDING, &built_in::CLUSTER_ROLE, &built_in::CLUSTER_ROLE_BINDING];
        // Each kind's version only grows: their sum says whether any of them changed.
        let version: u64 = kinds.iter().map(|kind| topic(registry, kind).map_or(0, |topic| topic.version())).sum();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.version != version {
            state.read(registry);
            (state.version, state.policy) = (version, Arc::new(state.prepare()));
        }
        state.policy.clone()
    }
}

fn topic(registry: &Registry, kind: &Row) -> Option<Arc<crate::hub::Topic>> {
    registry.hub.topic(&kind.storage)
}

/// Namespace and name.
type ObjectName = (Box<str>, Box<str>);

/// Objects of one kind, with the revision that they were read at.
struct Objects<T>(HashMap<ObjectName, (u64, Arc<T>)>);

impl<T> Default for Objects<T> {
    fn default() -> Objects<T> {
        Objects(HashMap::new())
    }
}

impl<T> Objects<T> {
    fn get(&self, namespace: &str, name: &str) -> Option<&Arc<T>> {
        self.0.get(&(namespace.into(), name.into())).map(|(_, object)| object)
    }

    /// Reads what has changed. What cannot be read grants nothing.
    fn refresh<S: DeserializeOwned>(&mut self, registry: &Registry, kind: &Row, of: impl Fn(S) -> T) {
        let mut before = std::mem::take(&mut self.0);
        for item in topic(registry, kind).map(|topic| topic.all()).unwrap_or_default() {
            let (namespace, name) = item.namespace_and_name();
            let (key, revision) = ((namespace.into(), name.into()), item.kv.modified.0);
            let object = match before.remove(&key) {
                Some((held, object)) if held == revision => Some(object),
                _ => serde_json::from_slice(&item.kv.value).ok().map(|read| Arc::new(of(read))),
            };
            if let Some(object) = object {
                self.0.insert(key, (revision, object));
            }
        }
    }
}

impl State {
    fn read(&mut self, registry: &Registry) {
        let prepared = |role: Role| Prepared::new(role.rules.unwrap_or_default());
        self.roles.refresh(registry, &built_in::ROLE, prepared);
        self.cluster_roles.refresh(registry, &built_in::CLUSTER_ROLE, prepared);
        self.bindings.refresh(registry, &built_in::ROLE_BINDING, |binding| binding);
        self.cluster_bindings.refresh(registry, &built_in::CLUSTER_ROLE_BINDING, |binding| binding);
    }

    fn prepare(&self) -> Policy {
        let everywhere = self.cluster_bindings.0.values().map(|(_, binding)| ("", binding));
        let placed = self.bindings.0.iter().map(|((namespace, _), (_, binding))| (namespace.as_ref(), binding));
        let mut policy = Policy::default();
        for (place, binding) in everywhere.chain(placed) {
            let Some(role) = self.role(&binding.role_ref, place) else { continue };
            for subject in binding.subjects.iter().flatten().filter_map(|subject| subject.named(place)) {
                policy.grant(subject, place, role.clone());
            }
        }
        policy
    }

    /// A role of the binding's own namespace, or a cluster's.
    fn role(&self, wanted: &RoleRef, place: &str) -> Option<&Arc<Prepared>> {
        match (wanted.api_group.as_str(), wanted.kind.as_str()) {
            (API_GROUP | "", "ClusterRole") => self.cluster_roles.get("", &wanted.name),
            (API_GROUP | "", "Role") if !place.is_empty() => self.roles.get(place, &wanted.name),
            _ => None,
        }
    }
}

impl BoundSubject {
    /// The subject that is meant; none, if it is of no known kind and group.
    fn named(&self, place: &str) -> Option<Subject> {
        let name = self.name.clone();
        match (self.kind.as_str(), self.api_group.as_str()) {
            ("User", API_GROUP | "") => Some(Subject::User(name)),
            ("Group", API_GROUP | "") => Some(Subject::Group(name)),
            ("ServiceAccount", "") => {
                let namespace = if self.namespace.is_empty() { place } else { &self.namespace };
                (!namespace.is_empty()).then(|| Subject::User(format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}")))
            }
            _ => None,
        }
    }
}
