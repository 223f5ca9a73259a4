//! `everynode status` and `everynode why`: the picture of the cluster, with reasons.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, bail};
use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::ports::{Api, Request, Selection};
use everynode_api::view::{DaemonSet, Pod};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::args::{Output, StatusArgs, WhyArgs};
use crate::client::Client;
use crate::picture::{Listed, NodePicture, SetPicture, State, draw};
use crate::{output, table};

/// Objects of a page.
const PAGE: u32 = 500;
/// Nodes that a line names.
const NAMES_MAX: usize = 3;
/// Lines of trouble.
const ROWS_MAX: usize = 50;
/// Field selector of the events that explain pods.
const WARNINGS: &str = "type=Warning,involvedObject.kind=Pod";

/// How often `--watch` looks again.
const WATCH_EVERY: Duration = Duration::from_secs(2);

pub(crate) async fn status(args: StatusArgs) -> anyhow::Result<()> {
    let client = Client::connect(&args.client).await?;
    let one_namespace = args.client.namespace.is_some() || args.only_namespace;
    let namespace = one_namespace.then_some(client.namespace());
    let mut shown = String::new();
    loop {
        let listed = list_all(client.api().as_ref(), namespace).await?;
        let pictures = draw(&listed);
        let text = match args.output {
            Output::Json => json!({ "nodes": node_states(&listed), "daemonSets": pictures }).to_string() + "\n",
            Output::Text => status_text(&listed, &pictures),
        };
        if text != shown {
            let again = args.watch && args.output == Output::Text && !shown.is_empty();
            output::print(format_args!("{}{text}", if again { screen_start() } else { "" }))?;
            shown = text;
        }
        if !args.watch {
            return Ok(());
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

/// What stands between two pictures: a terminal is wiped, elsewhere a blank line parts them.
fn screen_start() -> &'static str {
    if std::io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "\n" }
}

pub(crate) async fn why(args: WhyArgs) -> anyhow::Result<()> {
    let client = Client::connect(&args.client).await?;
    let (namespace, name) = (client.namespace_of(&args.name)?, &args.name.name);
    let mut listed = list_all(client.api().as_ref(), Some(namespace)).await?;
    listed.sets.retain(|set| *set.meta.name == **name);
    let Some(mut picture) = draw(&listed).pop() else {
        bail!("there is no DaemonSet {namespace}/{name}; `everynode status` lists all");
    };
    if let Some(name) = &args.node {
        picture.nodes.retain(|node| node.node == *name);
        if picture.nodes.is_empty() {
            bail!("there is no node {name}");
        }
    }
    match args.output {
        Output::Json => output::line(json!(picture)),
        Output::Text => output::print(why_text(&picture, listed.sets.first())),
    }
}

async fn list_all(api: &dyn Api, namespace: Option<&str>) -> anyhow::Result<Listed> {
    let sets = list(api, kinds::DAEMON_SET, namespace).await?;
    let nodes = list(api, kinds::NODE, None).await?;
    let raw: Vec<Value> = list(api, kinds::POD, None).await?;
    let waiting = raw.iter().filter_map(waiting_container).collect();
    let pods: Result<Vec<Pod>, _> = raw.into_iter().map(serde_json::from_value).collect();
    let pods = pods.context("the server lists a pod that cannot be read")?;
    // Without the right to read events there is less to say, and no reason to fail.
    let warnings = match pods.iter().all(Pod::is_ready) {
        true => BTreeMap::new(),
        false => latest_warnings(list_selected(api, kinds::EVENT, namespace, WARNINGS).await.unwrap_or_default()),
    };
    Ok(Listed { sets, nodes, pods, waiting, warnings })
}

/// The latest warning about each pod, `Reason: message`.
fn latest_warnings(events: Vec<Value>) -> BTreeMap<Key, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let when = |event: &Value| {
        let times = [&event["series"]["lastObservedTime"], &event["lastTimestamp"], &event["eventTime"]];
        times.into_iter().find_map(Value::as_str).unwrap_or_default().to_owned()
    };
    let mut latest: BTreeMap<Key, (String, String)> = BTreeMap::new();
    for event in &events {
        let object = &event["involvedObject"];
        let key = Key::new(&text(&object["namespace"]), &text(&object["name"]));
        let time = when(event);
        if latest.get(&key).is_none_or(|(before, _)| *before <= time) {
            latest.insert(key, (time, format!("{}: {}", text(&event["reason"]), text(&event["message"]))));
        }
    }
    latest.into_iter().map(|(key, (_, message))| (key, message)).collect()
}

pub(super) async fn list<T: DeserializeOwned>(
    api: &dyn Api,
    kind: Kind,
    namespace: Option<&str>,
) -> anyhow::Result<Vec<T>> {
    list_selected(api, kind, namespace, "").await
}

