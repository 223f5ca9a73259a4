//! The narrative of one pass: guard, history, claim, nodes, rollout, cleanup, status.

use std::collections::BTreeSet;
use std::sync::Arc;

use everynode_api::kinds;
use everynode_api::reconcile::{Action, EventType};
use everynode_api::selector::Selector;
use jiff::{SignedDuration, Timestamp};

use crate::claim::{self, Claims};
use crate::conditions::{Facts, START_GRACE, few};
use crate::explain::{Hold, Note, Want, Why};
use crate::memory::{Memory, Progress, Seat};
use crate::node::{self, Managed};
use crate::pod::{self, Maker};
use crate::revision::{self, History, Newest};
use crate::rollout::{self, Rollout, Strategy};
use crate::sites::{self, Judge, PodState, Site, Sites};
use crate::status::{self, Counts};
use crate::{Bind, Options, Plan, Seen, actions, seen};

/// How soon a set is looked at again while orphans wait to be adopted.
const ADOPTION_RETRY: SignedDuration = SignedDuration::from_secs(1);

/// How soon a name that is taken is tried again.
const NAME_RETRY: SignedDuration = SignedDuration::from_secs(5);

/// Decides what to do for one set.
pub(crate) fn plan(options: &Options, seen: &Seen, memory: &Memory, now: Timestamp) -> Plan {
    let set = &seen.set;
    let selector = seen::selector(set);
    let silent = |note: Note| Plan { notes: vec![note], memory: memory.clone(), ..Plan::default() };
    if set.meta.is_terminating() {
        return silent(Note::SetTerminating); // DS-C03
    }
    if selector.is_everything() {
        return selecting_all(seen, memory); // DS-C02
    }
    if selector.is_nothing() {
        return silent(Note::SelectsNothing);
    }
    match revision::newest(seen, &selector) {
        Newest::Known(history) => Pass::new(options, seen, memory, now, &selector, history).run(),
        Newest::Missing { actions, notes } => Plan { actions, notes, memory: memory.clone(), ..Plan::default() },
        Newest::Taken { name, count } => {
            let status = everynode_api::view::DaemonSetStatus { collision_count: Some(count), ..set.status.clone() };
            Plan { status: status::write(set, status), ..silent(Note::Collision { name, count }) }
        }
    }
}

fn selecting_all(seen: &Seen, memory: &Memory) -> Plan {
    let message = "This daemon set is selecting all pods. A non-empty selector is required.";
    let event = actions::emit(&seen.set, EventType::Warning, "SelectingAll", message.into());
    Plan { actions: vec![event], notes: vec![Note::SelectingAll], memory: memory.clone(), ..Plan::default() }
}

/// One pass over a set whose newest revision is known.
struct Pass<'a> {
    options: &'a Options,
    seen: &'a Seen,
    memory: &'a Memory,
    now: Timestamp,
    history: History<'a>,
    claims: Claims<'a>,
    respect_cordon: bool,
    next: Memory,
    out: Plan,
    creates: usize,
    deletes: usize,
    left: usize,
}

impl<'a> Pass<'a> {
    fn new(
        options: &'a Options,
        seen: &'a Seen,
        memory: &'a Memory,
        now: Timestamp,
        selector: &Selector,
        history: History<'a>,
    ) -> Self {
        Pass {
            options,
            seen,
            memory,
            now,
            history,
            claims: claim::pods(seen, selector),
            respect_cordon: sites::respects_cordon(options, &seen.set.meta),
            next: Memory {
                back_offs: memory.back_offs.at(seen.set.meta.generation, now),
                seats: memory.seats.clone(),
                progress: memory.progress.clone(),
                planned_at: Some(now),
                bound: Default::default(),
            },
            out: Plan::default(),
            creates: 0,
            deletes: 0,
            left: 0,
        }
    }

