//! everynode-placement.
