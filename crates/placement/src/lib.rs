//! Placement: may this pod run on this node, and every reason why not.
//!
//! One set of rules for everybody who asks: the DaemonSet controller ([`eligible`]), the scheduler and binding at
//! creation ([`check`]), preemption ([`victims`]), events and `everynode why` ([`Reason`]). Pure: no clock,
//! no randomness, no I/O.
//!
//! Reading order: [`Reason`], [`check`], [`eligible`], [`Occupancy`].

mod affinity;
mod check;
mod eligible;
mod occupancy;
mod preempt;
mod reason;
mod score;
mod taints;

pub use affinity::{Miss, matches_node_affinity, matches_term};
pub use check::{Verdict, check, static_reasons};
pub use eligible::{Eligibility, eligible};
pub use occupancy::{Occupancy, contested_port, effective_requests, host_ports};
pub use preempt::{Candidate, victims};
pub use reason::{Reason, failure_message};
pub use score::{Choice, choose};
pub use taints::{automatic_tolerations, tolerates, untolerated, with_automatic_tolerations};
