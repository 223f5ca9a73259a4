//! The container runtime: one trait, a CRI client behind it, and a fake.

/// Messages and client of CRI v1.
#[allow(warnings, clippy::all)]
#[rustfmt::skip]
#[path = "generated.rs"]
pub mod v1;
