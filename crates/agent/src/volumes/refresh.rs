//! Keeps config maps, secrets, tokens and downward fields of running pods fresh (DS-H34).

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::watch;

use super::source::{self, Source};
use super::{Shared, mount_error, volumes};
use crate::ports::{Event, PodRef, Regarding, Severity};

/// The sync period is a minute, give or take a half.
const INTERVAL_MIN: Duration = Duration::from_secs(30);
const INTERVAL_SPREAD_MILLISECONDS: u64 = 60_000;

impl Shared {
    /// Starts the task that refreshes a pod's volumes; `settled` ones never change.
    pub(super) fn keep_fresh(self: &Arc<Self>, pod: &Arc<Pod>, settled: BTreeSet<String>) {
        let uid = PodRef::of(pod).uid;
        let follows = |volume: &&_| matches!(source::of(volume), Source::Files(_));
        let needed = volumes(pod).iter().filter(follows).any(|volume| !settled.contains(&volume.name));
        let mut pods = self.pods();
        let Some(entry) = pods.get_mut(&uid) else { return };
        if let Some(earlier) = entry.refreshing.take() {
            earlier.abort();
        }
        if needed {
            let task = refresh(Arc::downgrade(self), uid, entry.latest.subscribe(), settled);
            entry.refreshing = Some(tokio::spawn(task).abort_handle());
        }
    }

    /// One pass over a pod's volumes. A failure leaves what was there and is told once.
    pub(super) async fn refresh_pod(
        &self,
        pod: &Arc<Pod>,
        settled: &mut BTreeSet<String>,
        told: &mut BTreeMap<String, String>,
    ) {
        let Some(disk) = self.known_disk(&PodRef::of(pod).uid) else { return };
        for volume in volumes(pod) {
            if settled.contains(&volume.name) || !matches!(source::of(volume), Source::Files(_)) {
                continue;
            }
            match self.set_up_volume(&disk, pod, volume).await {
                Ok(fixed) => {
                    told.remove(&volume.name);
                    if fixed {
                        settled.insert(volume.name.clone());
                    }
                }
                Err(why) => {
                    let message = mount_error(volume, &why).message;
                    if told.insert(volume.name.clone(), why.clone()).as_ref() != Some(&why) {
                        self.tell(pod, message);
                    }
                }
            }
        }
    }

    fn tell(&self, pod: &Pod, message: String) {
        self.events.emit(Event {
            regarding: Regarding::Pod(PodRef::of(pod)),
            severity: Severity::Warning,
            reason: "FailedMount",
            message,
        });
    }
}

/// Runs until the pod is torn down: then its entry, which holds the sender, is gone.
async fn refresh(
    shared: Weak<Shared>,
    uid: String,
    mut latest: watch::Receiver<Arc<Pod>>,
    mut settled: BTreeSet<String>,
) {
    let mut told = BTreeMap::new();
    for round in 0.. {
        tokio::select! {
            () = tokio::time::sleep(interval(&uid, round)) => {}
            changed = latest.changed() => if changed.is_err() { return },
        }
        let Some(shared) = shared.upgrade() else { return };
        let pod = latest.borrow_and_update().clone();
        shared.refresh_pod(&pod, &mut settled, &mut told).await;
    }
}

/// Different for every pod and round, so that a node's pods do not ask all at once.
fn interval(uid: &str, round: u64) -> Duration {
    let mut hasher = DefaultHasher::new();
    (uid, round).hash(&mut hasher);
    INTERVAL_MIN + Duration::from_millis(hasher.finish() % INTERVAL_SPREAD_MILLISECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_give_or_take_a_half() {
        // DS-H34
        let all: Vec<Duration> = (0..100).map(|round| interval("uid", round)).collect();
        assert!(all.iter().all(|interval| (30..90).contains(&interval.as_secs())));
        assert!(all.iter().collect::<BTreeSet<_>>().len() > 90);
    }
}
