//! A runtime in memory: deterministic, with scripted failures. For tests and for `hollow`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use everynode_api::ports::BoxFuture;
use tokio::sync::Notify;

use super::{
    Answer, Condition, Container, ContainerState, ErrorKind, ExecOutput, Image, LabelSelector, Readiness, Runtime,
    RuntimeError, Sandbox, Version, v1,
};
use crate::ports::{Clock, PullCredential};

/// A runtime whose containers run until they are told otherwise.
pub struct FakeRuntime {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Default)]
struct State {
    sequence: u64,
    sandboxes: BTreeMap<String, Sandbox>,
    containers: BTreeMap<String, Container>,
    /// `None`: every image exists.
    images: Option<BTreeSet<String>>,
    pullable: BTreeSet<String>,
    failures: Vec<Failure>,
    exec: BTreeMap<String, ExecOutput>,
    exits: BTreeMap<String, i32>,
    calls: Vec<String>,
    hanging: bool,
}

struct Failure {
    operation: &'static str,
    subject: String,
    times: usize,
    kind: ErrorKind,
    message: String,
}

impl FakeRuntime {
    /// Every image exists; everything works.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        FakeRuntime { clock, state: Mutex::default(), ended: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether questions about the runtime itself are never answered.
    pub fn hang(&self, hanging: bool) {
        self.state().hanging = hanging;
    }

    /// An answer, or none.
    fn unless_hanging<'a, T: Send + 'a>(&self, result: T) -> Answer<'a, T> {
        match self.state().hanging {
            true => Box::pin(std::future::pending()),
            false => now(Ok(result)),
        }
    }

    /// From now on only these images are on the node, and only `pullable` can be pulled.
    pub fn set_images(&self, present: &[&str], pullable: &[&str]) {
        let mut state = self.state();
        state.images = Some(present.iter().map(|&image| image.to_owned()).collect());
        state.pullable = pullable.iter().map(|&image| image.to_owned()).collect();
    }

    /// The next `times` calls of `operation` (a CRI method) whose subject contains `subject` fail.
    pub fn fail(&self, operation: &'static str, subject: &str, times: usize, message: &str) {
        let failure =
            Failure { operation, subject: subject.into(), times, kind: ErrorKind::Other, message: message.into() };
        self.state().failures.push(failure);
    }

    /// Containers of this name end with `exit_code` as soon as they are started.
    pub fn exit_at_start(&self, container: &str, exit_code: i32) {
        self.state().exits.insert(container.into(), exit_code);
    }

    /// Containers of this name keep running again.
    pub fn run_at_start(&self, container: &str) {
        self.state().exits.remove(container);
    }

    /// Every running container of this name ends now.
    pub fn exit(&self, container: &str, exit_code: i32) {
        let now = self.clock.now();
        for found in self.state().containers.values_mut() {
            if found.name == container && found.state == ContainerState::Running {
                end(found, exit_code, now);
            }
        }
        self.ended.notify_one();
    }

    /// A sandbox dies, with everything in it.
    pub fn lose_sandbox(&self, id: &str) {
        let now = self.clock.now();
        stop_sandbox(&mut self.state(), id, now);
        self.ended.notify_one();
    }

    /// What commands in containers of this name answer from now on (default: nothing, exit 0).
    pub fn set_exec(&self, container: &str, output: ExecOutput) {
        self.state().exec.insert(container.into(), output);
    }

    /// Everything that was asked so far but looking, in order: `StartContainer web`.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    pub fn sandboxes(&self) -> Vec<Sandbox> {
        self.state().sandboxes.values().cloned().collect()
    }

    pub fn containers(&self) -> Vec<Container> {
        self.state().containers.values().cloned().collect()
    }

    /// Notes the call, and fails if the script says so.
    fn begin(&self, operation: &'static str, subject: &str) -> Result<MutexGuard<'_, State>, RuntimeError> {
        let mut state = self.state();
        state.calls.push(format!("{operation} {subject}"));
        let due = |failure: &&mut Failure| {
            failure.operation == operation && subject.contains(&failure.subject) && failure.times > 0
        };
        if let Some(failure) = state.failures.iter_mut().find(due) {
            failure.times -= 1;
            let (kind, message) = (failure.kind, failure.message.clone());
            return Err(RuntimeError { operation, subject: subject.into(), kind, message });
        }
        Ok(state)
    }

    /// As [`Self::begin`], with the container's name as the subject.
    fn begin_container(
        &self,
        operation: &'static str,
        id: &str,
    ) -> Result<(MutexGuard<'_, State>, String), RuntimeError> {
        let name = self.state().containers.get(id).map(|container| container.name.clone());
        let name = name.ok_or_else(|| not_found(operation, id))?;
        Ok((self.begin(operation, &name)?, name))
    }
}

