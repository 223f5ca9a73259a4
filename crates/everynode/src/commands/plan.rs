//! `everynode plan`: what the DaemonSet controller would do, without doing it.

use anyhow::{Context, bail};
use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::reconcile::{Action, Reconciler};
use everynode_daemonset::{Bind, DaemonSetController, DaemonSetNote, Options};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::status::list;
use crate::args::{NamedSet, Output, PlanArgs};
use crate::client::Client;
use crate::exit::{Exit, coded};
use crate::manifest::{self, Document};
use crate::rehearsal::{Forecast, Rehearsal, Stage, rehearse};
use crate::{output, table};

/// What the controller decides from.
static KINDS: [Kind; 4] = [kinds::DAEMON_SET, kinds::NODE, kinds::POD, kinds::CONTROLLER_REVISION];
/// Waves of a forecast that are printed with their nodes.
const WAVES_SHOWN: usize = 10;

pub(crate) async fn run(args: PlanArgs) -> anyhow::Result<()> {
    let (cluster, only) = match args.filename.is_empty() {
        true => {
            let client = Client::connect(&args.client).await?;
            let named = args.name.as_ref().map(|named| anyhow::Ok(Key::new(client.namespace_of(named)?, &named.name)));
            (from_server(&client).await?, named.transpose()?)
        }
        false => {
            let namespace = args.client.namespace.as_deref().unwrap_or("default");
            let key = |named: &NamedSet| Key::new(named.namespace.as_deref().unwrap_or(namespace), &named.name);
            let documents = manifest::read_all(&args.filename, args.recursive)?;
            (from_files(documents, namespace)?, args.name.as_ref().map(key))
        }
    };
    let controller = DaemonSetController::new(options(&args));
    let rehearsals = rehearse_all(&controller, &cluster, only.as_ref())?;
    match args.output {
        Output::Json => output::line(json!({ "daemonSets": rehearsals.iter().map(describe).collect::<Vec<_>>() }))?,
        Output::Text if rehearsals.is_empty() => {
            output::line("there is no DaemonSet that this controller would look after")?;
        }
        Output::Text => output::print(rehearsals.iter().map(text).collect::<Vec<_>>().join("\n"))?,
    }
    match rehearsals.iter().any(Rehearsal::has_work) {
        true => Err(coded(Exit::Work, "")),
        false => Ok(()),
    }
}

fn options(args: &PlanArgs) -> Options {
    let options = if args.strict { Options::strict() } else { Options::default() };
    Options { class: args.class.clone(), bind: Bind::Off, ..options }
}

async fn from_server(client: &Client) -> anyhow::Result<Stage> {
    let mut cluster = Stage::default();
    for kind in &KINDS {
        for object in list::<Value>(client.api().as_ref(), kind.clone(), None).await? {
            cluster.put(kind, object)?;
        }
    }
    Ok(cluster)
}

/// Everything is in the files, no server is asked.
fn from_files(documents: Vec<Document>, namespace: &str) -> anyhow::Result<Stage> {
    let mut cluster = Stage::default();
    for document in documents {
        let known = KINDS
            .iter()
            .find(|kind| kind.kind == document.text("kind") && kind.api_version() == document.text("apiVersion"));
        let Some(kind) = known else { continue };
        let place = document.place.clone();
        cluster.put(kind, complete(kind, document, namespace)).with_context(|| place)?;
    }
    if cluster.view().nodes().next().is_none() {
        bail!(
            "there is no Node in the files, so no pod would run anywhere; with -f nothing is asked of a server. \
             `kubectl get nodes,daemonsets,controllerrevisions,pods -A -o yaml` writes such a file"
        );
    }
    Ok(cluster)
}

/// What a server would have added.
fn complete(kind: &Kind, document: Document, namespace: &str) -> Value {
    let mut object = document.object;
    let meta = &mut object["metadata"];
    if kind.namespaced && meta["namespace"].is_null() {
        meta["namespace"] = namespace.into();
    }
    if meta["uid"].is_null() {
        meta["uid"] = document.place.into();
    }
    if *kind == kinds::DAEMON_SET && meta["generation"].is_null() {
        meta["generation"] = 1.into();
    }
    if *kind == kinds::NODE && object["status"]["conditions"].is_null() {
        // One that is written down by hand is meant to work.
        object["status"]["conditions"] = json!([{ "type": "Ready", "status": "True" }]);
    }
    object
}

