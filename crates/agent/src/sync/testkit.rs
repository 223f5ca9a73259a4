//! A pod's life as text: a script of what happens, and what is planned and reported at each step.
//!
//! The first line describes the pod, every further line is one happening; after each one the pod is
//! planned until it is quiet, every action succeeding at once unless the script says otherwise.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::seen::is_alive;
use super::{Action, Memory, NodeFacts, Observed, Outcome, Plan, Seen, Slot, apply, plan};
use crate::cri::{Container, ContainerState, Sandbox};
use crate::ports::{Event, ProbeKind, ProbeReport};

/// Plans until quiet never take more rounds than this.
const ROUNDS_MAX: usize = 60;

/// A pod and its runtime, in memory.
struct World {
    seen: Seen,
    memory: Memory,
    start: Timestamp,
    now: Timestamp,
    sequence: u32,
    /// Actions (by their text's beginning) that fail with a message.
    failing: Vec<(String, String)>,
    /// Deletions are answered and not carried out.
    keeps_deleted: bool,
    /// Actions that never end by themselves.
    held: Vec<String>,
    out: String,
}

/// Runs a script and answers what was planned and, for each `status`, what would be reported.
pub(super) fn play(script: &str) -> String {
    let mut lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
    let start = Timestamp::from_second(1_800_000_000).unwrap();
    let mut world = World {
        seen: Seen {
            pod: Arc::new(pod(lines.next().unwrap())),
            node: Arc::new(NodeFacts {
                ips: vec!["192.0.2.1".parse().unwrap()],
                runtime: "test".into(),
                network_error: None,
            }),
            observed: Observed::default(),
        },
        memory: Memory::default(),
        start,
        now: start,
        sequence: 0,
        failing: Vec::new(),
        keeps_deleted: false,
        held: Vec::new(),
        out: String::new(),
    };
    for line in lines {
        world.happen(line);
    }
    world.out
}

/// `host init=a,b sidecar=s main=web,log policy=Never grace=5 with=web:{"readinessProbe":{}}`
fn pod(line: &str) -> Pod {
    let mut spec = json!({"containers": [], "initContainers": []});
    let mut extras: Vec<(String, Value)> = Vec::new();
    for word in line.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let containers = value.split(',').map(|name| json!({"name": name, "image": format!("{name}:1")}));
        match key {
            "host" => spec["hostNetwork"] = json!(true),
            "init" => spec["initContainers"].as_array_mut().unwrap().extend(containers),
            "sidecar" => spec["initContainers"].as_array_mut().unwrap().extend(containers.map(|mut container| {
                container["restartPolicy"] = json!("Always");
                container
            })),
            "main" => spec["containers"].as_array_mut().unwrap().extend(containers),
            "policy" => spec["restartPolicy"] = json!(value),
            "grace" => spec["terminationGracePeriodSeconds"] = json!(value.parse::<i64>().unwrap()),
            "gate" => spec["readinessGates"] = json!([{"conditionType": value}]),
            "deadline" => spec["activeDeadlineSeconds"] = json!(value.parse::<i64>().unwrap()),
            "with" => {
                let (name, fields) = value.split_once(':').unwrap();
                extras.push((name.into(), serde_json::from_str(fields).unwrap()));
            }
            other => panic!("unknown word {other}"),
        }
    }
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array_mut().unwrap() {
            let own = container["name"].clone();
            for (_, fields) in extras.iter().filter(|(name, _)| *name == own) {
                let fields = fields.as_object().unwrap().clone();
                container.as_object_mut().unwrap().extend(fields);
            }
        }
    }
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1}, "spec": spec,
    }))
    .unwrap()
}

impl World {
    fn happen(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let rest = |skip: usize| words[skip..].join(" ");
        match words.as_slice() {
            ["begin"] => {}
            ["after", seconds] => self.pass(SignedDuration::from_secs_f64(seconds.parse().unwrap())),
            ["exit", name, code] => self.exit(name, code.parse().unwrap()),
            ["probe", name, kind, result] => self.probe(name, kind, *result == "ok"),
            ["lose-sandbox"] => self.lose_sandbox(),
            ["delete", grace] => self.delete(grace.parse().unwrap()),
            ["gone"] => self.memory.set_gone(),
            ["image", name, image] => self.set_image(name, image),
            ["condition", kind, status] => self.set_condition(kind, status),
            ["fail", action, message @ ..] => self.failing.push(((*action).replace('_', " "), message.join(" "))),
            ["deletions", "lost"] => self.keeps_deleted = true,
            ["evict", message @ ..] => self.memory.evict(message.join(" ")),
            ["mend"] => self.failing.clear(),
            ["hold", action] => self.held.push(action.replace('_', " ")),
            ["end", ..] => self.end_held(&rest(1)),
            ["network", "down"] => self.set_network(Some("cni plugin not initialized".into())),
            ["network", "up"] => self.set_network(None),
            ["restart-agent"] => self.restart_agent(),
            ["status"] => return self.print_status(),
            _ => panic!("unknown line {line}"),
        }
        let _ = writeln!(self.out, "> {line}");
        self.settle();
    }

