//! everynode-agent.
