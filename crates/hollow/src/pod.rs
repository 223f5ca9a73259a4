//! One pod of the real profile: the agent's own decisions over a runtime that is made up.
//!
//! `sync::plan` says what to do; [`RealPod::begin`] answers each action with an outcome that will
//! be there after some delay; `sync::apply` takes it in when its time has come. Nothing here waits.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use everynode_agent::cri::{Container, ContainerState, Sandbox};
use everynode_agent::ports::{ProbeKind, ProbeReport};
use everynode_agent::sync::{self, Action, Memory, NodeFacts, Observed, Outcome, Plan, Seen, Slot};
use everynode_runtime::clock::later;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as Spec, Pod, PodCondition, PodStatus};

use crate::delay::Delay;
use crate::dice::Dice;
use crate::options::{Failures, PodTimes};
use crate::template;

/// Decisions at one moment; a pod that is not at rest after so many is looked at again a second
/// later.
const TURNS_MAX: usize = 200;
/// The conditions that the agent owns; all others belong to other clients.
const OWN_CONDITIONS: [&str; 5] =
    ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// A pod on its way.
#[derive(Debug)]
pub struct RealPod {
    seen: Seen,
    memory: Memory,
    pending: Vec<Pending>,
    /// The status that the server has for sure.
    written: Option<PodStatus>,
    /// The object is being removed: its status is no longer needed.
    is_over: bool,
    never_ready: bool,
    /// For its address.
    sequence: u32,
    /// Containers so far, for their ids.
    containers: u32,
}

#[derive(Debug)]
struct Pending {
    due: Timestamp,
    /// What it occupies.
    slot: Option<Slot>,
    what: Happening,
}

#[derive(Debug)]
enum Happening {
    Outcome(Box<Outcome>),
    Probe(ProbeReport),
    Crash { id: String },
}

/// What a pod's turn may use.
pub struct World<'a> {
    pub now: Timestamp,
    pub dice: &'a mut Dice,
    pub times: &'a PodTimes,
    pub failures: &'a Failures,
    /// What the node has pulled already.
    pub images: &'a mut BTreeSet<u64>,
}

/// What a turn brought.
#[derive(Debug, Default)]
pub struct Turn {
    /// To be written, if no write is under way.
    pub status: Option<PodStatus>,
    pub delete: bool,
    /// Nothing of the pod is left.
    pub done: bool,
    pub wake_at: Option<Timestamp>,
    pub crashes: u64,
}

impl RealPod {
    /// A pod as it was bound. `never_ready`: its image cannot be pulled, or its probes never pass.
    pub fn new(pod: Pod, node_ip: IpAddr, sequence: u32, never_ready: bool) -> Self {
        let node = Arc::new(NodeFacts { ips: vec![node_ip], runtime: "hollow".into(), network_error: None });
        RealPod {
            seen: Seen { pod: Arc::new(slim(pod)), node, observed: Observed::default() },
            memory: Memory::default(),
            pending: Vec::new(),
            written: None,
            is_over: false,
            never_ready,
            sequence,
            containers: 0,
        }
    }

    /// Whether what is known of the pod is old. `generation` and `phase` are the server's.
    pub fn is_outdated(&self, generation: i64, is_terminating: bool, grace_seconds: Option<i64>) -> bool {
        let metadata = &self.seen.pod.metadata;
        metadata.generation.unwrap_or_default() != generation
            || metadata.deletion_timestamp.is_some() != is_terminating
            || metadata.deletion_grace_period_seconds != grace_seconds
    }

