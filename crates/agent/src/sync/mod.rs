//! What to do about one pod, decided purely: no clock, no I/O, no randomness.
//!
//! ```text
//! plan(&Seen, &Memory, now) -> Plan { actions, status, wake_at, done, memory }
//! apply(outcome, &mut Seen, &mut Memory, now)      what an executed action brought
//! ```
//!
//! Every action occupies a [`Slot`] until its outcome arrives; nothing is planned into an occupied
//! slot. So one container's slow image pull never holds up another pull, a probe or the pod's end,
//! and planning again is always harmless. Containers start one after the other, in the order of the
//! spec.
//!
//! Reading order: [`seen`] (the input), [`memory`], [`action`], [`run`] (a pod that should run),
//! [`stop`] (a pod that must end), [`garbage`], [`status`].

mod action;
mod apply;
mod backoff;
mod garbage;
mod memory;
mod planner;
mod run;
mod seen;
mod spec;
mod start;
mod status;
mod stop;
#[cfg(test)]
mod testkit;
#[cfg(test)]
mod tests;

pub use action::{Action, Outcome, Slot};
pub use apply::apply;
pub use memory::Memory;
pub use planner::{Plan, plan};
pub use seen::{NodeFacts, Observed, Seen};
pub use spec::{container_named, container_spec_hash, is_sidecar, qos_class};
pub(crate) use status::OWN_CONDITIONS;

/// Annotation on a container: the hash of the spec it was made from.
pub const SPEC_HASH_ANNOTATION: &str = "everynode.dev/spec-hash";
