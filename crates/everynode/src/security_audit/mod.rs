//! What the CIS Kubernetes benchmark asks of a cluster, as far as it can be seen: objects, and
//! files of this machine, in; findings, each with its evidence, out. Decides only;
//! `commands/audit.rs` gathers. (The DaemonSet controller's audit of its plans is something else.)

mod files;
mod pods;
mod rbac;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

pub(crate) use self::files::{CertificateFact, FileFact};

/// Pieces of evidence that a finding names; how many more there are is said.
const EVIDENCE_MAX: usize = 20;

/// What was found about one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Pass,
    /// To be looked at: often there for a reason.
    Warn,
    Fail,
    /// Cannot be seen from here, or is not offered.
    Manual,
}

/// One item of the benchmark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// As in the CIS Kubernetes benchmark, where that has the item.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) outcome: Outcome,
    /// What was seen, an object or file each.
    pub(crate) evidence: Vec<String>,
    /// What to do.
    pub(crate) advice: &'static str,
}

/// What is judged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) roles: Vec<Value>,
    pub(crate) cluster_roles: Vec<Value>,
    pub(crate) role_bindings: Vec<Value>,
    pub(crate) cluster_role_bindings: Vec<Value>,
    pub(crate) accounts: Vec<Value>,
    pub(crate) pods: Vec<Value>,
    /// Of the data directory; `None`: there is none here, or it cannot be read.
    pub(crate) files: Option<Vec<FileFact>>,
    pub(crate) certificates: Vec<CertificateFact>,
    pub(crate) now: Timestamp,
}

/// Every finding, in the order of the benchmark.
pub(crate) fn audit(seen: &Seen) -> Vec<Finding> {
    let mut found = files::audit(seen);
    found.extend(rbac::audit(seen));
    found.extend(pods::audit(seen));
    found.extend(not_offered());
    found
}

/// What everynode does not have: said, because silence would be taken for a pass.
fn not_offered() -> Vec<Finding> {
    let item = |id, title, evidence: &str, advice| Finding {
        id,
        title,
        outcome: Outcome::Manual,
        evidence: vec![evidence.to_owned()],
        advice,
    };
    vec![
        item(
            "1.2.27",
            "secrets are encrypted at rest",
            "everynode's store does not encrypt",
            "encrypt the disk of the data directory; on another API server look at its encryption configuration",
        ),
        item(
            "3.2.1",
            "requests are written to an audit log",
            "everynode has none yet",
            "on another API server look at its audit policy",
        ),
        item(
            "5.2.1",
            "a policy limits what pods may ask of nodes",
            "everynode admits every pod that its creator may create",
            "give `create` on pods and daemonsets only to whom you trust with the nodes (5.1.4)",
        ),
    ]
}

impl Finding {
    /// A pass without evidence, else what the evidence weighs.
    fn weighed(
        id: &'static str,
        title: &'static str,
        otherwise: Outcome,
        evidence: Vec<String>,
        advice: &'static str,
    ) -> Finding {
        let outcome = if evidence.is_empty() { Outcome::Pass } else { otherwise };
        Finding { id, title, outcome, evidence: bounded(evidence), advice }
    }
}

fn bounded(mut evidence: Vec<String>) -> Vec<String> {
    let more = evidence.len().saturating_sub(EVIDENCE_MAX);
    evidence.truncate(EVIDENCE_MAX);
    evidence.extend((more > 0).then(|| format!("and {more} more")));
    evidence
}

/// `NAMESPACE/NAME`, or the name of a cluster-wide object.
fn name(object: &Value) -> String {
    let meta = |member: &str| object["metadata"][member].as_str().unwrap_or_default();
    match meta("namespace") {
        "" => meta("name").to_owned(),
        namespace => format!("{namespace}/{}", meta("name")),
    }
}

/// The members of a list, or none.
fn list<'a>(object: &'a Value, path: &[&str]) -> impl Iterator<Item = &'a Value> + use<'a> {
    path.iter().fold(object, |value, member| &value[*member]).as_array().into_iter().flatten()
}
