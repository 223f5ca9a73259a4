//! A pod that should run: volumes, sandbox, init containers in order, containers.

use k8s_openapi::api::core::v1::Container;

use super::action::{Action, Slot};
use super::memory::Work;
use super::planner::Planner;
use super::spec::{self, RestartPolicy};
use crate::cri::{self, ContainerState};
use crate::ports::{ProbeKind, Severity};

/// How far the init containers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Initialized {
    Yes,
    NotYet,
}

impl Planner<'_> {
    /// One pass over a pod that should run.
    pub(super) fn run(&mut self) {
        self.memory.start_time.get_or_insert(self.now);
        if !self.memory.volumes_ready {
            self.act(Action::SetUp);
        }
        let Some(sandbox) = self.sandbox() else { return };
        if self.init_containers(&sandbox) == Initialized::Yes {
            self.containers(&sandbox);
        }
        self.watch_active_deadline();
    }

    /// The id of the sandbox to use, or `None` while it is made or replaced (DS-H23).
    fn sandbox(&mut self) -> Option<String> {
        let Some(current) = self.seen.observed.sandbox() else {
            self.create_sandbox(0);
            return None;
        };
        let usable = current.ready && self.fits(current);
        let others = self.seen.observed.sandboxes.iter().any(|other| other.id != current.id && other.ready);
        if usable && !others {
            return Some(current.id.clone());
        }
        self.replace_sandbox();
        None
    }

    /// Whether the sandbox has the network that the pod asks for. A freshly observed one may not
    /// have told its address yet; then it has no mode either and is left alone.
    fn fits(&self, sandbox: &cri::Sandbox) -> bool {
        sandbox.host_network == self.seen.host_network() && (sandbox.host_network || !sandbox.ips.is_empty())
    }

    fn replace_sandbox(&mut self) {
        let seen = self.seen;
        let stale = |sandbox: &&cri::Sandbox| !self.memory.stopped.contains(&sandbox.id);
        if let Some(sandbox) = seen.observed.sandboxes.iter().find(stale) {
            if self.memory.sandbox_change_told.insert(sandbox.id.clone()) {
                let message = "Pod sandbox changed, it will be killed and re-created.".to_owned();
                self.emit_pod(Severity::Normal, "SandboxChanged", message);
            }
            self.act(Action::StopSandbox { id: sandbox.id.clone() });
        } else if !seen.observed.any_alive() {
            let attempt = seen.observed.sandboxes.iter().map(|sandbox| sandbox.attempt + 1).max().unwrap_or(0);
            self.create_sandbox(attempt);
        }
    }

    fn create_sandbox(&mut self, attempt: u32) {
        if !self.memory.volumes_ready {
            return;
        }
        if let Some(error) = self.seen.node.network_error.clone().filter(|_| !self.seen.host_network()) {
            if !std::mem::replace(&mut self.memory.network_told, true) {
                let message = format!("network is not ready: container runtime network not ready: {error}");
                self.emit_pod(Severity::Warning, "NetworkNotReady", message);
            }
            self.wait_until(self.after_seconds(5));
            return;
        }
        self.memory.network_told = false;
        self.act(Action::CreateSandbox { attempt });
    }

    /// Init containers one by one; sidecars are kept (DS-H20, DS-H21).
    fn init_containers(&mut self, sandbox: &str) -> Initialized {
        let seen = self.seen;
        let observed = &seen.observed;
        let begun =
            seen.spec().containers.iter().any(|container| observed.latest_in(&container.name, sandbox).is_some());
        for container in spec::init_containers(seen.spec()) {
            let done = if spec::is_sidecar(container) {
                self.keep(container, sandbox);
                self.is_started(container, sandbox)
            } else {
                begun || self.run_once(container, sandbox)
            };
            if !done && !begun {
                return Initialized::NotYet;
            }
        }
        Initialized::Yes
    }

    /// Containers start in the order of the list, the next one after the postStart hook of the
    /// former. One that backs off, or that is killed to be started again, is not waited for. Images
    /// are pulled meanwhile.
    fn containers(&mut self, sandbox: &str) {
        let seen = self.seen;
        let mut before_starts = false;
        for container in &seen.spec().containers {
            self.starts_held = before_starts;
            self.keep(container, sandbox);
            before_starts |= matches!(self.work(&container.name), Some(Work::Image | Work::Short | Work::Hook));
        }
        self.starts_held = false;
    }

    /// Whether an ordinary init container has succeeded; starts it otherwise.
    fn run_once(&mut self, container: &Container, sandbox: &str) -> bool {
        match self.seen.observed.latest_in(&container.name, sandbox) {
            Some(found) if found.state == ContainerState::Exited && found.exit_code == 0 => true,
            Some(found) if found.state == ContainerState::Running => {
                self.tend(container, found);
                false
            }
            Some(found)
                if found.state == ContainerState::Exited
                    && spec::restart_policy(self.seen.spec()) == RestartPolicy::Never =>
            {
                false
            }
            _ => {
                self.start(container, sandbox);
                false
            }
        }
    }

    /// Keeps a container running, as its restart policy says.
    fn keep(&mut self, container: &Container, sandbox: &str) {
        match self.seen.observed.latest_in(&container.name, sandbox) {
            Some(found) if found.state == ContainerState::Running => self.tend(container, found),
            Some(found) if found.state == ContainerState::Unknown => {
                self.kill(container, found, "is in an unknown state, will be restarted");
            }
            Some(found) if found.state == ContainerState::Exited && !self.restarts(container, found) => {}
            _ => self.start(container, sandbox),
        }
    }

    fn restarts(&self, container: &Container, found: &cri::Container) -> bool {
        spec::is_sidecar(container)
            || match spec::restart_policy(self.seen.spec()) {
                RestartPolicy::Always => true,
                RestartPolicy::OnFailure => found.exit_code != 0,
                RestartPolicy::Never => false,
            }
    }

    /// A container that runs: its hook, its probes, and reasons to kill it.
    fn tend(&mut self, container: &Container, found: &cri::Container) {
        let entry = self.entry(&container.name);
        entry.waiting = None;
        let failed = entry.probes.failed.filter(|_| entry.probes.container_id == found.id);
        match failed {
            _ if !spec::matches_spec(container, found) => {
                self.kill(container, found, "definition changed, will be restarted")
            }
            Some(ProbeKind::Startup) => self.kill(container, found, "failed startup probe, will be restarted"),
            Some(_) => self.kill(container, found, "failed liveness probe, will be restarted"),
            None => self.hook_and_probe(container, found),
        }
    }

    fn hook_and_probe(&mut self, container: &Container, found: &cri::Container) {
        let (id, name) = (found.id.clone(), container.name.clone());
        let has_hook = container.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.post_start.is_some());
        let entry = self.entry(&name);
        if entry.hooked.as_ref() != Some(&id) {
            if has_hook {
                self.act(Action::PostStart { container: name, id });
                return;
            }
            entry.hooked = Some(id.clone());
        }
        let entry = self.entry(&name);
        if has_probes(container) && entry.probed.as_ref() != Some(&id) {
            entry.probed = Some(id.clone());
            self.act(Action::Probe { container: name, id });
        }
    }

    fn kill(&mut self, container: &Container, found: &cri::Container, why: &str) {
        let message = format!("Container {} {why}", container.name);
        let grace_seconds = self.kill_grace_seconds(container, found);
        let slot = Slot::Container(container.name.clone());
        let killing = matches!(self.work(&container.name), Some(Work::Kill { .. } | Work::Short));
        if killing || self.must_wait(&slot) {
            return;
        }
        self.act(Action::StopProbes { container: container.name.clone() });
        let (container, id) = (container.name.clone(), found.id.clone());
        self.occupy(slot, Action::Kill { container, id, grace_seconds, pre_stop: true, message });
    }

    /// A failed probe may bring its own grace period (DS-H17).
    fn kill_grace_seconds(&self, container: &Container, found: &cri::Container) -> i64 {
        let probes = self.memory.container(&container.name).map(|entry| &entry.probes);
        let failed = probes.filter(|probes| probes.container_id == found.id).and_then(|probes| probes.failed);
        let probe = match failed {
            Some(ProbeKind::Startup) => container.startup_probe.as_ref(),
            Some(_) => container.liveness_probe.as_ref(),
            None => None,
        };
        probe.and_then(|probe| probe.termination_grace_period_seconds).unwrap_or_else(|| self.seen.grace_seconds())
    }

    /// DS-H06.
    fn is_started(&self, container: &Container, sandbox: &str) -> bool {
        let found = self.seen.observed.latest_in(&container.name, sandbox);
        found.is_some_and(|found| super::status::is_started(container, found, &self.memory))
    }

    fn watch_active_deadline(&mut self) {
        let (Some(seconds), Some(start)) = (self.seen.spec().active_deadline_seconds, self.memory.start_time) else {
            return;
        };
        let deadline = start.saturating_add(jiff::SignedDuration::from_secs(seconds));
        if let Ok(deadline) = deadline {
            self.wait_until(deadline);
        }
    }
}

fn has_probes(container: &Container) -> bool {
    container.liveness_probe.is_some() || container.readiness_probe.is_some() || container.startup_probe.is_some()
}
