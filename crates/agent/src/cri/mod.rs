//! The container runtime: one trait, a CRI client behind it, and a fake.
//!
//! What goes *to* the runtime are CRI's own messages ([`v1`]): they are plain data and everything
//! in them matters. What comes *back* is reduced here to what the agent decides by.

mod client;
mod exits;
mod fake;
mod observed;
/// Messages and client of CRI v1.
#[allow(warnings, clippy::all)]
#[rustfmt::skip]
#[path = "generated.rs"]
pub mod v1;

use std::collections::BTreeMap;
use std::time::Duration;

use everynode_api::ports::BoxFuture;

pub use client::CriRuntime;
pub use fake::FakeRuntime;
pub use observed::{Container, ContainerState, Image, Sandbox};

use crate::ports::PullCredential;

/// Labels that must all be present with these values.
pub type LabelSelector = BTreeMap<String, String>;

/// What every call answers.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, RuntimeError>>;

/// A container runtime. Every call has a time limit of its own; none retries.
pub trait Runtime: Send + Sync + 'static {
    fn version(&self) -> Answer<'_, Version>;
    fn status(&self) -> Answer<'_, Readiness>;
    /// Waits until a container has ended; for ever where the runtime cannot tell. A hint to look
    /// soon: its lists may be a moment behind. Cancel-safe.
    fn container_ended(&self) -> BoxFuture<'_, ()>;

    fn list_images(&self) -> Answer<'_, Vec<Image>>;
    /// `None`: the image is not there.
    fn image_status<'a>(&'a self, image: &'a str) -> Answer<'a, Option<Image>>;
    /// Answers the reference to start containers with.
    fn pull_image<'a>(&'a self, image: &'a str, credential: Option<&'a PullCredential>) -> Answer<'a, String>;
    /// Succeeds when the image is not there.
    fn remove_image<'a>(&'a self, image: &'a str) -> Answer<'a, ()>;
    /// Bytes used by the runtime's image file system, and its mount point.
    fn image_fs(&self) -> Answer<'_, Vec<v1::FilesystemUsage>>;

    /// Creates and starts a sandbox with its network. Answers its id.
    fn run_sandbox<'a>(&'a self, config: &'a v1::PodSandboxConfig) -> Answer<'a, String>;
    /// Kills what runs in the sandbox and releases its network. Idempotent.
    fn stop_sandbox<'a>(&'a self, id: &'a str) -> Answer<'a, ()>;
    /// Removes the sandbox and every container in it. Succeeds when it is not there.
    fn remove_sandbox<'a>(&'a self, id: &'a str) -> Answer<'a, ()>;
    /// With addresses.
    fn sandbox_status<'a>(&'a self, id: &'a str) -> Answer<'a, Sandbox>;
    /// Without addresses.
    fn list_sandboxes<'a>(&'a self, selector: &'a LabelSelector) -> Answer<'a, Vec<Sandbox>>;

    /// Answers the container's id.
    fn create_container<'a>(
        &'a self,
        sandbox_id: &'a str,
        config: &'a v1::ContainerConfig,
        sandbox: &'a v1::PodSandboxConfig,
    ) -> Answer<'a, String>;
    fn start_container<'a>(&'a self, id: &'a str) -> Answer<'a, ()>;
    /// TERM, then KILL after the grace period; answers when the container has stopped. Succeeds
    /// when it is stopped or gone.
    fn stop_container<'a>(&'a self, id: &'a str, grace: Duration) -> Answer<'a, ()>;
    /// Succeeds when it is not there.
    fn remove_container<'a>(&'a self, id: &'a str) -> Answer<'a, ()>;
    /// Without start, end and exit code.
    fn list_containers<'a>(&'a self, selector: &'a LabelSelector) -> Answer<'a, Vec<Container>>;
    fn container_status<'a>(&'a self, id: &'a str) -> Answer<'a, Container>;
    fn update_resources<'a>(&'a self, id: &'a str, resources: &'a v1::LinuxContainerResources) -> Answer<'a, ()>;
    fn container_stats<'a>(&'a self, selector: &'a LabelSelector) -> Answer<'a, Vec<v1::ContainerStats>>;
    /// The log file was moved away: write to a new one.
    fn reopen_log<'a>(&'a self, id: &'a str) -> Answer<'a, ()>;

    /// Runs a command to its end, or until `timeout` (0: no limit but ours).
    fn exec_sync<'a>(&'a self, id: &'a str, command: &'a [String], timeout: Duration) -> Answer<'a, ExecOutput>;
    /// The URL of the runtime's streaming server for this request.
    fn exec_url(&self, request: v1::ExecRequest) -> Answer<'_, String>;
    fn attach_url(&self, request: v1::AttachRequest) -> Answer<'_, String>;
    fn port_forward_url(&self, request: v1::PortForwardRequest) -> Answer<'_, String>;
}

/// The runtime that answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// `containerd`: the scheme of container ids in pod statuses.
    pub name: String,
    pub version: String,
}

/// Whether the runtime and its network can start pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// `Err`: why not.
    pub runtime: Option<Condition>,
    pub network: Option<Condition>,
}

/// One condition of the runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    pub met: bool,
    pub reason: String,
    pub message: String,
}

impl Readiness {
    pub fn runtime_ready(&self) -> bool {
        self.runtime.as_ref().is_some_and(|condition| condition.met)
    }

    pub fn network_ready(&self) -> bool {
        self.network.as_ref().is_some_and(|condition| condition.met)
    }
}

/// What a command printed, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub exit_code: i32,
}

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} {subject}: {message}")]
pub struct RuntimeError {
    /// The CRI method.
    pub operation: &'static str,
    /// The container, sandbox or image.
    pub subject: String,
    pub kind: ErrorKind,
    /// The runtime's own words; what events and statuses show.
    pub message: String,
}

/// The kinds of failures that are treated differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    NotFound,
    /// The runtime cannot be reached.
    Unavailable,
    /// No answer in time: it may or may not have happened.
    Timeout,
    Unimplemented,
    Other,
}

impl RuntimeError {
    pub fn is_not_found(&self) -> bool {
        self.kind == ErrorKind::NotFound
    }
}
