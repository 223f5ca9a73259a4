//! Each node with its verdict and its pods, judged once and kept until something about it changes.
//!
//! A set on 5,000 nodes is nearly everywhere as it should be, or waits for its turn in a rollout.
//! Sites lie in blocks; a block without an [active](SiteActivity::Active) site is told by its
//! totals and not looked into again until one of its nodes or pods changes, or its turn has come.
//! So a pass costs what changed and what moves, plus a look at each block. [`gather`] brings the
//! blocks up to date.
//!
//! Sites are also what is remembered of a node between passes: its last pod, and which machine it
//! was (see [`PreviousOccupant`]).

mod gather;

use std::sync::Arc;

use everynode_api::view::{Mark, Node, Place, Pod, Sorted};
use everynode_placement::Eligibility;
use jiff::Timestamp;

use crate::input::DaemonSetInput;
use crate::judge::{Judge, PodState, Terms};
use crate::node;
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
    /// What was remembered of the node when the pass began. Not kept where it goes without saying
    /// (see [`Site::left`]).
    pub occupant: Option<Box<PreviousOccupant>>,
    pods: Pods,
    activity: SiteActivity,
}

/// The pods of a node in the order of DS-C28; those that have ended and are being deleted (DS-C20)
/// at the end.
#[derive(Clone, Debug)]
enum Pods {
    None,
    One(PodState),
    /// Two at least.
    Many(Vec<PodState>),
}

impl Pods {
    fn all(&self) -> &[PodState] {
        match self {
            Pods::None => &[],
            Pods::One(only) => std::slice::from_ref(only),
            Pods::Many(all) => all,
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Pods::None)
    }
}

/// How much of a pass a node is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SiteActivity {
    /// Something may be to do here, or to say.
    Active,
    /// No pod should be here and none is.
    Empty,
    /// The only pod is available and of the newest revision.
    Serves,
    /// The only pod is available and outdated: nothing happens here until a rollout takes its turn.
    Waits,
}

/// A node's machine and the last pod of the set that was seen there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PreviousOccupant {
    /// The node object's uid at that time: a node that comes back under its name with another uid
    /// is another machine.
    pub node_uid: Arc<str>,
    pub pod_uid: Arc<str>,
}

impl Site {
    fn present(node: &Node, eligibility: Eligibility, heard: bool, pods: Pods) -> Site {
        Site {
            name: node.meta.name.clone(),
            node_uid: Some(node.meta.uid.clone()),
            node_version: node.meta.resource_version,
            eligibility,
            heard,
            occupant: None,
            pods,
            activity: SiteActivity::Active,
        }
    }

    /// Pods for a node that does not exist.
    fn without_node(name: Arc<str>, pods: Pods) -> Site {
        let (eligibility, heard) = (Eligibility::LEAVE, false);
        let (node_uid, node_version, occupant) = (None, 0, None);
        Site { name, node_uid, node_version, eligibility, heard, occupant, pods, activity: SiteActivity::Active }
    }

    /// The node's pods in the order of DS-C28, without those that have ended and are being deleted
    /// (DS-C20).
    pub fn pods(&self) -> &[PodState] {
        let all = self.pods.all();
        let finished = all.iter().rev().take_while(|state| state.is_finished_and_terminating()).count();
        &all[..all.len() - finished]
    }

    /// The same with those.
    pub fn all_pods(&self) -> &[PodState] {
        self.pods.all()
    }

    /// The verdict is about the node in this very state.
    fn is_about(&self, node: &Node) -> bool {
        let version = node.meta.resource_version;
        version != 0 && self.node_version == version && self.node_uid.as_ref() == Some(&node.meta.uid)
    }

    fn activity(&self, judge: &Judge<'_>, seen: &DaemonSetInput) -> SiteActivity {
        let calm = |state: &PodState| {
            let busy = state.adopting || state.is_terminating() || state.pod.is_terminal();
            let serving = self.eligibility.should_run && !busy && state.available;
            serving && !node::is_of_former_node(judge, seen, self, state)
        };
        match &self.pods {
            _ if self.node_uid.is_none() => SiteActivity::Active,
            Pods::None if !self.eligibility.should_run => SiteActivity::Empty,
            Pods::One(only) if only.newest_hash && calm(only) => SiteActivity::Serves,
            Pods::One(only) if !only.updated && self.heard && calm(only) => SiteActivity::Waits,
            _ => SiteActivity::Active,
        }
    }

    /// Remembers what was left of the node, as far as that is needed, and finds out how it stands.
    fn keep_previous_occupant(&mut self, former: Option<&Site>, activity: impl Fn(&Site) -> SiteActivity) {
        let left = former.and_then(Site::left);
        let occupant = || {
            left.map(|(node_uid, pod_uid)| PreviousOccupant { node_uid: node_uid.clone(), pod_uid: pod_uid.clone() })
        };
        let is_replaced = left.is_some_and(|(node_uid, _)| Some(node_uid) != self.node_uid.as_ref());
        self.occupant = if is_replaced { occupant().map(Box::new) } else { None };
        self.activity = activity(self);
        if matches!(self.activity, SiteActivity::Active | SiteActivity::Empty) {
            self.occupant = occupant().map(Box::new);
        }
    }

