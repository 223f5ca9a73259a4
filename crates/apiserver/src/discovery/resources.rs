//! The resources of each group and version: the table of kinds, its subresources, and the
//! create-only reviews.

use std::cmp::Ordering;

use everynode_api::kinds::{Kind, Text};

use crate::catalogue::{self, Row, Rows};

const CREATE: &[&str] = &["create"];

/// One group at one version.
#[derive(Debug)]
pub(crate) struct GroupVersion {
    /// Empty for the core group.
    pub(crate) group: Text,
    pub(crate) version: Text,
    /// Sorted by name.
    pub(crate) resources: Vec<Resource>,
}

/// What stands at one path.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    /// `daemonsets`
    pub(crate) plural: Text,
    pub(crate) singular: Text,
    pub(crate) namespaced: bool,
    pub(crate) body: Body,
    pub(crate) verbs: &'static [&'static str],
    pub(crate) short_names: Vec<Text>,
    pub(crate) categories: Vec<Text>,
    /// Not for reviews, which are answered and forgotten.
    pub(crate) stored: bool,
    pub(crate) subresources: Vec<Subresource>,
}

#[derive(Clone, Debug)]
pub(crate) struct Subresource {
    pub(crate) name: &'static str,
    pub(crate) body: Body,
    pub(crate) verbs: &'static [&'static str],
}

/// The kind of a request's and answer's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) group: Text,
    pub(crate) version: Text,
    pub(crate) kind: Text,
}

impl Body {
    pub(crate) fn of(kind: &Kind) -> Body {
        Body { group: kind.group.clone(), version: kind.version.clone(), kind: kind.kind.clone() }
    }

    /// `apps/v1`, or `v1` for the core group.
    pub(crate) fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }
}

fn api_version(group: &str, version: &str) -> String {
    match group {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    }
}

impl GroupVersion {
    /// `/apis/apps/v1`, or `/api/v1` for the core group.
    pub(crate) fn path(&self) -> String {
        match &*self.group {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        }
    }

    pub(crate) fn name(&self) -> String {
        api_version(&self.group, &self.version)
    }
}

/// Everything that is served: the core group first, then by name.
pub(crate) fn group_versions(rows: &Rows) -> Vec<GroupVersion> {
    let mut found: Vec<GroupVersion> = Vec::new();
    let stored = rows.iter().map(|row| (row.kind.clone(), stored(row)));
    for (kind, resource) in stored.chain(reviews()) {
        match found.iter_mut().find(|known| known.group == kind.group && known.version == kind.version) {
            Some(known) => known.resources.push(resource),
            None => found.push(GroupVersion { group: kind.group, version: kind.version, resources: vec![resource] }),
        }
    }
    found.sort_by(|a, b| a.group.cmp(&b.group).then_with(|| by_priority(&a.version, &b.version)));
    for known in &mut found {
        known.resources.sort_by(|a, b| a.plural.cmp(&b.plural));
    }
    found
}

/// Versions in the order in which clients prefer them: stable ones before betas before alphas, the
/// newer one first, and names of another form last, by the alphabet.
pub(crate) fn by_priority(a: &str, b: &str) -> Ordering {
    match (stage_and_numbers(a), stage_and_numbers(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// `v2beta3` is the third state of the second stage of version 2.
fn stage_and_numbers(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let major = rest[..end].parse().ok()?;
    let number = |text: &str| text.parse::<u64>().ok();
    match &rest[end..] {
        "" => Some((2, major, 0)),
        tail => match tail.strip_prefix("beta") {
            Some(minor) => Some((1, major, number(minor)?)),
            None => Some((0, major, number(tail.strip_prefix("alpha")?)?)),
        },
    }
}

fn stored(row: &Row) -> Resource {
    let listed = row.subresources.iter().filter(|known| !known.verbs.is_empty());
    let subresource = |known: &catalogue::Subresource| Subresource {
        name: known.name,
        body: Body::of(known.body.as_ref().unwrap_or(&row.kind)),
        verbs: known.verbs,
    };
    Resource {
        plural: row.kind.plural.clone(),
        singular: row.singular.clone(),
        namespaced: row.kind.namespaced,
        body: Body::of(&row.kind),
        verbs: row.verbs,
        short_names: row.short_names.clone(),
        categories: row.categories.clone(),
        stored: true,
        subresources: listed.map(subresource).collect(),
    }
}

/// Kinds that are only ever created.
fn reviews() -> impl Iterator<Item = (Kind, Resource)> {
    crate::auth::reviews::KINDS.iter().map(|kind| {
        let resource = Resource {
            plural: kind.plural.clone(),
            singular: kind.kind.to_ascii_lowercase().into(),
            namespaced: kind.namespaced,
            body: Body::of(kind),
            verbs: CREATE,
            short_names: Vec::new(),
            categories: Vec::new(),
            stored: false,
            subresources: Vec::new(),
        };
        (kind.clone(), resource)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_version_is_the_first() {
        let mut versions = ["foo10", "v1alpha1", "v11beta2", "v10", "v3beta1", "v2", "foo1", "v12alpha1", "v11beta10"];
        versions.sort_by(|a, b| by_priority(a, b));
        let expected = ["v10", "v2", "v11beta10", "v11beta2", "v3beta1", "v12alpha1", "v1alpha1", "foo1", "foo10"];
        assert_eq!(versions, expected);
    }
}
