//! One file per kind (or per few small ones) with rules of its own.

pub(crate) mod certificates;
pub(crate) mod daemon_set;
pub(crate) mod devices;
pub(crate) mod limits;
pub(crate) mod namespace;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod pod;
pub(crate) mod qos;
pub(crate) mod secret;
pub(crate) mod service;
pub(crate) mod small;
pub(crate) mod storage;
pub(crate) mod stored;
pub(crate) mod volumes;
