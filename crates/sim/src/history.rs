//! What a DaemonSet controller of Kubernetes was observed to do, and what ours does in the same
//! situation.
//!
//! A history is a text (`tests/histories/`, made by `xtask histories`): steps, and below each
//! `observe` what was there when nothing had changed for some seconds. It is played against our
//! own server and controllers, with a kubelet that answers each pod once; [`replay`] says what was
//! seen and what is seen now. Nodes are interchangeable where the choice is free, so pods are
//! compared as a multiset of nodes. Times are not compared.

mod events;
mod kubelet;
mod seen;
mod slow;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use everynode_api::kinds::{CONTROLLER_REVISION, DAEMON_SET, EVENT, Kind, NAMESPACE, POD};
use everynode_api::ports::{Api, ApiError, PatchType, Preconditions, Request, Selection, Target};
use everynode_controllers::node_lifecycle::NodeLifecycle;
use everynode_daemonset::{Bind, Options};
use everynode_runtime::follow::{Follower, Heard, LIST_EVERY, Source};
use everynode_runtime::{Env, Shutdown};
use everynode_store::{Limits, MemoryStore};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::Instant;

use self::kubelet::{Answer, Kubelet};
use self::seen::Seen;
use self::slow::Slow;
use crate::clock::{ServerClock, origin};
use crate::controller_process;
use crate::ledger::Ledger;
use crate::read::{ObjectChange, Reader};
use crate::value::{text, uid};
use crate::world;

/// The namespace of a history; its nodes are called `NAMESPACE-n1`.
const SPACE: &str = "h";
const NODE_PREFIX: &str = "h-";
/// Nothing has changed for so long: a still point.
const QUIET: Duration = Duration::from_millis(3_500);
/// The longest that a still point is waited for.
const SETTLE_MAX: Duration = Duration::from_secs(25);
/// How long a status of an older generation is waited for.
const STALE_MAX: Duration = Duration::from_secs(10);
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// What a controller's request takes, and a kubelet's: of the order of what was recorded.
const CONTROLLER_LATENCY: Duration = Duration::from_millis(10);
const KUBELET_LATENCY: Duration = Duration::from_millis(60);
/// How often it is looked whether what is waited for has come.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The original ran with this grace period.
const MONITOR_GRACE: SignedDuration = SignedDuration::from_secs(20);

/// How the DaemonSet controller behaves, and on which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// As the original, on a server that does what any Kubernetes server does.
    Strict,
    /// As it is by itself, on our own server.
    Default,
}

/// One still point of a history.
#[derive(Clone, Debug)]
pub struct Observation {
    pub name: String,
    /// A line for each thing that the original's watcher saw, and ours.
    pub original: Vec<String>,
    pub ours: Vec<String>,
}

impl Observation {
    /// What the original's watcher saw more often (`-`), and what ours does more often (`+`); how
    /// often, unless it is there once and not at all.
    pub fn differences(&self) -> Vec<String> {
        let (original, ours) = (comparable(&self.original), comparable(&self.ours));
        let mut found = Vec::new();
        for line in original.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
            let count = |lines: &BTreeMap<String, usize>| lines.get(line).copied().unwrap_or(0);
            let (then, now) = (count(&original), count(&ours));
            if then != now {
                let sign = if then > now { '-' } else { '+' };
                let size = if then.max(now) > 1 { format!(" (then {then}, now {now})") } else { String::new() };
                found.push(format!("{sign} {line}{size}"));
            }
        }
        found
    }
}

/// Lines and how often they are there; nodes are not told apart.
fn comparable(lines: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    // A node without pods says nothing: the recording does not have those that are gone.
    for line in lines.iter().filter(|line| !(line.starts_with("pods ") && line.trim_end().ends_with(':'))) {
        let line = match line.strip_prefix("pods ").and_then(|rest| rest.split_once(':')) {
            Some((node, pods)) if node != "?" => format!("pods:{}", pods.trim_end()),
            _ => line.clone(),
        };
        *counts.entry(line).or_default() += 1;
    }
    counts
}

/// Plays a history. `pki` is a directory for the server's keys.
///
/// # Errors
/// It has a step that is not known, the cluster fails, or a write breaks a rule of the ledger.
pub fn replay(history: &str, behaviour: Behaviour, pki: &Path) -> Result<Vec<Observation>, String> {
    world::make_keys(pki);
    world::runtime().block_on(async {
        let mut player = Player::start(behaviour, pki).await?;
        let mut observations: Vec<Observation> = Vec::new();
        for line in history.lines().filter(|line| !line.starts_with('#')) {
            match (line.strip_prefix("  "), observations.last_mut()) {
                (Some(seen), Some(observation)) => observation.original.push(seen.to_owned()),
                _ => observations.extend(player.step(line).await.map_err(|error| format!("{line}: {error}"))?),
            }
        }
        player.ledger.failure().map_or(Ok(observations), Err)
    })
}

struct Player {
    ledger: Arc<Ledger>,
    api: Arc<dyn Api>,
    kubelet_api: Arc<dyn Api>,
    env: Env,
    followers: [Follower<Reader>; 3],
    seen: Seen,
    kubelet: Kubelet,
    /// All that ever were, without the prefix.
    nodes: BTreeSet<String>,
    renew_at: Instant,
    /// What the server refused since the last still point.
    refused: Vec<String>,
    pokes: u32,
    /// Ends the controllers when it is dropped.
    _running: (everynode_runtime::Trigger, tokio::task::JoinSet<()>),
}