    fn run(mut self) -> Plan {
        let relabels = self.settle_claims();
        let claims = std::mem::take(&mut self.claims);
        let judge = self.judge();
        let sites = Sites::new(self.seen, self.memory, &claims, &judge);
        let desired = sites.desired();
        let strategy = Strategy::resolve(&self.seen.set.spec, desired);

        let managed = self.manage(&judge, &sites, strategy.surge_allowed);
        let worked = managed.iter().any(|managed| !managed.is_idle());
        let may_roll = strategy.rolling && !relabels && !(self.options.strict && worked); // DS-D02
        let rollout = match may_roll {
            true => rollout::roll(&judge, strategy, &sites, |number| !managed[number].is_idle()),
            false => Rollout::default(),
        };

        self.gone(&sites);
        self.act(&judge, &sites, &managed, &rollout);
        self.explain(&judge, &sites, &managed, &rollout, strategy);
        self.announce_bound(&sites);
        self.cleanup(&claims);
        self.next.seats = self.seats(&judge, &sites);
        self.report(&sites, &managed, &rollout, strategy);
        if self.left > 0 {
            self.out.notes.push(Note::Truncated { left: self.left });
            self.wake_at(self.now);
        }
        self.out.memory = self.next;
        self.out
    }

    fn judge(&self) -> Judge<'a> {
        let spec = &self.seen.set.spec;
        Judge {
            strict: self.options.strict,
            now: self.now,
            hashes: self.history.labels(),
            generation: pod::template_generation(self.seen),
            min_ready: SignedDuration::from_secs(spec.min_ready_seconds.max(0)),
            spec: sites::pod_spec(&spec.template.spec, self.respect_cordon),
            respect_cordon: self.respect_cordon,
        }
    }

    /// Adoptions, releases, duplicate revisions; whether pods are being relabelled.
    fn settle_claims(&mut self) -> bool {
        let set = &self.seen.set.meta;
        let out = &mut self.out;
        out.actions.append(&mut self.history.actions);
        out.notes.append(&mut self.history.notes);
        for pod in &self.claims.release {
            out.actions.push(actions::release(&kinds::POD, &pod.meta, set));
            out.notes.push(Note::Release { object: pod.meta.name.clone() });
        }
        for pod in &self.claims.adopt {
            out.actions.push(actions::adopt(&kinds::POD, &pod.meta, set));
            out.notes.push(Note::Adopt { object: pod.meta.name.clone() });
        }
        for pod in &self.claims.wait {
            out.notes.push(Note::AdoptionWaits { object: pod.meta.name.clone() });
        }
        let pods = self.claims.pods.iter().map(|(pod, _)| *pod);
        let merged = self.history.merge_duplicates(self.options.strict, pods, &mut out.notes);
        let relabels = merged.iter().any(|action| matches!(action, Action::Patch { .. }));
        out.actions.extend(merged);
        if !self.claims.wait.is_empty() {
            self.wake_at(self.now + ADOPTION_RETRY);
        }
        relabels
    }

    fn manage<'p>(&mut self, judge: &Judge<'_>, sites: &'p Sites<'a>, surge: bool) -> Vec<Managed<'p, 'a>> {
        let mut back_offs = std::mem::take(&mut self.next.back_offs);
        let one = |(site, pods)| node::manage(judge, &mut back_offs, surge, site, pods);
        let managed: Vec<_> = sites.iter().map(one).collect();
        self.next.back_offs = back_offs;
        for at in managed.iter().filter_map(|managed| managed.wake_at) {
            self.wake_at(at);
        }
        managed
    }

    /// Unbound pods for nodes that do not exist; bound ones are pod garbage collection's (DS-C23).
    fn gone(&mut self, sites: &Sites<'a>) {
        for state in &sites.astray {
            if state.pod.spec.node_name.is_empty() && !state.is_terminating() && !state.adopting {
                self.delete(state, Why::NodeGone);
            }
        }
    }

    /// Deletions, then creations.
    fn act<'p>(
        &mut self,
        judge: &Judge<'_>,
        sites: &'p Sites<'a>,
        managed: &[Managed<'p, 'a>],
        rollout: &Rollout<'p, 'a>,
    ) {
        let deletes = managed.iter().flat_map(|managed| &managed.deletes).chain(&rollout.deletes);
        for (state, why) in deletes {
            self.delete(state, why.clone());
        }
        let missing = sites.sites.iter().zip(managed);
        let missing = missing.filter_map(|(site, managed)| Some((site, managed.create.clone()?)));
        let surging = rollout.creates.iter().map(|(site, want)| (*site, want.clone()));
        let mut wanted = missing.chain(surging).peekable();
        if wanted.peek().is_none() {
            return;
        }
        if self.seen.set.spec.template.labels.is_empty() {
            return self.out.notes.push(Note::NoTemplateLabels); // DS-C63
        }
        let label = revision::label(&self.history.current.meta);
        let binds = self.options.bind == Bind::WhereFits;
        let maker = Maker::new(self.seen, label, &judge.spec, self.respect_cordon, binds);
        for (site, want) in wanted {
            self.create(&maker, sites, site, want);
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
                // Nothing wakes the set when a stranger goes.
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

    /// Says why there is no pod, or why one stays.
    fn explain<'p>(
        &mut self,
        judge: &Judge<'_>,
        sites: &'p Sites<'a>,
        managed: &[Managed<'p, 'a>],
        rollout: &Rollout<'p, 'a>,
        strategy: Strategy,
    ) {
        let leaving: BTreeSet<&str> = rollout.deletes.iter().map(|(state, _)| &*state.pod.meta.name).collect();
        for ((site, pods), managed) in sites.iter().zip(managed) {
            let node = || site.node.meta.name.clone();
            let hold =
                |(state, why): &(&PodState<'_>, Hold)| Note::Hold { pod: state.name(), node: node(), why: why.clone() };
            let staying = |(state, _): &&(&PodState<'_>, Hold)| !leaving.contains(&*state.pod.meta.name);
            self.out.notes.extend(managed.holds.iter().filter(staying).map(hold));
            let verdict = site.eligibility;
            match pods.first() {
                None if !verdict.should_run => {
                    self.out.notes.push(Note::Skip { node: node(), reasons: judge.reasons(site.node) });
                }
                Some(first) if leaving.contains(&*first.pod.meta.name) => {}
                Some(first) if !verdict.should_run && verdict.should_continue => {
                    let reasons = judge.reasons(site.node);
                    self.out.notes.push(Note::Stays { pod: first.name(), node: node(), reasons });
                }
                Some(first) if managed.create.is_none() && pods.iter().all(PodState::is_terminating) => {
                    self.out.notes.push(Note::Leaving { pod: first.name(), node: node() });
                }
                Some(first) if !strategy.rolling && !first.updated && managed.is_idle() => {
                    let why = Hold::OnDelete;
                    self.out.notes.push(Note::Hold { pod: first.name(), node: node(), why });
                }
                _ => {}
            }
        }
    }

    /// The event for pods that the previous plan created bound; only now their uids are known (DS-B46).
    fn announce_bound(&mut self, sites: &Sites<'a>) {
        if self.memory.bound.is_empty() {
            return;
        }
        let bound = sites.states().filter(|state| self.memory.bound.contains(&*state.pod.meta.name));
        let bound = bound.filter(|state| !state.pod.spec.node_name.is_empty());
        self.out.actions.extend(bound.map(|state| actions::scheduled(state.pod)));
    }

    fn cleanup(&mut self, claims: &Claims<'_>) {
        let limit = self.seen.set.spec.revision_history_limit.unwrap_or(10);
        let pods = claims.pods.iter().map(|(pod, _)| *pod);
        self.out.actions.extend(self.history.beyond_limit(limit, pods));
    }

    /// The last pod of each node, for names and for telling apart nodes of one name.
    fn seats(&self, judge: &Judge<'_>, sites: &Sites<'a>) -> Arc<Vec<Seat>> {
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

    /// Status, conditions, and when to look again.
    fn report<'p>(
        &mut self,
        sites: &'p Sites<'a>,
        managed: &[Managed<'p, 'a>],
        rollout: &Rollout<'p, 'a>,
        strategy: Strategy,
    ) {
        let holds = rollout.holds.iter().map(|(state, why)| {
            let node = state.pod.target_node().unwrap_or_default().into();
            Note::Hold { pod: state.name(), node, why: why.clone() }
        });
        self.out.notes.extend(holds);
        let counts = status::count(sites);
        let since = self.progress(counts);
        let mut status = status::status(&self.seen.set, counts);
        let facts = self.facts(sites, managed, rollout, strategy, counts, since);
        if rollout.is_blocked() && managed.iter().all(Managed::is_idle) {
            let (nodes, more) = few(&rollout.blockers);
            let (unavailable, allowed) = (rollout.spent, rollout.allowed);
            self.out.notes.push(Note::Stalled { nodes, more, unavailable, allowed, since });
        }
        if !self.options.strict {
            status.conditions = Some(facts.merge(status.conditions.as_ref()));
            if let Some(at) = facts.deadline() {
                self.wake_at(at);
            }
        }
        self.out.status = status::write(&self.seen.set, status);
    }

    fn facts<'p>(
        &mut self,
        sites: &'p Sites<'a>,
        managed: &[Managed<'p, 'a>],
        rollout: &Rollout<'p, 'a>,
        strategy: Strategy,
        counts: Counts,
        since: Timestamp,
    ) -> Facts {
        let mut facts = Facts {
            counts,
            max_unavailable: strategy.max_unavailable,
            on_delete: !strategy.rolling,
            adoptions_waiting: self.out.notes.iter().filter(|note| matches!(note, Note::AdoptionWaits { .. })).count(),
            failing: Vec::new(),
            unavailable: Vec::new(),
            blockers: rollout.blockers.clone(),
            since,
            now: self.now,
        };
        for ((site, pods), managed) in sites.iter().zip(managed) {
            let first = pods.first();
            let late = first.filter(|first| !first.ready && first.is_reported()).and_then(not_ready_since);
            let late = late.and_then(|since| since.saturating_add(START_GRACE).ok());
            if !managed.holds.iter().all(|(_, hold)| !matches!(hold, Hold::BackOff { .. }))
                || late.is_some_and(|late| late <= self.now)
            {
                facts.failing.push(site.node.meta.name.clone());
            } else if let Some(late) = late {
                self.wake_at(late);
            }
            if site.eligibility.should_run && !first.is_some_and(|first| first.available) {
                facts.unavailable.push(site.node.meta.name.clone());
            }
            for state in
                pods.iter().filter(|state| state.ready && !state.available && state.available_at < Timestamp::MAX)
            {
                self.wake_at(state.available_at); // DS-E13
            }
        }
        facts
    }

    /// Since when nothing has moved, for this revision.
    fn progress(&mut self, counts: Counts) -> Timestamp {
        let revision = revision::label(&self.history.current.meta);
        let same = |progress: &&Progress| {
            *progress.revision == *revision
                && progress.updated == counts.updated
                && progress.available == counts.available
        };
        let since = match &self.memory.progress {
            Some(progress) => Some(progress).filter(same).map(|progress| progress.since),
            // After a restart: what the condition says.
            None => stalled_since(&self.seen.set.status),
        };
        let since = since.unwrap_or(self.now);
        let (updated, available) = (counts.updated, counts.available);
        self.next.progress = Some(Progress { revision: revision.into(), updated, available, since });
        since
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.out.wake_at = Some(self.out.wake_at.map_or(at, |earlier| earlier.min(at)));
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

fn not_ready_since(state: &PodState<'_>) -> Option<Timestamp> {
    let condition = state.pod.condition("Ready").and_then(|ready| ready.last_transition_time);
    condition.or(state.pod.status.start_time)
}

fn stalled_since(status: &everynode_api::view::DaemonSetStatus) -> Option<Timestamp> {
    let condition = status.conditions.iter().flatten().find(|condition| condition["type"] == "Progressing")?;
    let stalled = condition["status"] == "False";
    condition["lastTransitionTime"].as_str().filter(|_| stalled)?.parse().ok()
}
