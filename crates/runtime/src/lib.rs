//! everynode-runtime: what carries reconcilers.
//!
//! A [`Manager`] keeps one [`Cache`] of the cluster up to date (an informer per kind), wakes the
//! keys of its reconcilers when something changes, lets them plan one key at a time, carries the
//! plans out, and makes sure that a key is not planned again before the cache shows what it wrote.
//! It knows an API server only through the port [`everynode_api::ports::Api`]; [`HttpApi`] is that
//! port over HTTP.
//!
//! Reading order: [`manager`], [`driver`], `queue`, `awaited`, `execute`, [`cache`], [`follow`],
//! `informer`, `discovery`, [`http_api`]; beside them [`clock`], [`events`], [`lease`],
//! [`metrics`], [`shutdown`].

mod awaited;
pub mod cache;
pub mod clock;
mod discovery;
pub mod driver;
pub mod events;
mod execute;
pub mod follow;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod http_api;
mod informer;
pub mod lease;
pub mod manager;
pub mod metrics;
mod queue;
pub mod shutdown;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use cache::Cache;
pub use clock::Env;
pub use driver::{Handle, Options};
pub use events::{Events, Recorder};
pub use http_api::HttpApi;
pub use manager::{Manager, Metrics};
pub use shutdown::{Shutdown, Trigger};
