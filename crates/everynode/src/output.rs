//! Results on standard output.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anyhow::Context;

use crate::exit::{Exit, coded};

/// Prints a result and ends the line.
///
/// # Errors
/// Standard output cannot be written to. When its reader has gone (`everynode status | head -1`),
/// the error is one that ends the program without a word.
pub(crate) fn line(text: impl Display) -> anyhow::Result<()> {
    print(format_args!("{text}\n"))
}

/// Prints a result that ends its lines itself. Errors as those of [`line`].
pub(crate) fn print(text: impl Display) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(coded(Exit::Unread, "")),
        result => result.context("cannot write to standard output"),
    }
}

/// Prints a line of a process that goes on whether it is read or not.
pub(crate) fn notice(text: impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
