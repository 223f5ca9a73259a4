//! Which nodes that failed lose their pods, and how fast: `NoExecute` taints, zone by zone
//! (DS-G05).
//!
//! One key per failure zone. A few failed nodes are a few failed nodes; many at once are rather a
//! failed network, and moving all their pods would make it worse. So taints are given out at a rate
//! that depends on how the zone fares, and none at all while no zone has a node that is ready: then
//! it is this server that is cut off.

use std::collections::BTreeSet;
use std::sync::Arc;

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::reconcile::{Action, Plan, Reconciler};
use everynode_api::view::{Change, Effect, Item, Node, View, Zone, zone_of};
use jiff::{SignedDuration, Timestamp};

use crate::taints::{Readiness, is_eviction, new_taint, readiness, write_taints};

/// A zone with so many percent of its nodes not ready, and more than two of them, is partly
/// disrupted.
const PARTIAL_PERCENT: usize = 55;
const PARTIAL_NODES_MIN: usize = 3;
/// Partly disrupted zones of more nodes than this go on slowly, smaller ones stop.
const LARGE_ZONE: usize = 50;

/// The zone controller.
#[derive(Clone, Copy, Debug)]
pub struct Zones {
    /// Between two nodes of one zone: 10 s, Kubernetes' 0.1 per second.
    pub interval: SignedDuration,
    /// The same in a large zone that is partly disrupted: 100 s.
    pub slow_interval: SignedDuration,
}

impl Default for Zones {
    fn default() -> Self {
        Zones { interval: SignedDuration::from_secs(10), slow_interval: SignedDuration::from_secs(100) }
    }
}

/// How a zone fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ZoneState {
    Normal,
    /// Many nodes are not ready; `large` as [`LARGE_ZONE`] says.
    Partial {
        large: bool,
    },
    /// No node is ready, but other zones have some.
    Full,
    /// No zone has a node that is ready.
    Everywhere,
}

/// One zone and its nodes that are not ready.
#[derive(Debug)]
pub struct ZoneInput {
    zone: Box<str>,
    state: ZoneState,
    /// They have reported, are not ready and have no `NoExecute` taint for it; the longest ailing
    /// first.
    waiting: Vec<Arc<Node>>,
    /// Those that have it.
    tainted: Vec<Arc<Node>>,
}

/// The zone's rate, as a memory of what was given out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ZoneMemory {
    last: Option<Timestamp>,
    /// Nodes whose turn has come; if the write failed, they need not queue again.
    granted: BTreeSet<Arc<str>>,
}

/// Why nodes that are not ready keep their pods for now.
#[derive(Clone, Debug, PartialEq)]
pub enum ZoneNote {
    Slow { zone: Box<str>, nodes: usize, next: Timestamp },
    Stopped { zone: Box<str>, nodes: usize },
    Everywhere { zone: Box<str>, nodes: usize },
}

impl std::fmt::Display for ZoneNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ZoneNote::Slow { zone, nodes, next } => {
                write!(
                    f,
                    "zone {zone}: {nodes} nodes that are not ready keep their pods for now; the next is due at {next}"
                )
            }
            ZoneNote::Stopped { zone, nodes } => {
                write!(f, "zone {zone}: too many nodes are not ready; {nodes} of them keep their pods")
            }
            ZoneNote::Everywhere { zone, nodes } => {
                write!(f, "zone {zone}: no node is ready anywhere; {nodes} nodes keep their pods")
            }
        }
    }
}

impl Reconciler for Zones {
    type Input = ZoneInput;
    type Memory = ZoneMemory;
    type Note = ZoneNote;

