//! Starting one container: back-offs, image, start.

use everynode_common::go_duration;
use k8s_openapi::api::core::v1::Container;

use super::action::Action;
use super::backoff::{Backoff, CRASH};
use super::memory::{Waiting, prior_status};
use super::planner::Planner;
use crate::cri::ContainerState;
use crate::ports::{PodRef, Severity};

impl Planner<'_> {
    /// The next step towards a running container, unless something is under way for it.
    pub(super) fn start(&mut self, container: &Container, sandbox: &str) {
        if self.is_busy(&container.name) || !self.memory.volumes_ready {
            return;
        }
        if self.backs_off_restart(container) || self.backs_off_failure(container) {
            return;
        }
        let Some(image) = self.entry(&container.name).image.clone() else {
            self.act(Action::EnsureImage { container: container.name.clone() });
            return;
        };
        if self.starts_held {
            return;
        }
        self.note_restart(container);
        let attempt = self.next_attempt(&container.name);
        let action = Action::StartContainer {
            container: container.name.clone(),
            sandbox_id: sandbox.to_owned(),
            attempt,
            image,
        };
        if self.act(action) {
            let entry = self.entry(&container.name);
            (entry.image, entry.retry_at, entry.told) = (None, None, None);
        }
    }

    /// A container that ended waits, longer each time (DS-H10).
    fn backs_off_restart(&mut self, container: &Container) -> bool {
        let Some(backoff) = self.memory.container(&container.name).and_then(|entry| entry.restarts) else {
            return false;
        };
        let ended = self.seen.observed.latest(&container.name).filter(|found| found.state == ContainerState::Exited);
        let Some(finished_at) = ended.and_then(|found| found.finished_at) else { return false };
        let until = backoff.until(finished_at, CRASH.1);
        if !self.wait_until(until) {
            return false;
        }
        let pod = PodRef::of(&self.seen.pod);
        let message = format!(
            "back-off {} restarting failed container={} pod={pod}",
            go_duration::whole_seconds(backoff.delay.unsigned_abs()),
            container.name
        );
        self.entry(&container.name).waiting = Some(Waiting { reason: "CrashLoopBackOff".into(), message });
        self.tell_backoff(container, until, Severity::Warning, || {
            format!("Back-off restarting failed container {} in pod {pod}", container.name)
        });
        true
    }

    /// A start or pull that failed waits too (DS-H11).
    fn backs_off_failure(&mut self, container: &Container) -> bool {
        let now = self.now;
        let entry = self.entry(&container.name);
        let Some(until) = entry.retry_at else { return false };
        if until <= now {
            entry.retry_at = None;
            return false;
        }
        let pulling = entry.waiting.as_ref().is_some_and(|waiting| waiting.reason == "ErrImagePull");
        let pulled_at = entry.pulls.map(|pulls| pulls.last);
        if let Some(failed_at) = pulled_at.filter(|_| pulling) {
            self.turn_to_pull_backoff(container, failed_at, until);
        }
        self.wait_until(until)
    }

    /// The failure itself stands for two seconds, then the back-off takes its place.
    fn turn_to_pull_backoff(&mut self, container: &Container, failed_at: jiff::Timestamp, until: jiff::Timestamp) {
        let turns_at = failed_at.saturating_add(jiff::SignedDuration::from_secs(2)).unwrap_or(until);
        if self.wait_until(turns_at) {
            return;
        }
        let image = container.image.clone().unwrap_or_default();
        let entry = self.entry(&container.name);
        let failure = entry.waiting.take().unwrap_or_default();
        let message = format!("Back-off pulling image \"{image}\": {}: {}", failure.reason, failure.message);
        entry.waiting = Some(Waiting { reason: "ImagePullBackOff".into(), message });
        self.tell_backoff(container, until, Severity::Normal, || format!("Back-off pulling image \"{image}\""));
        self.emit_container(container, Severity::Warning, "Failed", "Error: ImagePullBackOff".into());
    }

    /// One event per back-off.
    fn tell_backoff(
        &mut self,
        container: &Container,
        until: jiff::Timestamp,
        severity: Severity,
        message: impl FnOnce() -> String,
    ) {
        let entry = self.entry(&container.name);
        if entry.told.replace(until) != Some(until) {
            self.emit_container(container, severity, "BackOff", message());
        }
    }

    /// A start after an end makes the next delay longer.
    fn note_restart(&mut self, container: &Container) {
        let ended = self.seen.observed.latest(&container.name).filter(|found| found.state == ContainerState::Exited);
        let Some(finished_at) = ended.and_then(|found| found.finished_at) else { return };
        let now = self.now;
        let entry = self.entry(&container.name);
        entry.restarts = Some(Backoff::next(entry.restarts, finished_at, now, CRASH));
    }

    /// One more than there were; the API server's count where the runtime has forgotten.
    fn next_attempt(&self, name: &str) -> u32 {
        let known = self.seen.observed.latest(name).map(|found| found.attempt + 1);
        let status = self.seen.pod.status.as_ref();
        let told = status.and_then(|status| prior_status(status, name)).and_then(|prior| {
            let existed = prior.container_id.as_deref().is_some_and(|id| !id.is_empty());
            existed.then(|| u32::try_from(prior.restart_count).unwrap_or(0) + 1)
        });
        known.or(told).unwrap_or(0)
    }
}
