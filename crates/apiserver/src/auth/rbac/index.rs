//! RBAC's prepared form: which subject has which roles where, and each role by the resources that
//! it names.
//!
//! Made when a role or binding has changed. A request then looks up its user and groups, its
//! namespace and its resource, however many bindings there are.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::User;
use super::super::authorize::Attributes;
use super::rule::Rule;

/// A role's rules, by what they name.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    rules: Arc<[Rule]>,
    /// Indices of `rules` by resource as it is written: `pods`, `pods/log`, `*`, `*/scale`.
    by_resource: HashMap<Box<str>, Vec<u32>>,
    /// Those with `nonResourceURLs`.
    of_paths: Vec<u32>,
}

impl Prepared {
    pub(super) fn new(rules: Vec<Rule>) -> Prepared {
        let mut prepared = Prepared { rules: rules.into(), ..Prepared::default() };
        for (index, rule) in (0..).zip(prepared.rules.iter()) {
            for resource in &rule.resources {
                let held: &mut Vec<u32> = prepared.by_resource.entry(resource.as_str().into()).or_default();
                if held.last() != Some(&index) {
                    held.push(index);
                }
            }
            if !rule.non_resource_urls.is_empty() {
                prepared.of_paths.push(index);
            }
        }
        prepared
    }

    /// Whether any of the rules allows this.
    pub(super) fn allows(&self, asked: &Asked<'_>) -> bool {
        let rule = |index: &u32| self.rules.get(*index as usize);
        let Some(names) = &asked.names else {
            return self.of_paths.iter().filter_map(rule).any(|rule| rule.allows(asked.attributes));
        };
        let named = names.iter().filter_map(|name| self.by_resource.get(name.as_str())).flatten();
        named.filter_map(rule).any(|rule| rule.allows_apart_from_resource(asked.attributes))
    }
}

/// A question with the spellings under which rules may name its resource.
pub(super) struct Asked<'a> {
    attributes: &'a Attributes,
    /// `None`: it is about a path.
    names: Option<Vec<String>>,
}

impl<'a> Asked<'a> {
    pub(super) fn new(attributes: &'a Attributes) -> Asked<'a> {
        let Attributes { resource, subresource, .. } = attributes;
        let names = match (resource.is_empty(), subresource.is_empty()) {
            (true, _) => None,
            (false, true) => Some(vec!["*".to_owned(), resource.clone()]),
            (false, false) => {
                Some(vec!["*".to_owned(), format!("{resource}/{subresource}"), format!("*/{subresource}")])
            }
        };
        Asked { attributes, names }
    }
}

/// The roles of one subject: those that hold everywhere under the empty namespace.
type Places = HashMap<Box<str>, Vec<Arc<Prepared>>>;

/// Which subject has which roles where. Service accounts are users here, by the name that they have
/// as such.
#[derive(Debug, Default)]
pub(super) struct Policy {
    users: HashMap<Box<str>, Places>,
    groups: HashMap<Box<str>, Places>,
}

/// To whom a role is bound.
pub(super) enum Subject {
    User(String),
    Group(String),
}

impl Policy {
    /// Gives a role to a subject in a namespace, or everywhere (empty).
    pub(super) fn grant(&mut self, subject: Subject, place: &str, role: Arc<Prepared>) {
        let places = match subject {
            Subject::User(name) => self.users.entry(name.into()).or_default(),
            Subject::Group(name) => self.groups.entry(name.into()).or_default(),
        };
        let held: &mut Vec<Arc<Prepared>> = places.entry(place.into()).or_default();
        if !held.iter().any(|other| Arc::ptr_eq(other, &role)) {
            held.push(role);
        }
    }

    pub(super) fn allows(&self, user: &User, attributes: &Attributes) -> bool {
        let asked = Asked::new(attributes);
        // Paths lie in no namespace.
        let place = if asked.names.is_some() { attributes.namespace.as_str() } else { "" };
        self.roles(user, place).any(|role| role.allows(&asked))
    }

    /// Every rule that the user has in a namespace (or everywhere).
    pub(super) fn rules(&self, user: &User, namespace: &str) -> Vec<Arc<[Rule]>> {
        self.roles(user, namespace).map(|role| role.rules.clone()).collect()
    }

    fn roles(&self, user: &User, namespace: &str) -> impl Iterator<Item = &Prepared> {
        let own = self.users.get(user.name.as_str());
        let groups = user.groups.iter().filter_map(|group| self.groups.get(group.as_str()));
        let mut here = vec![""];
        here.extend(Some(namespace).filter(|namespace| !namespace.is_empty()));
        let held = own.into_iter().chain(groups);
        held.flat_map(move |places| here.clone().into_iter().filter_map(|place| places.get(place)))
            .flatten()
            .map(AsRef::as_ref)
    }
}