impl Player {
    async fn start(behaviour: Behaviour, pki: &Path) -> Result<Player, String> {
        let clock = ServerClock(Env::simulated(0, origin()));
        let store = Arc::new(MemoryStore::with_clock(Arc::new(clock.clone()), Limits::default()));
        let is_strict = behaviour == Behaviour::Strict;
        let ledger = Ledger::new(clock.0.clone(), is_strict);
        let api = world::open(&store, &ledger, &clock, pki, !is_strict).await.map_err(|error| error.to_string())?;
        let env = Env::simulated(1, origin());
        let options = match is_strict {
            true => Options::strict(),
            false => Options { bind: Bind::WhereFits, ..Options::default() },
        };
        let lifecycle = NodeLifecycle { monitor_grace: MONITOR_GRACE, ..NodeLifecycle::default() };
        let slow = |latency| -> Arc<dyn Api> { Arc::new(Slow { api: api.clone(), latency }) };
        let manager =
            controller_process::manager(slow(CONTROLLER_LATENCY), env.clone(), options, lifecycle, LIST_EVERY);
        let (trigger, shutdown) = Shutdown::new();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(manager.run(shutdown));
        let followers = [POD, DAEMON_SET, CONTROLLER_REVISION].map(|kind| {
            let (api, env, selection) = (api.clone(), env.clone(), Selection::default());
            Follower::new(Source { api, env, kind, selection, list_every: None, batch_max: 1 }, Reader)
        });
        let mut player = Player {
            ledger,
            kubelet_api: slow(KUBELET_LATENCY),
            api,
            env,
            followers,
            seen: Seen::new(),
            kubelet: Kubelet::default(),
            nodes: BTreeSet::new(),
            renew_at: Instant::now(),
            refused: Vec::new(),
            pokes: 0,
            _running: (trigger, tasks),
        };
        player.create(NAMESPACE, json!({"metadata": {"name": SPACE}})).await;
        player.live(Duration::from_secs(3)).await;
        Ok(player)
    }

    async fn live(&mut self, duration: Duration) {
        self.live_until(Instant::now() + duration, |_| false).await;
    }

    /// Everything goes on until then, or until what is waited for has come.
    async fn live_until(&mut self, end: Instant, mut is_done: impl FnMut(&Seen) -> bool) {
        while Instant::now() < end && !is_done(&self.seen) {
            if Instant::now() >= self.renew_at {
                self.renew_leases().await;
            }
            let look_at = end.min(self.renew_at).min(Instant::now() + LOOK_EVERY);
            let [pods, sets, revisions] = &mut self.followers;
            let (which, heard) = tokio::select! {
                biased;
                heard = revisions.next() => (2, heard),
                heard = pods.next() => (0, heard),
                heard = sets.next() => (1, heard),
                () = tokio::time::sleep_until(look_at) => continue,
            };
            let changes = match heard {
                Heard::Listed(listed) => listed.objects.into_iter().map(ObjectChange::Set).collect(),
                Heard::Changed(changes) => changes,
                _ => Vec::new(),
            };
            for change in changes {
                match which {
                    0 => self.on_pod(change).await,
                    1 => self.seen.set(change),
                    _ => self.seen.revision(change),
                }
            }
        }
    }

    async fn on_pod(&mut self, change: ObjectChange) {
        self.seen.pod(&change);
        let ObjectChange::Set(pod) = change else { return };
        match self.kubelet.answer(&pod, self.env.now()) {
            Answer::Nothing => {}
            Answer::Remove => self.remove_pod(&pod).await,
            Answer::Report(status) => self.report(&pod, status).await,
        }
    }

    async fn remove_pod(&mut self, pod: &Value) {
        let preconditions = Preconditions { uid: Some(uid(pod)), ..Preconditions::default() };
        let target = Target::new(POD, SPACE, text(&pod["metadata"]["name"]));
        let request = Request::Delete { target, preconditions, grace_period_seconds: Some(0), propagation: None };
        // It may be gone already.
        let _ = self.kubelet_api.call(request).await;
    }

    async fn report(&mut self, pod: &Value, status: Value) {
        let target = Target::new(POD, SPACE, text(&pod["metadata"]["name"])).subresource("status");
        let preconditions = Preconditions { uid: Some(uid(pod)), ..Preconditions::default() };
        let body = json!({ "status": status });
        let _ =
            self.kubelet_api.call(Request::Patch { target, patch: PatchType::Strategic, body, preconditions }).await;
    }

    /// A still point: no pod, set or revision has changed for some seconds.
    async fn settle(&mut self) {
        self.live_until(Instant::now() + STALE_MAX, |seen| !seen.is_stale()).await;
        let now = Instant::now();
        self.seen.changed_at = now;
        self.live_until(now + SETTLE_MAX, |seen| seen.changed_at.elapsed() >= QUIET).await;
    }

    async fn observe(&mut self, name: &str) -> Result<Observation, ApiError> {
        let mut ours = self.seen.lines(&self.nodes);
        let names: Vec<&str> = self.seen.sets.values().map(|set| text(&set["metadata"]["name"])).collect();
        ours.extend(std::mem::take(&mut self.refused).iter().map(|line| events::nameless(line, &names)));
        ours.extend(events::lines(&self.list(EVENT).await?, &names));
        Ok(Observation { name: name.to_owned(), original: Vec::new(), ours })
    }

    async fn list(&self, kind: Kind) -> Result<Vec<Value>, ApiError> {
        let selection = Selection { namespace: Some(SPACE.to_owned()), ..Selection::default() };
        let request = Request::List { kind, selection, limit: 0, continue_token: None, resource_version: None };
        let body = self.api.call(request).await?;
        let mut list: Value = serde_json::from_slice(&body).map_err(|error| ApiError::Garbled(error.to_string()))?;
        Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }
}
