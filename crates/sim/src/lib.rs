//! The whole cluster in one thread from one seed.
//!
//! API server, store, every controller, the scheduler's part and the nodes' agents run as tasks of one
//! thread on a clock that only passes while all of them wait. A [`Scenario`] is drawn from a seed: what
//! users, machines, networks and bad luck do, and when. [`run`] plays it, then lets everything heal, and
//! the cluster has to converge:
//!
//! * never, at no write, are there two live pods of one set and revision on a node;
//! * no audit finds fault with a plan, and nothing panics;
//! * in the end every eligible node has exactly one pod of each set: with `RollingUpdate` it is ready and of
//!   the newest revision; elsewhere are only pods that may stay (DS-B04);
//! * in the end the status of every set equals a recount, and nothing is left of what was deleted.
//!
//! The same scenario gives the same run, write for write: [`Report::trace`]. A scenario that fails is made
//! small by leaving out steps, see [`shrink`].
//!
//! Reading order: `scenario` (what happens), `world` (one run), `judge` (what must be true), then the parts:
//! `wire` (the network), `ledger` (the store, watched), `brain` (controllers), `machine` (nodes), `user`.

mod brain;
mod clock;
mod dice;
mod judge;
mod ledger;
mod machine;
mod many;
pub mod scenario;
mod shrink;
mod user;
mod wire;
mod world;

pub use many::{Failed, many};
pub use scenario::Scenario;
pub use shrink::shrink;
pub use world::{Report, run};
