//! everynode-apiserver.

mod discovery;
mod openapi;
mod schema;
mod tables;
