//! What a watcher sees of a history: pods in the order in which they appear on their nodes, sets,
//! revisions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tokio::time::Instant;

use super::NODE_PREFIX;
use crate::ledger::target_node;
use crate::read::ObjectChange;
use crate::user::HASH;
use crate::value::{is_ready, is_terminating, text, uid};

/// How much of a set's name is shown.
const NAME_SHOWN: usize = 20;

pub(super) struct Seen {
    /// By uid.
    pub pods: BTreeMap<String, Value>,
    pub sets: BTreeMap<String, Value>,
    pub revisions: BTreeMap<String, Value>,
    /// The node of every pod that was ever seen, and its place among those of that node, from 1 on.
    order: BTreeMap<String, (String, usize)>,
    counts: BTreeMap<String, usize>,
    /// The image of each revision's template, by hash label.
    images: BTreeMap<String, String>,
    /// The name of the revision that was seen last.
    pub revision_name: String,
    pub changed_at: Instant,
    serving_min: Option<usize>,
    pods_max: usize,
}

impl Seen {
    pub fn new() -> Seen {
        Seen {
            pods: BTreeMap::new(),
            sets: BTreeMap::new(),
            revisions: BTreeMap::new(),
            order: BTreeMap::new(),
            counts: BTreeMap::new(),
            images: BTreeMap::new(),
            revision_name: String::new(),
            changed_at: Instant::now(),
            serving_min: None,
            pods_max: 0,
        }
    }

    pub fn pod(&mut self, change: &ObjectChange) {
        self.changed_at = Instant::now();
        match change {
            ObjectChange::Set(pod) => {
                let (uid, node) = (uid(pod), node_of(pod));
                if self.order.get(&uid).is_none_or(|(known, _)| known == "?" && node != "?") {
                    let count = self.counts.entry(node.clone()).or_default();
                    *count += 1;
                    self.order.insert(uid.clone(), (node, *count));
                }
                self.pods.insert(uid, pod.clone());
            }
            ObjectChange::Gone(uid) => drop(self.pods.remove(uid)),
        }
        let living = || self.pods.values().filter(|pod| !is_terminating(pod));
        let serving = living().filter(|pod| is_ready(pod)).map(node_of).collect::<BTreeSet<_>>().len();
        let pods = living().count();
        self.serving_min = Some(self.serving_min.map_or(serving, |least| least.min(serving)));
        self.pods_max = self.pods_max.max(pods);
    }

    pub fn set(&mut self, change: ObjectChange) {
        self.changed_at = Instant::now();
        match change {
            ObjectChange::Set(set) => drop(self.sets.insert(uid(&set), set)),
            ObjectChange::Gone(uid) => drop(self.sets.remove(&uid)),
        }
    }

    pub fn revision(&mut self, change: ObjectChange) {
        self.changed_at = Instant::now();
        match change {
            ObjectChange::Set(revision) => {
                let hash = text(&revision["metadata"]["labels"][HASH]);
                self.images.insert(hash.to_owned(), tag(&revision["data"]["spec"]["template"]));
                self.revision_name = text(&revision["metadata"]["name"]).to_owned();
                self.revisions.insert(uid(&revision), revision);
            }
            ObjectChange::Gone(uid) => drop(self.revisions.remove(&uid)),
        }
    }

    /// Whether a set's status is of an older generation than the set.
    pub fn is_stale(&self) -> bool {
        self.sets.values().any(|set| set["status"]["observedGeneration"] != set["metadata"]["generation"])
    }

    /// The pods of a node, in the order in which they appeared.
    pub fn on(&self, node: &str) -> Vec<&Value> {
        let mut pods: Vec<&Value> = self.pods.values().filter(|pod| node_of(pod) == node).collect();
        pods.sort_by_key(|pod| self.number(pod));
        pods
    }

    fn number(&self, pod: &Value) -> usize {
        self.order.get(&uid(pod)).map_or(0, |(_, number)| *number)
    }