    fn name(&self) -> &'static str {
        "zone-controller"
    }

    fn watches(&self) -> Vec<Kind> {
        vec![kinds::NODE]
    }

    fn wake(&self, view: &View, change: &Change) -> Vec<Key> {
        let node = |item: &'_ Option<Item>| item.as_ref().and_then(Item::node).cloned();
        let (old, new) = (node(&change.old), node(&change.new));
        let matters = |node: &Option<Arc<Node>>| node.as_deref().map(facts);
        if matters(&old) == matters(&new) {
            return Vec::new();
        }
        // What one zone is allowed depends on whether any other has a node that is ready.
        let of_node = old.iter().chain(&new).map(|node| zone_of(node));
        let zones = view.zones().iter().map(|(name, _)| name.to_owned()).chain(of_node);
        zones.collect::<BTreeSet<String>>().iter().map(|name| Key::cluster(name)).collect()
    }

    fn all(&self, view: &View) -> Vec<Key> {
        view.zones().iter().map(|(name, _)| Key::cluster(name)).collect()
    }

    fn gather(&self, view: &View, key: &Key) -> Option<ZoneInput> {
        let zone = view.zones().get(&key.name)?;
        let nodes = zone.ailing().filter_map(|name| view.node(name).cloned());
        let reported = nodes.filter(|node| readiness(node) != Readiness::Absent);
        let (tainted, mut waiting): (Vec<_>, Vec<_>) =
            reported.partition(|node| node.spec.taints.iter().any(is_eviction));
        waiting.sort_by_key(|node| (since(node), node.meta.name.clone()));
        let everywhere = view.zones().iter().all(|(_, zone)| zone.ready() == 0);
        let state = if everywhere { ZoneState::Everywhere } else { state_of(zone) };
        Some(ZoneInput { zone: key.name.as_ref().into(), state, waiting, tainted })
    }

    fn plan(&self, seen: &ZoneInput, memory: &ZoneMemory, now: Timestamp) -> Plan<ZoneNote, ZoneMemory> {
        let memory = memory.still(seen);
        let (zone, nodes) = (seen.zone.clone(), seen.waiting.len());
        let interval = match seen.state {
            ZoneState::Everywhere => return spare(seen, memory),
            _ if nodes == 0 => return Plan { memory, ..Plan::default() },
            ZoneState::Partial { large: false } => {
                return Plan { notes: vec![ZoneNote::Stopped { zone, nodes }], memory, ..Plan::default() };
            }
            ZoneState::Partial { large: true } => self.slow_interval,
            ZoneState::Normal | ZoneState::Full => self.interval,
        };
        give_out(seen, memory, interval, now)
    }
}

impl ZoneMemory {
    /// Without the nodes that have got their taint or need none any more.
    fn still(&self, seen: &ZoneInput) -> ZoneMemory {
        let waits = |name: &&Arc<str>| seen.waiting.iter().any(|node| node.meta.name == **name);
        ZoneMemory { last: self.last, granted: self.granted.iter().filter(waits).cloned().collect() }
    }
}

/// Taints the next node if the rate allows it, and those again whose turn has come before.
fn give_out(
    seen: &ZoneInput,
    mut memory: ZoneMemory,
    interval: SignedDuration,
    now: Timestamp,
) -> Plan<ZoneNote, ZoneMemory> {
    let due = memory.last.is_none_or(|last| last + interval <= now);
    let next = seen.waiting.iter().find(|node| due && !memory.granted.contains(&node.meta.name));
    if let Some(node) = next {
        memory.granted.insert(node.meta.name.clone());
        memory.last = Some(now);
    }
    let (turn, rest): (Vec<_>, Vec<_>) = seen.waiting.iter().partition(|node| memory.granted.contains(&node.meta.name));
    let actions = turn.into_iter().map(|node| taint(node, now)).collect();
    let next = memory.last.map(|last| last + interval).filter(|_| !rest.is_empty());
    let note = |next| ZoneNote::Slow { zone: seen.zone.clone(), nodes: rest.len(), next };
    Plan { actions, notes: next.map(note).into_iter().collect(), wake_at: next, memory, ..Plan::default() }
}

/// Takes back what was given out: nothing is evicted while it is this server that is cut off.
fn spare(seen: &ZoneInput, memory: ZoneMemory) -> Plan<ZoneNote, ZoneMemory> {
    let nodes = seen.waiting.len() + seen.tainted.len();
    let note = ZoneNote::Everywhere { zone: seen.zone.clone(), nodes };
    Plan {
        actions: seen.tainted.iter().map(|node| untaint(node)).collect(),
        notes: (nodes > 0).then_some(note).into_iter().collect(),
        memory,
        ..Plan::default()
    }
}

fn taint(node: &Node, now: Timestamp) -> Action {
    let key = readiness(node).taint_key().map(|key| new_taint(key, Effect::NoExecute, now));
    let taints: Vec<_> = node.spec.taints.iter().cloned().chain(key).collect();
    write_taints(node, &taints)
}

fn untaint(node: &Node) -> Action {
    let taints: Vec<_> = node.spec.taints.iter().filter(|taint| !is_eviction(taint)).cloned().collect();
    write_taints(node, &taints)
}

fn state_of(zone: &Zone) -> ZoneState {
    let (ready, not_ready) = (zone.ready(), zone.not_ready());
    let nodes = ready + not_ready;
    match ready {
        0 if not_ready > 0 => ZoneState::Full,
        _ if not_ready >= PARTIAL_NODES_MIN && not_ready * 100 >= nodes * PARTIAL_PERCENT => {
            ZoneState::Partial { large: nodes > LARGE_ZONE }
        }
        _ => ZoneState::Normal,
    }
}

/// What a zone's decision depends on; the rest of a node may change as often as it likes.
fn facts(node: &Node) -> (String, Readiness, bool) {
    (zone_of(node), readiness(node), node.spec.taints.iter().any(is_eviction))
}

