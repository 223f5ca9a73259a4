//! `everynode delete`: delete the objects of manifests, and wait until they are gone.

use std::time::{Duration, Instant};

use anyhow::Context;
use everynode_api::ports::{Preconditions, Propagation, Request, Target};
use serde_json::{Value, json};

use crate::args::{DeleteArgs, Output};
use crate::client::{Client, qualified};
use crate::exit::{Exit, coded, several};
use crate::{manifest, output};

const POLL: Duration = Duration::from_millis(100);

pub(crate) async fn run(args: DeleteArgs) -> anyhow::Result<()> {
    let documents = manifest::read_all(&args.manifests.filename, args.manifests.recursive)?;
    let client = Client::connect_dry_run(&args.client, args.dry_run).await?;
    let suffix = if args.dry_run { " (server dry run)" } else { "" };
    let mut deleted = Vec::new();
    let mut errors = Vec::new();
    // Dependants before what they stand on: the reverse of the order they were written in.
    for document in documents.iter().rev() {
        let result = async {
            let (_, target) = client.address(document).await?;
            let uid = delete(&client, &target, args.ignore_not_found).await?;
            anyhow::Ok(uid.map(|uid| (target, uid)))
        };
        match result.await.with_context(|| document.place.clone()) {
            Ok(found) => {
                if let (Some((target, _)), Output::Text) = (&found, args.output) {
                    output::line(format_args!("{} deleted{suffix}", qualified(target)))?;
                }
                deleted.extend(found);
            }
            Err(error) => {
                eprintln!("error: {error:#}");
                errors.push(error);
            }
        }
    }
    if args.output == Output::Json {
        let objects: Vec<Value> = deleted.iter().map(|(target, _)| describe(target)).collect();
        output::line(json!({ "objects": objects, "failures": errors.len(), "dryRun": args.dry_run }))?;
    }
    if !args.no_wait && !args.dry_run {
        let deadline = Instant::now() + args.timeout;
        for (target, uid) in &deleted {
            gone(&client, target, uid, deadline).await?;
        }
    }
    match errors.len() {
        0 => Ok(()),
        failures => Err(several(errors, format!("{failures} of {} objects were not deleted", documents.len()))),
    }
}

fn describe(target: &Target) -> Value {
    json!({ "kind": target.kind.kind, "namespace": target.namespace, "name": target.name, "result": "deleted" })
}

/// Answers the uid of what is being deleted.
async fn delete(client: &Client, target: &Target, ignore_not_found: bool) -> anyhow::Result<Option<String>> {
    let uid = match client.api().call(Request::Get(target.clone())).await {
        Ok(json) => serde_json::from_slice::<Value>(&json)?["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
        Err(error) if error.is_not_found() && ignore_not_found => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let request = Request::Delete {
        target: target.clone(),
        preconditions: Preconditions { uid: Some(uid.clone()), resource_version: None },
        grace_period_seconds: None,
        propagation: Some(Propagation::Background),
    };
    client.api().call(request).await?;
    Ok(Some(uid))
}

async fn gone(client: &Client, target: &Target, uid: &str, deadline: Instant) -> anyhow::Result<()> {
    loop {
        match client.api().call(Request::Get(target.clone())).await {
            Err(error) if error.is_not_found() => return Ok(()),
            Ok(json) if serde_json::from_slice::<Value>(&json)?["metadata"]["uid"].as_str() != Some(uid) => {
                return Ok(());
            }
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        if Instant::now() > deadline {
            return Err(coded(
                Exit::Timeout,
                format!("{} is still there; see its finalizers with -o json", qualified(target)),
            ));
        }
        tokio::time::sleep(POLL).await;
    }
}
