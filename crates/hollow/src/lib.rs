//! everynode-hollow: simulated nodes against any Kubernetes API server.
//!
//! Each of them registers, renews its lease, follows its pods and reports their status as a real
//! node does; only the containers are made up. Pods are decided about by the agent's own `sync`, so
//! what a controller sees is what it would see of real agents: the same states in the same order.
//! Thousands run in one process, because all of them are one state machine with one owner and a few
//! connections.
//!
//! ```text
//! options, scenario   what is to be simulated
//! driver              the owner task: watch events, answers and time in, requests out
//! fleet               the nodes as a state machine without I/O
//! pod                 one pod: the agent's decisions over a runtime that is made up
//! work                from what a node wants to a request
//! watch               list and watch, resumed after breaks
//! report, progress    what came of it
//! ```
//!
//! What is not here: events of pods, logs and exec, volumes, probes that really probe.

mod apis;
mod delay;
mod dice;
mod driver;
mod fleet;
mod head;
mod histogram;
mod options;
mod pod;
mod progress;
mod report;
mod scenario;
mod template;
mod watch;
mod work;

pub use apis::{ApiFactory, Apis, KubeconfigApis, OneApi};
pub use delay::{Delay, Probability, Rate, duration};
pub use dice::Dice;
pub use driver::{Orders, RunError, run, run_with};
pub use histogram::Percentiles;
pub use options::{Failures, Group, Mode, NODES_MAX, Options, OptionsError, PodTimes, Profile, Step, StepEvent, Taint};
pub use pod::{RealPod, Turn, World};
pub use progress::Progress;
pub use report::{Failure, NodeCounts, PodCounts, PodLatencies, Report, Trouble};
pub use scenario::ScenarioError;
