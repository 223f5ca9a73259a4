//! Each node with its verdict and its pods, judged once and kept until something about it changes.
//!
//! A set on 5,000 nodes is nearly everywhere as it should be. Sites lie in blocks; a block where nothing is to be
//! done is told by its totals and never looked into again until one of its nodes or pods changes. So a pass
//! costs what changed, plus a look at each block. [`gather`] brings the blocks up to date.
//!
//! Sites are also what is remembered of a node between passes: its last pod, and which machine it was (see [`Seat`]).

mod gather;

use std::sync::Arc;

use everynode_api::view::{Mark, Node, Pod, Sorted};
use everynode_placement::Eligibility;
use jiff::Timestamp;

use crate::judge::{Judge, PodState, Terms};
use crate::node;
use crate::seen::Seen;
use crate::status::Counts;

/// A node, its verdict, and where its pods are.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// The node's name.
    pub name: Arc<str>,
    /// The uid of the node; `None`: there are pods for it, but no such node.
    pub node_uid: Option<Arc<str>>,
    /// The state of the node that the verdict is about; 0: not known.
    node_version: u64,
    pub eligibility: Eligibility,
    /// The node's agent is heard of. One that reports itself as not ready is.
    pub heard: bool,
    /// What was remembered of the node when the pass began.
    pub seat: Option<Seat>,
    /// In the order of DS-C28; those that have ended and are being deleted (DS-C20) at the end.
    all: Vec<PodState>,
    ghosts: usize,
    settled: bool,
}

/// A node's machine and the last pod of the set that was seen there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seat {
    /// The node object's uid at that time: a node that comes back under its name with another uid is another machine.
    pub node_uid: Arc<str>,
    pub pod_uid: Arc<str>,
}

impl Site {
    /// The node's pods in the order of DS-C28, without those that have ended and are being deleted (DS-C20).
    pub fn pods(&self) -> &[PodState] {
        &self.all[..self.all.len() - self.ghosts]
    }

    /// Likewise with them.
    pub fn pods_and_ghosts(&self) -> &[PodState] {
        &self.all
    }

    /// The verdict is about the node in this very state.
    fn is_about(&self, node: &Node) -> bool {
        let version = node.meta.resource_version;
        version != 0 && self.node_version == version && self.node_uid.as_ref() == Some(&node.meta.uid)
    }

    /// No pod should be here and none is.
    fn is_skipped(&self) -> bool {
        !self.eligibility.should_run && self.all.is_empty()
    }

    /// Nothing is to be done here, and nothing said but why there is no pod: there is no claim to one, or the only pod is
    /// available and of the newest revision.
    fn is_settled(&self, judge: &Judge<'_>, seen: &Seen) -> bool {
        let serves = |state: &PodState| {
            let busy = state.adopting || state.is_terminating() || state.pod.is_terminal();
            !busy && state.available && state.updated && state.newest_hash
        };
        match self.all.as_slice() {
            _ if self.node_uid.is_none() => false,
            [] => !self.eligibility.should_run,
            [only] => self.eligibility.should_run && serves(only) && !node::is_of_former_node(judge, seen, self, only),
            _ => false,
        }
    }

    /// What is remembered of the node for the next pass.
    fn next_seat(&self, judge: &Judge<'_>, seen: &Seen) -> Option<Seat> {
        let node_uid = self.node_uid.as_ref()?;
        let old = self.seat.as_ref();
        let pod_uid = last_pod(&self.all).or_else(|| old.map(|old| old.pod_uid.clone()))?;
        let former = self.pods().iter().any(|state| node::is_of_former_node(judge, seen, self, state));
        let node_uid = old.filter(|_| former).map_or(node_uid, |old| &old.node_uid).clone();
        Some(Seat { node_uid, pod_uid })
    }
}

/// The uid of the pod that was made last.
pub(crate) fn last_pod(pods: &[PodState]) -> Option<Arc<str>> {
    let age = |state: &&PodState| (state.pod.meta.creation_timestamp, state.pod.meta.name.clone());
    match pods {
        [only] => Some(only.pod.meta.uid.clone()),
        pods => pods.iter().max_by_key(age).map(|state| state.pod.meta.uid.clone()),
    }
}

/// Neighbours in the order of names.
#[derive(Debug)]
struct Block {
    sites: Vec<Site>,
    /// What the sites add to the status; those without a node add nothing.
    counts: Counts,
    /// How many sites are settled with a pod that is available.
    serving: i64,
    /// All sites are settled.
    is_dull: bool,
}

/// Sites in a block at most.
const BLOCK_MAX: usize = 128;

