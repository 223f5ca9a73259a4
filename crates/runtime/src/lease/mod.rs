//! leader election
