//! What can be done about a pod, and what came of it.

use crate::cri::{Container, Sandbox};
use crate::ports::Event;

/// One thing to do. The executor makes no choices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Volumes, directories, cgroup.
    SetUp,
    CreateSandbox {
        attempt: u32,
    },
    /// Kills what runs in it and releases its network.
    StopSandbox {
        id: String,
    },
    RemoveSandbox {
        id: String,
    },
    /// Makes the container's image present, by its pull policy.
    EnsureImage {
        container: String,
    },
    StartContainer {
        container: String,
        sandbox_id: String,
        attempt: u32,
        image: String,
    },
    /// Runs the postStart hook.
    PostStart {
        container: String,
        id: String,
    },
    /// preStop (if asked for) and TERM, then KILL when the grace period is over. Replaces whatever
    /// occupies the container's slot.
    Kill {
        container: String,
        id: String,
        grace_seconds: i64,
        pre_stop: bool,
        message: String,
    },
    /// Gives up what occupies the slot.
    Abort(Slot),
    RemoveContainer {
        container: String,
        id: String,
    },
    /// Begins to probe a container that runs.
    Probe {
        container: String,
        id: String,
    },
    StopProbes {
        container: String,
    },
    /// Liveness and startup probes end for the whole pod.
    Terminating,
    /// Volumes, cgroup, directories.
    TearDown,
    /// Removes the object.
    Delete,
    Emit(Event),
}

/// What an action occupies until its outcome is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    SetUp,
    Sandbox,
    /// Everything about the containers of one name.
    Container(String),
    /// Removal of one container or sandbox.
    Remove(String),
    TearDown,
    Delete,
}

impl Action {
    /// The slot it occupies; `None` if it is done at once.
    pub fn slot(&self) -> Option<Slot> {
        Some(match self {
            Action::SetUp => Slot::SetUp,
            Action::CreateSandbox { .. } | Action::StopSandbox { .. } => Slot::Sandbox,
            Action::EnsureImage { container }
            | Action::StartContainer { container, .. }
            | Action::PostStart { container, .. }
            | Action::Kill { container, .. } => Slot::Container(container.clone()),
            Action::RemoveContainer { id, .. } | Action::RemoveSandbox { id } => Slot::Remove(id.clone()),
            Action::TearDown => Slot::TearDown,
            Action::Delete => Slot::Delete,
            Action::Abort(_)
            | Action::Probe { .. }
            | Action::StopProbes { .. }
            | Action::Terminating
            | Action::Emit(_) => return None,
        })
    }
}

/// What an action brought. `Err` carries the message to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    SetUp(Result<(), String>),
    SandboxCreated(Result<Sandbox, String>),
    SandboxStopped {
        id: String,
        result: Result<(), String>,
    },
    SandboxRemoved {
        id: String,
        result: Result<(), String>,
    },
    /// `Err`: reason (DS-H04) and message.
    Image {
        container: String,
        result: Result<String, (&'static str, String)>,
    },
    /// `Err`: reason and message; `seen` is the container if one was made.
    Started {
        container: String,
        seen: Option<Container>,
        result: Result<(), (&'static str, String)>,
    },
    Hooked {
        container: String,
        id: String,
        result: Result<(), String>,
    },
    /// `seen` is the container after the kill.
    Killed {
        container: String,
        seen: Option<Container>,
        result: Result<(), String>,
    },
    ContainerRemoved {
        id: String,
        result: Result<(), String>,
    },
    TornDown(Result<(), String>),
    Deleted(Result<(), String>),
}

impl Outcome {
    /// The slot that is free again.
    pub fn slot(&self) -> Slot {
        match self {
            Outcome::SetUp(_) => Slot::SetUp,
            Outcome::SandboxCreated(_) | Outcome::SandboxStopped { .. } => Slot::Sandbox,
            Outcome::Image { container, .. }
            | Outcome::Started { container, .. }
            | Outcome::Hooked { container, .. }
            | Outcome::Killed { container, .. } => Slot::Container(container.clone()),
            Outcome::SandboxRemoved { id, .. } | Outcome::ContainerRemoved { id, .. } => Slot::Remove(id.clone()),
            Outcome::TornDown(_) => Slot::TearDown,
            Outcome::Deleted(_) => Slot::Delete,
        }
    }
}
