//! The whole cluster in one thread from one seed.
//!
//! API server, store, every controller, the scheduler's part and the nodes' agents run as tasks of
//! one thread on a clock that only passes while all of them wait. A [`Scenario`] is drawn from a
//! seed: what users, machines, networks and bad luck do, and when. [`run`] plays it, then lets
//! everything heal, and the cluster has to converge:
//!
//! * never, at no write, are there two live pods of one set and revision on a node (on our own
//!   server; on a foreign one they are gone in the end);
//! * never, at no write, is a pod put on a node where it does not fit, or a host port held twice
//!   there (on our own server);
//! * no audit finds fault with a plan, and nothing panics;
//! * in the end, where pods are so large that not all fit, each that waits really does not fit;
//! * in the end, elsewhere, every eligible node has exactly one pod of each set: with
//!   `RollingUpdate` it is ready and of the newest revision; elsewhere are only pods that may stay
//!   (DS-B04);
//! * in the end the status of every set and budget equals a recount, conditions say what is so,
//!   history is as long as it may be, bindings have been told, and nothing is left of what was
//!   deleted.
//!
//! The same scenario gives the same run, write for write: [`Report::trace`]. A scenario that fails
//! is made small, see [`shrink`], and becomes a file in `tests/cases/`.
//!
//! # Faults, and where they come in
//! | fault (issue 3) | event | where |
//! |---|---|---|
//! | silently lost watch events | `lose` | `wire`: the event is dropped, its watch goes on, bookmarks included |
//! | duplicated watch events | `twice` | `wire` |
//! | reordered watch events | `lag`, `skew` | `wire`: each watch, hence each kind, is late by itself; never within one |
//! | compaction | `end-watches` | `wire`: open watches end with 410, so that clients list again |
//! | broken and closed watches | `end-watches`, `cut` | `wire` |
//! | write conflicts | `trouble` | `wire`: 409 although nothing changed; real ones come from two leaders and users |
//! | timeouts, carried out or not or later | `trouble` | `wire` |
//! | refusals, server errors, slow answers | `trouble` | `wire` |
//! | controller crash at a request, carried out or not | `crash` | `wire` counts requests, `controller_process` ends and restarts |
//! | controller crash wherever its tasks wait | `kill` | `controller_process` |
//! | server crash, losing what was not fsynced | `crash-server` | `world` |
//! | a store put back to an earlier state, revisions issued twice or not | `back-up`, `restore` | `world/restore` |
//! | two leaders | `two-leaders` | `world`: the second process runs beside the first |
//! | clock jumps | `jump` | `world`: of one process's clock |
//! | node death and return, cut off | `power-off`, `cut` | `machine`, `wire` |
//! | slow kubelets, crashing containers | `slow`, `crash_percent` | `machine` |
//! | node deletion, drain, cordon, taints, labels | `delete-node`, `drain`, … | `user` |
//! | users editing, deleting, relabelling sets, pods, revisions | `template`, `relabel`, `delete-revision`, … | `user` |
//! | disruption budgets that come and go, evictions | `budget`, `drop-budget`, `evict`, `drain` | `user` |
//! | the namespace deleted and made again | `delete-namespace` | `user` |
//! | `--strict` | `strict` of the cluster | `controller_process` |
//! | a foreign server with stale caches | `foreign` of the cluster | `world`: places are not claimed, nothing is bound |
//!
//! `tests/seeds.rs` asserts that each of them really happens in what CI runs.
//!
//! [`history`] plays what a DaemonSet controller of Kubernetes was seen to do against our own.
//!
//! Reading order: `scenario` and `scenario_event` (what happens), `draw` (how it is drawn), `world`
//! (one run), `judge` (what must be true), then the parts: `wire` (the network), `ledger` (the
//! store, watched), `controller_process` (controllers), `machine` (nodes), `user`.

mod clock;
mod controller_process;
mod dice;
mod draw;
pub mod history;
mod judge;
mod ledger;
mod machine;
mod many;
mod read;
mod room;
pub mod scenario;
mod scenario_event;
mod shrink;
mod text;
mod user;
mod value;
mod wire;
mod world;

pub use ledger::{Counts, FAULTS};
pub use many::{Failed, Sum, many};
pub use scenario::Scenario;
pub use shrink::shrink;
pub use world::{RESYNC_MAX, Report, run};
