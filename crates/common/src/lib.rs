//! The common floor: small helpers that several crates need, each in one place, without
//! dependencies, clock, randomness or I/O.
//!
//! - [`base64`]: base 64 as Go reads and writes it
//! - [`fnv`]: the FNV-1a hash
//! - [`go_duration`]: durations as Go prints them
//! - [`backoff`]: delays that double
//! - [`random`]: a seeded generator

pub mod backoff;
pub mod base64;
pub mod fnv;
pub mod go_duration;
pub mod random;