    /// The pod as the server has it now. What was last written is newer than what the watch says of
    /// the agent's own fields.
    pub fn heard(&mut self, pod: Pod) {
        let mut pod = slim(pod);
        if let Some(written) = &self.written {
            let server = pod.status.take().unwrap_or_default();
            let is_terminal = matches!(server.phase.as_deref(), Some("Failed" | "Succeeded"));
            let mut status = if is_terminal { server.clone() } else { written.clone() };
            let is_own = |condition: &&PodCondition| OWN_CONDITIONS.contains(&condition.type_.as_str());
            let own = written.conditions.iter().flatten().filter(is_own);
            let others = server.conditions.iter().flatten().filter(|condition| !is_own(condition));
            status.conditions = Some(own.chain(others).cloned().collect());
            pod.status = Some(status);
        }
        self.seen.pod = Arc::new(pod);
    }

    /// Another client wrote to the agent's fields: they are written again.
    pub fn overwritten(&mut self) {
        self.written = None;
    }

    /// The object does not exist any more.
    pub fn gone(&mut self) {
        self.memory.set_gone();
    }

    /// The server has this status now.
    pub fn written(&mut self, status: PodStatus) {
        self.memory.status_written(status.phase.as_deref().unwrap_or_default());
        Arc::make_mut(&mut self.seen.pod).status = Some(status.clone());
        self.written = Some(status);
    }

    /// The server removed the object when asked to, or had removed it before.
    pub fn deleted(&mut self, now: Timestamp) {
        sync::apply(Outcome::Deleted(Ok(())), &mut self.seen.observed, &mut self.memory, now);
    }

    /// The node went down and comes up again: nothing runs, and the agent starts anew: it knows of
    /// nothing that it has written or asked for.
    pub fn rebooted(&mut self, now: Timestamp) {
        self.pending.clear();
        (self.written, self.is_over) = (None, false);
        for sandbox in &mut self.seen.observed.sandboxes {
            sandbox.ready = false;
        }
        let observed = &mut self.seen.observed;
        for container in &mut observed.containers {
            end(container, 137, "Error", now);
        }
        let is_gone = self.memory.is_gone();
        self.memory = Memory::adopt(observed, self.seen.pod.status.as_ref());
        if is_gone {
            self.memory.set_gone();
        }
    }

    /// Takes in what is due, decides and begins, until there is nothing to do at this moment.
    pub fn turn(&mut self, world: &mut World<'_>) -> Turn {
        let mut turn = Turn::default();
        for _ in 0..TURNS_MAX {
            turn.crashes += self.take_due(world.now);
            let Plan { actions, status, wake_at, done, memory } = sync::plan(&self.seen, &self.memory, world.now);
            self.memory = memory;
            for action in actions {
                turn.delete |= action == Action::Delete;
                self.is_over |= action == Action::Delete;
                self.begin(action, world);
            }
            let next = self.pending.iter().map(|pending| pending.due).min();
            if next.is_some_and(|due| due <= world.now) {
                continue;
            }
            let differs = !self.is_over && !self.memory.is_gone() && self.written.as_ref() != Some(&status);
            turn.status = differs.then_some(status);
            turn.done = done;
            turn.wake_at = [wake_at, next].into_iter().flatten().min();
            return turn;
        }
        turn.wake_at = Some(later(world.now, Duration::from_secs(1)));
        turn
    }

    /// Answers how many containers crashed.
    fn take_due(&mut self, now: Timestamp) -> u64 {
        let mut crashes = 0;
        let mut due: Vec<Pending> = self.pending.extract_if(.., |pending| pending.due <= now).collect();
        due.sort_by_key(|pending| pending.due);
        for Pending { due, what, .. } in due {
            match what {
                Happening::Outcome(outcome) => sync::apply(*outcome, &mut self.seen.observed, &mut self.memory, due),
                Happening::Probe(report) => self.memory.probed(&report),
                Happening::Crash { id } => crashes += u64::from(self.crash(&id, due)),
            }
        }
        crashes
    }

    /// Whether the container ran until now.
    fn crash(&mut self, id: &str, at: Timestamp) -> bool {
        let found = self.seen.observed.containers.iter_mut().find(|container| container.id == id);
        found.is_some_and(|container| end(container, 1, "Error", at))
    }

