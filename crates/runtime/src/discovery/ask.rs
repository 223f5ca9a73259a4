//! One round of discovery: every group and version is asked, each may fail by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use everynode_api::kinds::Kind;
use everynode_api::ports::{Api, Request};

use super::document;
use crate::clock::Env;

/// One document may take so long: a broken aggregated API must not hold up what is known of the
/// others.
const DOCUMENT_TIMEOUT: Duration = Duration::from_secs(10);
const CORE: &str = "/api";
const NAMED: &str = "/apis";

/// What one round found.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub kinds: BTreeSet<Kind>,
    /// Paths that could not be read, and why.
    pub failed: BTreeMap<String, String>,
}

impl Found {
    /// Whether this round can not tell if the kind is served.
    pub fn is_silent_about(&self, kind: &Kind) -> bool {
        let root = if kind.group.is_empty() { CORE } else { NAMED };
        self.failed.contains_key(root) || self.failed.contains_key(&document::path_of(kind))
    }
}

pub(super) async fn ask(api: &dyn Api, env: &Env) -> Found {
    let mut found = Found::default();
    let mut groups: Vec<Vec<String>> = Vec::new();
    match read(api, env, CORE, document::core).await {
        Ok(versions) => groups.push(versions),
        Err(why) => drop(found.failed.insert(CORE.into(), why)),
    }
    match read(api, env, NAMED, document::groups).await {
        Ok(named) => groups.extend(named),
        Err(why) => drop(found.failed.insert(NAMED.into(), why)),
    }
    for versions in groups {
        ask_group(api, env, versions, &mut found).await;
    }
    found
}

/// A resource is followed at one version, the first that has it. After a failure the group's other
/// versions are not asked: what they have may be had at the one that failed.
async fn ask_group(api: &dyn Api, env: &Env, versions: Vec<String>, found: &mut Found) {
    let mut plurals = BTreeSet::new();
    let mut failure: Option<String> = None;
    for path in versions {
        let kinds = match &failure {
            None => read(api, env, &path, |json| document::kinds(&path, json)).await,
            Some(why) => Err(format!("not asked: {why}")),
        };
        match kinds {
            Ok(kinds) => {
                let new = kinds.into_iter().filter(|kind| plurals.insert(kind.plural.clone()));
                found.kinds.extend(new);
            }
            Err(why) => {
                failure.get_or_insert_with(|| why.clone());
                found.failed.insert(path, why);
            }
        }
    }
}

async fn read<T>(
    api: &dyn Api,
    env: &Env,
    path: &str,
    parse: impl FnOnce(&[u8]) -> Result<T, serde_json::Error>,
) -> Result<T, String> {
    let body: Bytes = tokio::select! {
        biased;
        answer = api.call(Request::Raw { path: path.into() }) => answer.map_err(|error| error.to_string())?,
        () = env.sleep(DOCUMENT_TIMEOUT) => return Err(format!("no answer within {} s", DOCUMENT_TIMEOUT.as_secs())),
    };
    parse(&body).map_err(|error| error.to_string())
}