    /// What the next pass remembers of the node, when this one has ended: the uids of node and pod.
    fn left(&self) -> Option<(&Arc<str>, &Arc<str>)> {
        let occupant = self.occupant.as_deref();
        match (&self.node_uid, &self.pods, self.activity) {
            (None, ..) => None,
            (Some(node_uid), Pods::One(only), SiteActivity::Serves | SiteActivity::Waits) => {
                Some((node_uid, &only.pod.meta.uid))
            }
            (Some(node_uid), _, SiteActivity::Empty) => occupant.map(|occupant| (node_uid, &occupant.pod_uid)),
            _ => occupant.map(|occupant| (&occupant.node_uid, &occupant.pod_uid)),
        }
    }

    /// What is remembered of an active node for the next pass.
    fn occupant_to_remember(&self, judge: &Judge<'_>, seen: &DaemonSetInput) -> Option<PreviousOccupant> {
        let node_uid = self.node_uid.as_ref()?;
        let old = self.occupant.as_deref();
        let pod_uid = last_pod(self.pods.all()).or_else(|| old.map(|old| old.pod_uid.clone()))?;
        let former = self.pods().iter().any(|state| node::is_of_former_node(judge, seen, self, state));
        let node_uid = old.filter(|_| former).map_or(node_uid, |old| &old.node_uid).clone();
        Some(PreviousOccupant { node_uid, pod_uid })
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
    /// How many sites serve, and how many wait: each has one available pod.
    serving: i64,
    waiting: i64,
    /// At least one site is active.
    is_active: bool,
}

/// Sites in a block at most.
const BLOCK_MAX: usize = 128;
/// Sites in a new block: there is room for some more, so that not every new node splits one.
const BLOCK_START: usize = BLOCK_MAX / 2;

impl Block {
    fn new(sites: Vec<Site>) -> Block {
        let mut counts = Counts::default();
        sites.iter().filter(|site| site.node_uid.is_some()).for_each(|site| counts.add(site));
        let number = |activity| sites.iter().filter(|site| site.activity == activity).count() as i64;
        let (serving, waiting) = (number(SiteActivity::Serves), number(SiteActivity::Waits));
        Block { counts, serving, waiting, is_active: number(SiteActivity::Active) > 0, sites }
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
    owned: Sorted<Arc<Pod>, Place>,
    /// Names of nodes that are to be looked at again whatever happens: pods are being adopted
    /// there, or have to be ready for a while longer.
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
        self.left().eq(other.left())
    }
}

impl Sites {
    fn all(&self) -> impl Iterator<Item = &Site> {
        self.blocks.iter().flat_map(|block| &block.sites)
    }

    fn left(&self) -> impl Iterator<Item = (&Arc<str>, (&Arc<str>, &Arc<str>))> {
        self.all().filter_map(|site| Some((&site.name, site.left()?)))
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

    /// Nodes where something may be to do or to say, in the order of names. Nodes without a pod and
    /// without a claim to one, and those whose only pod is available, are not among them.
    pub fn active(&self) -> impl Iterator<Item = &Site> {
        let blocks = self.blocks.iter().filter(|block| block.is_active);
        let sites = blocks.flat_map(|block| &block.sites);
        sites.filter(|site| site.activity == SiteActivity::Active && site.node_uid.is_some())
    }

    /// Outdated pods that are available, each the only one on its node, with nothing to do about it
    /// but to update it: in the order of the nodes' names.
    pub fn waiting(&self) -> impl Iterator<Item = (&PodState, &Site)> {
        let blocks = self.blocks.iter().filter(|block| block.waiting > 0);
        let sites = blocks.flat_map(|block| &block.sites).filter(|site| site.activity == SiteActivity::Waits);
        sites.filter_map(|site| Some((site.pods.all().first()?, site)))
    }

    /// The names of nodes that get no pod and have none, in order.
    pub fn skipped(&self) -> impl Iterator<Item = &Arc<str>> {
        self.all().filter(|site| site.activity == SiteActivity::Empty).map(|site| &site.name)
    }

    /// Pods for nodes that do not exist, in the order of their names.
    pub fn without_node(&self) -> Vec<&PodState> {
        let blocks = self.blocks.iter().filter(|block| block.is_active);
        let sites = blocks.flat_map(|block| &block.sites).filter(|site| site.node_uid.is_none());
        let mut pods: Vec<_> = sites.flat_map(Site::all_pods).collect();
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

    /// How many nodes have an available pod and are not [active](Sites::active).
    pub fn serving(&self) -> i64 {
        self.blocks.iter().map(|block| block.serving + block.waiting).sum()
    }

    /// Ends the pass: what it has seen is what the next one remembers.
    pub fn settle(mut self, judge: &Judge<'_>, seen: &DaemonSetInput) -> Sites {
        for index in std::mem::take(&mut self.fresh) {
            // Made in this pass, so it is not shared.
            let Some(block) = self.blocks.get_mut(index).and_then(Arc::get_mut) else { continue };
            for site in block.sites.iter_mut().filter(|site| site.activity == SiteActivity::Active) {
                site.occupant = site.occupant_to_remember(judge, seen).map(Box::new);
            }
        }
        self
    }
}

/// The node of an active site.
pub(crate) fn node_of<'a>(seen: &'a DaemonSetInput, site: &Site) -> Option<&'a Arc<Node>> {
    seen.node(&site.name)
}
