//! The resources of each group and version: the table of kinds, its subresources, and the create-only reviews.

use everynode_api::kinds::{KINDS, KindInfo};

/// All verbs of an ordinary kind.
const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// Those of namespaces, which are not deleted as a collection.
const NAMESPACE_VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
const CREATE: &[&str] = &["create"];
const PARTIAL: &[&str] = &["get", "patch", "update"];
const CONNECT: &[&str] = &["create", "get"];

/// One group at one version.
#[derive(Debug)]
pub(crate) struct GroupVersion {
    /// Empty for the core group.
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    /// Sorted by name.
    pub(crate) resources: Vec<Resource>,
}

/// What stands at one path.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    /// `daemonsets`
    pub(crate) plural: &'static str,
    pub(crate) singular: String,
    pub(crate) namespaced: bool,
    pub(crate) body: Body,
    pub(crate) verbs: &'static [&'static str],
    pub(crate) short_names: &'static [&'static str],
    pub(crate) categories: &'static [&'static str],
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
}

impl Body {
    /// `apps/v1`, or `v1` for the core group.
    pub(crate) fn api_version(self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }
}

impl GroupVersion {
    /// `/apis/apps/v1`, or `/api/v1` for the core group.
    pub(crate) fn path(&self) -> String {
        match self.group {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        }
    }

    pub(crate) fn name(&self) -> String {
        Body { group: self.group, version: self.version, kind: "" }.api_version()
    }
}

/// Everything that is served: the core group first, then by name.
pub(crate) fn group_versions() -> Vec<GroupVersion> {
    let mut found: Vec<GroupVersion> = Vec::new();
    let stored = KINDS.iter().filter_map(stored);
    for (group, version, resource) in stored.chain(reviews()) {
        match found.iter_mut().find(|known| (known.group, known.version) == (group, version)) {
            Some(known) => known.resources.push(resource),
            None => found.push(GroupVersion { group, version, resources: vec![resource] }),
        }
    }
    found.sort_by_key(|known| known.group);
    for known in &mut found {
        known.resources.sort_by_key(|resource| resource.plural);
    }
    found
}

type Placed = (&'static str, &'static str, Resource);

/// The row of a built-in kind, whose strings are all static.
fn stored(info: &'static KindInfo) -> Option<Placed> {
    use std::borrow::Cow::Borrowed;
    let kind = &info.kind;
    let (Borrowed(group), Borrowed(version), Borrowed(plural), Borrowed(name)) =
        (&kind.group, &kind.version, &kind.plural, &kind.kind)
    else {
        return None;
    };
    let body = Body { group, version, kind: name };
    let resource = Resource {
        plural,
        singular: name.to_ascii_lowercase(),
        namespaced: kind.namespaced,
        body,
        verbs: if *plural == "namespaces" { NAMESPACE_VERBS } else { VERBS },
        short_names: info.short_names,
        categories: info.categories,
        stored: true,
        subresources: info.subresources.iter().filter_map(|name| subresource(name, body)).collect(),
    };
    Some((group, version, resource))
}

/// What is behind a subresource; `None` for those that are not served.
fn subresource(name: &'static str, owner: Body) -> Option<Subresource> {
    let core = |kind| Body { group: "", version: "v1", kind };
    let (body, verbs) = match name {
        "status" | "ephemeralcontainers" | "resize" => (owner, PARTIAL),
        "finalize" => (owner, &["update"] as &[&str]),
        "log" => (owner, &["get"] as &[&str]),
        "exec" => (core("PodExecOptions"), CONNECT),
        "attach" => (core("PodAttachOptions"), CONNECT),
        "portforward" => (core("PodPortForwardOptions"), CONNECT),
        "binding" => (core("Binding"), CREATE),
        "eviction" => (Body { group: "policy", version: "v1", kind: "Eviction" }, CREATE),
        "token" => (Body { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" }, CREATE),
        _ => return None,
    };
    Some(Subresource { name, body, verbs })
}

/// Kinds that are only ever created.
fn reviews() -> impl Iterator<Item = Placed> {
    crate::auth::reviews::KINDS.iter().map(|kind| {
        let group = kind.group.as_ref();
        let resource = Resource {
            plural: kind.plural.as_ref(),
            singular: kind.kind.to_ascii_lowercase(),
            namespaced: kind.namespaced,
            body: Body { group, version: "v1", kind: kind.kind.as_ref() },
            verbs: CREATE,
            short_names: &[],
            categories: &[],
            stored: false,
            subresources: Vec::new(),
        };
        (group, "v1", resource)
    })
}
