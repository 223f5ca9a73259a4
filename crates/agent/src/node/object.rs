//! This node's object, for decisions about pods: kept from what the server answers anyway, and
//! asked for anew before a pod is refused because of what it says.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use everynode_api::kinds;
use everynode_api::ports::{Api, BoxFuture, Request, Target};
use everynode_api::view::Node;
use serde_json::json;

use super::machine::Machine;
use super::status;
use crate::config::AgentConfig;
use crate::ports::OwnNode;

/// So long a pod that seems not to fit waits for the server's word.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The object of one node.
pub struct NodeObject {
    api: Arc<dyn Api>,
    name: String,
    known: Mutex<Arc<Node>>,
}

impl NodeObject {
    /// As the node is going to register.
    pub fn new(api: Arc<dyn Api>, config: &AgentConfig, machine: &Machine) -> Arc<NodeObject> {
        let name = config.node_name.clone();
        let allocatable: serde_json::Map<_, _> =
            machine.capacity().into_iter().map(|(name, amount)| (name, amount.to_string().into())).collect();
        let first = json!({
            "metadata": { "name": name, "labels": status::labels(config) },
            "status": { "allocatable": allocatable },
        });
        let first = serde_json::from_value(first).unwrap_or_default();
        Arc::new(NodeObject { api, name, known: Mutex::new(Arc::new(first)) })
    }

    /// The server has answered with the object.
    pub(super) fn learn(&self, json: &[u8]) -> Option<Arc<Node>> {
        let node: Arc<Node> = Arc::new(serde_json::from_slice(json).ok()?);
        let is_ours = node.name() == self.name;
        is_ours.then(|| {
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = node.clone();
            node
        })
    }
}

impl OwnNode for NodeObject {
    fn known(&self) -> Arc<Node> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fresh(&self) -> BoxFuture<'_, Arc<Node>> {
        Box::pin(async move {
            let target = Target::new(kinds::NODE, "", &self.name);
            let answer = tokio::time::timeout(ANSWER_MAX, self.api.call(Request::Get(target))).await;
            let node = answer.ok().and_then(Result::ok).and_then(|json| self.learn(&json));
            node.unwrap_or_else(|| self.known())
        })
    }
}
