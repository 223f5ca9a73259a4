//! everynode-api.
