//! Brings sites up to date: those that something changed about are judged anew, all others are
//! kept.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use everynode_api::meta::Labels;
use everynode_api::view::{Node, Place, Pod};

use super::{BLOCK_MAX, BLOCK_START, Basis, Block, Pods, Site, Sites};
use crate::claim::Claims;
use crate::input::DaemonSetInput;
use crate::judge::{Judge, Revision, Terms};

/// The pods of a node, each with whether it is only being adopted.
type NodePods = Vec<(Arc<Pod>, bool)>;

/// Sites that must be judged anew, with the pods that are there now.
type ChangedNodePods = BTreeMap<Arc<str>, NodePods>;

/// Pods that the set controls and no longer selects, in the order of names.
type Released = Arc<Vec<Arc<Pod>>>;

impl Sites {
    /// The sites as they are now. `self` is what the last pass left.
    pub fn gather(&self, terms: &Arc<Terms>, seen: &DaemonSetInput, claims: &Claims<'_>, judge: &Judge<'_>) -> Sites {
        let gatherer = Gatherer { seen, claims, judge, label_verdicts: RefCell::default() };
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

/// How the pods that the set controls differ from those of the last pass. One that was written is
/// in both lists.
struct Changes<'c> {
    gone: Vec<&'c Arc<Pod>>,
    come: Vec<&'c Arc<Pod>>,
    /// By address: the basis holds on to what is gone, so that no address is used twice.
    gone_at: HashSet<*const Pod>,
}

impl<'c> Changes<'c> {
    /// `None`: the basis is of another cluster.
    fn since(basis: &'c Basis, seen: &'c DaemonSetInput) -> Option<Self> {
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
    seen: &'g DaemonSetInput,
    claims: &'g Claims<'g>,
    judge: &'g Judge<'g>,
    /// What is known of labels that have been looked at: those of a revision's pods are one and the
    /// same.
    label_verdicts: RefCell<Vec<(Labels, LabelVerdict)>>,
}

/// What a pod's labels make it.
#[derive(Clone, Copy)]
struct LabelVerdict {
    selected: bool,
    revision: Revision,
}

/// Different labels that are remembered: more revisions than that are not had at once.
const LABEL_VERDICTS_MAX: usize = 8;

impl Gatherer<'_> {
    fn label_verdict(&self, pod: &Pod) -> LabelVerdict {
        let labels = &pod.meta.labels;
        let mut known = self.label_verdicts.borrow_mut();
        if let Some((_, verdict)) = known.iter().find(|(known, _)| known.is_shared_with(labels)) {
            return *verdict;
        }
        let verdict = LabelVerdict { selected: self.claims.selects(pod), revision: self.judge.revision(&pod.meta) };
        if known.len() < LABEL_VERDICTS_MAX {
            known.push((labels.clone(), verdict));
        }
        verdict
    }

    fn basis(&self, terms: &Arc<Terms>, sites: &Sites, released: Released) -> Arc<Basis> {
        let unsteady = |site: &&Site| site.all_pods().iter().any(|state| state.adopting || state.is_baking());
        let active = sites.blocks.iter().filter(|block| block.is_active).flat_map(|block| &block.sites);
        Arc::new(Basis {
            terms: terms.clone(),
            at: self.judge.now,
            nodes: self.seen.nodes.mark(),
            owned: self.seen.owned.clone(),
            unsteady: active.filter(unsteady).map(|site| site.name.clone()).collect(),
            released,
        })
    }

    /// What must be judged anew; `None`: everything.
    fn touched(&self, old: &Sites, basis: &Basis, changes: &Changes<'_>) -> Option<ChangedNodePods> {
        let mut touched = ChangedNodePods::new();
        let names = basis.unsteady.iter().cloned().chain(self.changed_nodes(old, basis)?);
        touched.extend(names.map(|name| (name, NodePods::new())));
        let owned = changes.come.iter().copied().filter(|pod| self.label_verdict(pod).selected).map(|pod| (pod, false));
        let new: Vec<_> = owned.chain(self.claims.adopting().map(|pod| (pod, true))).collect();
        for pod in changes.gone.iter().copied().chain(new.iter().map(|(pod, _)| *pod)) {
            // DS-B33: one without a target is nowhere.
            if let Some(node) = pod.target_node().filter(|node| !touched.contains_key(*node)) {
                touched.insert(node.into(), NodePods::new());
            }
        }
        for (name, pods) in &mut touched {
            let kept = old.find(name).into_iter().flat_map(Site::all_pods);
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
        let mut new = changes.come.iter().copied().filter(|pod| !self.label_verdict(pod).selected).peekable();
        if new.peek().is_none() && old.is_empty() {
            return old.clone();
        }
        let stay = old.iter().filter(|pod| changes.stays(pod));
        let mut all: Vec<_> = stay.chain(new).cloned().collect();
        all.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
        Arc::new(all)
    }

    /// Puts touched sites in the place of the old ones; blocks without any are shared.
    fn renew(&self, old: &Sites, touched: ChangedNodePods) -> Sites {
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
            sites.push_all(renewed);
        }
        sites.push_all(touched.filter_map(|(name, pods)| self.site(name, borrowed(&pods), None)).collect());
        sites
    }

