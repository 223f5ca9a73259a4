//! Brings sites up to date: those that something changed about are judged anew, all others are kept.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use everynode_api::meta::Key;
use everynode_api::view::{Node, Pod};
use everynode_placement::Eligibility;

use super::{BLOCK_MAX, Basis, Block, Site, Sites, Standing};
use crate::claim::Claims;
use crate::judge::{Judge, PodState, Terms};
use crate::seen::{Fnv, Seen};

/// The pods of a node, each with whether it is only being adopted.
type Pods = Vec<(Arc<Pod>, bool)>;

/// Sites that must be judged anew, with the pods that are there now.
type Touched = BTreeMap<Arc<str>, Pods>;

/// Pods that the set controls and no longer selects, in the order of names.
type Released = Arc<Vec<Arc<Pod>>>;

impl Sites {
    /// The sites as they are now. `self` is what the last pass left.
    pub fn gather(&self, terms: &Arc<Terms>, seen: &Seen, claims: &Claims<'_>, judge: &Judge<'_>) -> Sites {
        let gatherer = Gatherer { seen, claims, judge };
        let known = self.basis.as_deref().filter(|basis| basis.terms == *terms && basis.at <= judge.now);
        let renewed = known.and_then(|basis| {
            let changes = Changes::since(basis, seen)?;
            let touched = gatherer.touched(self, basis, &changes)?;
            Some((gatherer.renew(self, touched), gatherer.released(&basis.released, &changes)))
        });
        let (mut sites, released) = renewed.unwrap_or_else(|| gatherer.anew(self));
        sites.basis = Some(gatherer.basis(terms, &sites, released));
        sites
    }
}

/// How the pods that the set controls differ from those of the last pass. One that was written is in both lists.
struct Changes<'c> {
    gone: Vec<&'c Arc<Pod>>,
    come: Vec<&'c Arc<Pod>>,
    /// By address: the basis holds on to what is gone, so that no address is used twice.
    gone_at: HashSet<*const Pod>,
}

impl<'c> Changes<'c> {
    /// `None`: the basis is of another cluster.
    fn since(basis: &'c Basis, seen: &'c Seen) -> Option<Self> {
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        for span in seen.owned.changed_since(&basis.owned.mark())? {
            let now = span.entries.iter().map(|(key, pod)| (key, pod));
            differences(basis.owned.within(&span), now, |old, new| {
                gone.extend(old);
                come.extend(new);
            });
        }
        let gone_at = gone.iter().map(|pod| Arc::as_ptr(pod)).collect();
        Some(Changes { gone, come, gone_at })
    }

    fn stays(&self, pod: &Arc<Pod>) -> bool {
        !self.gone_at.contains(&Arc::as_ptr(pod))
    }
}

struct Gatherer<'g> {
    seen: &'g Seen,
    claims: &'g Claims<'g>,
    judge: &'g Judge<'g>,
}

