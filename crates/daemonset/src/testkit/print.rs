//! A plan as text: one line per decision, aligned.

use std::borrow::Cow;

use everynode_api::kinds;
use everynode_api::reconcile::{Action, Violation};
use serde_json::Value;

use crate::testkit::cluster::Cluster;
use crate::{DaemonSetNote, Plan};

pub(super) fn plan(cluster: &Cluster, plan: &Plan, at_rest: &[DaemonSetNote], violations: &[Violation]) -> String {
    let mut lines: Vec<(String, String, String)> = plan.notes.iter().chain(at_rest).map(note).collect();
    lines.extend(plan.actions.iter().filter_map(|a| action(cluster, a)));
    if let Some(at) = plan.wake_at.filter(|_| cluster.shows("wake")) {
        lines.push(line("wake", "", format!("in {}s", at.duration_since(cluster.now).as_secs_f64())));
    }
    if cluster.shows("status") || cluster.shows("conditions") {
        lines.extend(status(cluster, plan));
    }
    lines.extend(violations.iter().map(|Violation(text)| line("VIOLATION", "", text.clone())));
    let width = |text: &String| text.chars().count();
    let subjects = lines.iter().map(|(_, subject, _)| width(subject)).max().unwrap_or(0);
    let verbs = lines.iter().map(|(verb, _, _)| width(verb)).max().unwrap_or(0);
    let format = |(verb, subject, rest): &(String, String, String)| {
        format!("{verb:verbs$} {subject:subjects$}  {rest}").trim_end().to_owned() + "\n"
    };
    lines.iter().map(format).collect()
}

fn line(verb: &str, subject: &str, rest: String) -> (String, String, String) {
    (verb.into(), subject.into(), rest)
}

fn reasons<T: ToString>(reasons: &[T]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn note(note: &DaemonSetNote) -> (String, String, String) {
    match note {
        DaemonSetNote::Create { node, why, bound, .. } => {
            line("create", &format!("on {node}"), format!("{why}{}", if *bound { ", bound" } else { "" }))
        }
        DaemonSetNote::Delete { pod, why, .. } => line("delete", pod, why.to_string()),
        DaemonSetNote::Hold { pod, why, .. } => line("hold", pod, why.to_string()),
        DaemonSetNote::Skip { node, reasons: why } => line("skip", node, reasons(why)),
        DaemonSetNote::Stays { pod, reasons: why, .. } => line("stay", pod, reasons(why)),
        DaemonSetNote::Leaving { pod, node } => line("wait", &format!("on {node}"), format!("until {pod} has ended")),
        DaemonSetNote::Adopt { object } => line("adopt", object, String::new()),
        DaemonSetNote::Release { object } => line("release", object, String::new()),
        DaemonSetNote::Relabel { pod, revision } => line("relabel", pod, format!("as {revision}")),
        DaemonSetNote::AdoptionWaits { object } => {
            line("hold", object, "adopted once it is certain that the set exists".into())
        }
        DaemonSetNote::NameTaken { node, .. } => line("blocked", &format!("on {node}"), "the name is taken".into()),
        other => line("note", "", other.to_string()),
    }
}

/// Pods are told of by the notes; here are the events and what happens to revisions.
fn action(cluster: &Cluster, action: &Action) -> Option<(String, String, String)> {
    match action {
        Action::Emit(event) => Some(line("event", &event.reason, format!("{} {}", event.kind.as_str(), event.message))),
        Action::Create { body, target, .. } if target.kind == kinds::CONTROLLER_REVISION => {
            let shown = if cluster.shows("body") { format!(" {body}") } else { String::new() };
            Some(line("record", &target.name, format!("number {}{shown}", body["revision"])))
        }
        Action::Create { report: Some(report), .. } | Action::Delete { report: Some(report), .. }
            if cluster.shows("reports") =>
        {
            let text = |part: &Option<(&str, Cow<'_, str>)>| {
                part.as_ref().map_or(String::new(), |(reason, text)| format!("{reason}: {text}"))
            };
            let rest = format!("{}, or {}", text(&report.success), text(&report.failure));
            Some(line("then", &report.regarding.name, rest))
        }
        Action::Create { body, .. } if cluster.shows("body") => Some(line("body", "", body.to_string())),
        Action::Create { body, .. } => show_parts(cluster, body),
        Action::Patch { target, body, .. } if target.kind == kinds::CONTROLLER_REVISION => {
            let number = body.get("revision").map(|number| format!("becomes number {number}"));
            let label = body["metadata"]["labels"].as_object().map(|_| "gets its hash label".to_owned());
            Some(line("renumber", &target.name, number.or(label)?))
        }
        Action::Delete { target, .. } if target.kind == kinds::CONTROLLER_REVISION => {
            Some(line("forget", &target.name, String::new()))
        }
        _ => None,
    }
}

/// `show spec.tolerations`: that part of each created pod.
fn show_parts(cluster: &Cluster, body: &Value) -> Option<(String, String, String)> {
    let path = cluster.shown_path()?;
    let part = path.split('.').fold(body, |value, name| &value[name]);
    Some(line("with", path, part.to_string()))
}

fn status(cluster: &Cluster, plan: &Plan) -> Vec<(String, String, String)> {
    let Some(write) = &plan.status else { return vec![line("status", "", "unchanged".into())] };
    let status = &write.status;
    let number = |name: &str| status[name].as_i64().unwrap_or(0);
    let mut text = format!(
        "desired={} current={} ready={} available={} updated={} misscheduled={} unavailable={} observed={}",
        number("desiredNumberScheduled"),
        number("currentNumberScheduled"),
        number("numberReady"),
        number("numberAvailable"),
        number("updatedNumberScheduled"),
        number("numberMisscheduled"),
        number("numberUnavailable"),
        number("observedGeneration"),
    );
    if let Some(count) = status.get("collisionCount") {
        text += &format!(" collisions={count}");
    }
    let mut lines = vec![line("status", "", text)];
    if cluster.shows("conditions") {
        let conditions = status["conditions"].as_array().into_iter().flatten();
        lines.extend(conditions.map(|condition| {
            let part = |name: &str| condition[name].as_str().unwrap_or_default();
            line("condition", part("type"), format!("{} {} {}", part("status"), part("reason"), part("message")))
        }));
    }
    lines
}
