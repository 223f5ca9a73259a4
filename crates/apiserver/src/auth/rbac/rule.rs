//! One rule of a role, and what it allows: exactly Kubernetes' matching, nothing that only looks
//! like a pattern.

use serde::Deserialize;

use super::super::authorize::Attributes;

/// One `PolicyRule`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rule {
    pub(crate) verbs: Vec<String>,
    pub(crate) api_groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    pub(crate) non_resource_urls: Vec<String>,
}

impl Rule {
    /// Whether the rule, taken alone, allows this.
    pub(crate) fn allows(&self, a: &Attributes) -> bool {
        match a.resource.is_empty() {
            true => has(&self.verbs, &a.verb) && self.non_resource_urls.iter().any(|held| matches_path(held, &a.path)),
            false => {
                self.allows_apart_from_resource(a)
                    && self.resources.iter().any(|held| matches_resource(held, &a.resource, &a.subresource))
            }
        }
    }

    /// Verb, group and name; the resource was looked at already.
    pub(super) fn allows_apart_from_resource(&self, a: &Attributes) -> bool {
        let named = self.resource_names.is_empty() || self.resource_names.iter().any(|held| held == a.requested_name());
        has(&self.verbs, &a.verb) && has(&self.api_groups, &a.group) && named
    }
}

/// One verb on one resource (or path): what a rule is made of.
pub(crate) enum Single<'a> {
    Resource { verb: &'a str, group: &'a str, resource: &'a str, name: Option<&'a str> },
    Path { verb: &'a str, path: &'a str },
}

impl<'a> Single<'a> {
    pub(crate) fn verb(&self) -> &'a str {
        match self {
            Single::Resource { verb, .. } | Single::Path { verb, .. } => verb,
        }
    }
}

/// What it is about, without the verb.
impl std::fmt::Display for Single<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Single::Resource { group, resource, name: None, .. } => {
                write!(f, "APIGroups:[{group:?}], Resources:[{resource:?}]")
            }
            Single::Resource { group, resource, name: Some(name), .. } => {
                write!(f, "APIGroups:[{group:?}], Resources:[{resource:?}], ResourceNames:[{name:?}]")
            }
            Single::Path { path, .. } => write!(f, "NonResourceURLs:[{path:?}]"),
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
                has(&self.verbs, verb)
                    && has(&self.api_groups, group)
                    && self.resources.iter().any(|pattern| matches_resource(pattern, resource, subresource))
                    && (self.resource_names.is_empty()
                        || name.is_some_and(|name| self.resource_names.iter().any(|held| held == name)))
            }
        }
    }
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

/// `pods`, `pods/log`, `*`, `*/scale`: only these two are wildcards. `pods/*` is the subresource of
/// that name.
fn matches_resource(held: &str, resource: &str, subresource: &str) -> bool {
    let exact = match (held.strip_prefix(resource), subresource) {
        (Some(rest), "") => rest.is_empty(),
        (Some(rest), subresource) => rest.strip_prefix('/') == Some(subresource),
        (None, _) => false,
    };
    let of_all = !subresource.is_empty() && held.strip_prefix("*/") == Some(subresource);
    held == "*" || exact || of_all
}

/// `/healthz`, `/healthz/*`, `*`: stars at the end stand for any rest.
fn matches_path(held: &str, path: &str) -> bool {
    held == path || (held.ends_with('*') && path.starts_with(held.trim_end_matches('*')))
}
