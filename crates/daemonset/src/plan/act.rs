//! Decisions become actions; what the next plan needs to know is remembered.

use std::sync::Arc;

use everynode_api::reconcile::EventType;
use jiff::SignedDuration;

use super::{Decided, Pass};
use crate::explain::{CreateReason, DaemonSetNote, DeleteReason};
use crate::judge::PodState;
use crate::pod::PodBuilder;
use crate::sites::{Site, Sites, last_pod, node_of};
use crate::{Bind, actions};

/// How soon a name that is taken is tried again: nothing wakes the set when a stranger goes.
const NAME_RETRY: SignedDuration = SignedDuration::from_secs(5);

impl Pass<'_> {
    /// Deletions, then creations.
    pub(super) fn act(&mut self, pass: &Decided<'_>) {
        let Decided { judge, sites, managed, rollout, .. } = pass;
        let deletes = managed.iter().flat_map(|managed| &managed.deletes).chain(&rollout.deletes);
        for (state, why) in deletes {
            self.delete(state, why.clone());
        }
        let missing = sites.active().zip(*managed);
        let missing = missing.filter_map(|(site, managed)| Some((site, managed.create.clone()?)));
        let surging = rollout.creates.iter().map(|(site, want)| (*site, want.clone()));
        let mut wanted = missing.chain(surging).peekable();
        if wanted.peek().is_none() {
            return;
        }
        if self.seen.set.spec.template.labels.is_empty() {
            return self.out.notes.push(DaemonSetNote::NoTemplateLabels); // DS-C63
        }
        let label = self.history.label.clone();
        let binds = self.options.bind == Bind::WhereFits;
        let maker = PodBuilder::new(self.seen, &label, &judge.terms.spec, self.respect_cordon, binds);
        for (site, want) in wanted {
            self.create(&maker, site, want);
        }
    }

    /// Unbound pods for nodes that do not exist; bound ones are pod garbage collection's (DS-C23).
    pub(super) fn gone(&mut self, sites: &Sites) {
        for state in sites.without_node() {
            if state.pod.spec.node_name.is_empty() && !state.is_terminating() && !state.adopting {
                self.delete(state, DeleteReason::NodeGone);
            }
        }
    }

    fn create(&mut self, maker: &PodBuilder<'_>, site: &Site, why: CreateReason) {
        if self.creates >= self.options.burst {
            self.left += 1; // DS-C50
            return;
        }
        let Some(there) = node_of(self.seen, site) else { return };
        let own = site.all_pods();
        let predecessor = last_pod(own).or_else(|| site.occupant.as_ref().map(|occupant| occupant.pod_uid.clone()));
        let node = site.name.clone();
        match maker.make(there, predecessor.as_deref().unwrap_or_default(), own) {
            Err(name) => {
                self.wake_at(self.now + NAME_RETRY);
                self.out.notes.push(DaemonSetNote::NameTaken { node, pod: name.into() });
            }
            Ok(made) => {
                self.creates += 1;
                if made.bound {
                    self.next.bound.insert(made.name.as_str().into());
                }
                self.out.actions.push(actions::create_pod(&self.seen.set, &made.name, made.body));
                self.out.notes.push(DaemonSetNote::Create { node, pod: made.name.into(), why, bound: made.bound });
            }
        }
    }

    fn delete(&mut self, state: &PodState, why: DeleteReason) {
        if self.deletes >= self.options.burst {
            self.left += 1;
            return;
        }
        self.deletes += 1;
        let (pod, set) = (&state.pod, &self.seen.set);
        let node: Arc<str> = pod.target_node().unwrap_or_default().into();
        let place = || format!("daemon pod {}/{} on node {node}", pod.meta.namespace, pod.meta.name);
        let event = match why {
            DeleteReason::Failed => {
                Some((EventType::Warning, "FailedDaemonPod", format!("Found failed {}, will try to kill it", place())))
            }
            DeleteReason::Succeeded => Some((
                EventType::Normal,
                "SucceededDaemonPod",
                format!("Found succeeded {}, will try to delete it", place()),
            )),
            _ => None,
        };
        self.out.actions.extend(event.map(|(kind, reason, message)| actions::emit(set, kind, reason, message)));
        self.out.actions.push(actions::delete_pod(set, pod));
        self.out.notes.push(DaemonSetNote::Delete { pod: state.name(), node, why });
    }

    /// The event for pods that the previous plan created bound; only now their uids are known
    /// (DS-B46).
    pub(super) fn announce_bound(&mut self) {
        let mut bound: Vec<_> = self.memory.bound.iter().filter_map(|name| self.seen.own(name)).collect();
        bound.retain(|pod| !pod.spec.node_name.is_empty());
        bound.sort_by(|a, b| a.spec.node_name.cmp(&b.spec.node_name));
        self.out.actions.extend(bound.into_iter().map(actions::scheduled));
    }
}
