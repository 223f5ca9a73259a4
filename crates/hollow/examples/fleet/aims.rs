//! What a measure is compared with: its aim (issue 4), and stock Kubernetes 1.36.2 with every
//! client limit lifted on two cores, one watch over all pods; apply, updates and delete at 5,000
//! nodes with etcd 3.5.16.

use crate::Scenario;

/// Which run the figures are looked up for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) nodes: usize,
    pub(crate) per_node: bool,
    pub(crate) scenario: Scenario,
}

/// The most that is wanted of this measure.
pub(crate) fn aim(key: &str, run: Run) -> Option<f64> {
    let aim = match (run.nodes, run.per_node, key) {
        (5000, false, "apply") => 1.7,
        (5000, true, "apply") => 5.0,
        (5000, false, "update 10") => 3.1,
        (5000, false, "update 100") => 3.0,
        (5000, false, "delete") => 1.5,
        (5000, false, "join bound") => 3.7,
        (5000, false, "join bound p99") => 15.0,
        (5000, false, "apply cpu") => 3.0,
        (5000, false, "memory, after apply") => 200.0,
        (5000, false, "memory, after the updates") => 220.0,
        (5000, false, "nodes memory") => 400.0,
        (5000, _, "writes p99" | "writes p99 server") => 50.0,
        (5000, _, "idle cpu") => 8.0,
        (5000, _, "idle disk") => 1.0,
        (5000, _, "stopped ready" | "killed ready") => 0.8,
        (1000, _, "many update") => 90.0,
        (_, _, "many exceeded") => 0.0,
        (_, _, "heartbeat before p99" | "heartbeat during p99" | "heartbeat after p99") => 100.0,
        (_, _, "heartbeat during failed" | "probe during failed") => 0.0,
        _ => return None,
    };
    Some(aim)
}

/// Stock Kubernetes' figure.
pub(crate) fn peer(key: &str, run: Run) -> Option<f64> {
    let figure = match (run.nodes, key) {
        _ if run.per_node => return None,
        (5000, "apply") => 16.8,
        (5000, "update 10") => 31.2,
        (5000, "update 100") => 30.4,
        (5000, "delete") => 18.3,
        (5000, "join bound") => 38.0,
        (5000, "join bound p90") => 70.0,
        (5000, "join ready") => 42.0,
        (5000, "join ready p90") => 77.0,
        (5000, "apply cpu") => 31.3,
        (5000, "memory, nodes only") if run.scenario == Scenario::Round => 1234.0,
        (5000, "memory, after apply") => 2099.0,
        (5000, "memory, after the updates") => 3899.0,
        (1000, "apply") => 4.6,
        (1000, "update 10") => 6.8,
        (1000, "update 100") => 6.3,
        (1000, "delete") => 3.8,
        (1000, "join bound") => 19.0,
        (1000, "join bound p90") => 25.0,
        (1000, "memory, after apply") => 962.0,
        (1000, "idle cpu") => 19.0,
        _ => return None,
    };
    Some(figure)
}