    fn begin(&mut self, action: Action, world: &mut World<'_>) {
        let slot = action.slot();
        match action {
            Action::SetUp => self.answer(slot, world.now, Outcome::SetUp(Ok(()))),
            Action::CreateSandbox { attempt } => {
                let due = world.after(world.times.sandbox);
                let sandbox = self.sandbox(attempt, due);
                self.answer(slot, due, Outcome::SandboxCreated(Ok(sandbox)));
            }
            Action::StopSandbox { id } => self.answer(slot, world.now, Outcome::SandboxStopped { id, result: Ok(()) }),
            Action::RemoveSandbox { id } => {
                self.answer(slot, world.now, Outcome::SandboxRemoved { id, result: Ok(()) })
            }
            Action::EnsureImage { container } => self.ensure_image(slot, container, world),
            Action::StartContainer { container, sandbox_id, attempt, image } => {
                self.start(slot, container, sandbox_id, attempt, image, world);
            }
            Action::PostStart { container, id } => {
                self.answer(slot, world.now, Outcome::Hooked { container, id, result: Ok(()) });
            }
            Action::Kill { container, id, grace_seconds, .. } => self.kill(slot, container, &id, grace_seconds, world),
            Action::Abort(slot) => self.pending.retain(|pending| pending.slot.as_ref() != Some(&slot)),
            Action::RemoveContainer { id, .. } => {
                self.answer(slot, world.now, Outcome::ContainerRemoved { id, result: Ok(()) });
            }
            Action::Probe { container, id } => self.probe(&container, &id, world),
            Action::TearDown => self.answer(slot, world.now, Outcome::TornDown(Ok(()))),
            Action::StopProbes { container } => self.pending.retain(|pending| match &pending.what {
                Happening::Probe(report) => report.container != container,
                _ => true,
            }),
            // Removing the object is the caller's; the events of simulated pods are not used.
            Action::Delete | Action::Terminating | Action::Emit(_) => {}
        }
    }

    /// The outcome will be there at `due`; it takes the place of what occupied the slot.
    fn answer(&mut self, slot: Option<Slot>, due: Timestamp, outcome: Outcome) {
        self.pending.retain(|pending| slot.is_none() || pending.slot != slot);
        self.pending.push(Pending { due, slot, what: Happening::Outcome(Box::new(outcome)) });
    }

    fn spec(&self, name: &str) -> Option<&Spec> {
        sync::container_named(self.seen.spec(), name).map(|(container, _)| container)
    }

    fn sandbox(&self, attempt: u32, created_at: Timestamp) -> Sandbox {
        let metadata = &self.seen.pod.metadata;
        let uid = metadata.uid.clone().unwrap_or_default();
        let host_network = self.seen.host_network();
        Sandbox {
            id: format!("{uid}/{attempt}"),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            pod: metadata.name.clone().unwrap_or_default(),
            uid,
            attempt,
            ready: true,
            created_at,
            ips: if host_network { Vec::new() } else { vec![template::pod_ip(self.sequence)] },
            host_network,
            labels: Default::default(),
            annotations: Default::default(),
        }
    }

    fn ensure_image(&mut self, slot: Option<Slot>, container: String, world: &mut World<'_>) {
        let spec = self.spec(&container);
        let image = spec.and_then(|spec| spec.image.clone()).unwrap_or_default();
        let is_probed = spec.is_some_and(|spec| spec.readiness_probe.is_some());
        let always = spec.is_some_and(|spec| spec.image_pull_policy.as_deref() == Some("Always"));
        let mut hasher = DefaultHasher::new();
        image.hash(&mut hasher);
        if self.never_ready && !is_probed {
            let message = format!("failed to pull and unpack image \"{image}\": simulated failure");
            let due = world.after(world.times.pull);
            return self.answer(slot, due, Outcome::Image { container, result: Err(("ErrImagePull", message)) });
        }
        let is_there = !world.images.insert(hasher.finish()) && !always;
        let due = if is_there { world.now } else { world.after(world.times.pull) };
        self.answer(slot, due, Outcome::Image { container, result: Ok(image) });
    }

