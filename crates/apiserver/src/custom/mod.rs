//! Custom resources: kinds that are made at run time, of stored definitions.
//!
//! A `CustomResourceDefinition` is an ordinary stored object ([`definition`] has its rules). What
//! it defines becomes rows of the catalogue ([`rows`]), as soon as its names are accepted
//! ([`lifecycle`]). Objects of these rows are read by their structural schema: [`schema`] is the
//! schema as a value, [`read`](mod@read) prunes and defaults, [`check`] validates. [`path`] reads
//! the simple JSON paths of columns and selectable fields. [`apply_type`] is the schema as server-side
//! apply sees it.

pub(crate) mod apply_type;
pub(crate) mod check;
pub(crate) mod definition;
pub(crate) mod format;
pub(crate) mod lifecycle;
pub(crate) mod names;
pub(crate) mod path;
pub(crate) mod pattern;
pub(crate) mod read;
pub(crate) mod rows;
mod rules;
pub(crate) mod scale;
mod scale_writes;
pub(crate) mod schema;
pub(crate) mod schema_rules;
