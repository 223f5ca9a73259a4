//! `everynode apply`: create or update objects, as `kubectl apply` does on the client's side, with
//! the same annotation, so that both can be used in turn.

use std::time::Instant;

use anyhow::Context;
use everynode_api::kinds::Kind;
use everynode_api::patch::strategic::{self, BuiltIn};
use everynode_api::ports::{Api, PatchType, Preconditions, Request, Target};
use serde_json::{Value, json};

use crate::args::{ApplyArgs, Output};
use crate::client::{Client, qualified};
use crate::exit::several;
use crate::manifest::{self, Document};
use crate::{output, rollout};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What became of an object.
struct Applied {
    kind: Kind,
    target: Target,
    verb: &'static str,
}

pub(crate) async fn run(args: ApplyArgs) -> anyhow::Result<()> {
    let documents = manifest::read_all(&args.manifests.filename, args.manifests.recursive)?;
    let client = Client::connect_dry_run(&args.client, args.dry_run).await?;
    let suffix = if args.dry_run { " (server dry run)" } else { "" };
    let mut applied = Vec::new();
    let mut errors = Vec::new();
    for document in &documents {
        match apply(&client, document).await.with_context(|| document.place.clone()) {
            Ok(done) => {
                if args.output == Output::Text {
                    output::line(format_args!("{} {}{suffix}", qualified(&done.target), done.verb))?;
                }
                applied.push(done);
            }
            Err(error) => {
                eprintln!("error: {error:#}");
                errors.push(error);
            }
        }
    }
    let failures = errors.len();
    if args.output == Output::Json {
        let list: Vec<_> = applied.iter().map(describe).collect();
        output::line(json!({ "objects": list, "failures": failures, "dryRun": args.dry_run }))?;
    }
    if failures > 0 {
        return Err(several(errors, format!("{failures} of {} objects were not applied", documents.len())));
    }
    if args.wait {
        let deadline = Instant::now() + args.timeout;
        for done in applied.iter().filter(|done| done.kind == everynode_api::kinds::DAEMON_SET) {
            rollout::wait(client.api().as_ref(), &done.target, deadline).await?;
        }
    }
    Ok(())
}

fn describe(done: &Applied) -> Value {
    json!({
        "kind": done.kind.kind, "namespace": done.target.namespace, "name": done.target.name, "result": done.verb,
    })
}

async fn apply(client: &Client, document: &Document) -> anyhow::Result<Applied> {
    let (kind, target) = client.address(document).await?;
    let mut modified = document.object.clone();
    if kind.namespaced {
        modified["metadata"]["namespace"] = json!(target.namespace);
    }
    remember(&mut modified);
    let api = client.api();
    let verb = match api.call(Request::Get(target.clone())).await {
        Ok(json) => patch(api.as_ref(), &kind, &target, &modified, &json).await?,
        Err(error) if error.is_not_found() => {
            api.call(Request::Create { target: target.clone(), body: modified }).await?;
            "created"
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Applied { kind, target, verb })
}

/// Notes in the object what was applied, as `kubectl apply` does: with annotations in any case, and
/// without the note.
fn remember(object: &mut Value) {
    match object["metadata"]["annotations"].as_object_mut() {
        Some(annotations) => drop(annotations.remove(LAST_APPLIED)),
        None => object["metadata"]["annotations"] = json!({}),
    }
    let text = format!("{object}\n");
    object["metadata"]["annotations"][LAST_APPLIED] = json!(text);
}

async fn patch(
    api: &dyn Api,
    kind: &Kind,
    target: &Target,
    modified: &Value,
    current: &[u8],
) -> anyhow::Result<&'static str> {
    let current: Value = serde_json::from_slice(current).context("the server's object is not JSON")?;
    let last = current["metadata"]["annotations"][LAST_APPLIED].as_str();
    let original: Value = last.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(json!({}));
    let schema = BuiltIn::for_kind(&kind.group, &kind.kind);
    let body = strategic::diff3(&original, modified, &current, schema)
        .map_err(|error| anyhow::anyhow!("cannot compare with the server's object: {error}"))?;
    if body.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok("unchanged");
    }
    let request = Request::Patch {
        target: target.clone(),
        patch: PatchType::Strategic,
        body,
        preconditions: Preconditions::default(),
    };
    let after: Value = serde_json::from_slice(&api.call(request).await?).context("the server's answer is not JSON")?;
    let same = after["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"];
    Ok(if same { "unchanged" } else { "configured" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_applied_is_noted_without_nesting() {
        let mut object = json!({ "metadata": { "name": "a", "annotations": { LAST_APPLIED: "old" } } });
        remember(&mut object);
        let noted = object["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(noted).unwrap(),
            json!({ "metadata": { "name": "a", "annotations": {} } })
        );
        let mut plain = json!({ "metadata": { "name": "a" } });
        remember(&mut plain);
        assert_eq!(
            plain["metadata"]["annotations"][LAST_APPLIED].as_str(),
            Some("{\"metadata\":{\"annotations\":{},\"name\":\"a\"}}\n"),
            "as kubectl writes it"
        );
    }
}