    /// What is there, a line for each thing; `nodes` are those that ever were.
    pub fn lines(&mut self, nodes: &BTreeSet<String>) -> Vec<String> {
        let mut shown = nodes.clone();
        shown.extend(self.pods.values().map(node_of));
        let mut lines: Vec<String> = shown
            .iter()
            .map(|node| {
                let pods: Vec<String> = self.on(node).into_iter().map(|pod| self.described(pod)).collect();
                format!("pods {node}: {}", pods.join("; "))
            })
            .collect();
        lines.extend(self.sets.values().map(set_line));
        lines.extend(self.revision_lines());
        if let Some(serving) = self.serving_min.take() {
            lines.push(format!("serving at least {serving}, pods at most {}", std::mem::take(&mut self.pods_max)));
        }
        lines
    }

    fn described(&self, pod: &Value) -> String {
        let image = tag(pod);
        let label = match pod["metadata"]["labels"][HASH].as_str() {
            Some(hash) => match self.images.get(hash) {
                Some(of) if *of == image => String::new(),
                of => format!("/label={}", of.map_or(hash, String::as_str)),
            },
            None => "/nolabel".to_owned(),
        };
        let mut line = format!("{image}{label}#{} {}", self.number(pod), text(&pod["status"]["phase"]));
        let owners = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        let is_owned = owners.into_iter().any(|owner| owner["controller"] == true);
        let words = [
            (is_ready(pod), " ready"),
            (is_terminating(pod), " terminating"),
            (text(&pod["spec"]["nodeName"]).is_empty(), " unbound"),
            (!is_owned, " orphan"),
        ];
        words.iter().filter(|(is, _)| *is).for_each(|(_, word)| line.push_str(word));
        line
    }

    fn revision_lines(&self) -> Vec<String> {
        let mut all: Vec<&Value> = self.revisions.values().collect();
        all.sort_by_key(|revision| (revision["revision"].as_i64(), text(&revision["metadata"]["name"])));
        let mut by_owner: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for revision in all {
            let mut owners = revision["metadata"]["ownerReferences"].as_array().into_iter().flatten();
            let owner = owners.find(|owner| owner["controller"] == true);
            let owner = owner.map_or("none".into(), |owner| shortened(text(&owner["name"])));
            let template = &revision["data"]["spec"]["template"];
            let image = if template.is_null() { "?".into() } else { tag(template) };
            by_owner.entry(owner).or_default().push(format!("{}:{image}", revision["revision"]));
        }
        by_owner.into_iter().map(|(owner, revisions)| format!("revisions {owner}: {}", revisions.join(" "))).collect()
    }
}

fn set_line(set: &Value) -> String {
    const ALWAYS: [&str; 4] = ["currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady"];
    let status = set["status"].as_object().into_iter().flatten();
    let is_shown = |(name, count): &(&String, &Value)| {
        let is_count = !["conditions", "observedGeneration"].contains(&name.as_str());
        is_count && (**count != 0 || ALWAYS.contains(&name.as_str()))
    };
    let mut counts: Vec<String> = status.filter(is_shown).map(|(name, count)| format!("{name}={count}")).collect();
    let is_observed = set["status"]["observedGeneration"] == set["metadata"]["generation"];
    counts.push(format!("observed={}", if is_observed { "=" } else { "stale" }));
    counts.sort();
    format!("set {}: {}", shortened(text(&set["metadata"]["name"])), counts.join(" "))
}

fn shortened(name: &str) -> String {
    name.chars().take(NAME_SHOWN).collect()
}

pub(super) fn node_of(pod: &Value) -> String {
    let node = target_node(pod);
    node.map_or("?".to_owned(), |node| node.strip_prefix(NODE_PREFIX).unwrap_or(&node).to_owned())
}

/// The tag of the first container's image.
pub(super) fn tag(pod: &Value) -> String {
    let image = text(&pod["spec"]["containers"][0]["image"]);
    image.rsplit(':').next().unwrap_or_default().to_owned()
}