impl Gatherer<'_> {
    fn basis(&self, terms: &Arc<Terms>, sites: &Sites, released: Released) -> Arc<Basis> {
        let unsteady = |site: &&Site| site.all.iter().any(|state| state.adopting || state.is_baking());
        let lively = sites.blocks.iter().filter(|block| block.is_lively).flat_map(|block| &block.sites);
        Arc::new(Basis {
            terms: terms.clone(),
            at: self.judge.now,
            nodes: self.seen.nodes.mark(),
            owned: self.seen.owned.clone(),
            unsteady: lively.filter(unsteady).map(|site| site.name.clone()).collect(),
            released,
        })
    }

    /// What must be judged anew; `None`: everything.
    fn touched(&self, old: &Sites, basis: &Basis, changes: &Changes<'_>) -> Option<Touched> {
        let mut touched = Touched::new();
        let names = basis.unsteady.iter().cloned().chain(self.changed_nodes(old, basis)?);
        touched.extend(names.map(|name| (name, Pods::new())));
        let owned = changes.come.iter().copied().filter(|pod| self.claims.selects(pod)).map(|pod| (pod, false));
        let new: Vec<_> = owned.chain(self.claims.adopting().map(|pod| (pod, true))).collect();
        for pod in changes.gone.iter().copied().chain(new.iter().map(|(pod, _)| *pod)) {
            // DS-B33: one without a target is nowhere.
            if let Some(node) = pod.target_node().filter(|node| !touched.contains_key(*node)) {
                touched.insert(node.into(), Pods::new());
            }
        }
        for (name, pods) in &mut touched {
            let kept = old.find(name).into_iter().flat_map(|site| &site.all);
            let kept = kept.filter(|state| !state.adopting && changes.stays(&state.pod));
            pods.extend(kept.map(|state| (state.pod.clone(), false)));
        }
        for (pod, adopting) in new {
            if let Some(pods) = pod.target_node().and_then(|node| touched.get_mut(node)) {
                pods.push((pod.clone(), adopting));
            }
        }
        Some(touched)
    }

    /// Names of nodes that have come, gone or changed; `None`: the basis is of another cluster.
    fn changed_nodes(&self, old: &Sites, basis: &Basis) -> Option<Vec<Arc<str>>> {
        let mut names = Vec::new();
        for span in self.seen.nodes.changed_since(&basis.nodes)? {
            let (low, high) = (span.low.map(|low| &*low.name), span.high.map(|high| &*high.name));
            let mut sites = old.between(low, high).peekable();
            for (_, node) in span.entries {
                while let Some(gone) = sites.next_if(|site| site.name < node.meta.name) {
                    names.push(gone.name.clone());
                }
                let known = sites.next_if(|site| site.name == node.meta.name);
                if !known.is_some_and(|site| site.is_about(node)) {
                    names.push(node.meta.name.clone());
                }
            }
            names.extend(sites.map(|gone| gone.name.clone()));
        }
        Some(names)
    }

    fn released(&self, old: &Released, changes: &Changes<'_>) -> Released {
        let mut new = changes.come.iter().copied().filter(|pod| !self.claims.selects(pod)).peekable();
        if new.peek().is_none() && old.is_empty() {
            return old.clone();
        }
        let stay = old.iter().filter(|pod| changes.stays(pod));
        let mut all: Vec<_> = stay.chain(new).cloned().collect();
        all.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
        Arc::new(all)
    }

    /// Puts touched sites in the place of the old ones; blocks without any are shared.
    fn renew(&self, old: &Sites, touched: Touched) -> Sites {
        let mut sites = Sites::default();
        let mut touched = touched.into_iter().peekable();
        let ends = old.blocks.iter().skip(1).map(|block| block.sites.first().map(|site| site.name.clone()));
        for (block, end) in old.blocks.iter().zip(ends.chain([None])) {
            let inside = |name: &Arc<str>| end.as_ref().is_none_or(|end| name < end);
            if touched.peek().is_none_or(|(name, _)| !inside(name)) {
                sites.blocks.push(block.clone());
                continue;
            }
            let mut renewed = Vec::with_capacity(block.sites.len() + 1);
            let mut kept = block.sites.iter().peekable();
            while let Some((name, pods)) = touched.next_if(|(name, _)| inside(name)) {
                while let Some(site) = kept.next_if(|site| site.name < name) {
                    renewed.push(site.clone());
                }
                let former = kept.next_if(|site| site.name == name);
                renewed.extend(self.site(name, borrowed(&pods), former));
            }
            renewed.extend(kept.cloned());
            self.push(&mut sites, renewed);
        }
        let rest = touched.filter_map(|(name, pods)| self.site(name, borrowed(&pods), None)).collect();
        self.push(&mut sites, rest);
        sites
    }

    /// Judges every node.
    fn anew(&self, old: &Sites) -> (Sites, Released) {
        let mut released = Vec::new();
        let selected = |pod: &&Arc<Pod>| {
            let ours = self.claims.selects(pod);
            if !ours {
                released.push(Arc::clone(pod));
            }
            ours
        };
        let owned: Vec<_> = self.seen.owned.values().filter(selected).map(|pod| (pod, false)).collect();
        let pods: Vec<_> = owned.into_iter().chain(self.claims.adopting().map(|pod| (pod, true))).collect();
        let mut by_node = ByNode::new(self.seen, &pods);
        let mut former = old.all().peekable();
        let mut all = Vec::with_capacity(self.seen.nodes.len());
        for (number, node) in self.seen.nodes.values().enumerate() {
            while former.next_if(|site| *site.name < *node.name()).is_some() {}
            let former = former.next_if(|site| site.name == node.meta.name);
            all.push(self.present(node, by_node.of(number), former));
        }
        if !by_node.astray.is_empty() {
            let astray = std::mem::take(&mut by_node.astray).into_iter();
            all.extend(astray.filter_map(|(name, pods)| self.site(name.into(), pods.into_iter(), None)));
            all.sort_by(|a, b| a.name.cmp(&b.name));
        }
        let mut sites = Sites::default();
        self.push(&mut sites, all);
        (sites, Arc::new(released))
    }

    fn push(&self, sites: &mut Sites, all: Vec<Site>) {
        let mut rest = all.into_iter();
        while rest.len() > 0 {
            // Room for some more, so that not every new node splits a block.
            let size = if rest.len() <= BLOCK_MAX { BLOCK_MAX } else { BLOCK_MAX / 2 };
            let block = Block::new(rest.by_ref().take(size).collect());
            sites.fresh.push(sites.blocks.len());
            sites.blocks.push(Arc::new(block));
        }
    }

    /// A site, if there is a node or a pod.
    fn site<'p>(
        &self,
        name: Arc<str>,
        pods: impl Iterator<Item = (&'p Arc<Pod>, bool)>,
        former: Option<&Site>,
    ) -> Option<Site> {
        match self.seen.node(&name) {
            Some(node) => Some(self.present(node, pods, former)),
            None => {
                let (all, ghosts) = self.states(pods);
                if all.is_empty() {
                    return None;
                }
                let (eligibility, heard) = (Eligibility::LEAVE, false);
                let (node_uid, node_version, seat) = (None, 0, None);
                Some(Site {
                    name,
                    node_uid,
                    node_version,
                    eligibility,
                    heard,
                    seat,
                    all,
                    ghosts,
                    standing: Standing::Lively,
                })
            }
        }
    }

    fn present<'p>(
        &self,
        node: &Node,
        pods: impl Iterator<Item = (&'p Arc<Pod>, bool)>,
        former: Option<&Site>,
    ) -> Site {
        let (all, ghosts) = self.states(pods);
        let mut site = Site {
            name: node.meta.name.clone(),
            node_uid: Some(node.meta.uid.clone()),
            node_version: node.meta.resource_version,
            eligibility: self.judge.eligibility(node),
            heard: self.judge.terms.strict || node.is_heard(),
            seat: former.and_then(|site| site.seat.clone()),
            all,
            ghosts,
            standing: Standing::Lively,
        };
        site.standing = site.standing(self.judge, self.seen);
        site
    }

    /// The pods of a node in their order, and how many of them are ghosts.
    fn states<'p>(&self, pods: impl Iterator<Item = (&'p Arc<Pod>, bool)>) -> (Vec<PodState>, usize) {
        let mut pods = pods.map(|(pod, adopting)| self.judge.state(pod.clone(), adopting)).peekable();
        let mut states = Vec::with_capacity(usize::from(pods.peek().is_some()));
        states.extend(pods);
        states.sort_by(|a, b| a.is_ghost().cmp(&b.is_ghost()).then_with(|| a.order(b)));
        let ghosts = states.iter().filter(|state| state.is_ghost()).count();
        (states, ghosts)
    }
}

