//! The small controllers: each a pure [`Reconciler`](everynode_api::reconcile::Reconciler).
//!
//! | module | key | what it keeps true |
//! |---|---|---|
//! | [`node_lifecycle`] | node | a silent node becomes Unknown; conditions become taints |
//! | [`zones`] | failure zone | how fast the pods of failed nodes have to leave |
//! | [`taint_eviction`] | pod | a pod leaves a node whose NoExecute taints it does not tolerate |
//! | [`disruption`] | budget | how many of its pods may be evicted now |
//! | [`pod_gc`] | node name | pods of nodes that are gone go, too |
//! | [`quotas`] | quota | what its namespace uses is counted again when something left it |
//! | [`protection`] | claim or volume | what is deleted stays while it is used |
//! | [`garbage`] | owner uid | dependents follow their owners |
//! | [`namespaces`] | namespace | a terminating namespace empties and ends |
//! | [`accounts`] | namespace | every namespace has its default account and the cluster's CA |
//! | [`cluster_roles`] | role | aggregated roles have the rules of those that they choose |
//! | [`rival`] | DaemonSet | tells when another controller works on it (foreign clusters only) |
//! | [`scheduler`] | one key | unbound pods get a node, or the reasons why not |
//!
//! They see the cluster through a [`View`](everynode_api::view::View) and act through plans; none
//! has a clock, randomness or I/O.

pub mod accounts;
pub mod cluster_roles;
pub mod disruption;
pub mod garbage;
pub mod namespaces;
pub mod node_lifecycle;
pub mod pod_gc;
pub mod protection;
pub mod quotas;
pub mod rival;
pub mod scheduler;
pub mod taint_eviction;
pub mod zones;

mod budget;
mod common;
mod namespace_conditions;
mod preemption;
mod taints;
#[cfg(test)]
mod testkit;
