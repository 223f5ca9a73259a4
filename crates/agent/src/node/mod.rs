//! The Node object of this machine: registration, status, lease (DS-G01, DS-G14, DS-H61).
//!
//! [`machine`] measures, [`status`] turns measures into a status (pure), [`NodeReporter`] posts it:
//! on change, after a silence, and otherwise every five minutes; the lease every ten seconds.

mod extended;
pub mod machine;
mod object;
mod status;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use everynode_api::kinds;
use everynode_api::ports::{Api, ApiError, PatchType, Preconditions, Request, Target};
use everynode_api::time::rfc3339_micro;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::config::AgentConfig;
use crate::cri;
use crate::ports::Clock;
use extended::Extended;
use machine::Machine;
pub use object::NodeObject;

/// A lease is good for this long; it is renewed after a quarter of it.
const LEASE_SECONDS: u32 = 40;
const RENEW_INTERVAL: Duration = Duration::from_secs(10);
/// An unchanged status is posted this often.
const UNCHANGED_INTERVAL: Duration = Duration::from_secs(300);
/// A node that was not heard of for longer than this may have been declared lost: what was posted
/// is no longer what is there.
const SILENCE: SignedDuration = SignedDuration::from_secs(11);
/// How often the node reads its own object, for what others have put into its capacity.
const READ_INTERVAL: Duration = Duration::from_secs(30);
/// While the node cannot start pods, its runtime is asked this often.
const NOT_READY_INTERVAL: Duration = Duration::from_secs(1);
/// The runtime has so long for each answer about itself: the lease must be renewed in between.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A runtime that answers nothing for so long is down; until then it is what it was (as in
/// Kubernetes).
const RUNTIME_SILENCE_MAX: Duration = Duration::from_secs(30);
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(7);
const LEASES: &str = "kube-node-lease";

/// Keeps the Node object and its lease true.
pub struct NodeReporter {
    config: Arc<AgentConfig>,
    api: Arc<dyn Api>,
    runtime: Arc<dyn cri::Runtime>,
    clock: Arc<dyn Clock>,
    machine: Machine,
    object: Arc<NodeObject>,
    ready: watch::Sender<Readiness>,
    /// The port that the agent's server really listens on.
    server_port: u16,
    known: Mutex<Known>,
}

/// What the runtime last said of itself.
#[derive(Clone, Default)]
struct Known {
    answered: Option<(cri::Readiness, tokio::time::Instant)>,
    version: cri::Version,
    images: Vec<cri::Image>,
}

/// What the node last said of itself; for the start screen and for tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    pub registered: bool,
    pub ready: bool,
    /// Why it is not ready, or why it cannot say so.
    pub message: String,
}

impl NodeReporter {
    pub fn new(
        config: Arc<AgentConfig>,
        api: Arc<dyn Api>,
        runtime: Arc<dyn cri::Runtime>,
        clock: Arc<dyn Clock>,
        machine: Machine,
        object: Arc<NodeObject>,
        server_port: u16,
    ) -> Self {
        NodeReporter {
            config,
            api,
            runtime,
            clock,
            machine,
            object,
            ready: watch::Sender::default(),
            server_port,
            known: Mutex::default(),
        }
    }

