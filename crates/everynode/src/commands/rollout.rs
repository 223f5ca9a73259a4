//! `everynode rollout`: what `kubectl rollout` does for DaemonSets, for machines without a kubectl
//! (DS-D60 to DS-D71).

use std::time::Instant;

use anyhow::{Context, bail};
use everynode_api::kinds;
use everynode_api::patch::strategic::{self, BuiltIn};
use everynode_api::ports::{PatchType, Preconditions, Request, Target};
use serde_json::{Value, json};

use super::status::list;
use crate::args::{Output, RolloutTarget, RolloutVerb};
use crate::client::Client;
use crate::{output, rollout, table};

const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

pub(crate) async fn run(verb: RolloutVerb) -> anyhow::Result<()> {
    match verb {
        RolloutVerb::Status { of, timeout } => {
            let rollout = Rollout::of(&of).await?;
            if rollout.set["spec"]["updateStrategy"]["type"] == "OnDelete" {
                bail!("rollout status is only available for RollingUpdate strategy type");
            }
            rollout::wait(rollout.client.api().as_ref(), &rollout.target, Instant::now() + timeout).await?;
            match of.output {
                Output::Json => rollout.tell(&of, "complete", json!({})),
                Output::Text => Ok(()),
            }
        }
        RolloutVerb::History { of, revision } => {
            let rollout = Rollout::of(&of).await?;
            let revisions = rollout.revisions().await?;
            match of.output {
                Output::Json => output::line(history_json(&revisions, revision)?),
                Output::Text => output::print(history(&revisions, &of.name.name, revision)?),
            }
        }
        RolloutVerb::Undo { of, to_revision } => {
            let rollout = Rollout::of(&of).await?;
            match undo(&rollout.set, &rollout.revisions().await?, to_revision)? {
                Undo::Patch { number, data } => {
                    rollout.patch(data).await?;
                    rollout.tell(&of, "rolled back", json!({ "revision": number }))
                }
                Undo::Same(number) if of.output == Output::Json => {
                    rollout.tell(&of, "skipped", json!({ "revision": number }))
                }
                Undo::Same(number) => {
                    let words = format!("skipped rollback (current template already matches revision {number})");
                    rollout.tell(&of, &words, json!({}))
                }
            }
        }
        RolloutVerb::Restart { of } => {
            let rollout = Rollout::of(&of).await?;
            let at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            let annotations = json!({ RESTARTED_AT: at });
            rollout.patch(json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } })).await?;
            rollout.tell(&of, "restarted", json!({ "restartedAt": at }))
        }
    }
}

/// A DaemonSet as the server has it.
struct Rollout {
    client: Client,
    target: Target,
    set: Value,
}

impl Rollout {
    async fn of(of: &RolloutTarget) -> anyhow::Result<Rollout> {
        let client = Client::connect(&of.client).await?;
        let target = Target::new(kinds::DAEMON_SET, client.namespace_of(&of.name)?, &of.name.name);
        let json = client.api().call(Request::Get(target.clone())).await?;
        let set = serde_json::from_slice(&json).context("the server's object is not JSON")?;
        Ok(Rollout { client, target, set })
    }

    /// Says what was done: `daemonset.apps/web restarted`, or an object with `result` and the given
    /// members.
    fn tell(&self, of: &RolloutTarget, result: &str, mut members: Value) -> anyhow::Result<()> {
        if of.output == Output::Text {
            return output::line(format_args!("daemonset.apps/{} {result}", self.target.name));
        }
        members["namespace"] = json!(self.target.namespace);
        members["name"] = json!(self.target.name);
        members["result"] = json!(result);
        output::line(members)
    }

    /// Its revisions, oldest first (DS-D66).
    async fn revisions(&self) -> anyhow::Result<Vec<Value>> {
        let namespace = Some(self.target.namespace.as_str());
        let mut all: Vec<Value> = list(self.client.api().as_ref(), kinds::CONTROLLER_REVISION, namespace).await?;
        let uid = &self.set["metadata"]["uid"];
        let controls = |owner: &Value| owner["controller"] == true && owner["uid"] == *uid;
        all.retain(|revision| {
            revision["metadata"]["ownerReferences"].as_array().is_some_and(|all| all.iter().any(controls))
        });
        all.sort_by_key(number);
        Ok(all)
    }

    async fn patch(&self, body: Value) -> anyhow::Result<()> {
        let (target, preconditions) = (self.target.clone(), Preconditions::default());
        self.client.api().call(Request::Patch { target, patch: PatchType::Strategic, body, preconditions }).await?;
        Ok(())
    }
}

fn number(revision: &Value) -> i64 {
    revision["revision"].as_i64().unwrap_or(0)
}

/// The pod template of one revision.
fn template(revisions: &[Value], wanted: i64) -> anyhow::Result<Value> {
    let found = revisions.iter().find(|revision| number(revision) == wanted);
    let found = found.context("unable to find the specified revision")?;
    let mut template = found["data"]["spec"]["template"].clone();
    if let Some(template) = template.as_object_mut() {
        template.remove("$patch");
    }
    Ok(template)
}