fn borrowed(pods: &Pods) -> impl Iterator<Item = (&Arc<Pod>, bool)> {
    pods.iter().map(|(pod, adopting)| (pod, *adopting))
}

/// All pods by their nodes: chains through one list, so that a node with one pod costs no list of its own.
struct ByNode<'s> {
    pods: &'s [(&'s Arc<Pod>, bool)],
    /// By node: the number of its last pod and one; 0: none.
    last: Vec<u32>,
    /// By pod: likewise of the one before it on the same node.
    before: Vec<u32>,
    /// Pods for nodes that do not exist.
    astray: BTreeMap<&'s str, Vec<(&'s Arc<Pod>, bool)>>,
}

impl<'s> ByNode<'s> {
    fn new(seen: &'s Seen, pods: &'s [(&'s Arc<Pod>, bool)]) -> Self {
        let mut numbers: HashMap<&str, u32, Fnv> = HashMap::with_capacity_and_hasher(seen.nodes.len(), Fnv::default());
        numbers.extend(seen.nodes.values().zip(0..).map(|(node, number)| (node.name(), number)));
        let (last, before) = (vec![0; seen.nodes.len()], vec![0; pods.len()]);
        let mut by_node = ByNode { pods, last, before, astray: BTreeMap::new() };
        for (pod, number) in pods.iter().zip(1..) {
            let Some(node) = pod.0.target_node() else { continue }; // DS-B33
            match numbers.get(node) {
                Some(node) => {
                    let last = &mut by_node.last[*node as usize];
                    by_node.before[number as usize - 1] = std::mem::replace(last, number);
                }
                None => by_node.astray.entry(node).or_default().push(*pod),
            }
        }
        by_node
    }

    /// The pods of a node by its number.
    fn of(&self, node: usize) -> impl Iterator<Item = (&'s Arc<Pod>, bool)> {
        let pod = |number: u32| (number > 0).then_some(number);
        let chain = std::iter::successors(pod(self.last[node]), move |number| pod(self.before[*number as usize - 1]));
        chain.map(|number| self.pods[number as usize - 1])
    }
}

impl Sites {
    /// The remembered site of a node.
    fn find(&self, name: &str) -> Option<&Site> {
        let after = self.blocks.partition_point(|block| block.sites.first().is_some_and(|site| *site.name <= *name));
        let block = self.blocks.get(after.checked_sub(1)?)?;
        let index = block.sites.binary_search_by(|site| (*site.name).cmp(name)).ok()?;
        Some(&block.sites[index])
    }

    /// Sites from one name up to another.
    fn between<'s>(&'s self, low: Option<&str>, high: Option<&str>) -> impl Iterator<Item = &'s Site> {
        let starts_before =
            |block: &Arc<Block>, name: &str| block.sites.first().is_some_and(|site| *site.name <= *name);
        let first =
            low.map_or(0, |low| self.blocks.partition_point(|block| starts_before(block, low)).saturating_sub(1));
        let end =
            high.map_or(self.blocks.len(), |high| self.blocks.partition_point(|block| starts_before(block, high)));
        let (low, high) = (low.map(str::to_owned), high.map(str::to_owned));
        let inside = move |site: &&Site| {
            low.as_deref().is_none_or(|low| *site.name >= *low) && high.as_deref().is_none_or(|high| *site.name < *high)
        };
        self.blocks[first.min(end)..end].iter().flat_map(|block| &block.sites).filter(inside)
    }
}

/// Tells of every pod that is in only one of two lists in the order of keys, or not the same in both.
fn differences<'a>(
    old: impl Iterator<Item = (&'a Key, &'a Arc<Pod>)>,
    new: impl Iterator<Item = (&'a Key, &'a Arc<Pod>)>,
    mut tell: impl FnMut(Option<&'a Arc<Pod>>, Option<&'a Arc<Pod>>),
) {
    let mut old = old.peekable();
    for (key, new) in new {
        while let Some((_, gone)) = old.next_if(|(known, _)| *known < key) {
            tell(Some(gone), None);
        }
        let former = old.next_if(|(known, _)| *known == key).map(|(_, pod)| pod);
        if !former.is_some_and(|former| Arc::ptr_eq(former, new)) {
            tell(former, Some(new));
        }
    }
    old.for_each(|(_, gone)| tell(Some(gone), None));
}