    fn start(
        &mut self,
        slot: Option<Slot>,
        container: String,
        sandbox_id: String,
        attempt: u32,
        image: String,
        world: &mut World<'_>,
    ) {
        let due = world.after(world.times.start);
        self.containers += 1;
        let id = format!("{}-{}", self.seen.pod.metadata.uid.as_deref().unwrap_or_default(), self.containers);
        let seen = Container {
            id: id.clone(),
            sandbox_id,
            name: container.clone(),
            attempt,
            state: ContainerState::Running,
            created_at: due,
            started_at: Some(due),
            finished_at: None,
            exit_code: 0,
            reason: String::new(),
            message: String::new(),
            image_ref: image.clone(),
            image,
            log_path: String::new(),
            labels: Default::default(),
            annotations: Default::default(),
        };
        if world.dice.happens(world.failures.crash.0) {
            let after = world.failures.crash_after.draw(world.dice);
            self.pending.push(Pending { due: later(due, after), slot: None, what: Happening::Crash { id } });
        }
        self.answer(slot, due, Outcome::Started { container, seen: Some(seen), result: Ok(()) });
    }

    fn kill(&mut self, slot: Option<Slot>, container: String, id: &str, grace_seconds: i64, world: &mut World<'_>) {
        let grace = Duration::from_secs(u64::try_from(grace_seconds).unwrap_or(0));
        let due = later(world.now, world.times.stop.draw(world.dice).min(grace));
        let seen = self.seen.observed.container(id).cloned().map(|mut found| {
            end(&mut found, 0, "Completed", due);
            found
        });
        self.answer(slot, due, Outcome::Killed { container, seen, result: Ok(()) });
    }

    /// Startup and readiness pass after the same delay; liveness never fails.
    fn probe(&mut self, container: &str, id: &str, world: &mut World<'_>) {
        let Some(spec) = self.spec(container) else { return };
        let (startup, readiness) = (spec.startup_probe.is_some(), spec.readiness_probe.is_some() && !self.never_ready);
        let due = world.after(world.times.ready);
        for (is_there, probe) in [(startup, ProbeKind::Startup), (readiness, ProbeKind::Readiness)] {
            let report = ProbeReport { container: container.into(), container_id: id.into(), probe, passed: true };
            if is_there {
                self.pending.push(Pending { due, slot: None, what: Happening::Probe(report) });
            }
        }
    }
}

impl World<'_> {
    fn after(&mut self, delay: Delay) -> Timestamp {
        later(self.now, delay.draw(self.dice))
    }
}

/// Ends a container that runs; answers whether it did.
fn end(container: &mut Container, exit_code: i32, reason: &str, at: Timestamp) -> bool {
    if container.state != ContainerState::Running {
        return false;
    }
    container.state = ContainerState::Exited;
    container.finished_at = Some(at);
    (container.exit_code, container.reason) = (exit_code, reason.into());
    true
}

/// Without what no decision reads, so that thousands fit into memory.
fn slim(mut pod: Pod) -> Pod {
    let metadata = &mut pod.metadata;
    (metadata.managed_fields, metadata.annotations, metadata.labels) = (None, None, None);
    if let Some(spec) = &mut pod.spec {
        (spec.affinity, spec.tolerations, spec.volumes, spec.node_selector) = (None, None, None, None);
        for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
            (container.env, container.volume_mounts, container.command, container.args) = (None, None, None, None);
        }
    }
    pod
}

/// Whether a status says that the pod runs, and that it is ready.
pub(crate) fn running_and_ready(status: &PodStatus) -> (bool, bool) {
    let conditions = status.conditions.iter().flatten();
    let is_ready = conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    (status.phase.as_deref() == Some("Running"), is_ready)
}

#[cfg(test)]
mod tests;
