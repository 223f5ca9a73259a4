//! One set: its revisions, and which pods are of the newest.

use serde_json::Value;

use super::FinalState;
use crate::user::HASH;
use crate::value::{array, name, owner, text};

const GENERATION_LABEL: &str = "pod-template-generation";
const GENERATION: &str = "deprecated.daemonset.template.generation";

impl FinalState {
    pub(super) fn own_revisions<'a>(&'a self, set: &'a Value) -> impl Iterator<Item = &'a Value> {
        self.revisions.iter().filter(|revision| owner(revision) == Some(&set["metadata"]["uid"]))
    }

    /// The revision that records the set's template. It is the set's own, or one without an owner,
    /// whose name the set's own would have (DS-D51).
    pub(super) fn newest_revision(&self, set: &Value) -> Option<&Value> {
        let template = &set["spec"]["template"]["spec"];
        let records = |revision: &&Value| same_template(&revision["data"]["spec"]["template"]["spec"], template);
        let own = self.own_revisions(set).filter(records).max_by_key(|revision| revision["revision"].as_i64());
        let prefix = format!("{}-", name(set));
        let mut foreign = self.revisions.iter().filter(|one| owner(one).is_none() && name(one).starts_with(&prefix));
        own.map(name)
            .and_then(|own| self.revisions.iter().find(|one| name(one) == own))
            .or_else(|| foreign.rfind(records))
    }

    /// By its label, and by what it really runs.
    pub(super) fn is_newest(&self, set: &Value, pod: &Value) -> bool {
        let Some(newest) = self.newest_revision(set) else { return false };
        let labels = &pod["metadata"]["labels"];
        let labelled = labels[HASH] == newest["metadata"]["labels"][HASH];
        if self.strict {
            // The original trusts labels, and the generation as well (DS-K08, DS-K28).
            return labelled || labels[GENERATION_LABEL] == set["metadata"]["annotations"][GENERATION];
        }
        labelled && same_pod(&pod["spec"], &set["spec"]["template"]["spec"])
    }

    pub(super) fn history_is_well(&self, set: &Value, pods: &[&Value]) -> Vec<String> {
        let mut found = Vec::new();
        let template = &set["spec"]["template"]["spec"];
        let records = |revision: &&Value| same_template(&revision["data"]["spec"]["template"]["spec"], template);
        let current: Vec<&Value> = self.own_revisions(set).filter(records).collect();
        let highest = self.own_revisions(set).map(|revision| revision["revision"].as_i64()).max().flatten();
        match current[..] {
            // DS-D51: one of another owner serves.
            [] if self.newest_revision(set).is_some() => {}
            [] => found.push(format!("no revision records the template of set {}", name(set))),
            [newest] => {
                // DS-D49
                let same = |one: &&Value| one["revision"].as_i64() == highest;
                if newest["revision"].as_i64() != highest || self.own_revisions(set).filter(same).count() > 1 {
                    found.push(format!("revision {} is the newest, but not the highest", name(newest)));
                }
            }
            // DS-D50
            _ => {
                let names: Vec<&str> = current.iter().map(|revision| name(revision)).collect();
                found.push(format!("set {} has its template in {}", name(set), names.join(" and ")));
            }
        }
        found.extend(self.history_is_short(set, pods));
        found
    }

    /// DS-D52: what no pod needs is kept up to the limit. A pod needs one revision with its label.
    fn history_is_short(&self, set: &Value, pods: &[&Value]) -> Option<String> {
        let hash = |object: &Value| object["metadata"]["labels"][HASH].clone();
        let used = |revision: &Value| pods.iter().any(|pod| hash(pod) == hash(revision));
        let newest = self.newest_revision(set);
        let old = || self.own_revisions(set).filter(|revision| Some(name(revision)) != newest.map(name));
        let doubled = |revision: &Value| {
            let mut others = old().chain(newest).filter(|other| name(other) != name(revision));
            !self.strict && others.any(|other| hash(other) == hash(revision))
        };
        let idle = old().filter(|revision| !used(revision) || doubled(revision)).count();
        let limit = set["spec"]["revisionHistoryLimit"].as_u64().unwrap_or(10) as usize;
        (old().count() > limit && idle > 0).then(|| {
            format!("set {} keeps {} old revisions, {idle} of them unused, limit {limit}", name(set), old().count())
        })
    }
}

/// What users change in templates.
fn same_template(one: &Value, other: &Value) -> bool {
    same_pod(one, other) && one["tolerations"] == other["tolerations"]
}

/// The same in a pod, whose tolerations are more.
fn same_pod(pod: &Value, template: &Value) -> bool {
    let has = |toleration: &Value| array(&pod["tolerations"]).any(|one| one == toleration);
    text(&pod["containers"][0]["image"]) == text(&template["containers"][0]["image"])
        && pod["nodeSelector"] == template["nodeSelector"]
        && array(&template["tolerations"]).all(has)
}
