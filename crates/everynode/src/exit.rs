//! Exit codes: what scripts can rely on. `everynode --help` lists them.

use std::fmt;

use everynode_api::ports::ApiError;

/// How the program ends when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Failed = 1,
    /// The data directory is in use, damaged or not writable.
    Data = 3,
    /// The API server cannot be reached or refuses the credentials.
    Connection = 4,
    /// Not done in time.
    Timeout = 5,
    /// No failure: a plan has work in it.
    Work = 6,
    /// The store is damaged, and was looked at for that.
    Damaged = 7,
}

/// An error with the exit code that it means; put into an `anyhow` chain.
#[derive(Debug)]
pub(crate) struct Coded {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Coded {}

/// An error with an exit code.
pub(crate) fn coded(exit: Exit, message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Coded { exit, message: message.into() })
}

/// The exit code of an error chain.
pub(crate) fn code(error: &anyhow::Error) -> Exit {
    if let Some(coded) = error.downcast_ref::<Coded>() {
        return coded.exit;
    }
    let api = error.chain().find_map(|cause| cause.downcast_ref::<ApiError>());
    match api {
        Some(ApiError::Unreachable(_)) => Exit::Connection,
        Some(ApiError::Status(status)) if status.code == 401 => Exit::Connection,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn codes_survive_context() {
        let error = anyhow::Error::new(ApiError::Unreachable("x".into())).context("while applying");
        assert_eq!(code(&error), Exit::Connection);
        let error = Err::<(), _>(coded(Exit::Data, "in use")).context("cannot start").unwrap_err();
        assert_eq!(code(&error), Exit::Data);
        assert_eq!(code(&anyhow::anyhow!("else")), Exit::Failed);
    }
}
