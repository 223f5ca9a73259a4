//! everynode-apiserver.
