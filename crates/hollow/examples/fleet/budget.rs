//! Whether budgets are kept at every moment: all pods of all sets are followed by one watch, whose
//! events are the cluster's history in order, and after each of them it is counted on how many
//! nodes a set has no ready pod.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use everynode_api::kinds;
use everynode_api::ports::{EventStream, Selection, WatchEvent};
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, NAMESPACE};

/// Until every pod has been seen once.
const SYNC_MAX: Duration = Duration::from_secs(120);

/// The worst that was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Worst {
    pub(crate) set: String,
    pub(crate) unavailable: usize,
}

/// A running count.
pub(crate) struct Follower {
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<Worst>>,
}

impl Follower {
    /// Answers when it has seen a ready pod of each of so many sets on each of the nodes.
    pub(crate) async fn start(cluster: &Cluster, sets: usize, nodes: usize) -> anyhow::Result<Follower> {
        let selection = Selection { namespace: Some(NAMESPACE.into()), ..Selection::default() };
        let mut stream = cluster.stream(kinds::POD, selection).await?;
        let mut count = Count::new(nodes);
        let deadline = Instant::now() + SYNC_MAX;
        while !count.is_complete(sets) {
            let next = tokio::time::timeout_at(deadline.into(), stream.next()).await;
            count.take(next.context("not every pod is ready at the start")?)?;
        }
        let (stop, stopped) = oneshot::channel();
        Ok(Follower { stop, task: tokio::spawn(follow(stream, count, stopped)) })
    }

    pub(crate) async fn stop(self) -> anyhow::Result<Worst> {
        drop(self.stop);
        self.task.await?
    }
}

async fn follow(
    mut stream: Box<dyn EventStream>,
    mut count: Count,
    mut stopped: oneshot::Receiver<()>,
) -> anyhow::Result<Worst> {
    count.worst = Worst::default();
    loop {
        tokio::select! {
            biased;
            event = stream.next() => count.take(event)?,
            _ = &mut stopped => return Ok(count.worst),
        }
    }
}

/// The pods as of the last event.
struct Count {
    nodes: usize,
    /// Whether each pod, by uid, is ready.
    pods: HashMap<String, bool>,
    sets: HashMap<String, Set>,
    worst: Worst,
}

#[derive(Default)]
struct Set {
    /// Ready pods by node; no zeroes.
    ready: HashMap<String, usize>,
}

#[derive(Deserialize)]
struct Pod<'a> {
    #[serde(borrow)]
    metadata: Meta<'a>,
    #[serde(borrow)]
    spec: Spec<'a>,
    #[serde(borrow, default)]
    status: Status<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    #[serde(borrow)]
    uid: Cow<'a, str>,
    #[serde(borrow, default)]
    labels: Labels<'a>,
    #[serde(borrow)]
    deletion_timestamp: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
struct Labels<'a> {
    #[serde(borrow)]
    app: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow)]
    node_name: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
struct Status<'a> {
    #[serde(borrow, default)]
    conditions: Vec<Condition<'a>>,
}

#[derive(Deserialize)]
struct Condition<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
}

impl Count {
    fn new(nodes: usize) -> Count {
        Count { nodes, pods: HashMap::new(), sets: HashMap::new(), worst: Worst::default() }
    }

    /// Each of so many sets has a ready pod on each node.
    fn is_complete(&self, sets: usize) -> bool {
        self.sets.len() >= sets && self.sets.values().all(|set| set.ready.len() >= self.nodes)
    }

    fn take<E: std::error::Error + Send + Sync + 'static>(
        &mut self,
        event: Option<Result<WatchEvent, E>>,
    ) -> anyhow::Result<()> {
        match event {
            Some(Ok(WatchEvent::Added(json) | WatchEvent::Modified(json))) => self.pod(&json, false),
            Some(Ok(WatchEvent::Deleted(json))) => self.pod(&json, true),
            Some(Ok(WatchEvent::Bookmark { .. })) => Ok(()),
            // What happened meanwhile would be unknown.
            Some(Err(error)) => Err(error).context("the watch over all pods broke"),
            None => bail!("the watch over all pods ended"),
        }
    }

    fn pod(&mut self, json: &[u8], is_gone: bool) -> anyhow::Result<()> {
        let pod: Pod<'_> = serde_json::from_slice(json)?;
        let (Some(app), Some(node)) = (pod.metadata.labels.app, pod.spec.node_name) else { return Ok(()) };
        let is_condition = pod.status.conditions.iter().any(|one| one.kind == "Ready" && one.status == "True");
        let is_ready = is_condition && pod.metadata.deletion_timestamp.is_none() && !is_gone;
        let uid = pod.metadata.uid.as_ref();
        let was_ready = match is_gone {
            true => self.pods.remove(uid),
            false => self.pods.insert(uid.into(), is_ready),
        };
        if was_ready.unwrap_or(false) != is_ready {
            self.changed(&app, &node, is_ready);
        }
        Ok(())
    }

    fn changed(&mut self, name: &str, node: &str, is_ready: bool) {
        let set = match self.sets.get_mut(name) {
            Some(set) => set,
            None => self.sets.entry(name.into()).or_default(),
        };
        match (set.ready.get_mut(node), is_ready) {
            (Some(count), true) => *count += 1,
            (None, true) => drop(set.ready.insert(node.into(), 1)),
            (Some(count), false) if *count > 1 => *count -= 1,
            (_, false) => drop(set.ready.remove(node)),
        }
        let unavailable = self.nodes.saturating_sub(set.ready.len());
        if unavailable > self.worst.unavailable {
            self.worst = Worst { set: name.into(), unavailable };
        }
    }
}

#[cfg(test)]
mod tests {
    use everynode_api::ports::ApiError;
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, node: &str, ready: &str, terminating: bool) -> WatchEvent {
        let deleted = terminating.then_some("2026-01-01T00:00:00Z");
        let pod = json!({ "metadata": { "uid": uid, "labels": { "app": "a" }, "deletionTimestamp": deleted },
            "spec": { "nodeName": node }, "status": { "conditions": [{ "type": "Ready", "status": ready }] } });
        WatchEvent::Modified(pod.to_string().into())
    }

    #[test]
    fn the_worst_moment_is_kept() {
        let mut count = Count::new(2);
        let mut take = |event| {
            count.take::<ApiError>(Some(Ok(event))).unwrap();
            (count.is_complete(1), count.worst.unavailable)
        };
        take(pod("1", "n1", "True", false));
        assert_eq!(take(pod("2", "n2", "True", false)), (true, 1));
        // A pod that is to go does not count, whatever it says of itself.
        assert_eq!(take(pod("1", "n1", "True", true)), (false, 1));
        assert_eq!(take(pod("2", "n2", "False", false)), (false, 2));
        // With a surge there are two for a while.
        take(pod("3", "n1", "True", false));
        take(pod("4", "n1", "True", false));
        take(pod("2", "n2", "True", false));
        let WatchEvent::Modified(gone) = pod("4", "n1", "True", false) else { unreachable!() };
        assert_eq!(take(WatchEvent::Deleted(gone)), (true, 2));
    }
}
