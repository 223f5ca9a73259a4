//! End to end: the real binary, real containerd, real kubectl. What users do, and what they must
//! see.
//!
//! `make test` runs this in `scripts/sandbox.sh`; run directly (as root) it keeps to directories,
//! addresses and control groups of its own. Every test says which requirements it is for, by the DS
//! identifiers of `docs/requirements.md`.
//!
//! - `lifecycle`: start, stop, crash and start again; nothing acknowledged is lost, nothing is left
//!   behind
//! - `services`: the five kinds of node service of `examples/`
//! - `fleet`: a server and several agents; nodes come and go, labels and taints, rolling updates
//!   over nodes
//! - `under_load`: rollouts over three machines while a client asks all of them; crashes and a
//!   machine that is cut off
//! - `candidates`: two standalone controllers, of which one leads and may die
//! - `drain`: emptying nodes by every kubectl, held up by a disruption budget
//! - `dry_run`: `everynode plan`
//! - `words`: what kubectl says of rollouts and sets, word for word; rollouts without a kubectl
//! - `rollouts`, `pods`: what one node shows: update strategies, crashes, probes, missing things
//!   that appear
//! - `room`: what a node has is given once; pods that do not fit wait, or fail where a user puts
//!   them
//! - `kubectl`: the commands that people use, by several versions of kubectl
//! - `command_line`: the commands without kubectl: names, namespaces, dry runs, JSON, exit codes
//! - `attack`: what needs real containers and agents of an attack; no secret in a log; `everynode
//!   audit` of a cluster
//! - `bad_input`: mistakes, each answered with an error that names the thing

mod attack;
mod bad_input;
mod candidates;
mod command_line;
mod drain;
mod dry_run;
mod fleet;
mod harness;
mod kubectl;
mod lifecycle;
mod pods;
mod rollouts;
mod room;
mod services;
mod under_load;
mod words;
