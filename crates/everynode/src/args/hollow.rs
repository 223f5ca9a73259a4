//! Arguments of `everynode hollow`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{ClientArgs, duration};

#[derive(Debug, Clone, Args)]
#[command(after_help = "EXAMPLES\n\
    \x20 everynode hollow --nodes 1000                              nodes that do what real ones do, until Ctrl-C\n\
    \x20 everynode hollow --nodes 5000 --profile fast               the benchmark's: one write per pod, no leases\n\
    \x20 everynode hollow --nodes 5000 --watch per-node             one connection and one watch for each node\n\
    \x20 everynode hollow --nodes 200 --pull 1s..3s --ready 'exp 2s' --crash 1%\n\
    \x20 everynode hollow --scenario fleet.yaml --report report.json\n\n\
    SCENARIO FILE (YAML; everything is optional but groups)\n\
    \x20 duration: 10m\n\
    \x20 groups:\n\
    \x20 - {name: core, count: 900, zones: [a, b, c]}\n\
    \x20 - {name: edge, count: 100, labels: {site: far}, taints: [\"edge:NoSchedule\"], capacity: {cpu: \"2\"}}\n\
    \x20 pods: {sandbox: 100ms, pull: 1s..3s, start: normal 300ms 100ms, ready: exp 2s, stop: 500ms}\n\
    \x20 failures:\n\
    \x20   crash: {probability: 1%, after: 5s..60s}\n\
    \x20   neverReady: 0.1%\n\
    \x20   death: 0.01/h\n\
    \x20   flap: {rate: 0.1/h, for: 30s..2m}\n\
    \x20   cutOff: {rate: 0.1/h, for: 1m}\n\
    \x20 steps:\n\
    \x20 - {at: 1m, join: 50, group: edge, over: 30s}\n\
    \x20 - {at: 3m, cutOff: 20, for: 1m}      # or leave, die, flap")]
pub(crate) struct HollowArgs {
    /// How many nodes; they are called hollow-0, hollow-1 …
    #[arg(long, value_name = "N", required_unless_present = "scenario", conflicts_with = "scenario")]
    pub(crate) nodes: Option<usize>,
    /// What happens, from a file
    #[arg(long, value_name = "FILE")]
    pub(crate) scenario: Option<PathBuf>,
    /// How pods are brought up [default: the scenario's, else real]
    #[arg(long, value_enum)]
    pub(crate) profile: Option<HollowProfile>,
    /// How nodes hear of their pods [default: the scenario's, else shared]
    #[arg(long, value_enum)]
    pub(crate) watch: Option<HollowWatch>,
    /// Leave leases and node status alone
    #[arg(long)]
    pub(crate) no_leases: bool,
    /// How long the pull of an image takes: 2s, 1s..3s, 'exp 2s', 'normal 2s 500ms'
    #[arg(long, value_name = "DELAY")]
    pub(crate) pull: Option<everynode_hollow::Delay>,
    /// How long the start of a container takes
    #[arg(long, value_name = "DELAY")]
    pub(crate) start: Option<everynode_hollow::Delay>,
    /// How long readiness and startup probes take to pass
    #[arg(long, value_name = "DELAY")]
    pub(crate) ready: Option<everynode_hollow::Delay>,
    /// The probability that a container crashes a while after its start
    #[arg(long, value_name = "P")]
    pub(crate) crash: Option<everynode_hollow::Probability>,
    /// End after this long [default: the scenario's, else at Ctrl-C]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// Requests under way at the same time, for all nodes together
    #[arg(long, value_name = "N")]
    pub(crate) in_flight: Option<usize>,
    /// Draw the same lots again
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Delete the nodes at the end
    #[arg(long)]
    pub(crate) clean_up: bool,
    /// Where the report goes as JSON [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HollowProfile {
    /// By the agent's own decisions, through every state
    Real,
    /// One status write per pod as soon as it is bound; no leases, so the server takes the nodes
    /// for lost after its
    /// --node-monitor-grace
    Fast,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HollowWatch {
    /// One watch for all nodes
    Shared,
    /// One connection and one watch for each node
    PerNode,
}
