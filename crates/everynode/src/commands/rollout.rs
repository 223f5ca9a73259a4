//! `everynode rollout`: what `kubectl rollout` does for DaemonSets, for machines without a kubectl (DS-D60 to DS-D71).

use std::time::Instant;

use anyhow::{Context, bail};
use everynode_api::kinds;
use everynode_api::patch::strategic::{self, BuiltIn};
use everynode_api::ports::{PatchType, Preconditions, Request, Target};
use serde_json::{Value, json};

use super::status::list;
use crate::args::{RolloutTarget, RolloutVerb};
use crate::client::Client;
use crate::{rollout, table};

const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

pub(crate) async fn run(verb: RolloutVerb) -> anyhow::Result<()> {
    match verb {
        RolloutVerb::Status { of, timeout } => {
            let rollout = Rollout::of(&of).await?;
            if rollout.set["spec"]["updateStrategy"]["type"] == "OnDelete" {
                bail!("rollout status is only available for RollingUpdate strategy type");
            }
            rollout::wait(rollout.client.api().as_ref(), &rollout.target, Instant::now() + timeout).await
        }
        RolloutVerb::History { of, revision } => {
            let rollout = Rollout::of(&of).await?;
            print!("{}", history(&rollout.revisions().await?, &of.name, revision)?);
            Ok(())
        }
        RolloutVerb::Undo { of, to_revision } => {
            let rollout = Rollout::of(&of).await?;
            let name = &of.name;
            match undo(&rollout.set, &rollout.revisions().await?, to_revision)? {
                Undo::Patch(data) => {
                    rollout.patch(data).await?;
                    println!("daemonset.apps/{name} rolled back");
                }
                Undo::Same(number) => {
                    println!(
                        "daemonset.apps/{name} skipped rollback (current template already matches revision {number})"
                    );
                }
            }
            Ok(())
        }
        RolloutVerb::Restart { of } => {
            let rollout = Rollout::of(&of).await?;
            let at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            let annotations = json!({ RESTARTED_AT: at });
            rollout.patch(json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } })).await?;
            println!("daemonset.apps/{} restarted", of.name);
            Ok(())
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
        let target = Target::new(kinds::DAEMON_SET, &of.client.namespace, &of.name);
        let json = client.api().call(Request::Get(target.clone())).await?;
        let set = serde_json::from_slice(&json).context("the server's object is not JSON")?;
        Ok(Rollout { client, target, set })
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

fn history(revisions: &[Value], name: &str, wanted: Option<i64>) -> anyhow::Result<String> {
    if let Some(wanted) = wanted {
        let found = revisions.iter().find(|revision| number(revision) == wanted);
        let found = found.context("unable to find the specified revision")?;
        let mut template = found["data"]["spec"]["template"].clone();
        if let Some(template) = template.as_object_mut() {
            template.remove("$patch");
        }
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
    Patch(Value),
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
    Ok(if same { Undo::Same(number(found)) } else { Undo::Patch(data) })
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
    }

    #[test]
    fn undo_goes_to_the_one_before_or_the_one_that_is_named() {
        // DS-D68, DS-D69
        let all = [revision(1, "first"), revision(4, "old"), revision(5, "new")];
        let data = |number: usize| Undo::Patch(all[number]["data"].clone());
        assert_eq!(undo(&set("new"), &all, None).unwrap(), data(1));
        assert_eq!(undo(&set("new"), &all, Some(1)).unwrap(), data(0));
        assert_eq!(undo(&set("new"), &all, Some(5)).unwrap(), Undo::Same(5));
        let error = |revisions: &[Value], wanted| undo(&set("new"), revisions, wanted).unwrap_err().to_string();
        assert_eq!(error(&all, Some(3)), "unable to find specified revision 3 in history");
        assert_eq!(error(&all[..1], None), "no last revision to roll back to");
    }
}
