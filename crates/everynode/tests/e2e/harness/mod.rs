//! What the tests stand on: clusters made of the real binary, each with a directory, ports,
//! addresses, cgroups and container runtime of its own, and ways to ask them things. Reading order:
//! `cluster`, then `wait`, then the rest.
//!
//! Clusters clean up when they are dropped. One that several tests share lives until the test
//! process ends; a small shell (`sweep.sh`) waits for that and cleans up, so that a panic, an abort
//! or a kill leaves nothing either.

mod api;
mod asker;
mod cluster;
mod directory;
mod kubectl;
mod leftovers;
mod link;
mod program;
mod space;
mod wait;
mod workloads;

pub(crate) use api::Credentials;
pub(crate) use asker::while_asking;
pub(crate) use cluster::{Cluster, Options, free_port};
pub(crate) use directory::Directory;
pub(crate) use kubectl::{Kubectl, Outcome, newer_and_older};
pub(crate) use leftovers::leftovers;
pub(crate) use link::Link;
pub(crate) use program::{Program, run};
pub(crate) use space::Space;
pub(crate) use wait::{Waiting, poll};
pub(crate) use workloads::{COLLECTED, condition, container, daemon_set, name, text};