    /// Time passes in steps to each moment that was asked for.
    fn pass(&mut self, duration: SignedDuration) {
        let target = self.now + duration;
        loop {
            let wake_at = plan(&self.seen, &self.memory, self.now).wake_at.filter(|at| *at > self.now && *at <= target);
            let Some(wake_at) = wake_at else { break };
            self.now = wake_at;
            self.settle();
        }
        self.now = target;
    }

    /// Plans and executes until there is nothing to do, as the worker would.
    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let made = plan(&self.seen, &self.memory, self.now);
            self.audit(&made);
            let Plan { actions, status, done, memory, .. } = made;
            self.memory = memory;
            let phase = status.phase.clone().unwrap_or_default();
            let written = Arc::make_mut(&mut self.seen.pod);
            let changed = written.status.as_ref() != Some(&status);
            written.status = Some(status);
            self.memory.status_written(&phase);
            if actions.is_empty() && !changed {
                if done {
                    let _ = writeln!(self.out, "{} done", self.clock());
                }
                return;
            }
            for action in actions {
                self.execute(action);
            }
        }
        panic!("the pod does not come to rest:\n{}", self.out);
    }

    fn clock(&self) -> String {
        let since = self.now.duration_since(self.start);
        match since.as_millis() % 1000 {
            0 => format!("{:>4}s", since.as_secs()),
            millis => format!("{:>4}.{millis:03}s", since.as_secs()),
        }
    }

    fn execute(&mut self, action: Action) {
        let text = describe(&action);
        let failure =
            self.failing.iter().find(|(prefix, _)| text.starts_with(prefix)).map(|(_, message)| message.clone());
        let held = self.held.iter().any(|prefix| text.starts_with(prefix));
        let note = match (&failure, held) {
            (Some(message), _) => format!(" FAILS {message}"),
            (None, true) => " ...".to_owned(),
            (None, false) => String::new(),
        };
        let _ = writeln!(self.out, "{} {text}{note}", self.clock());
        if held {
            return;
        }
        let deleted = action == Action::Delete && failure.is_none();
        if let Some(outcome) = self.outcome(action, failure) {
            apply(outcome, &mut self.seen.observed, &mut self.memory, self.now);
        }
        if deleted && !self.keeps_deleted {
            self.memory.set_gone();
        }
    }

    fn outcome(&mut self, action: Action, failure: Option<String>) -> Option<Outcome> {
        let result = failure.clone().map_or(Ok(()), Err);
        Some(match action {
            Action::SetUp => Outcome::SetUp(result),
            Action::CreateSandbox { attempt } => Outcome::SandboxCreated(result.map(|()| self.sandbox(attempt))),
            Action::StopSandbox { id } => {
                self.stop_all(137);
                Outcome::SandboxStopped { id, result }
            }
            Action::RemoveSandbox { id } => Outcome::SandboxRemoved { id, result },
            Action::EnsureImage { container } => {
                let result =
                    failure.map_or_else(|| Ok(format!("id-{container}")), |message| Err(("ErrImagePull", message)));
                Outcome::Image { container, result }
            }
            Action::StartContainer { container, sandbox_id, attempt, .. } => match failure {
                Some(message) => {
                    Outcome::Started { container, seen: None, result: Err(("CreateContainerConfigError", message)) }
                }
                None => {
                    let seen = Some(self.container(&container, &sandbox_id, attempt));
                    Outcome::Started { container, seen, result: Ok(()) }
                }
            },
            Action::PostStart { container, id } => {
                if failure.is_some() {
                    self.exit(&container, 137);
                }
                Outcome::Hooked { container, id, result }
            }
            Action::Kill { container, id, .. } => self.killed(container, &id, 143),
            Action::RemoveContainer { id, .. } => Outcome::ContainerRemoved { id, result },
            Action::TearDown => Outcome::TornDown(result),
            Action::Delete => Outcome::Deleted(result),
            Action::Abort(_)
            | Action::Probe { .. }
            | Action::StopProbes { .. }
            | Action::Terminating
            | Action::Emit(_) => {
                return None;
            }
        })
    }

    fn killed(&mut self, container: String, id: &str, code: i32) -> Outcome {
        let mut seen = self.seen.observed.container(id).cloned();
        seen.iter_mut().for_each(|found| end(found, code, self.now));
        Outcome::Killed { container, seen, result: Ok(()) }
    }

    /// A held action comes to its end: `end kill web`.
    fn end_held(&mut self, text: &str) {
        let (verb, name) = text.split_once(' ').unwrap();
        let latest = self.seen.observed.latest(name).map(|found| found.id.clone());
        let outcome = match verb {
            "kill" => self.killed(name.to_owned(), &latest.unwrap(), 137),
            "hook" => Outcome::Hooked { container: name.into(), id: latest.unwrap(), result: Ok(()) },
            "image" => Outcome::Image { container: name.into(), result: Ok(format!("id-{name}")) },
            other => panic!("cannot end {other}"),
        };
        apply(outcome, &mut self.seen.observed, &mut self.memory, self.now);
    }

    fn sandbox(&mut self, attempt: u32) -> Sandbox {
        self.sequence += 1;
        let host_network = self.seen.host_network();
        Sandbox {
            id: format!("sandbox{}", self.sequence),
            namespace: "n".into(),
            pod: "p".into(),
            uid: "u".into(),
            attempt,
            ready: true,
            created_at: self.now,
            ips: if host_network { Vec::new() } else { vec!["10.0.0.5".parse().unwrap()] },
            host_network,
            labels: Default::default(),
            annotations: Default::default(),
        }
    }

    fn container(&mut self, name: &str, sandbox_id: &str, attempt: u32) -> Container {
        self.sequence += 1;
        let (spec, _) = super::container_named(self.seen.spec(), name).unwrap();
        let hash = super::container_spec_hash(spec);
        Container {
            id: format!("{name}#{attempt}"),
            sandbox_id: sandbox_id.into(),
            name: name.into(),
            attempt,
            state: ContainerState::Running,
            created_at: self.now,
            started_at: Some(self.now),
            finished_at: None,
            exit_code: 0,
            reason: String::new(),
            message: String::new(),
            image: String::new(),
            image_ref: String::new(),
            log_path: String::new(),
            labels: Default::default(),
            annotations: [(super::SPEC_HASH_ANNOTATION.to_owned(), hash)].into(),
        }
    }

    fn exit(&mut self, name: &str, code: i32) {
        let now = self.now;
        let found = self.seen.observed.containers.iter_mut().filter(|found| found.name == name && is_alive(found));
        found.for_each(|found| end(found, code, now));
    }

    fn stop_all(&mut self, code: i32) {
        let now = self.now;
        self.seen
            .observed
            .containers
            .iter_mut()
            .filter(|found| is_alive(found))
            .for_each(|found| end(found, code, now));
    }

    fn lose_sandbox(&mut self) {
        self.stop_all(137);
        self.seen.observed.sandboxes.iter_mut().for_each(|sandbox| {
            sandbox.ready = false;
            sandbox.ips.clear();
        });
    }

    fn probe(&mut self, name: &str, kind: &str, passed: bool) {
        let probe = match kind {
            "liveness" => ProbeKind::Liveness,
            "readiness" => ProbeKind::Readiness,
            _ => ProbeKind::Startup,
        };
        let container_id = self.seen.observed.latest(name).unwrap().id.clone();
        self.memory.probed(&ProbeReport { container: name.into(), container_id, probe, passed });
    }

    fn delete(&mut self, grace: i64) {
        let metadata = &mut Arc::make_mut(&mut self.seen.pod).metadata;
        metadata.deletion_timestamp = Some(Time(self.now));
        metadata.deletion_grace_period_seconds = Some(grace);
    }

    fn set_image(&mut self, name: &str, image: &str) {
        let spec = Arc::make_mut(&mut self.seen.pod).spec.as_mut().unwrap();
        spec.containers.iter_mut().find(|container| container.name == name).unwrap().image = Some(image.into());
    }

    fn set_condition(&mut self, kind: &str, status: &str) {
        let written = Arc::make_mut(&mut self.seen.pod).status.as_mut().unwrap();
        let condition = serde_json::from_value(json!({"type": kind, "status": status})).unwrap();
        written.conditions.get_or_insert_default().push(condition);
    }

    fn set_network(&mut self, error: Option<String>) {
        Arc::make_mut(&mut self.seen.node).network_error = error;
    }

    fn restart_agent(&mut self) {
        self.memory = Memory::adopt(&self.seen.observed, self.seen.pod.status.as_ref());
    }

    fn print_status(&mut self) {
        let status = plan(&self.seen, &self.memory, self.now).status;
        let phase = status.phase.clone().unwrap_or_default();
        let conditions: Vec<String> = status
            .conditions
            .iter()
            .flatten()
            .filter_map(|condition| {
                let reason = condition.reason.as_deref().map(|reason| format!("({reason})")).unwrap_or_default();
                (condition.type_ != "PodScheduled").then(|| format!("{}={}{reason}", condition.type_, condition.status))
            })
            .collect();
        let reason = status.reason.as_deref().map(|reason| format!(" reason={reason}")).unwrap_or_default();
        let _ = writeln!(self.out, "= {phase}{reason} {}", conditions.join(" "));
        let init = status.init_container_statuses.iter().flatten();
        for container in init.chain(status.container_statuses.iter().flatten()) {
            let _ = writeln!(self.out, "=   {}", describe_status(container));
        }
    }

    /// What must hold for every plan, whatever the planner thinks.
    fn audit(&self, made: &Plan) {
        let mut slots: BTreeSet<Slot> = BTreeSet::new();
        for action in &made.actions {
            if let Some(slot) = action.slot() {
                assert!(slots.insert(slot.clone()), "two actions for {slot:?}\n{}", self.out);
            }
            match action {
                Action::StartContainer { container, sandbox_id, attempt, .. } => {
                    let same = self.seen.observed.containers.iter().filter(|found| found.name == *container);
                    for found in same {
                        assert!(!is_alive(found), "{container} is started twice\n{}", self.out);
                        assert!(found.attempt < *attempt, "attempt {attempt} of {container} twice\n{}", self.out);
                    }
                    let sandbox = self.seen.observed.sandboxes.iter().find(|sandbox| sandbox.id == *sandbox_id);
                    assert!(sandbox.is_some_and(|sandbox| sandbox.ready), "started into no sandbox\n{}", self.out);
                    assert!(self.seen.pod.metadata.deletion_timestamp.is_none(), "started while ending\n{}", self.out);
                }
                Action::CreateSandbox { .. } => {
                    let any = self.seen.observed.sandboxes.iter().any(|sandbox| sandbox.ready);
                    assert!(!any && !self.seen.observed.any_alive(), "two sandboxes\n{}", self.out);
                }
                Action::TearDown | Action::Delete => {
                    assert!(!self.seen.observed.any_alive(), "torn down while running\n{}", self.out);
                }
                _ => {}
            }
        }
        if let Some(wake_at) = made.wake_at {
            assert!(wake_at > self.now, "wakes in the past\n{}", self.out);
        }
    }
}

