//! Sockets that listen: how connections are accepted, how many are kept, and which one goes when
//! there is no room.
//!
//! Every listener of everynode is one of these. It knows nothing of what is spoken: the task that
//! serves a connection says when something was heard from it ([`Entry::heard`]) and when its client
//! is known ([`Entry::known`]). [`table`] decides.

mod descriptors;
mod listener;
mod table;

pub use descriptors::{descriptors_max, keep_alive};
pub use listener::{Accepted, Connections, Entry, Listener};
