//! One file per kind (or per few small ones) with rules of its own.

pub(crate) mod daemon_set;
pub(crate) mod namespace;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod pod;
mod qos;
pub(crate) mod secret;
pub(crate) mod service;
pub(crate) mod small;
pub(crate) mod storage;
pub(crate) mod stored;
