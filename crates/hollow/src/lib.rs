//! everynode-hollow.
