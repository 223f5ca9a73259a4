//! The API server: what kubectl, agents and controllers speak to.
//!
//! Reading order: [`server`] (the whole as one value), `registry` (verbs and strategies), `hub`
//! (watch fan-out), `operation` (what a request is to do), `http` (sockets, routes, forms), `auth`,
//! `pki`, `inproc`. What objects look like is in `schema`, how they are shown in `tables`, what is
//! served in `discovery` and `openapi`.

mod auth;
mod bootstrap;
mod catalogue;
mod custom;
mod discovery;
mod env;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod hub;
mod inproc;
mod keys;
mod object;
mod openapi;
mod operation;
mod patching;
mod pki;
mod registry;
mod schema;
mod server;
mod stored;
mod tables;

pub use auth::User;
pub use env::{Environment, SystemEnvironment};
pub use http::{Limits, Listener, ServeError, ServeOptions};
pub use pki::{Credentials, Lifetime, Pki, PkiError, RotatingCertificate, keep_renewed};
pub use server::{ApiServer, Config, StartError};
