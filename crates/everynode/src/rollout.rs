//! How far a DaemonSet's rollout is, in one line; waiting for its end.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use everynode_api::ports::{Api, Request, Target};
use everynode_api::view::DaemonSet;

use crate::exit::{Exit, coded};

const POLL: Duration = Duration::from_millis(200);

/// What the rollout still waits for; `None` when it is done (DS-D62 to DS-D65).
pub(crate) fn missing(set: &DaemonSet) -> Option<String> {
    let status = &set.status;
    let desired = status.desired_number_scheduled;
    match () {
        () if status.observed_generation < set.meta.generation => Some("waiting for the controller".into()),
        () if status.updated_number_scheduled < desired => {
            Some(format!("{} of {desired} nodes have the new pod", status.updated_number_scheduled))
        }
        () if status.number_available < desired => {
            Some(format!("{} of {desired} pods are available", status.number_available))
        }
        () => None,
    }
}

/// Waits until the set runs everywhere, saying how far it is.
pub(crate) async fn wait(api: &dyn Api, target: &Target, deadline: Instant) -> anyhow::Result<()> {
    let name = &target.name;
    let mut progress = Progress::new();
    loop {
        let json = api.call(Request::Get(target.clone())).await?;
        let set: DaemonSet = serde_json::from_slice(&json)?;
        let Some(left) = missing(&set) else {
            let desired = set.status.desired_number_scheduled;
            let nodes = if desired == 1 { "node" } else { "nodes" };
            progress.say(&format!("daemonset {name}: runs on {desired} {nodes}"));
            progress.end();
            return Ok(());
        };
        progress.say(&format!("daemonset {name}: {left}"));
        if Instant::now() > deadline {
            progress.end();
            return Err(coded(
                Exit::Timeout,
                format!(
                    "daemonset {name} is not done: {left}; `everynode why {name} -n {}` says why",
                    target.namespace
                ),
            ));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A line that changes in place on a terminal, and a line per change elsewhere.
struct Progress {
    terminal: bool,
    last: String,
}

impl Progress {
    fn new() -> Self {
        Progress { terminal: std::io::stderr().is_terminal(), last: String::new() }
    }

    fn say(&mut self, text: &str) {
        if text == self.last {
            return;
        }
        text.clone_into(&mut self.last);
        let mut out = std::io::stderr();
        let _ = if self.terminal { write!(out, "\r\x1b[K{text}") } else { writeln!(out, "{text}") };
    }

    fn end(&self) {
        if self.terminal {
            eprintln!();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing() {
        let set = |json: &str| serde_json::from_str::<DaemonSet>(json).unwrap();
        let of = |status: &str| missing(&set(&format!(r#"{{"metadata":{{"generation":2}},"status":{status}}}"#)));
        assert_eq!(of(r#"{"observedGeneration":1}"#).as_deref(), Some("waiting for the controller"));
        let updating = r#"{"observedGeneration":2,"desiredNumberScheduled":3,"updatedNumberScheduled":1}"#;
        assert_eq!(of(updating).as_deref(), Some("1 of 3 nodes have the new pod"));
        let starting =
            r#"{"observedGeneration":2,"desiredNumberScheduled":3,"updatedNumberScheduled":3,"numberAvailable":2}"#;
        assert_eq!(of(starting).as_deref(), Some("2 of 3 pods are available"));
        let done =
            r#"{"observedGeneration":2,"desiredNumberScheduled":1,"updatedNumberScheduled":1,"numberAvailable":1}"#;
        assert_eq!(of(done), None);
    }
}
