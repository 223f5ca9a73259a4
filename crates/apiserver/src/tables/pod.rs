//! The cells of pods: the one column of kubectl that thinks is STATUS (DS-H27).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::{since, timestamp};
use super::kinds::{age, list, name, or_none, text};

pub(super) fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let summary = Summary::of(object);
    vec![
        name(object),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.clone().into(),
        summary.restarts_text(now).into(),
        age(object, now),
        or_none(address(status)),
        or_none(text(spec, "nodeName")),
        or_none(text(status, "nominatedNodeName")),
        readiness_gates(spec, status),
    ]
}

/// A finished pod's row says so.
pub(super) fn condition(object: &Value) -> Option<Value> {
    let phase = text(&object["status"], "phase");
    let message = match phase {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return None,
    };
    Some(json!({ "type": "Completed", "status": "True", "reason": phase, "message": message }))
}

fn address(status: &Value) -> &str {
    match list(status, "podIPs").first() {
        Some(first) => text(first, "ip"),
        None => text(status, "podIP"),
    }
}

fn readiness_gates(spec: &Value, status: &Value) -> Value {
    let gates = list(spec, "readinessGates");
    if gates.is_empty() {
        return "<none>".into();
    }
    let met = gates.iter().filter(|gate| is_true(status, text(gate, "conditionType"))).count();
    format!("{met}/{}", gates.len()).into()
}

fn is_true(status: &Value, kind: &str) -> bool {
    let found = list(status, "conditions").iter().find(|condition| text(condition, "type") == kind);
    found.is_some_and(|condition| text(condition, "status") == "True")
}

/// Restarts, and the end of the last run before one.
#[derive(Clone, Copy, Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, container: &Value) {
        self.count += container["restartCount"].as_i64().unwrap_or(0);
        self.last = self.last.max(timestamp(&container["lastState"]["terminated"]["finishedAt"]));
    }
}

/// What a pod's containers come to.
struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: Restarts,
}

impl Summary {
    fn of(object: &Value) -> Summary {
        let (spec, status) = (&object["spec"], &object["status"]);
        let sidecars = list(spec, "initContainers").iter().filter(|container| is_sidecar(container)).count();
        let mut summary = Summary {
            reason: phase_reason(status),
            ready: 0,
            total: list(spec, "containers").len() + sidecars,
            restarts: Restarts::default(),
        };
        let mut of_sidecars = Restarts::default();
        let initializing = summary.init_containers(spec, status, &mut of_sidecars);
        if !initializing || is_true(status, "Initialized") {
            summary.restarts = of_sidecars;
            summary.containers(status);
        }
        summary.terminating(object);
        summary
    }

    /// Looks at init containers up to the first that is not done; whether there is one.
    fn init_containers(&mut self, spec: &Value, status: &Value, of_sidecars: &mut Restarts) -> bool {
        let specs = list(spec, "initContainers");
        for (index, container) in list(status, "initContainerStatuses").iter().enumerate() {
            self.restarts.add(container);
            let sidecar = specs.iter().any(|spec| text(spec, "name") == text(container, "name") && is_sidecar(spec));
            if sidecar {
                of_sidecars.add(container);
            }
            let state = &container["state"];
            match (&state["terminated"], &state["waiting"]) {
                (terminated, _) if terminated["exitCode"] == 0 => continue,
                _ if sidecar && container["started"] == true => {
                    self.ready += usize::from(container["ready"] == true);
                    continue;
                }
                (terminated @ Value::Object(_), _) => self.reason = format!("Init:{}", ended(terminated)),
                (_, waiting) if !matches!(text(waiting, "reason"), "" | "PodInitializing") => {
                    self.reason = format!("Init:{}", text(waiting, "reason"));
                }
                _ => self.reason = format!("Init:{index}/{}", specs.len()),
            }
            return true;
        }
        false
    }

    /// The first container that waits or has ended gives the reason.
    fn containers(&mut self, status: &Value) {
        let mut running = false;
        for container in list(status, "containerStatuses").iter().rev() {
            self.restarts.add(container);
            let state = &container["state"];
            if !text(&state["waiting"], "reason").is_empty() {
                self.reason = text(&state["waiting"], "reason").to_owned();
            } else if state["terminated"].is_object() {
                self.reason = ended(&state["terminated"]);
            } else if container["ready"] == true && state["running"].is_object() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && running {
            self.reason = if is_true(status, "Ready") { "Running" } else { "NotReady" }.to_owned();
        }
    }

    fn terminating(&mut self, object: &Value) {
        let status = &object["status"];
        if object["metadata"]["deletionTimestamp"].is_null() {
            return;
        }
        if text(status, "reason") == "NodeLost" {
            self.reason = "Unknown".into();
        } else if !matches!(text(status, "phase"), "Succeeded" | "Failed") {
            self.reason = "Terminating".into();
        }
    }

    fn restarts_text(&self, now: Timestamp) -> String {
        let Restarts { count, last } = self.restarts;
        match last {
            Some(last) if count > 0 => format!("{count} ({} ago)", since(&last.to_string().into(), now)),
            _ => count.to_string(),
        }
    }
}

fn is_sidecar(container: &Value) -> bool {
    text(container, "restartPolicy") == "Always"
}

fn phase_reason(status: &Value) -> String {
    let gated = list(status, "conditions")
        .iter()
        .any(|condition| condition["type"] == "PodScheduled" && condition["reason"] == "SchedulingGated");
    match (gated, text(status, "reason")) {
        (true, _) => "SchedulingGated".into(),
        (false, "") => text(status, "phase").into(),
        (false, reason) => reason.into(),
    }
}

/// Why a container ended: its reason, else its signal, else its exit code.
fn ended(terminated: &Value) -> String {
    let signal = terminated["signal"].as_i64().unwrap_or(0);
    match text(terminated, "reason") {
        "" if signal != 0 => format!("Signal:{signal}"),
        "" => format!("ExitCode:{}", terminated["exitCode"].as_i64().unwrap_or(0)),
        reason => reason.to_owned(),
    }
}