    /// Follows what the node says of itself.
    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        self.ready.subscribe()
    }

    /// Registers the node, then posts status and lease until `stop` becomes true.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = self.report() => {}
            _ = stop.wait_for(|stopped| *stopped) => {}
        }
    }

    async fn report(&self) {
        let mut uid = self.register_until_done().await;
        let mut posted: Option<(Value, tokio::time::Instant)> = None;
        let mut renewed: Option<tokio::time::Instant> = None;
        let (mut extended, mut read) = (Extended::default(), None::<tokio::time::Instant>);
        // Whether there was a lease of ours in this life.
        let mut leased = false;
        // By the wall clock, which goes on while a machine is suspended.
        let mut heard = self.clock.now();
        loop {
            let readiness = self.ask_runtime().await;
            if posted.is_some() && read.is_none_or(|at| at.elapsed() >= READ_INTERVAL) {
                (extended, read) = (self.extended().await.unwrap_or(extended), Some(tokio::time::Instant::now()));
            }
            let mut status = self.status(&readiness, &extended);
            if let Some((last, _)) = &posted {
                status::keep_transitions(last, &mut status);
            }
            let due = posted
                .as_ref()
                .is_none_or(|(last, at)| at.elapsed() >= UNCHANGED_INTERVAL || status::differs(last, &status));
            if due {
                match self.post(&status).await {
                    Ok(()) => posted = Some((status.clone(), tokio::time::Instant::now())),
                    Err(error) if error.is_not_found() => uid = self.register_until_done().await,
                    Err(error) => self.fail(&error),
                }
            }
            if renewed.is_none_or(|at| at.elapsed() + Duration::from_millis(500) >= RENEW_INTERVAL) {
                match self.keep_lease(&mut uid, &mut leased).await {
                    Ok(registered) => {
                        renewed = Some(tokio::time::Instant::now());
                        let last = std::mem::replace(&mut heard, self.clock.now());
                        let silent = heard.duration_since(last) > SILENCE;
                        if (registered || silent) && posted.take().is_some() {
                            continue;
                        }
                    }
                    Err(error) => self.fail(&error),
                }
            }
            let ready = status::is_ready(&status);
            self.say(Readiness { registered: posted.is_some(), ready, message: status::ready_message(&status) });
            tokio::time::sleep(if ready { RENEW_INTERVAL } else { NOT_READY_INTERVAL }).await;
        }
    }

    fn fail(&self, error: &ApiError) {
        tracing::warn!(node = self.config.node_name, "cannot report: {error}");
    }

    fn say(&self, readiness: Readiness) {
        self.ready.send_if_modified(|last| {
            let changed = *last != readiness;
            *last = readiness;
            changed
        });
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Asks the runtime about itself, everything at once: one that hangs does not keep the lease
    /// from being renewed.
    async fn ask_runtime(&self) -> Result<cri::Readiness, String> {
        let (status, version, images) = tokio::join!(
            tokio::time::timeout(ANSWER_MAX, self.runtime.status()),
            tokio::time::timeout(ANSWER_MAX, self.runtime.version()),
            tokio::time::timeout(ANSWER_MAX, self.runtime.list_images()),
        );
        let mut known = self.known();
        if let Ok(Ok(version)) = version {
            known.version = version;
        }
        if let Ok(Ok(images)) = images {
            known.images = images;
        }
        match status {
            Ok(Ok(readiness)) => {
                known.answered = Some((readiness.clone(), tokio::time::Instant::now()));
                Ok(readiness)
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => match &known.answered {
                Some((readiness, at)) if at.elapsed() < RUNTIME_SILENCE_MAX => Ok(readiness.clone()),
                _ => Err(format!("no answer for {} s", RUNTIME_SILENCE_MAX.as_secs())),
            },
        }
    }

    /// Answers the node's uid.
    async fn register_until_done(&self) -> String {
        let mut pause = RETRY_MIN;
        loop {
            match self.register().await {
                Ok(uid) => return uid,
                Err(error) => {
                    self.fail(&error);
                    self.say(Readiness { message: error.to_string(), ..Readiness::default() });
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    async fn register(&self) -> Result<String, ApiError> {
        let target = Target::new(kinds::NODE, "", &self.config.node_name);
        let labels = status::labels(&self.config);
        let readiness = self.ask_runtime().await;
        let body = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": self.config.node_name, "labels": labels },
            "spec": {},
            "status": self.status(&readiness, &Extended::default()),
        });
        let created = self.api.call(Request::Create { target: target.clone(), body }).await;
        let json = match created {
            Err(error) if error.is_already_exists() => {
                let patch = Request::Patch {
                    target,
                    patch: PatchType::Merge,
                    body: json!({ "metadata": { "labels": labels } }),
                    preconditions: Preconditions::default(),
                };
                self.api.call(patch).await?
            }
            created => created?,
        };
        self.object.learn(&json);
        let node: Value = serde_json::from_slice(&json).map_err(|error| ApiError::Garbled(error.to_string()))?;
        Ok(node["metadata"]["uid"].as_str().unwrap_or_default().to_owned())
    }

    /// What others have put into the node's capacity; `None`: the server cannot be asked now.
    async fn extended(&self) -> Option<Extended> {
        let target = Target::new(kinds::NODE, "", &self.config.node_name);
        let json = self.api.call(Request::Get(target)).await.ok()?;
        self.object.learn(&json);
        Some(Extended::of(&serde_json::from_slice(&json).ok()?, &self.machine))
    }

    fn status(&self, readiness: &Result<cri::Readiness, String>, extended: &Extended) -> Value {
        let Known { version, images, .. } = self.known().clone();
        let seen = status::Seen {
            config: &self.config,
            machine: &self.machine,
            extended,
            pressure: self.machine.pressure(&self.config.dirs.root),
            readiness,
            version: &version,
            images: &images,
            server_port: self.server_port,
        };
        status::compute(&seen, self.clock.now())
    }

    async fn post(&self, status: &Value) -> Result<(), ApiError> {
        let patch = Request::Patch {
            target: Target::new(kinds::NODE, "", &self.config.node_name).subresource("status"),
            patch: PatchType::Strategic,
            body: json!({ "status": status }),
            preconditions: Preconditions::default(),
        };
        let json = self.api.call(patch).await?;
        self.object.learn(&json);
        Ok(())
    }

    /// Renews the lease, or makes it. Where one of ours has gone the node may have gone with it,
    /// because the server was begun anew: then it is registered again, and the answer is true.
    async fn keep_lease(&self, uid: &mut String, leased: &mut bool) -> Result<bool, ApiError> {
        let mut registered = false;
        match self.renew().await {
            Err(error) if error.is_not_found() => {
                if std::mem::take(leased) {
                    *uid = self.register_until_done().await;
                    registered = true;
                }
                self.make_lease(uid).await?;
            }
            answer => answer?,
        }
        *leased = true;
        Ok(registered)
    }

    async fn renew(&self) -> Result<(), ApiError> {
        let name = &self.config.node_name;
        let patch = Request::Patch {
            target: Target::new(kinds::LEASE, LEASES, name),
            patch: PatchType::Merge,
            body: json!({ "spec": lease_spec(name, self.clock.now()) }),
            preconditions: Preconditions::default(),
        };
        self.api.call(patch).await.map(drop)
    }

    async fn make_lease(&self, node_uid: &str) -> Result<(), ApiError> {
        let name = &self.config.node_name;
        let owner = json!({ "apiVersion": "v1", "kind": "Node", "name": name, "uid": node_uid });
        let body = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": name, "namespace": LEASES, "ownerReferences": [owner] },
            "spec": lease_spec(name, self.clock.now()),
        });
        self.api.call(Request::Create { target: Target::new(kinds::LEASE, LEASES, name), body }).await.map(drop)
    }
}

fn lease_spec(holder: &str, now: Timestamp) -> Value {
    json!({ "holderIdentity": holder, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": rfc3339_micro(now) })
}
