//! The status: counted anew in every pass, written if it differs (docs/requirements.md, E).

use everynode_api::ports::{Preconditions, Target};
use everynode_api::reconcile::StatusWrite;
use everynode_api::view::{DaemonSet, DaemonSetStatus};
use serde_json::json;

use crate::actions::OWNER;
use crate::sites::Site;

/// The counters of DS-E02 to DS-E06.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub desired: i64,
    pub current: i64,
    pub misscheduled: i64,
    pub ready: i64,
    pub available: i64,
    pub updated: i64,
}

impl Counts {
    /// Counts one node.
    pub fn add(&mut self, site: &Site) {
        match (site.eligibility.should_run, site.pods().first()) {
            (false, pod) => self.misscheduled += i64::from(pod.is_some()),
            (true, None) => self.desired += 1,
            (true, Some(first)) => {
                // DS-E03: only the first pod is examined.
                self.desired += 1;
                self.current += 1;
                self.ready += i64::from(first.ready);
                self.available += i64::from(first.available);
                self.updated += i64::from(first.updated);
            }
        }
    }
}

impl std::ops::Add for Counts {
    type Output = Counts;

    fn add(self, other: Counts) -> Counts {
        Counts {
            desired: self.desired + other.desired,
            current: self.current + other.current,
            misscheduled: self.misscheduled + other.misscheduled,
            ready: self.ready + other.ready,
            available: self.available + other.available,
            updated: self.updated + other.updated,
        }
    }
}

/// The status as it should be; conditions and the collision count are kept (DS-E14).
pub(crate) fn status(set: &DaemonSet, counts: Counts) -> DaemonSetStatus {
    DaemonSetStatus {
        current_number_scheduled: counts.current,
        number_misscheduled: counts.misscheduled,
        desired_number_scheduled: counts.desired,
        number_ready: counts.ready,
        observed_generation: set.meta.generation,
        updated_number_scheduled: counts.updated,
        number_available: counts.available,
        number_unavailable: counts.desired - counts.available,
        collision_count: set.status.collision_count,
        conditions: set.status.conditions.clone(),
    }
}

/// A write, unless nothing would change (DS-E11).
pub(crate) fn write(set: &DaemonSet, status: DaemonSetStatus) -> Option<StatusWrite> {
    if status == set.status {
        return None;
    }
    Some(StatusWrite {
        target: Target::new(OWNER, &set.meta.namespace, &set.meta.name).subresource("status"),
        status: json!(status),
        preconditions: Preconditions {
            uid: Some(set.meta.uid.to_string()),
            resource_version: Some(set.meta.resource_version).filter(|version| *version > 0),
        },
    })
}
