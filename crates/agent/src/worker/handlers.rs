//! Lifecycle hooks: exec, httpGet, sleep; tcpSocket is accepted and ignored (DS-H19).

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ExecAction, LifecycleHandler};

use super::Context;
use crate::probes::hook;
use crate::sync::Seen;

/// How much of a failed command's output is shown.
const OUTPUT_BYTES_MAX: usize = 1024;

/// Runs one hook to its end.
///
/// # Errors
/// The message of `FailedPostStartHook` or `FailedPreStopHook`.
pub(super) async fn run(
    context: &Context,
    seen: &Seen,
    container: &Container,
    id: &str,
    handler: &LifecycleHandler,
) -> Result<(), String> {
    if let Some(exec) = &handler.exec {
        return run_command(context, id, exec).await;
    }
    if let Some(sleep) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    match &handler.http_get {
        Some(get) => hook::get(get, container, seen.pod_ips().first().copied()).await,
        None => Ok(()),
    }
}

async fn run_command(context: &Context, id: &str, exec: &ExecAction) -> Result<(), String> {
    let command = exec.command.clone().unwrap_or_default();
    let output = context.runtime.exec_sync(id, &command, Duration::ZERO).await.map_err(|error| error.message)?;
    if output.exit_code == 0 {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said[..said.len().min(OUTPUT_BYTES_MAX)]).into_owned();
    Err(format!("command {command:?} exited with {}: {said:?}", output.exit_code))
}