    /// Judges every node. Nodes, pods and former sites are all in the order of nodes' names.
    fn anew(&self, old: &Sites) -> (Sites, Released) {
        let mut released = Vec::new();
        let mut owned = self.seen.owned.iter().peekable();
        let mut former = old.all().peekable();
        // Those that are adopted, and those for nodes that do not exist: few.
        let mut others = ChangedNodePods::new();
        for pod in self.claims.adopting() {
            if let Some(node) = pod.target_node() {
                others.entry(node.into()).or_default().push((pod.clone(), true));
            }
        }
        let mut sites = InOrder::default();
        let mut here = Vec::new();
        for (key, node) in self.seen.nodes.iter() {
            while let Some((place, pod)) = owned.next_if(|(place, _)| is_up_to(&place.node, &key.name)) {
                match self.label_verdict(pod).selected {
                    true if place.node == key.name => here.push((pod, false)),
                    true => set_aside(&mut others, place, pod),
                    false => released.push(Arc::clone(pod)),
                }
            }
            let mut there = None;
            while let Some(site) = former.next_if(|site| is_up_to(&site.name, &key.name)) {
                there = Some(site).filter(|site| site.name == key.name);
            }
            let mut adopted = None;
            while let Some(other) = others.first_entry().filter(|other| *other.key() <= key.name) {
                match other.remove_entry() {
                    (name, pods) if name == key.name => adopted = Some(pods),
                    (name, pods) => {
                        self.site(name, borrowed(&pods), None).into_iter().for_each(|site| sites.push(site));
                    }
                }
            }
            let adopted = adopted.iter().flat_map(borrowed);
            sites.push(self.present(node, here.drain(..).chain(adopted), there));
        }
        for (place, pod) in owned {
            match self.label_verdict(pod).selected {
                true => set_aside(&mut others, place, pod),
                false => released.push(Arc::clone(pod)),
            }
        }
        let others = others.into_iter().filter_map(|(name, pods)| self.site(name, borrowed(&pods), None));
        others.for_each(|site| sites.push(site));
        released.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
        (sites.finish(), Arc::new(released))
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
                let pods = self.states(pods);
                (!pods.is_empty()).then(|| Site::without_node(name, pods))
            }
        }
    }

    fn present<'p>(
        &self,
        node: &Node,
        pods: impl Iterator<Item = (&'p Arc<Pod>, bool)>,
        former: Option<&Site>,
    ) -> Site {
        let pods = self.states(pods);
        let heard = self.judge.terms.strict || node.is_heard();
        let mut site = Site::present(node, self.judge.eligibility(node), heard, pods);
        site.keep_previous_occupant(former, |site| site.activity(self.judge, self.seen));
        site
    }

    /// The pods of a node in their order.
    fn states<'p>(&self, mut pods: impl Iterator<Item = (&'p Arc<Pod>, bool)>) -> Pods {
        let state = |(pod, adopting): (&Arc<Pod>, bool)| {
            self.judge.state(pod.clone(), adopting, self.label_verdict(pod).revision)
        };
        let Some(first) = pods.next() else { return Pods::None };
        let first = state(first);
        let Some(second) = pods.next() else { return Pods::One(first) };
        let mut all = vec![first, state(second)];
        all.extend(pods.map(state));
        all.sort_by(|a, b| {
            a.is_finished_and_terminating().cmp(&b.is_finished_and_terminating()).then_with(|| a.order(b))
        });
        Pods::Many(all)
    }
}

/// Whether a node's name does not come after another one. The same name mostly is the same in
/// memory.
fn is_up_to(name: &Arc<str>, other: &Arc<str>) -> bool {
    Arc::ptr_eq(name, other) || name <= other
}

/// DS-B33: a pod without a target is nowhere.
fn set_aside(others: &mut ChangedNodePods, place: &Place, pod: &Arc<Pod>) {
    if !place.node.is_empty() {
        others.entry(place.node.clone()).or_default().push((pod.clone(), false));
    }
}

fn borrowed(pods: &NodePods) -> impl Iterator<Item = (&Arc<Pod>, bool)> {
    pods.iter().map(|(pod, adopting)| (pod, *adopting))
}

/// Makes blocks from sites that come in the order of names.
#[derive(Default)]
struct InOrder {
    sites: Sites,
    open: Vec<Site>,
}

impl InOrder {
    fn push(&mut self, site: Site) {
        if self.open.is_empty() {
            self.open.reserve_exact(BLOCK_START);
        }
        self.open.push(site);
        if self.open.len() == BLOCK_START {
            self.sites.push_block(std::mem::take(&mut self.open));
        }
    }

    fn finish(mut self) -> Sites {
        if !self.open.is_empty() {
            self.sites.push_block(self.open);
        }
        self.sites
    }
}

impl Sites {
    fn push_block(&mut self, sites: Vec<Site>) {
        self.fresh.push(self.blocks.len());
        self.blocks.push(Arc::new(Block::new(sites)));
    }

    /// One block, or several where that would be too large.
    fn push_all(&mut self, sites: Vec<Site>) {
        if sites.len() <= BLOCK_MAX {
            if !sites.is_empty() {
                self.push_block(sites);
            }
            return;
        }
        let mut rest = InOrder { sites: std::mem::take(self), open: Vec::new() };
        sites.into_iter().for_each(|site| rest.push(site));
        *self = rest.finish();
    }

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

/// Tells of every pod that is in only one of two lists in the order of keys, or not the same in
/// both.
fn differences<'a>(
    old: impl Iterator<Item = (&'a Place, &'a Arc<Pod>)>,
    new: impl Iterator<Item = (&'a Place, &'a Arc<Pod>)>,
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