fn end(found: &mut Container, code: i32, now: Timestamp) {
    found.state = ContainerState::Exited;
    found.exit_code = code;
    found.finished_at = Some(now);
}

fn describe(action: &Action) -> String {
    match action {
        Action::SetUp => "set up".into(),
        Action::CreateSandbox { attempt } => format!("sandbox {attempt}"),
        Action::StopSandbox { id } => format!("stop {id}"),
        Action::RemoveSandbox { id } => format!("remove {id}"),
        Action::EnsureImage { container } => format!("image {container}"),
        Action::StartContainer { container, attempt, .. } => format!("start {container} {attempt}"),
        Action::PostStart { container, .. } => format!("hook {container}"),
        Action::Kill { container, grace_seconds, pre_stop, message, .. } => {
            let hook = if *pre_stop { "" } else { " without preStop" };
            format!("kill {container} in {grace_seconds}s{hook}: {message}")
        }
        Action::Abort(slot) => format!("abort {slot:?}"),
        Action::RemoveContainer { id, .. } => format!("remove {id}"),
        Action::Probe { id, .. } => format!("probe {id}"),
        Action::StopProbes { container } => format!("stop probes {container}"),
        Action::Terminating => "terminating".into(),
        Action::TearDown => "tear down".into(),
        Action::Delete => "delete".into(),
        Action::Emit(Event { reason, message, .. }) => format!("event {reason}: {message}"),
    }
}

fn describe_status(status: &ContainerStatus) -> String {
    let mut text = format!("{} ", status.name);
    let state = status.state.clone().unwrap_or_default();
    if let Some(waiting) = state.waiting {
        text += &format!("waiting {}", waiting.reason.unwrap_or_default());
        text += &waiting.message.map(|message| format!(" [{message}]")).unwrap_or_default();
    } else if state.running.is_some() {
        text += "running";
    } else if let Some(ended) = state.terminated {
        text += &format!("terminated {} {}", ended.reason.unwrap_or_default(), ended.exit_code);
    }
    if let Some(last) = status.last_state.clone().and_then(|last| last.terminated) {
        text += &format!(" last={}", last.exit_code);
    }
    format!("{text} ready={} started={} restarts={}", status.ready, status.started == Some(true), status.restart_count)
}
