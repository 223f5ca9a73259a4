//! The kinds that come and go: follows discovery, and keeps an informer for each kind that is
//! served.
//!
//! [`ask`] reads what is served, [`document`] understands it (pure), this file starts and stops
//! informers. Unknown is not absent: a kind is dropped only when the server says what it serves and
//! the kind is not among it.

mod ask;
mod document;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Meta;
use everynode_api::ports::Selection;
use everynode_api::view::{Change, Served, View};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use self::ask::{Found, ask};
use crate::cache::Subscriber;
use crate::clock::{later, until};
use crate::follow::Source;
use crate::informer::Informer;
use crate::shutdown::{Shutdown, Trigger};

/// How often discovery is read although nothing asks for it, give or take a half.
const EVERY: Duration = Duration::from_secs(30);
/// The same while a part of it fails.
const RETRY: Duration = Duration::from_secs(10);
/// Rounds that are asked for are so far apart at least.
const PAUSE: Duration = Duration::from_secs(1);
/// How many kinds are followed. A large cluster has 300; each costs a watch and its objects.
const KINDS_MAX: usize = 1000;

/// Which kinds are wanted.
pub(crate) type Wanted = Box<dyn Fn(&Kind) -> bool + Send + Sync>;

/// What follows discovery.
pub(crate) struct Discovery {
    /// What the informers of all kinds have in common.
    pub template: Informer,
    pub wanted: Wanted,
    /// Kinds that have an informer as long as the process runs.
    pub fixed: BTreeMap<Kind, Selection>,
    pub asked: Arc<DiscoveryRequests>,
}

/// The informers of kinds that come and go.
#[derive(Default)]
struct Informers {
    triggers: BTreeMap<Kind, Trigger>,
    tasks: JoinSet<Kind>,
}

impl Discovery {
    /// Runs until shutdown, or until an informer ends by itself, which it never should.
    pub async fn run(self, shutdown: Shutdown) {
        let Informer { source: Source { api, env, .. }, cache, .. } = self.template.clone();
        let mut informers = Informers::default();
        loop {
            // What happened up to here was answered to before the round begins.
            let (begun, as_of) = (env.now(), cache.read().newest_revision());
            let found = tokio::select! {
                biased;
                () = shutdown.wait() => break,
                found = ask(&*api, &env) => found,
            };
            let served = self.served(found, as_of, cache.read().served());
            let pause = if served.failed.is_empty() { EVERY } else { RETRY };
            if !self.follow(served, &mut informers).await {
                return;
            }
            tokio::select! {
                biased;
                () = shutdown.wait() => break,
                Some(ended) = informers.tasks.join_next() => {
                    tracing::error!(?ended, "an informer ended by itself");
                    return;
                }
                () = self.asked.notify.notified() => {}
                () = env.sleep(env.jitter(pause)) => {}
            }
            tokio::select! {
                biased;
                () = shutdown.wait() => break,
                () = env.sleep(until(env.now(), later(begun, PAUSE)).min(PAUSE)) => {}
            }
        }
        informers.triggers.clear();
        while informers.tasks.join_next().await.is_some() {}
    }

    /// What is served now, from what a round found and what was known.
    fn served(&self, found: Found, as_of: u64, known: &Served) -> Served {
        let kept: Vec<Kind> = known.kinds.iter().filter(|kind| found.is_silent_about(kind)).cloned().collect();
        let Found { kinds, mut failed } = found;
        let mut kinds: BTreeSet<Kind> = kinds.into_iter().filter(|kind| self.is_followed(kind)).collect();
        kinds.extend(kept);
        if kinds.len() > KINDS_MAX {
            failed.insert("kinds".into(), format!("{} kinds are served, {KINDS_MAX} are followed", kinds.len()));
            // Those that are known go first, so that the set does not waver.
            let (old, new): (Vec<Kind>, Vec<Kind>) = kinds.into_iter().partition(|kind| known.kinds.contains(kind));
            kinds = old.into_iter().chain(new).take(KINDS_MAX).collect();
        }
        for (path, why) in failed.iter().filter(|(path, _)| !known.failed.contains_key(*path)) {
            tracing::warn!(%path, %why, "cannot read a part of discovery; what is known of it stays");
        }
        Served { kinds, failed, as_of }
    }

    /// A kind that is only watched in part tells nothing about what is absent.
    fn is_followed(&self, kind: &Kind) -> bool {
        (self.wanted)(kind) && self.fixed.get(kind).is_none_or(|selection| *selection == Selection::default())
    }

    /// Stops what is not served any more, starts what is new. `false`: an informer ended by itself.
    async fn follow(&self, served: Served, informers: &mut Informers) -> bool {
        let gone: Vec<Kind> = informers.triggers.keys().filter(|kind| !served.kinds.contains(*kind)).cloned().collect();
        for kind in &gone {
            tracing::info!(kind = %kind.qualified_resource(), "no longer served");
            if !informers.stop(kind).await {
                return false;
            }
        }
        let is_new = |kind: &&Kind| !self.fixed.contains_key(*kind) && !informers.triggers.contains_key(*kind);
        let new: Vec<Kind> = served.kinds.iter().filter(is_new).cloned().collect();
        self.template.cache.set_served(served, &gone);
        for kind in new {
            tracing::debug!(kind = %kind.qualified_resource(), "served; following it");
            informers.start(self.template.of(kind, Selection::default()));
        }
        true
    }
}

impl Informers {
    fn start(&mut self, informer: Informer) {
        let (trigger, stop) = Shutdown::new();
        let kind = informer.source.kind.clone();
        self.triggers.insert(kind.clone(), trigger);
        self.tasks.spawn(async move {
            informer.run(stop).await;
            kind
        });
    }

    /// Returns when the informer has ended and nothing of it can reach the cache any more. `false`:
    /// another one ended.
    async fn stop(&mut self, kind: &Kind) -> bool {
        drop(self.triggers.remove(kind));
        match self.tasks.join_next().await {
            Some(Ok(ended)) if ended == *kind => true,
            ended => {
                tracing::error!(?ended, "an informer ended by itself");
                false
            }
        }
    }
}

/// Asks for a round of discovery where something waits for it: definitions of kinds change, or an
/// object ends that waits for everything that belongs to it, of whatever kind.
#[derive(Default)]
pub(crate) struct DiscoveryRequests {
    notify: Notify,
}

impl Subscriber for DiscoveryRequests {
    fn changed(&self, _view: &View, kind: &Kind, changes: &[Change]) {
        let is_waiting = |change: &Change| change.new.as_ref().is_some_and(|item| waits_for_others(kind, item.meta()));
        if (defines_kinds(kind) && !changes.is_empty()) || changes.iter().any(is_waiting) {
            self.notify.notify_one();
        }
    }
}

fn defines_kinds(kind: &Kind) -> bool {
    matches!(
        (kind.group.as_ref(), kind.plural.as_ref()),
        ("apiextensions.k8s.io", "customresourcedefinitions") | ("apiregistration.k8s.io", "apiservices")
    )
}

fn waits_for_others(kind: &Kind, meta: &Meta) -> bool {
    let mut names = meta.finalizers.iter().map(AsRef::<str>::as_ref);
    let waits = |name: &str| matches!(name, "orphan" | "foregroundDeletion");
    meta.is_terminating() && (*kind == kinds::NAMESPACE || names.any(waits))
}
