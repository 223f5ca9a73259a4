//! HTTP: sockets, routes, forms of request and answer. Everything behind it is plain values.
//!
//! Reading order: [`accept`] and [`serve`] (sockets), [`handshake`] (TLS, a few at a time),
//! [`handle`] (one request from end to end), [`class`], [`limits`] and [`slot`] (which client gets
//! how much), [`route`] (what a path means), [`options`] and [`connect_options`] (what a query
//! means), [`negotiate`] (which form), [`resource`] (verbs on objects), [`watch`] (streams),
//! [`proxy`] (what is passed on to agents).

mod accept;
mod agent_headers;
mod answer;
mod answered;
mod body;
mod class;
mod connect_options;
mod fair_semaphore;
mod handle;
mod handshake;
mod histogram;
pub(crate) mod identify;
mod limits;
mod list;
pub(crate) mod metrics;
pub(crate) mod negotiate;
mod options;
mod paced;
mod progress;
mod protobuf_list;
mod proxy;
pub(crate) mod query;
mod queue;
mod quota;
mod resource;
pub(crate) mod route;
mod serve;
mod slot;
mod system;
mod watch;
pub(crate) mod websocket;

pub use accept::Listener;
pub use limits::Limits;
pub use serve::{ServeError, ServeOptions};
pub(crate) use system::document;
