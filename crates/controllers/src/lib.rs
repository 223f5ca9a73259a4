//! everynode-controllers.