impl Block {
    fn new(sites: Vec<Site>) -> Block {
        let mut counts = Counts::default();
        sites.iter().filter(|site| site.node_uid.is_some()).for_each(|site| counts.add(site));
        let serving = sites.iter().filter(|site| site.settled && !site.all.is_empty()).count() as i64;
        Block { counts, serving, is_dull: sites.iter().all(|site| site.settled), sites }
    }
}

/// All sites, as of one pass.
#[derive(Clone, Default)]
pub(crate) struct Sites {
    blocks: Vec<Arc<Block>>,
    basis: Option<Arc<Basis>>,
    /// Blocks that this pass has made, by their index.
    fresh: Vec<usize>,
}

/// What the blocks were made from.
#[derive(Debug)]
struct Basis {
    terms: Arc<Terms>,
    at: Timestamp,
    nodes: Mark,
    owned: Sorted<Arc<Pod>>,
    /// Names of nodes that are to be looked at again whatever happens: pods are being adopted there, or have to be
    /// ready for a while longer.
    unsteady: Vec<Arc<str>>,
    /// Pods that the set controls and no longer selects, in the order of names.
    released: Arc<Vec<Arc<Pod>>>,
}

impl std::fmt::Debug for Sites {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} sites", self.blocks.iter().map(|block| block.sites.len()).sum::<usize>())
    }
}

impl PartialEq for Sites {
    /// By what is remembered; the rest follows from what is seen.
    fn eq(&self, other: &Self) -> bool {
        self.seats().eq(other.seats())
    }
}

impl Sites {
    fn all(&self) -> impl Iterator<Item = &Site> {
        self.blocks.iter().flat_map(|block| &block.sites)
    }

    fn seats(&self) -> impl Iterator<Item = (&Arc<str>, &Seat)> {
        self.all().filter_map(|site| Some((&site.name, site.seat.as_ref()?)))
    }

    /// The same without what can be found out anew.
    pub fn without_basis(&self) -> Sites {
        Sites { basis: None, ..self.clone() }
    }

    /// Pods that the set controls and no longer selects.
    pub fn released(&self) -> &[Arc<Pod>] {
        self.basis.as_ref().map_or(&[], |basis| &basis.released)
    }

    /// What the sites were judged by.
    pub fn terms(&self) -> Option<&Arc<Terms>> {
        self.basis.as_ref().map(|basis| &basis.terms)
    }

    /// Nodes where something may be to do or to say, in the order of names. Nodes without a pod and without a claim to
    /// one, and those whose only pod is as it should be, are not among them.
    pub fn lively(&self) -> impl Iterator<Item = &Site> {
        let blocks = self.blocks.iter().filter(|block| !block.is_dull);
        blocks.flat_map(|block| &block.sites).filter(|site| !site.settled && site.node_uid.is_some())
    }

    /// The names of nodes that get no pod and have none, in order.
    pub fn skipped(&self) -> impl Iterator<Item = &Arc<str>> {
        self.all().filter(|site| site.settled && site.is_skipped()).map(|site| &site.name)
    }

    /// Pods for nodes that do not exist, in the order of their names.
    pub fn astray(&self) -> Vec<&PodState> {
        let blocks = self.blocks.iter().filter(|block| !block.is_dull);
        let sites = blocks.flat_map(|block| &block.sites).filter(|site| site.node_uid.is_none());
        let mut pods: Vec<_> = sites.flat_map(Site::pods_and_ghosts).collect();
        pods.sort_by(|a, b| a.pod.meta.name.cmp(&b.pod.meta.name));
        pods
    }

    /// The counters of the status.
    pub fn counts(&self) -> Counts {
        self.blocks.iter().fold(Counts::default(), |sum, block| sum + block.counts)
    }

    /// How many nodes should run a pod (DS-E02).
    pub fn desired(&self) -> i64 {
        self.blocks.iter().map(|block| block.counts.desired).sum()
    }

    /// How many nodes have an available pod of the newest revision and are not [lively](Sites::lively).
    pub fn serving(&self) -> i64 {
        self.blocks.iter().map(|block| block.serving).sum()
    }

    /// Ends the pass: what it has seen is what the next one remembers.
    pub fn settle(mut self, judge: &Judge<'_>, seen: &Seen) -> Sites {
        for index in std::mem::take(&mut self.fresh) {
            // Made in this pass, so nobody else has it.
            let Some(block) = self.blocks.get_mut(index).and_then(Arc::get_mut) else { continue };
            for site in &mut block.sites {
                site.seat = site.next_seat(judge, seen);
            }
        }
        self
    }
}

/// The node of a lively site.
pub(crate) fn node_of<'a>(seen: &'a Seen, site: &Site) -> Option<&'a Arc<Node>> {
    seen.node(&site.name)
}
