//! The documents of discovery, in the old form that every server has: `APIVersions`,
//! `APIGroupList`, `APIResourceList`.

use everynode_api::kinds::Kind;
use serde::Deserialize;

/// The longest name of a kind or resource.
const NAME_BYTES_MAX: usize = 253;
/// What a kind must allow to be followed and collected.
const VERBS: [&str; 3] = ["list", "watch", "delete"];

#[derive(Default, Deserialize)]
#[serde(default)]
struct Versions {
    versions: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Group {
    versions: Vec<Version>,
    preferred_version: Version,
}

#[derive(Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
struct Version {
    group_version: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resources {
    resources: Vec<Resource>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    name: String,
    kind: String,
    namespaced: bool,
    verbs: Vec<String>,
}

type Result<T> = std::result::Result<T, serde_json::Error>;

/// The paths of the core group's versions, from `/api`.
pub(super) fn core(json: &[u8]) -> Result<Vec<String>> {
    let versions: Versions = serde_json::from_slice(json)?;
    Ok(versions.versions.iter().map(|version| format!("/api/{version}")).collect())
}

/// The paths of each group's versions, the preferred one first, from `/apis`.
pub(super) fn groups(json: &[u8]) -> Result<Vec<Vec<String>>> {
    let groups: Groups = serde_json::from_slice(json)?;
    let paths = |group: Group| {
        let preferred = &group.preferred_version;
        let first = group.versions.iter().filter(|version| *version == preferred);
        let rest = group.versions.iter().filter(|version| *version != preferred);
        first.chain(rest).map(|version| format!("/apis/{}", version.group_version)).collect()
    };
    Ok(groups.groups.into_iter().map(paths).collect())
}

/// The kinds of one group's version that can be listed, watched and deleted.
pub(super) fn kinds(path: &str, json: &[u8]) -> Result<Vec<Kind>> {
    let resources: Resources = serde_json::from_slice(json)?;
    let is_fine = |text: &str| !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.contains('/');
    let is_followed = |resource: &Resource| {
        let allows = |verb: &str| resource.verbs.iter().any(|allowed| allowed == verb);
        is_fine(&resource.name) && is_fine(&resource.kind) && VERBS.iter().all(|verb| allows(verb))
    };
    let (group, version) = group_and_version(path);
    let kind = |resource: Resource| Kind {
        group: group.to_owned().into(),
        version: version.to_owned().into(),
        kind: resource.kind.into(),
        plural: resource.name.into(),
        namespaced: resource.namespaced,
    };
    Ok(resources.resources.into_iter().filter(is_followed).map(kind).collect())
}

/// `/apis/apps/v1` or `/api/v1`, taken apart.
fn group_and_version(path: &str) -> (&str, &str) {
    let named = path.strip_prefix("/apis/").and_then(|rest| rest.split_once('/'));
    named.unwrap_or(("", path.trim_start_matches("/api/")))
}

/// The path that tells of a kind.
pub(super) fn path_of(kind: &Kind) -> String {
    match kind.group.as_ref() {
        "" => format!("/api/{}", kind.version),
        group => format!("/apis/{group}/{}", kind.version),
    }
}

#[cfg(test)]
mod tests {
    use everynode_api::kinds::{DAEMON_SET, NODE};

    use super::*;

    #[test]
    fn the_preferred_version_comes_first() {
        let json = br#"{"groups":[{"versions":[{"groupVersion":"a/v2"},{"groupVersion":"a/v1"}],"preferredVersion":{"groupVersion":"a/v1"}}]}"#;
        assert_eq!(groups(json).unwrap(), [["/apis/a/v1", "/apis/a/v2"]]);
        assert_eq!(core(br#"{"versions":["v1"]}"#).unwrap(), ["/api/v1"]);
        assert!(groups(b"<html>").is_err());
    }

    #[test]
    fn kinds_that_cannot_be_followed_are_left_out() {
        let all = r#"["create","delete","get","list","watch"]"#;
        let json = format!(
            r#"{{"resources":[
                {{"name":"daemonsets","kind":"DaemonSet","namespaced":true,"verbs":{all}}},
                {{"name":"daemonsets/status","kind":"DaemonSet","namespaced":true,"verbs":{all}}},
                {{"name":"reviews","kind":"Review","namespaced":true,"verbs":["create"]}},
                {{"name":"","kind":"X","verbs":{all}}}]}}"#
        );
        assert_eq!(kinds("/apis/apps/v1", json.as_bytes()).unwrap(), [DAEMON_SET]);
        let core = format!(r#"{{"resources":[{{"name":"nodes","kind":"Node","namespaced":false,"verbs":{all}}}]}}"#);
        assert_eq!(kinds("/api/v1", core.as_bytes()).unwrap(), [NODE]);
        assert_eq!((path_of(&DAEMON_SET).as_str(), path_of(&NODE).as_str()), ("/apis/apps/v1", "/api/v1"));
    }
}
