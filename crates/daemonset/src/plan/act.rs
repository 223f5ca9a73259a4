//! Decisions become actions; what the next plan needs to know is remembered.

use std::sync::Arc;

use everynode_api::reconcile::EventType;
use jiff::SignedDuration;

use super::{Decided, Pass};
use crate::explain::{Note, Want, Why};
use crate::memory::Seat;
use crate::pod::Maker;
use crate::sites::{Judge, PodState, Site, Sites};
use crate::{Bind, actions, node};

/// How soon a name that is taken is tried again: nothing wakes the set when a stranger goes.
const NAME_RETRY: SignedDuration = SignedDuration::from_secs(5);

impl<'a> Pass<'a> {
    /// Deletions, then creations.
    pub(super) fn act(&mut self, pass: &Decided<'_, 'a>) {
        let Decided { judge, sites, managed, rollout, .. } = pass;
        let deletes = managed.iter().flat_map(|managed| &managed.deletes).chain(&rollout.deletes);
        for (state, why) in deletes {
            self.delete(state, why.clone());
        }
        let missing = sites.sites.iter().zip(*managed);
        let missing = missing.filter_map(|(site, managed)| Some((site, managed.create.clone()?)));
        let surging = rollout.creates.iter().map(|(site, want)| (*site, want.clone()));
        let mut wanted = missing.chain(surging).peekable();
        if wanted.peek().is_none() {
            return;
        }
        if self.seen.set.spec.template.labels.is_empty() {
            return self.out.notes.push(Note::NoTemplateLabels); // DS-C63
        }
        let label = self.history.label.clone();
        let binds = self.options.bind == Bind::WhereFits;
        let maker = Maker::new(self.seen, &label, &judge.spec, self.respect_cordon, binds);
        for (site, want) in wanted {
            self.create(&maker, sites, site, want);
        }
    }

    /// Unbound pods for nodes that do not exist; bound ones are pod garbage collection's (DS-C23).
    pub(super) fn gone(&mut self, sites: &Sites<'a>) {
        for state in &sites.astray {
            if state.pod.spec.node_name.is_empty() && !state.is_terminating() && !state.adopting {
                self.delete(state, Why::NodeGone);
            }
        }
    }

    fn create(&mut self, maker: &Maker<'_>, sites: &Sites<'a>, site: &Site<'a>, why: Want) {
        if self.creates >= self.options.burst {
            self.left += 1; // DS-C50
            return;
        }
        let own = sites.pods_and_ghosts(site);
        let predecessor = last_pod(own).or_else(|| site.seat.map(|seat| seat.pod_uid.clone()));
        let node = site.node.meta.name.clone();
        match maker.make(site.node, predecessor.as_deref().unwrap_or_default(), own) {
            Err(name) => {
                self.wake_at(self.now + NAME_RETRY);
                self.out.notes.push(Note::NameTaken { node, pod: name.into() });
            }
            Ok(made) => {
                self.creates += 1;
                if made.bound {
                    self.next.bound.insert(made.name.as_str().into());
                }
                self.out.actions.push(actions::create_pod(&self.seen.set, &made.name, made.body));
                self.out.notes.push(Note::Create { node, pod: made.name.into(), why, bound: made.bound });
            }
        }
    }

    fn delete(&mut self, state: &PodState<'_>, why: Why) {
        if self.deletes >= self.options.burst {
            self.left += 1;
            return;
        }
        self.deletes += 1;
        let (pod, set) = (state.pod, &self.seen.set);
        let node: Arc<str> = pod.target_node().unwrap_or_default().into();
        let place = || format!("daemon pod {}/{} on node {node}", pod.meta.namespace, pod.meta.name);
        let event = match why {
            Why::Failed => {
                Some((EventType::Warning, "FailedDaemonPod", format!("Found failed {}, will try to kill it", place())))
            }
            Why::Succeeded => Some((
                EventType::Normal,
                "SucceededDaemonPod",
                format!("Found succeeded {}, will try to delete it", place()),
            )),
            _ => None,
        };
        self.out.actions.extend(event.map(|(kind, reason, message)| actions::emit(set, kind, reason, message)));
        self.out.actions.push(actions::delete_pod(set, pod));
        self.out.notes.push(Note::Delete { pod: state.name(), node, why });
    }

    /// The event for pods that the previous plan created bound; only now their uids are known (DS-B46).
    pub(super) fn announce_bound(&mut self, sites: &Sites<'a>) {
        if self.memory.bound.is_empty() {
            return;
        }
        let bound = sites.states().filter(|state| self.memory.bound.contains(&*state.pod.meta.name));
        let bound = bound.filter(|state| !state.pod.spec.node_name.is_empty());
        self.out.actions.extend(bound.map(|state| actions::scheduled(state.pod)));
    }

    /// The last pod of each node, for names and for telling apart nodes of one name.
    pub(super) fn seats(&self, judge: &Judge<'_>, sites: &Sites<'a>) -> Arc<Vec<Seat>> {
        let seat = |site: &Site<'a>| {
            let old = site.seat;
            let pods = sites.pods(site);
            let pod_uid = last_pod(sites.pods_and_ghosts(site)).or_else(|| old.map(|old| old.pod_uid.clone()))?;
            let former = pods.iter().any(|state| node::is_of_former_node(judge, site, state));
            let node_uid = old.filter(|_| former).map_or(&site.node.meta.uid, |old| &old.node_uid).clone();
            Some(Seat { node: site.node.meta.name.clone(), node_uid, pod_uid })
        };
        let new: Vec<Seat> = sites.sites.iter().filter_map(seat).collect();
        if new == *self.memory.seats { self.memory.seats.clone() } else { Arc::new(new) }
    }
}

/// The uid of the pod that was made last.
fn last_pod(pods: &[PodState<'_>]) -> Option<Arc<str>> {
    let age = |state: &&PodState<'_>| (state.pod.meta.creation_timestamp, state.pod.meta.name.clone());
    match pods {
        [only] => Some(only.pod.meta.uid.clone()),
        pods => pods.iter().max_by_key(age).map(|state| state.pod.meta.uid.clone()),
    }
}