fn rehearse_all(
    controller: &DaemonSetController,
    cluster: &Stage,
    only: Option<&Key>,
) -> anyhow::Result<Vec<Rehearsal>> {
    let wanted = |key: &Key| only.is_none_or(|only| only == key);
    let keys: Vec<Key> = controller.all(cluster.view()).into_iter().filter(wanted).collect();
    if let (true, Some(only)) = (keys.is_empty(), only) {
        bail!("there is no DaemonSet {only} that this controller would look after");
    }
    let now = Timestamp::now();
    Ok(keys.iter().filter_map(|key| rehearse(controller, cluster, key, now)).collect())
}

/// One line per decision, then the forecast.
fn text(rehearsal: &Rehearsal) -> String {
    let mut text = format!("{}: {}\n", rehearsal.key, summary(rehearsal));
    let (rows, remarks): (Vec<_>, Vec<_>) = rehearsal.plan.notes.iter().partition(|note| note.node().is_some());
    for remark in remarks {
        text += &format!("  {remark}\n");
    }
    if !rows.is_empty() {
        let rows: Vec<Vec<String>> = rows.into_iter().map(row).collect();
        text += &table::render(&["NODE", "", "POD", "WHY"], &rows);
    }
    text + &forecast(&rehearsal.forecast)
}

fn summary(rehearsal: &Rehearsal) -> String {
    if !rehearsal.has_work() {
        return "nothing to do".into();
    }
    let count = |is: fn(&Action) -> bool| rehearsal.plan.actions.iter().filter(|action| is(action)).count();
    let creates = count(|action| matches!(action, Action::Create { target, .. } if target.kind == kinds::POD));
    let deletes = count(|action| matches!(action, Action::Delete { target, .. } if target.kind == kinds::POD));
    let others = count(|action| !matches!(action, Action::Emit(_))) - creates - deletes;
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let parts = [
        (creates, format!("{creates} pod{} to create", plural(creates))),
        (deletes, format!("{deletes} pod{} to delete", plural(deletes))),
        (others, format!("{others} other write{}", plural(others))),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0).map(|(_, text)| text);
    parts.collect::<Vec<_>>().join(", ")
}

fn row(note: &DaemonSetNote) -> Vec<String> {
    let reasons = |reasons: &[everynode_placement::Reason]| {
        reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let (verb, why) = match note {
        DaemonSetNote::Create { why, .. } => ("create", why.to_string()),
        DaemonSetNote::Delete { why, .. } => ("delete", why.to_string()),
        DaemonSetNote::Hold { why, .. } => ("keep", why.to_string()),
        DaemonSetNote::Stays { reasons: why, .. } => ("keep", reasons(why)),
        DaemonSetNote::Skip { reasons: why, .. } => ("none", reasons(why)),
        DaemonSetNote::Leaving { .. } => ("wait", "a new one when this one has ended".into()),
        other => ("", other.to_string()),
    };
    let (node, pod) = (note.node().unwrap_or_default(), note.pod().unwrap_or_default());
    vec![node.into(), verb.into(), pod.into(), why]
}

fn forecast(forecast: &Forecast) -> String {
    let Forecast { waves, complete, left } = forecast;
    let mut text = String::new();
    if !waves.is_empty() {
        text += "then, if every new pod becomes ready:\n";
    }
    for (number, wave) in waves.iter().take(WAVES_SHOWN).enumerate() {
        text += &format!("  {}. {}\n", number + 1, wave.join(", "));
    }
    if waves.len() > WAVES_SHOWN {
        let more = if *complete { "" } else { " at least" };
        text += &format!("  …{more} {} more\n", waves.len() - WAVES_SHOWN);
    }
    if !waves.is_empty() {
        for remark in left {
            text += &format!("  left: {remark}\n");
        }
    }
    text
}

fn describe(rehearsal: &Rehearsal) -> Value {
    let notes = rehearsal.plan.notes.iter().map(|note| {
        let row = row(note);
        match note.node() {
            Some(node) => json!({ "node": node, "verb": row[1], "pod": note.pod(), "why": row[3] }),
            None => json!({ "why": note.to_string() }),
        }
    });
    json!({
        "namespace": &*rehearsal.key.namespace,
        "name": &*rehearsal.key.name,
        "nothingToDo": !rehearsal.has_work(),
        "writes": rehearsal.plan.actions.iter().filter_map(write).collect::<Vec<_>>(),
        "notes": notes.collect::<Vec<_>>(),
        "forecast": rehearsal.forecast,
    })
}

fn write(action: &Action) -> Option<Value> {
    let (verb, target) = match action {
        Action::Create { target, .. } => ("create", target),
        Action::Patch { target, .. } => ("patch", target),
        Action::Delete { target, .. } => ("delete", target),
        Action::Emit(_) => return None,
    };
    Some(json!({ "verb": verb, "resource": target.kind.plural, "namespace": target.namespace, "name": target.name }))
}