async fn list_selected<T: DeserializeOwned>(
    api: &dyn Api,
    kind: Kind,
    namespace: Option<&str>,
    fields: &str,
) -> anyhow::Result<Vec<T>> {
    let mut items = Vec::new();
    let mut continue_token = None;
    loop {
        let request = Request::List {
            kind: kind.clone(),
            selection: Selection {
                namespace: namespace.map(str::to_owned),
                field_selector: (!fields.is_empty()).then(|| fields.to_owned()),
                ..Selection::default()
            },
            limit: PAGE,
            continue_token,
            resource_version: None,
        };
        let mut page: Value =
            serde_json::from_slice(&api.call(request).await?).context("the server's list is not JSON")?;
        for item in page["items"].as_array_mut().into_iter().flatten() {
            items.push(serde_json::from_value(item.take()).with_context(|| format!("cannot read a {}", kind.kind))?);
        }
        continue_token = page["metadata"]["continue"].as_str().filter(|token| !token.is_empty()).map(str::to_owned);
        if continue_token.is_none() {
            return Ok(items);
        }
    }
}

/// The first container that waits, with its reason and message.
fn waiting_container(pod: &Value) -> Option<(Key, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let statuses = ["initContainerStatuses", "containerStatuses"].into_iter();
    let mut statuses = statuses.flat_map(|list| pod["status"][list].as_array().into_iter().flatten());
    let waits = |status: &&Value| {
        let reason = status["state"]["waiting"]["reason"].as_str();
        reason.is_some_and(|reason| reason != "PodInitializing" && reason != "ContainerCreating")
    };
    let status = statuses.find(waits)?;
    let waiting = &status["state"]["waiting"];
    let message = match text(&waiting["message"]) {
        message if message.is_empty() => String::new(),
        message => format!(": {message}"),
    };
    let key = Key::new(&text(&pod["metadata"]["namespace"]), &text(&pod["metadata"]["name"]));
    let ended = ended(&status["lastState"]["terminated"]);
    Some((key, format!("container {} {}{message}{ended}", text(&status["name"]), text(&waiting["reason"]))))
}

/// How the container ended the last time, if it did.
fn ended(terminated: &Value) -> String {
    let Some(code) = terminated["exitCode"].as_i64() else {
        return String::new();
    };
    let reason = terminated["reason"].as_str().filter(|reason| *reason != "Error").unwrap_or_default();
    let message = terminated["message"].as_str().unwrap_or_default().trim();
    let words: Vec<&str> = [reason, message].into_iter().filter(|word| !word.is_empty()).collect();
    match words.is_empty() {
        true => format!("; it ended with exit code {code}"),
        false => format!("; it ended with exit code {code} ({})", words.join(": ")),
    }
}

fn node_states(listed: &Listed) -> BTreeMap<&str, bool> {
    listed.nodes.iter().map(|node| (node.name(), node.is_ready())).collect()
}

fn status_text(listed: &Listed, pictures: &[SetPicture]) -> String {
    let silent: Vec<&str> = listed.nodes.iter().filter(|node| !node.is_ready()).map(|node| node.name()).collect();
    let mut text = format!("{} of {} nodes are ready", listed.nodes.len() - silent.len(), listed.nodes.len());
    if !silent.is_empty() {
        text += &format!("; not ready: {}", few(&silent));
    }
    text += "\n\n";
    if pictures.is_empty() {
        return text + "There are no DaemonSets. `everynode apply -f FILE` makes one.\n";
    }
    let rows: Vec<Vec<String>> = pictures.iter().map(set_row).collect();
    text += &table::render(&["NAMESPACE", "DAEMONSET", "DESIRED", "READY", "UP-TO-DATE", "AVAILABLE"], &rows);
    let mut rows = trouble(pictures);
    if !rows.is_empty() {
        let left = rows.len().saturating_sub(ROWS_MAX);
        rows.truncate(ROWS_MAX);
        text += "\n";
        text += &table::render(&["NODE", "DAEMONSET", "STATE", "WHY"], &rows);
        if left > 0 {
            text += &format!("… and {left} more lines: `everynode why NAME` tells of every node of a DaemonSet.\n");
        }
    }
    text
}

/// A line for each different trouble of a set, with the nodes that have it.
fn trouble(pictures: &[SetPicture]) -> Vec<Vec<String>> {
    let troubled = |node: &&NodePicture| !matches!(node.state, State::Ready | State::NotHere);
    let mut rows = Vec::new();
    for set in pictures {
        let mut alike: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
        for node in set.nodes.iter().filter(troubled) {
            alike.entry((node.state.text(), node.reasons.join("; "))).or_default().push(&node.node);
        }
        let mut alike: Vec<_> = alike.into_iter().collect();
        alike.sort_by_key(|(_, nodes)| nodes[0]);
        let name = format!("{}/{}", set.namespace, set.name);
        rows.extend(alike.into_iter().map(|((state, why), nodes)| vec![few(&nodes), name.clone(), state.into(), why]));
    }
    rows
}

