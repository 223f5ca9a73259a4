//! Placement: may this pod run on this node, and every reason why not.
//!
//! One set of rules for all callers: the DaemonSet controller ([`eligible`]), the scheduler and
//! binding at creation ([`check`]), the server's claims ([`room_reasons`], which all others use
//! too), the node's agent ([`admit`]), preemption ([`victims`]), events and `everynode why`
//! ([`Reason`]). Pure: no clock, no randomness, no I/O.
//!
//! Reading order: [`Reason`], [`check`], [`eligible`], [`Occupancy`], [`admit`].

mod admit;
mod affinity;
mod check;
mod eligible;
mod occupancy;
mod preempt;
mod reason;
mod score;
mod taints;

pub use admit::{Rejected, admit};
pub use affinity::{Miss, matches_node_affinity, matches_term};
pub use check::{Verdict, check, check_needs, room_reasons, static_reasons};
pub use eligible::{Eligibility, eligible};
pub use occupancy::{Needs, Occupancy, contested_port, effective_requests, host_ports};
pub use preempt::{Candidate, victims};
pub use reason::{Reason, failure_message};
pub use score::{Choice, choose};
pub use taints::{automatic_tolerations, tolerates, untolerated, with_automatic_tolerations};
