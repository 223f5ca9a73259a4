//! HTTP: sockets, routes, forms of request and answer. Everything behind it is plain values.
//!
//! Reading order: [`serve`] (sockets), [`handle`] (one request from end to end), [`route`] (what a
//! path means), [`negotiate`] (which form), [`resource`] (verbs on objects), [`watch`] (streams),
//! [`proxy`] (what is passed on to agents).

mod answer;
mod body;
mod budget;
mod handle;
mod histogram;
mod list;
pub(crate) mod metrics;
mod negotiate;
mod proxy;
mod query;
mod resource;
mod route;
mod serve;
mod slot;
mod system;
mod watch;

pub use serve::{ServeError, ServeOptions};
pub(crate) use system::document;
