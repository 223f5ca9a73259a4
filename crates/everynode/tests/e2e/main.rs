//! End to end: the real binary, real containerd, real kubectl. What users do, and what they must see.
//!
//! `make test` runs this in `scripts/sandbox.sh`; run directly (as root) it keeps to directories, addresses and control
//! groups of its own. Every test says which requirements it is for: the DS identifiers of the behaviour specification.
//!
//! - `lifecycle`: start, stop, crash and start again; nothing acknowledged is lost, nothing is left behind
//! - `services`: the five kinds of node service of `examples/`
//! - `fleet`: a server and several agents; nodes come and go, labels and taints, rolling updates over nodes
//! - `rollouts`, `pods`: what one node shows: update strategies, crashes, probes, missing things that appear
//! - `kubectl`: the commands that people use, by several versions of kubectl
//! - `bad_input`: mistakes, each answered with an error that names the thing

mod bad_input;
mod fleet;
mod harness;
mod kubectl;
mod lifecycle;
mod pods;
mod rollouts;
mod services;