/// The first names, and how many more there are.
fn few(names: &[&str]) -> String {
    match names.len().checked_sub(NAMES_MAX) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..NAMES_MAX].join(", ")),
    }
}

fn set_row(set: &SetPicture) -> Vec<String> {
    let numbers = [set.desired, set.ready, set.updated, set.available].map(|number| number.to_string());
    [set.namespace.clone(), set.name.clone()].into_iter().chain(numbers).collect()
}

fn why_text(picture: &SetPicture, set: Option<&DaemonSet>) -> String {
    let left = set.and_then(crate::rollout::missing);
    let rollout = match left {
        None => "the rollout is done".to_owned(),
        Some(left) => set
            .and_then(held_up)
            .map_or_else(|| format!("the rollout goes on: {left}"), |why| format!("the rollout cannot go on: {why}")),
    };
    let rows: Vec<Vec<String>> = picture
        .nodes
        .iter()
        .map(|node| {
            let why =
                if node.state == State::Ready { node.pod.clone().unwrap_or_default() } else { node.reasons.join("; ") };
            vec![node.node.clone(), node.state.text().into(), why]
        })
        .collect();
    format!(
        "{}/{}: {rollout}\n\n{}",
        picture.namespace,
        picture.name,
        table::render(&["NODE", "STATE", "POD, OR WHY NOT"], &rows)
    )
}

/// What no waiting will mend, as the set's own condition says it.
fn held_up(set: &DaemonSet) -> Option<String> {
    let mut conditions = set.status.conditions.iter().flatten();
    let told = conditions.find(|one| one["type"] == "Progressing" && one["reason"] == "PortsHeld")?;
    Some(told["message"].as_str().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(nodes: usize) -> Listed {
        let read = |value: Value| serde_json::from_value(value).unwrap();
        let node = |number: usize| {
            let ready = if number < 2 { "True" } else { "False" };
            let status = json!({ "conditions": [{ "type": "Ready", "status": ready }] });
            read(json!({ "metadata": { "name": format!("n{number:04}"), "uid": "n" }, "status": status }))
        };
        let set = json!({
            "metadata": { "namespace": "x", "name": "web", "uid": "w" },
            "spec": { "selector": { "matchLabels": { "a": "b" } }, "template": { "metadata": { "labels": { "a": "b" } } } },
        });
        Listed {
            sets: vec![serde_json::from_value(set).unwrap()],
            nodes: (0..nodes).map(node).collect(),
            pods: Vec::new(),
            waiting: BTreeMap::new(),
            warnings: BTreeMap::new(),
        }
    }

    #[test]
    fn thousands_of_nodes_in_the_same_trouble_are_one_line() {
        let listed = listed(5_000);
        let text = status_text(&listed, &draw(&listed));
        assert!(
            text.starts_with("2 of 5000 nodes are ready; not ready: n0002, n0003, n0004 and 4995 more\n"),
            "{text}"
        );
        assert!(text.lines().count() < 10, "{text}");
        assert!(text.contains("n0000, n0001, n0002 and 4997 more"), "{text}");
        assert_eq!((few(&["a", "b", "c"]), few(&[])), ("a, b, c".to_owned(), String::new()));
    }

    #[test]
    fn a_waiting_container_says_why() {
        let pod = json!({
            "metadata": { "namespace": "x", "name": "p" },
            "status": { "containerStatuses": [
                { "name": "a", "state": { "running": {} } },
                { "name": "b", "state": { "waiting": { "reason": "ErrImagePull", "message": "no such host" } } },
            ] },
        });
        let expected = (Key::new("x", "p"), "container b ErrImagePull: no such host".to_owned());
        assert_eq!(waiting_container(&pod), Some(expected));
    }

    #[test]
    fn a_container_that_ended_says_how() {
        assert_eq!(ended(&json!({ "exitCode": 2, "reason": "Error" })), "; it ended with exit code 2");
        assert_eq!(
            ended(&json!({ "exitCode": 137, "reason": "OOMKilled" })),
            "; it ended with exit code 137 (OOMKilled)"
        );
        assert_eq!(ended(&Value::Null), "");
    }

    #[test]
    fn the_latest_warning_of_a_pod_counts() {
        let event = |time: &str, message: &str| {
            json!({ "involvedObject": { "namespace": "x", "name": "p" }, "lastTimestamp": time,
                    "reason": "FailedMount", "message": message })
        };
        let events = vec![event("2026-01-01T00:00:02Z", "new"), event("2026-01-01T00:00:01Z", "old")];
        assert_eq!(latest_warnings(events)[&Key::new("x", "p")], "FailedMount: new");
    }
}
