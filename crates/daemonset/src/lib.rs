//! everynode-daemonset.
