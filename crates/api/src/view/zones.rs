//! Failure zones: how many nodes are well in each, and which ones are not.
//!
//! Kept up to date with every node that comes, goes or changes, so that no reader has to look at
//! all nodes to know how a zone fares (DS-G05).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Node;

const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";
/// Nodes with this label are no evidence of an outage (KEP-1143).
const EXCLUDED: &str = "node.kubernetes.io/exclude-disruption";

/// One failure zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    nodes: usize,
    /// Nodes whose condition `Ready` is `True`; excluded ones are in neither number.
    ready: usize,
    not_ready: usize,
    ailing: BTreeSet<Arc<str>>,
}

impl Zone {
    /// Nodes that count and are ready.
    pub fn ready(&self) -> usize {
        self.ready
    }

    /// Nodes that count and are not ready; those that never reported are among them.
    pub fn not_ready(&self) -> usize {
        self.not_ready
    }

    /// Names of all nodes that are not ready, whether they count or not.
    pub fn ailing(&self) -> impl ExactSizeIterator<Item = &str> {
        self.ailing.iter().map(Arc::as_ref)
    }

    fn add(&mut self, node: &Node) {
        self.nodes += 1;
        if let Some(number) = self.number(node) {
            *number += 1;
        }
        if !node.is_ready() {
            self.ailing.insert(node.meta.name.clone());
        }
    }

    fn remove(&mut self, node: &Node) {
        self.nodes = self.nodes.saturating_sub(1);
        if let Some(number) = self.number(node) {
            *number = number.saturating_sub(1);
        }
        self.ailing.remove(node.name());
    }

    fn number(&mut self, node: &Node) -> Option<&mut usize> {
        match node.is_ready() {
            _ if node.meta.labels.contains_key(EXCLUDED) => None,
            true => Some(&mut self.ready),
            false => Some(&mut self.not_ready),
        }
    }
}

/// All failure zones that have nodes.
#[derive(Clone, Debug, Default)]
pub struct Zones(BTreeMap<Box<str>, Zone>);

impl Zones {
    /// The zone with this name (see [`zone_of`]).
    pub fn get(&self, name: &str) -> Option<&Zone> {
        self.0.get(name)
    }

    /// In name order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Zone)> {
        self.0.iter().map(|(name, zone)| (name.as_ref(), zone))
    }

    /// A node has taken the place of another state of itself; either may be absent.
    pub(super) fn change(&mut self, old: Option<&Node>, new: Option<&Node>) {
        if let (Some(old), Some(new)) = (old, new)
            && facts(old) == facts(new)
        {
            return;
        }
        if let Some(old) = old {
            self.remove(old);
        }
        if let Some(new) = new {
            self.0.entry(zone_of(new).into()).or_default().add(new);
        }
    }

    fn remove(&mut self, node: &Node) {
        let name = zone_of(node);
        let Some(zone) = self.0.get_mut(name.as_str()) else { return };
        zone.remove(node);
        if zone.nodes == 0 {
            self.0.remove(name.as_str());
        }
    }
}

/// Everything that a zone knows of a node.
fn facts(node: &Node) -> (bool, bool, Option<&str>, Option<&str>) {
    let labels = &node.meta.labels;
    (node.is_ready(), labels.contains_key(EXCLUDED), labels.get(REGION), labels.get(ZONE))
}

/// The name of the failure zone of a node: `REGION:ZONE`; `:` for all nodes without these labels.
pub fn zone_of(node: &Node) -> String {
    let label = |name| node.meta.labels.get(name).unwrap_or_default();
    format!("{}:{}", label(REGION), label(ZONE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, zone: &str, ready: &str, more: &str) -> Node {
        let text = format!(
            r#"{{"metadata":{{"name":"{name}","labels":{{"{ZONE}":"{zone}"{more}}}}},
                "status":{{"conditions":[{{"type":"Ready","status":"{ready}"}}]}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn described(zones: &Zones) -> String {
        let zones = zones.iter().map(|(name, zone)| {
            let ailing: Vec<_> = zone.ailing().collect();
            format!("{name} {}/{} {}", zone.ready(), zone.not_ready(), ailing.join(","))
        });
        zones.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn zones_follow_their_nodes() {
        // DS-G05
        let mut zones = Zones::default();
        let [a, b] = [node("a", "z", "True", ""), node("b", "z", "Unknown", "")];
        zones.change(None, Some(&a));
        zones.change(None, Some(&b));
        assert_eq!(described(&zones), ":z 1/1 b");
        let ill = node("a", "z", "False", "");
        zones.change(Some(&a), Some(&ill));
        assert_eq!(described(&zones), ":z 0/2 a,b");
        let moved = node("b", "y", "True", "");
        zones.change(Some(&b), Some(&moved));
        assert_eq!(described(&zones), ":y 1/0 ; :z 0/1 a");
        let excluded = node("a", "z", "False", &format!(r#","{EXCLUDED}":"""#));
        zones.change(Some(&ill), Some(&excluded));
        assert_eq!(described(&zones), ":y 1/0 ; :z 0/0 a");
        zones.change(Some(&excluded), None);
        assert_eq!(described(&zones), ":y 1/0 ");
    }
}
