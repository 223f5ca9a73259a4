//! One node, one key: a node's name belongs to the key of the machine that joined under it first.
//!
//! The record is made when a machine joins and goes with the node's object, in one transaction.
//! Until then no other machine gets a certificate for that name, and a certificate with another key
//! counts for nothing: neither the join token nor a former owner's certificate make one machine of
//! the cluster into another.

use everynode_api::kinds::NODE;
use everynode_api::status::Status;
use everynode_store::{Condition, Durability, Key, KeyValue, Outcome, Transaction, Write};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Registry, Target, WRITE_ATTEMPTS, store_failure};
use crate::catalogue::built_in;

/// Below it lies a record for each node, by its name.
const RECORDS: &str = "/everynode/nodekeys/";
/// A machine that has joined registers at once. For so long its name is kept for it without a node;
/// after that another machine may have it.
const UNREGISTERED_MAX: SignedDuration = SignedDuration::from_mins(10);

/// Whose a node's name is.
#[derive(Debug, Serialize, Deserialize)]
struct NodeKey {
    /// SHA-256 of the public key, lower-case hexadecimal.
    key: String,
    since: Timestamp,
}

/// The client that asks for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claimant {
    /// Whoever has the join token.
    Anybody,
    /// The node itself, by its certificate.
    Node,
}

fn record(node: &str) -> Key {
    format!("{RECORDS}{node}").into()
}

impl Registry {
    /// Whether a certificate with this key may speak for the node. Nodes without a record (those
    /// that joined before there were records, or have a certificate from elsewhere) are held to
    /// none.
    pub(crate) fn is_nodes_key(&self, node: &str, key: &str) -> Result<bool, Status> {
        Ok(self.node_key(node)?.is_none_or(|(_, held)| held.key == key))
    }

    /// Makes the name the key's, or says that it is another one's.
    pub(crate) async fn take_node_name(&self, node: &str, key: &str, claimant: Claimant) -> Result<(), Status> {
        let info = &built_in::NODE;
        let object = crate::keys::object(info, "", node);
        for _ in 0..WRITE_ATTEMPTS {
            let held = self.node_key(node)?;
            if held.as_ref().is_some_and(|(_, held)| held.key == key) {
                return Ok(());
            }
            let mut conditions = vec![match &held {
                Some((kv, _)) => Condition::ModifiedAt(kv.key.clone(), kv.modified),
                None => Condition::Absent(record(node)),
            }];
            if claimant == Claimant::Anybody {
                let exists = self.store.get(&object, None).map_err(|error| store_failure(&error))?.is_some();
                let fresh = |held: &NodeKey| self.env.now().duration_since(held.since) < UNREGISTERED_MAX;
                if exists || held.as_ref().is_some_and(|(_, held)| fresh(held)) {
                    return Err(taken(node, exists));
                }
                conditions.push(Condition::Absent(object.clone()));
            }
            if self.keep(node, key, conditions).await? {
                return Ok(());
            }
        }
        Err(Status::too_many_requests("too many machines join under this name, try again", 1))
    }

    async fn keep(&self, node: &str, key: &str, conditions: Vec<Condition>) -> Result<bool, Status> {
        let record_of = NodeKey { key: key.to_owned(), since: self.env.now() };
        let value = serde_json::to_vec(&record_of).map_err(Status::internal)?.into();
        let writes = vec![Write::Put { key: record(node), value, expires_in: None }];
        let transaction = Transaction { conditions, writes, durability: Durability::Fsync };
        let outcome = self.store.commit(transaction).await.map_err(|error| store_failure(&error))?;
        Ok(matches!(outcome, Outcome::Committed(_)))
    }

    fn node_key(&self, node: &str) -> Result<Option<(KeyValue, NodeKey)>, Status> {
        let kv = self.store.get(&record(node), None).map_err(|error| store_failure(&error))?;
        kv.map(|kv| Ok((kv.clone(), serde_json::from_slice(&kv.value).map_err(Status::internal)?))).transpose()
    }
}

fn taken(node: &str, exists: bool) -> Status {
    let what = match exists {
        true => format!(
            "a node of this name exists, and it is not known to have this machine's key; if this machine is to take its place: \
             kubectl delete node {node}"
        ),
        false => format!(
            "a machine with another key has just joined under this name; it is free again {} minutes after that if no node \
             has come of it",
            UNREGISTERED_MAX.as_mins()
        ),
    };
    Status::forbidden(&NODE, node, &what)
}

/// What goes with an object: a node's name is free then.
pub(super) fn freed(target: &Target) -> Option<Write> {
    (target.info.kind == NODE).then(|| Write::Delete { key: record(&target.name) })
}
