//! The dispatcher and its workers on the fake runtime.
