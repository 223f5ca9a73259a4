//! What Kubernetes says, as pure data and functions: kinds, metadata, views, selectors,
//! quantities, patches, failures; the port to an API server; the reconcile contract.
//!
//! Nothing here has a clock, randomness or I/O. Reading order: [`kinds`], [`meta`], [`view`],
//! [`reconcile`], [`ports`].

pub mod canonical;
pub mod decode;
pub mod fence;
pub mod field;
pub mod go_json;
pub mod int_or_string;
mod json_syntax;
pub mod kinds;
pub mod meta;
pub mod names;
pub mod node_labels;
pub mod patch;
pub mod percent;
pub mod ports;
pub mod quantity;
pub mod reconcile;
pub mod selector;
pub mod status;
pub mod time;
pub mod view;
pub mod word;
pub mod yaml;
