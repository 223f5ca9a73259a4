//! everynode-runtime.
