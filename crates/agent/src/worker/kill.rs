//! Ending one container: preStop, TERM, KILL (DS-H24).

use std::time::Duration;

use tokio::time::Instant;

use super::{Context, handlers};
use crate::cri::Container;
use crate::ports::Severity;
use crate::sync::Seen;

/// What is left for TERM after a preStop hook that took too long.
const GRACE_MIN: Duration = Duration::from_secs(2);

/// How to end a container.
pub(super) struct Order<'a> {
    pub container: &'a str,
    pub id: &'a str,
    pub grace_seconds: i64,
    pub pre_stop: bool,
    pub message: &'a str,
}

/// Ends a container and answers how it ended.
pub(super) async fn kill(context: &Context, seen: &Seen, order: Order<'_>) -> (Option<Container>, Result<(), String>) {
    let Order { container, id, grace_seconds, pre_stop, message } = order;
    context.emit_container(&seen.pod, container, Severity::Normal, "Killing", message.to_owned());
    let grace = Duration::from_secs(u64::try_from(grace_seconds).unwrap_or(0));
    let begun = Instant::now();
    if pre_stop {
        run_pre_stop(context, seen, container, id, grace).await;
    }
    let left = grace.saturating_sub(begun.elapsed()).max(GRACE_MIN.min(grace));
    let stopped = context.runtime.stop_container(id, left).await.map_err(|error| error.message);
    (context.look_at(id).await.ok(), stopped)
}

/// A hook that fails or takes too long does not stop the end.
async fn run_pre_stop(context: &Context, seen: &Seen, container: &str, id: &str, grace: Duration) {
    let Some((spec, _)) = crate::sync::container_named(seen.spec(), container) else { return };
    let lifecycle = spec.lifecycle.as_ref();
    let Some(handler) = lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref()) else { return };
    let result = tokio::time::timeout(grace, handlers::run(context, seen, spec, id, handler)).await;
    let failure = match result {
        Ok(Ok(())) => return,
        Ok(Err(message)) => message,
        Err(_) => format!("the hook did not end within the grace period of {grace:?}"),
    };
    let told = format!("PreStopHook failed: {failure}");
    context.emit_container(&seen.pod, container, Severity::Warning, "FailedPreStopHook", told);
}
