//! Managed fields: which field of an object belongs to which writer, and what follows from it.
//!
//! Every writer of an object owns the fields that it set last. `metadata.managedFields` says so: an
//! [`Entry`] for each writer with the [`FieldSet`] that it owns. An update takes what it changed
//! ([`update`]); an apply says everything that its writer wants, and is refused where that changes
//! a field of another writer ([`apply`], [`Conflicts`]).
//!
//! What a field is depends on the object's type, as apply sees it ([`Schema`]): a list may be one
//! value, a set, or a map whose items are found by keys. All of it is pure: no clock, no
//! randomness, no I/O; the time of a write is an argument.
//!
//! Reading order: [`Element`], [`FieldSet`], [`Schema`], [`compare`], [`field_set`], `merge.rs`,
//! `remove.rs`, [`Entry`], [`update`], [`apply`], [`Part`].

mod apply;
mod compare;
mod conflict;
mod element;
mod entry;
mod field_set;
mod fields_v1;
mod items;
mod last_applied;
mod merge;
mod part;
mod remove;
mod schema;
mod set;
mod update;
mod value;

pub use apply::{Applied, ApplyError, Configuration, apply};
pub use compare::{Comparison, compare};
pub use conflict::{Conflict, Conflicts};
pub use element::{Element, Path, Scalar};
pub use entry::{Entry, EntryError, Managed, Operation, reset_requested};
pub use field_set::{field_set, validate};
pub use fields_v1::FieldsV1Error;
pub use items::TypedError;
pub use last_applied::LAST_APPLIED;
pub use part::Part;
pub use schema::{Atom, Key, List, Map, Relation, ScalarType, Schema, TypeId};
pub use set::FieldSet;
pub use update::{NoOtherVersion, Root, UPDATERS_MAX, Versions, Writer, said, update};

#[cfg(test)]
mod testkit;
