//! Pods in the order of nodes.

use std::sync::Arc;

use crate::meta::Key;

/// Where a pod is: the node that it is bound or pinned to (DS-B32), and its own key. Pods that are
/// for no node come first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Empty: for no node.
    pub node: Arc<str>,
    pub pod: Key,
}