fn history_json(revisions: &[Value], wanted: Option<i64>) -> anyhow::Result<Value> {
    if let Some(wanted) = wanted {
        return Ok(json!({ "revision": wanted, "template": template(revisions, wanted)? }));
    }
    let row = |revision: &Value| {
        json!({
            "revision": number(revision), "name": revision["metadata"]["name"],
            "changeCause": revision["metadata"]["annotations"][CHANGE_CAUSE],
        })
    };
    Ok(json!({ "revisions": revisions.iter().map(row).collect::<Vec<_>>() }))
}

fn history(revisions: &[Value], name: &str, wanted: Option<i64>) -> anyhow::Result<String> {
    if let Some(wanted) = wanted {
        let template = template(revisions, wanted)?;
        return Ok(format!("daemonset.apps/{name} with revision #{wanted}\n{template:#}\n"));
    }
    if revisions.is_empty() {
        return Ok("No rollout history found.\n".into());
    }
    let cause = |revision: &Value| {
        let cause = revision["metadata"]["annotations"][CHANGE_CAUSE].as_str().filter(|cause| !cause.is_empty());
        cause.unwrap_or("<none>").to_owned()
    };
    let rows: Vec<Vec<String>> =
        revisions.iter().map(|revision| vec![number(revision).to_string(), cause(revision)]).collect();
    Ok(format!("daemonset.apps/{name} \n{}", table::render(&["REVISION", "CHANGE-CAUSE"], &rows)))
}

/// What an undo comes to.
#[derive(Debug, PartialEq)]
enum Undo {
    /// The revision's number, and the patch that goes back to it.
    Patch { number: i64, data: Value },
    /// The template is that of this revision.
    Same(i64),
}

/// DS-D68, DS-D69
fn undo(set: &Value, revisions: &[Value], wanted: Option<i64>) -> anyhow::Result<Undo> {
    if revisions.len() < 2 {
        bail!("no last revision to roll back to");
    }
    let found = match wanted.filter(|wanted| *wanted != 0) {
        Some(wanted) => revisions
            .iter()
            .find(|revision| number(revision) == wanted)
            .with_context(|| format!("unable to find specified revision {wanted} in history"))?,
        None => &revisions[revisions.len() - 2],
    };
    let data = found["data"].clone();
    let schema = BuiltIn::for_kind("apps", "DaemonSet");
    let after = strategic::apply(set.clone(), data.clone(), schema)
        .map_err(|error| anyhow::anyhow!("revision {} cannot be applied: {error}", number(found)))?;
    let same = pruned(&after["spec"]["template"]) == pruned(&set["spec"]["template"]);
    Ok(if same { Undo::Same(number(found)) } else { Undo::Patch { number: number(found), data } })
}

/// Without what means nothing: nulls and empty maps and lists, which may be written or not.
fn pruned(value: &Value) -> Value {
    let says = |value: &Value| match value {
        Value::Null => false,
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    };
    match value {
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), pruned(value))).filter(|(_, value)| says(value)).collect()
        }
        Value::Array(items) => items.iter().map(pruned).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(number: i64, image: &str) -> Value {
        json!({
            "metadata": { "annotations": if number == 2 { json!({ CHANGE_CAUSE: "the second" }) } else { json!({}) } },
            "revision": number,
            "data": { "spec": { "template": { "$patch": "replace", "spec": { "containers": [{ "name": "c", "image": image }] } } } },
        })
    }

    fn set(image: &str) -> Value {
        json!({ "spec": { "template": { "spec": { "containers": [{ "name": "c", "image": image }] } } } })
    }

    #[test]
    fn history_lists_or_shows() {
        // DS-D66, DS-D67
        let all = [revision(1, "old"), revision(2, "new")];
        let listed = history(&all, "web", None).unwrap();
        assert_eq!(listed, "daemonset.apps/web \nREVISION   CHANGE-CAUSE\n1          <none>\n2          the second\n");
        let shown = history(&all, "web", Some(1)).unwrap();
        assert!(
            shown.starts_with("daemonset.apps/web with revision #1\n") && shown.contains("\"image\": \"old\""),
            "{shown}"
        );
        assert!(!shown.contains("$patch"));
        assert_eq!(history(&all, "web", Some(9)).unwrap_err().to_string(), "unable to find the specified revision");
        assert_eq!(history(&[], "web", None).unwrap(), "No rollout history found.\n");
        let listed = history_json(&all, None).unwrap();
        assert_eq!(
            (&listed["revisions"][1]["revision"], &listed["revisions"][1]["changeCause"]),
            (&json!(2), &json!("the second"))
        );
        assert_eq!(history_json(&all, Some(1)).unwrap()["template"]["spec"]["containers"][0]["image"], "old");
    }

    #[test]
    fn undo_selects_the_one_before_or_the_one_that_is_named() {
        // DS-D68, DS-D69
        let all = [revision(1, "first"), revision(4, "old"), revision(5, "new")];
        let data = |at: usize| Undo::Patch { number: number(&all[at]), data: all[at]["data"].clone() };
        assert_eq!(undo(&set("new"), &all, None).unwrap(), data(1));
        assert_eq!(undo(&set("new"), &all, Some(1)).unwrap(), data(0));
        assert_eq!(undo(&set("new"), &all, Some(5)).unwrap(), Undo::Same(5));
        let error = |revisions: &[Value], wanted| undo(&set("new"), revisions, wanted).unwrap_err().to_string();
        assert_eq!(error(&all, Some(3)), "unable to find specified revision 3 in history");
        assert_eq!(error(&all[..1], None), "no last revision to roll back to");
    }
}
