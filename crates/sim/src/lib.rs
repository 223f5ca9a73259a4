//! everynode-sim.