fn not_found(operation: &'static str, id: &str) -> RuntimeError {
    let message = format!("{id:?}: not found");
    RuntimeError { operation, subject: id.into(), kind: ErrorKind::NotFound, message }
}

fn end(container: &mut Container, exit_code: i32, now: jiff::Timestamp) {
    container.state = ContainerState::Exited;
    container.finished_at = Some(now);
    container.exit_code = exit_code;
    container.reason = if exit_code == 0 { "Completed" } else { "Error" }.into();
}

fn stop_sandbox(state: &mut State, id: &str, now: jiff::Timestamp) {
    if let Some(sandbox) = state.sandboxes.get_mut(id) {
        sandbox.ready = false;
        sandbox.ips.clear();
    }
    for container in state.containers.values_mut() {
        if container.sandbox_id == id && container.state == ContainerState::Running {
            end(container, 137, now);
        }
    }
}

fn selected(labels: &BTreeMap<String, String>, selector: &LabelSelector) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// A ready future: the fake never waits.
fn now<'a, T: Send + 'a>(result: Result<T, RuntimeError>) -> Answer<'a, T> {
    Box::pin(std::future::ready(result))
}

impl Runtime for FakeRuntime {
    fn version(&self) -> Answer<'_, Version> {
        self.unless_hanging(Version { name: "fake".into(), version: "1".into() })
    }

    fn status(&self) -> Answer<'_, Readiness> {
        let met = Some(Condition { met: true, ..Default::default() });
        self.unless_hanging(Readiness { runtime: met.clone(), network: met })
    }

    fn container_ended(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.ended.notified())
    }

    fn list_images(&self) -> Answer<'_, Vec<Image>> {
        let images = self.state().images.clone().into_iter().flatten();
        let images = images.map(|name| Image { id: name.clone(), tags: vec![name], ..Default::default() });
        self.unless_hanging(images.collect())
    }

    fn image_status<'a>(&'a self, image: &'a str) -> Answer<'a, Option<Image>> {
        let state = self.state();
        let present = state.images.as_ref().is_none_or(|images| images.contains(image));
        now(Ok(present.then(|| Image { id: format!("id:{image}"), tags: vec![image.into()], ..Default::default() })))
    }

    fn pull_image<'a>(&'a self, image: &'a str, _credential: Option<&'a PullCredential>) -> Answer<'a, String> {
        now(self.begin("PullImage", image).and_then(|mut state| {
            let state = &mut *state;
            match &mut state.images {
                Some(images) if state.pullable.contains(image) => drop(images.insert(image.into())),
                Some(images) if !images.contains(image) => return Err(not_found("PullImage", image)),
                _ => {}
            }
            Ok(format!("id:{image}"))
        }))
    }

    fn remove_image<'a>(&'a self, image: &'a str) -> Answer<'a, ()> {
        now(self.begin("RemoveImage", image).map(|mut state| {
            state.images.as_mut().map(|images| images.remove(image));
        }))
    }

    fn image_fs(&self) -> Answer<'_, Vec<v1::FilesystemUsage>> {
        now(Ok(Vec::new()))
    }

    fn run_sandbox<'a>(&'a self, config: &'a v1::PodSandboxConfig) -> Answer<'a, String> {
        let metadata = config.metadata.clone().unwrap_or_default();
        let security = config.linux.clone().unwrap_or_default().security_context.unwrap_or_default();
        let network = security.namespace_options.unwrap_or_default().network;
        let host_network = network == v1::NamespaceMode::Node as i32;
        let created_at = self.clock.now();
        now(self.begin("RunPodSandbox", &metadata.name).map(|mut state| {
            state.sequence += 1;
            let id = format!("sandbox-{}", state.sequence);
            let address = Ipv4Addr::from(0x0a58_0000 + (state.sequence as u32 & 0xffff));
            let sandbox = Sandbox {
                id: id.clone(),
                namespace: metadata.namespace,
                pod: metadata.name,
                uid: metadata.uid,
                attempt: metadata.attempt,
                ready: true,
                created_at,
                ips: if host_network { Vec::new() } else { vec![IpAddr::V4(address)] },
                host_network,
                labels: config.labels.clone(),
                annotations: config.annotations.clone(),
            };
            state.sandboxes.insert(id.clone(), sandbox);
            id
        }))
    }

    fn stop_sandbox<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        let time = self.clock.now();
        now(self.begin("StopPodSandbox", id).map(|mut state| stop_sandbox(&mut state, id, time)))
    }

    fn remove_sandbox<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        now(self.begin("RemovePodSandbox", id).map(|mut state| {
            state.sandboxes.remove(id);
            state.containers.retain(|_, container| container.sandbox_id != id);
        }))
    }

    fn sandbox_status<'a>(&'a self, id: &'a str) -> Answer<'a, Sandbox> {
        now(self.state().sandboxes.get(id).cloned().ok_or_else(|| not_found("PodSandboxStatus", id)))
    }

    fn list_sandboxes<'a>(&'a self, selector: &'a LabelSelector) -> Answer<'a, Vec<Sandbox>> {
        let state = self.state();
        now(Ok(state.sandboxes.values().filter(|sandbox| selected(&sandbox.labels, selector)).cloned().collect()))
    }

    fn create_container<'a>(
        &'a self,
        sandbox_id: &'a str,
        config: &'a v1::ContainerConfig,
        _sandbox: &'a v1::PodSandboxConfig,
    ) -> Answer<'a, String> {
        let metadata = config.metadata.clone().unwrap_or_default();
        let created_at = self.clock.now();
        now(self.begin("CreateContainer", &metadata.name).map(|mut state| {
            state.sequence += 1;
            let id = format!("container-{}", state.sequence);
            let image = config.image.clone().unwrap_or_default().image;
            let container = Container {
                id: id.clone(),
                sandbox_id: sandbox_id.into(),
                name: metadata.name,
                attempt: metadata.attempt,
                state: ContainerState::Created,
                created_at,
                started_at: None,
                finished_at: None,
                exit_code: 0,
                reason: String::new(),
                message: String::new(),
                image_ref: format!("id:{image}"),
                image,
                log_path: String::new(),
                labels: config.labels.clone(),
                annotations: config.annotations.clone(),
            };
            state.containers.insert(id.clone(), container);
            id
        }))
    }

    fn start_container<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        let time = self.clock.now();
        now(self.begin_container("StartContainer", id).map(|(mut state, name)| {
            let exit = state.exits.get(&name).copied();
            if let Some(container) = state.containers.get_mut(id) {
                container.state = ContainerState::Running;
                container.started_at = Some(time);
                if let Some(code) = exit {
                    end(container, code, time);
                }
            }
        }))
    }

    fn stop_container<'a>(&'a self, id: &'a str, _grace: Duration) -> Answer<'a, ()> {
        let time = self.clock.now();
        now(self.begin_container("StopContainer", id).map(|(mut state, _)| {
            let running = state.containers.get_mut(id).filter(|container| container.state == ContainerState::Running);
            running.into_iter().for_each(|container| end(container, 143, time));
        }))
    }

    fn remove_container<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        let removed = self.begin_container("RemoveContainer", id);
        now(removed.map(|(mut state, _)| drop(state.containers.remove(id))))
    }

    fn list_containers<'a>(&'a self, selector: &'a LabelSelector) -> Answer<'a, Vec<Container>> {
        let state = self.state();
        let listed = state.containers.values().filter(|container| selected(&container.labels, selector));
        now(Ok(listed.cloned().collect()))
    }

    fn container_status<'a>(&'a self, id: &'a str) -> Answer<'a, Container> {
        now(self.state().containers.get(id).cloned().ok_or_else(|| not_found("ContainerStatus", id)))
    }

    fn update_resources<'a>(&'a self, id: &'a str, _resources: &'a v1::LinuxContainerResources) -> Answer<'a, ()> {
        now(self.begin_container("UpdateContainerResources", id).map(drop))
    }

    fn container_stats<'a>(&'a self, _selector: &'a LabelSelector) -> Answer<'a, Vec<v1::ContainerStats>> {
        now(Ok(Vec::new()))
    }

    fn reopen_log<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        now(self.begin_container("ReopenContainerLog", id).map(drop))
    }

    fn exec_sync<'a>(&'a self, id: &'a str, command: &'a [String], _timeout: Duration) -> Answer<'a, ExecOutput> {
        let _ = command;
        let output = self.begin_container("ExecSync", id);
        now(output.map(|(state, name)| state.exec.get(&name).cloned().unwrap_or_default()))
    }

    fn exec_url(&self, request: v1::ExecRequest) -> Answer<'_, String> {
        now(Err(streaming("Exec", &request.container_id)))
    }

    fn attach_url(&self, request: v1::AttachRequest) -> Answer<'_, String> {
        now(Err(streaming("Attach", &request.container_id)))
    }

    fn port_forward_url(&self, request: v1::PortForwardRequest) -> Answer<'_, String> {
        now(Err(streaming("PortForward", &request.pod_sandbox_id)))
    }
}

fn streaming(operation: &'static str, subject: &str) -> RuntimeError {
    let message = "a simulated container has no processes".into();
    RuntimeError { operation, subject: subject.into(), kind: ErrorKind::Unimplemented, message }
}