fn since(node: &Node) -> Option<Timestamp> {
    node.condition("Ready").and_then(|condition| condition.last_transition_time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{TestBed, at};

    fn node(name: &str, zone: &str, ready: &str, taint: &str) -> String {
        let taints = match taint {
            "" => String::new(),
            key => format!(r#"{{"key":"node.kubernetes.io/{key}","effect":"NoExecute"}}"#),
        };
        format!(
            r#"{{"metadata":{{"name":"{name}","labels":{{"topology.kubernetes.io/zone":"{zone}"}}}},"spec":{{"taints":[{taints}]}},
                "status":{{"conditions":[{{"type":"Ready","status":"{ready}"}}]}}}}"#
        )
    }

    /// `ready` nodes a… and `ill` nodes z… in zone `z`.
    fn bed(ready: usize, ill: usize) -> TestBed<Zones> {
        let mut bed = TestBed::new(Zones::default());
        for index in 0..ready {
            bed.put(&kinds::NODE, &node(&format!("a{index:03}"), "z", "True", ""));
        }
        for index in 0..ill {
            bed.put(&kinds::NODE, &node(&format!("z{index:03}"), "z", "Unknown", ""));
        }
        bed
    }

    #[test]
    fn one_node_every_ten_seconds() {
        // DS-G05: 0.1 nodes a second
        let mut bed = bed(5, 2);
        assert_eq!(bed.run(":z", at(0)), ["patch nodes/z000"]);
        assert!(bed.last_body(0).contains(r#""key":"node.kubernetes.io/unreachable","timeAdded":"#));
        assert_eq!(bed.wake_at(), Some(at(10)));
        bed.put(&kinds::NODE, &node("z000", "z", "Unknown", "unreachable"));
        assert!(bed.run(":z", at(9)).is_empty());
        assert_eq!(bed.run(":z", at(10)), ["patch nodes/z001"]);
        assert_eq!(bed.wake_at(), None);
    }

    #[test]
    fn a_write_that_failed_is_tried_again_at_once() {
        let mut bed = bed(5, 2);
        assert_eq!(bed.run(":z", at(0)), ["patch nodes/z000"]);
        assert_eq!(bed.run(":z", at(1)), ["patch nodes/z000"]);
        assert_eq!(bed.run(":z", at(10)), ["patch nodes/z000", "patch nodes/z001"]);
    }

    #[test]
    fn a_small_zone_that_is_partly_disrupted_keeps_its_pods() {
        // DS-G05: at least 55 % and more than two
        let mut small = bed(2, 3);
        assert!(small.run(":z", at(0)).is_empty());
        assert_eq!(small.notes(), ["zone :z: too many nodes are not ready; 3 of them keep their pods"]);
        assert_eq!(bed(1, 2).run(":z", at(0)).len(), 1, "two are not many");
        assert_eq!(bed(3, 3).run(":z", at(0)).len(), 1, "50 % is not most");
    }

    #[test]
    fn a_large_zone_that_is_partly_disrupted_is_tainted_slowly() {
        // DS-G05: 0.01 nodes a second in zones of more than 50 nodes
        let mut bed = bed(20, 31);
        assert_eq!(bed.run(":z", at(0)), ["patch nodes/z000"]);
        assert_eq!(bed.wake_at(), Some(at(100)));
    }

    #[test]
    fn a_zone_that_is_gone_is_evicted_while_another_one_lives() {
        // DS-G05
        let mut bed = bed(0, 4);
        bed.put(&kinds::NODE, &node("b", "y", "True", ""));
        assert_eq!(bed.run(":z", at(0)), ["patch nodes/z000"]);
        assert_eq!(bed.wake_at(), Some(at(10)));
    }

    #[test]
    fn nothing_is_evicted_when_no_node_is_ready() {
        // DS-G05: full disruption of all zones stops tainting, and takes back
        let mut bed = bed(0, 1);
        bed.put(&kinds::NODE, &node("y", "z", "Unknown", "unreachable"));
        assert_eq!(bed.run(":z", at(0)), ["patch nodes/y"]);
        assert_eq!(bed.last_body(0), r#"{"spec":{"taints":null}}"#);
        assert_eq!(bed.notes(), ["zone :z: no node is ready anywhere; 2 nodes keep their pods"]);
        bed.put(&kinds::NODE, &node("a", "z", "True", ""));
        assert_eq!(bed.run(":z", at(1)), ["patch nodes/z000"], "one is back, so it is the others who are gone");
    }

    #[test]
    fn a_heartbeat_wakes_no_zone() {
        let mut bed = bed(2, 0);
        let beat =
            node("a000", "z", "True", "").replace("\"True\"", r#""True","lastHeartbeatTime":"2026-01-01T00:00:00Z""#);
        assert!(bed.woken(&kinds::NODE, &beat).is_empty());
        bed.put(&kinds::NODE, &node("b", "y", "True", ""));
        assert_eq!(bed.woken(&kinds::NODE, &node("a000", "z", "False", "")), [":y", ":z"]);
    }
}
