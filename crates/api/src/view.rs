//! What controllers see of the cluster: typed, compact views of objects, and an index over them.
//!
//! Views keep only what decisions read. Everything is shared (`Arc`) and immutable once parsed,
//! so that `gather` can hold on to it without copying and without a lock.

mod condition;
mod daemon_set;
mod index;
mod node;
mod object;
mod place;
mod pod;
mod pods;
mod scheduling;
mod served;
mod sorted;
mod zones;

pub use daemon_set::{
    ControllerRevision, DaemonSet, DaemonSetSpec, DaemonSetStatus, PodTemplate, RollingUpdate, UpdateStrategy,
};
pub use index::{Change, Item, View};
pub use node::{Node, NodeCondition, NodeSpec, NodeStatus};
pub use object::Object;
pub use place::Place;
pub use pod::{ContainerNeeds, HostPort, Pod, PodCondition, PodPhase, PodSpec, PodStatus, ResourceNeeds};
pub use pods::Pods;
pub use scheduling::{
    Affinity, Effect, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Operator, PreferredTerm,
    Resources, Taint, Toleration, TolerationOperator,
};
pub use served::Served;
pub use sorted::{Mark, Sorted, Span};
pub use zones::{Zone, Zones, zone_of};
