//! One round of attempts of any kind, with its time limit.

use std::sync::Arc;
use std::time::Duration;

use everynode_common::go_duration;
use k8s_openapi::api::core::v1::Probe;

use super::check::{Check, HttpGet};
use super::http::{HttpClient, authority, connect, failed_get};
use super::machine::Outcome;
use super::{grpc, seconds};
use crate::cri::{ErrorKind, ExecOutput, Runtime, RuntimeError};
use crate::ports::ProbeTarget;

/// What errs is tried again at once, as Kubernetes does.
const TRIES_MAX: usize = 3;
const DEFAULT_TIMEOUT: u32 = 1;
/// More of a command's output is not told (DS-H18).
const OUTPUT_BYTES_MAX: usize = 10 * 1024;

/// Carries out probes.
pub(super) struct Attempts {
    runtime: Arc<dyn Runtime>,
    http: HttpClient,
}

impl Attempts {
    pub(super) fn new(runtime: Arc<dyn Runtime>) -> Self {
        Attempts { runtime, http: HttpClient::new() }
    }

    pub(super) async fn probe(&self, probe: &Probe, target: &ProbeTarget) -> Outcome {
        let timeout = seconds(probe.timeout_seconds, DEFAULT_TIMEOUT).max(Duration::from_secs(1));
        let check = match Check::of(probe, &target.container, target.ip) {
            Ok(check) => check,
            Err(why) => return Outcome::Errored(why),
        };
        let mut outcome = self.try_once(&check, target, timeout).await;
        for _ in 1..TRIES_MAX {
            if !matches!(outcome, Outcome::Errored(_)) {
                break;
            }
            outcome = self.try_once(&check, target, timeout).await;
        }
        outcome
    }

    async fn try_once(&self, check: &Check, target: &ProbeTarget, timeout: Duration) -> Outcome {
        match check {
            Check::Http(get) => self.http(get, timeout).await,
            Check::Tcp { host, port } => tcp(host, *port, timeout).await,
            Check::Grpc { host, port, service } => grpc::probe(host, *port, service, timeout).await,
            Check::Exec { command } => {
                let output = self.runtime.exec_sync(&target.container_id, command, timeout).await;
                judge_exec(output, command, timeout)
            }
        }
    }

    async fn http(&self, get: &HttpGet, timeout: Duration) -> Outcome {
        let late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
        let outcome = tokio::time::timeout(timeout, self.http.probe(get)).await;
        outcome.unwrap_or_else(|_| Outcome::Failed(failed_get(get, late)))
    }
}

/// Connecting is enough.
async fn tcp(host: &str, port: u16, timeout: Duration) -> Outcome {
    match tokio::time::timeout(timeout, connect(host, port)).await {
        Ok(Ok(_)) => Outcome::Passed,
        Ok(Err(why)) => Outcome::Failed(why),
        Err(_) => Outcome::Failed(format!("dial tcp {}: i/o timeout", authority(host, port))),
    }
}

fn judge_exec(output: Result<ExecOutput, RuntimeError>, command: &[String], timeout: Duration) -> Outcome {
    match output {
        Ok(output) if output.exit_code == 0 => Outcome::Passed,
        Ok(output) => {
            let mut text = [output.stdout, output.stderr].concat();
            text.truncate(OUTPUT_BYTES_MAX);
            Outcome::Failed(String::from_utf8_lossy(&text).into_owned())
        }
        Err(error) if error.kind == ErrorKind::Timeout => {
            let command = command.join(" ");
            Outcome::Failed(format!(
                "command timed out: {command:?} timed out after {}",
                go_duration::whole_seconds(timeout)
            ))
        }
        Err(error) => Outcome::Errored(error.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        // DS-H17, DS-H18
        let command = ["sh".to_owned(), "-c".to_owned()];
        let judge = |output| judge_exec(output, &command, Duration::from_secs(2));
        let output = |exit_code| ExecOutput { stdout: b"out ".into(), stderr: b"err".into(), exit_code };
        let error = |kind| RuntimeError { operation: "ExecSync", subject: "c".into(), kind, message: "why".into() };
        assert_eq!(judge(Ok(output(0))), Outcome::Passed);
        assert_eq!(judge(Ok(output(3))), Outcome::Failed("out err".into()));
        let late = "command timed out: \"sh -c\" timed out after 2s";
        assert_eq!(judge(Err(error(ErrorKind::Timeout))), Outcome::Failed(late.into()));
        assert_eq!(judge(Err(error(ErrorKind::Unavailable))), Outcome::Errored("why".into()));
    }
}
