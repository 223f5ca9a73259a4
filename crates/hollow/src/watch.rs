//! Following pods: of one node, or all of them.

use std::sync::Arc;

use bytes::Bytes;
use everynode_api::kinds;
use everynode_api::ports::{Api, Selection};
use everynode_runtime::Env;
use everynode_runtime::follow::{self, Decode, Follower, LIST_EVERY, Observed, Source, revision_of};
use tokio::sync::mpsc;

use crate::fleet::Heard;
use crate::work::NodeId;

/// One watch.
pub(crate) struct Watcher {
    pub api: Arc<dyn Api>,
    pub env: Env,
    /// The node whose pods are followed; `None`: all pods.
    pub node: Option<(NodeId, Arc<str>)>,
    pub heard: mpsc::Sender<Heard>,
}

impl Watcher {
    /// Follows until the receiver is gone.
    pub(crate) async fn run(self) {
        let Watcher { api, env, node, heard } = self;
        let scope = node.as_ref().map(|(id, _)| *id);
        let selection = node.map_or_else(Selection::default, |(_, name)| Selection::of_node(&name));
        let source = Source { api, env, kind: kinds::POD, selection, list_every: Some(LIST_EVERY), batch_max: 1 };
        let mut follower = Follower::new(source, Reader);
        loop {
            let new = match follower.next().await {
                follow::Heard::Begins => continue,
                follow::Heard::Changed(changes) => changes,
                follow::Heard::Listed(listed) => vec![Heard::Listed { scope, pods: listed.objects }],
                follow::Heard::Opened => vec![Heard::Opened { scope }],
                follow::Heard::Ended => vec![Heard::Ended { scope }],
                follow::Heard::Failed(failure) => vec![Heard::Broke { scope, error: failure.error() }],
            };
            for one in new {
                if heard.send(one).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Leaves objects as they are, but for their revision.
struct Reader;

impl Decode for Reader {
    type Object = Bytes;
    type Change = Heard;

    fn object(&self, json: Bytes) -> Option<Bytes> {
        Some(json)
    }

    fn change(&self, json: Bytes, is_gone: bool) -> Observed<Heard> {
        let revision = revision_of(&json).unwrap_or(0);
        Observed { revision, change: Some(if is_gone { Heard::Gone(json) } else { Heard::Set(json) }) }
    }
}
