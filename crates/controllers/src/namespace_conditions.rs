//! What a terminating namespace says about itself, in the words of the original.

use std::collections::{BTreeMap, BTreeSet};

use everynode_api::kinds::Kind;
use everynode_api::meta::Meta;
use everynode_api::time::rfc3339;
use jiff::Timestamp;
use serde_json::{Value, json};

/// One condition: its type; reason and message if it is true.
struct Row {
    name: &'static str,
    truth: Option<(&'static str, String)>,
    otherwise: (&'static str, &'static str),
}

/// What is left in a namespace.
pub(crate) struct Left<'a> {
    pub(crate) content: &'a [(Kind, Meta)],
    /// Of which deletion was asked for a while ago, and which is not even terminating.
    pub(crate) refused: Vec<&'a (Kind, Meta)>,
    /// Parts of discovery that could not be read, and why.
    pub(crate) failed: &'a BTreeMap<String, String>,
}

/// The conditions, those of other types kept as they are; `None` if nothing has changed or there is
/// nothing to say.
pub(crate) fn conditions(left: &Left<'_>, old: &Value, now: Timestamp) -> Option<Value> {
    let old = old.as_array().map_or(&[][..], Vec::as_slice);
    let rows = rows(left);
    let known = |name: &str| old.iter().find(|condition| condition["type"] == name);
    let says = |row: &Row| match (known(row.name), &row.truth) {
        (None, truth) => truth.is_none(),
        (Some(known), truth) => {
            let (status, reason, message) = row.said(truth.as_ref());
            known["status"] == status && known["reason"] == reason && known["message"] == message
        }
    };
    if rows.iter().all(says) {
        return None;
    }
    let others = old.iter().filter(|condition| rows.iter().all(|row| condition["type"] != row.name)).cloned();
    let ours = rows.iter().map(|row| row.condition(known(row.name), now));
    Some(others.chain(ours).collect())
}

impl Row {
    fn said<'a>(&'a self, truth: Option<&'a (&'static str, String)>) -> (&'static str, &'static str, &'a str) {
        match truth {
            Some((reason, message)) => ("True", reason, message),
            None => ("False", self.otherwise.0, self.otherwise.1),
        }
    }

    fn condition(&self, old: Option<&Value>, now: Timestamp) -> Value {
        let (status, reason, message) = self.said(self.truth.as_ref());
        let since = old.filter(|old| old["status"] == status).map(|old| old["lastTransitionTime"].clone());
        let since = since.unwrap_or_else(|| rfc3339(now).into());
        json!({"type": self.name, "status": status, "lastTransitionTime": since, "reason": reason, "message": message})
    }
}

fn rows(left: &Left<'_>) -> [Row; 5] {
    [
        Row {
            name: "NamespaceDeletionDiscoveryFailure",
            truth: undiscovered(left).map(|message| ("DiscoveryFailed", message)),
            otherwise: ("ResourcesDiscovered", "All resources successfully discovered"),
        },
        Row {
            name: "NamespaceDeletionGroupVersionParsingFailure",
            truth: None,
            otherwise: ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        },
        Row {
            name: "NamespaceDeletionContentFailure",
            truth: refused(left).map(|message| ("ContentDeletionFailed", message)),
            otherwise: ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        },
        Row {
            name: "NamespaceContentRemaining",
            truth: remaining(left).map(|message| ("SomeResourcesRemain", message)),
            otherwise: ("ContentRemoved", "All content successfully removed"),
        },
        Row {
            name: "NamespaceFinalizersRemaining",
            truth: finalizers(left).map(|message| ("SomeFinalizersRemain", message)),
            otherwise: ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        },
    ]
}

fn undiscovered(left: &Left<'_>) -> Option<String> {
    let list = left.failed.iter().map(|(path, why)| format!("{}: {why}", path.trim_start_matches("/apis/")));
    let list: Vec<String> = list.collect();
    (!list.is_empty()).then(|| format!("Discovery failed for some groups, {} failing: {}", list.len(), list.join(", ")))
}

/// How many are named; a message is read by people.
const NAMED_MAX: usize = 5;

fn refused(left: &Left<'_>) -> Option<String> {
    let name = |(kind, meta): &&(Kind, Meta)| format!("{} {}", kind.qualified_resource(), meta.name);
    let list: Vec<String> = left.refused.iter().take(NAMED_MAX).map(name).collect();
    (!list.is_empty()).then(|| {
        let (count, list) = (left.refused.len(), list.join(", "));
        format!(
            "Failed to delete all resource types, {count} remaining: deletion was asked for and did not begin: {list}"
        )
    })
}

fn remaining(left: &Left<'_>) -> Option<String> {
    let kinds = left.content.iter().map(|(kind, _)| format!("{}.{}", kind.plural, kind.group));
    let list: Vec<String> =
        counts(kinds).into_iter().map(|(kind, count)| format!("{kind} has {count} resource instances")).collect();
    (!list.is_empty()).then(|| format!("Some resources are remaining: {}", list.join(", ")))
}

fn finalizers(left: &Left<'_>) -> Option<String> {
    let names = left.content.iter().flat_map(|(_, meta)| meta.finalizers.iter().collect::<BTreeSet<_>>());
    let list: Vec<String> = counts(names.map(ToString::to_string))
        .into_iter()
        .map(|(name, count)| format!("{name} in {count} resource instances"))
        .collect();
    (!list.is_empty()).then(|| format!("Some content in the namespace has finalizers remaining: {}", list.join(", ")))
}

fn counts(names: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    counts
}
