//! Exit codes: what scripts can rely on. `everynode --help` lists them.

use std::fmt;

use everynode_api::ports::ApiError;

/// How the program ends when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Not a failure: whoever read the output wants no more of it.
    Unread = 0,
    Failed = 1,
    /// The command line asks for what cannot be.
    Usage = 2,
    /// The data directory is in use, damaged or not writable.
    Data = 3,
    /// The API server cannot be reached, or refuses the credentials or what they ask for.
    Connection = 4,
    /// Not done in time.
    Timeout = 5,
    /// No failure: a plan has work in it.
    Work = 6,
    /// The store is damaged, and was looked at for that.
    Damaged = 7,
    /// The security audit has found something that fails.
    Findings = 8,
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
        Some(ApiError::Status(status)) if matches!(status.code, 401 | 403) => Exit::Connection,
        _ => Exit::Failed,
    }
}

/// One error for several that have been told: its exit code is theirs if they agree.
pub(crate) fn several(errors: Vec<anyhow::Error>, message: String) -> anyhow::Error {
    let mut codes: Vec<Exit> = errors.iter().map(code).collect();
    codes.dedup();
    coded(if let [one] = codes[..] { one } else { Exit::Failed }, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use everynode_api::status::Status;

    #[test]
    fn codes_survive_context() {
        let error = anyhow::Error::new(ApiError::Unreachable("x".into())).context("while applying");
        assert_eq!(code(&error), Exit::Connection);
        let error = Err::<(), _>(coded(Exit::Data, "in use")).context("cannot start").unwrap_err();
        assert_eq!(code(&error), Exit::Data);
        assert_eq!(code(&anyhow::anyhow!("else")), Exit::Failed);
    }

    #[test]
    fn several_errors_end_with_their_common_code() {
        let unreachable = || anyhow::Error::new(ApiError::Unreachable("x".into()));
        assert_eq!(code(&several(vec![unreachable(), unreachable()], "2".into())), Exit::Connection);
        assert_eq!(code(&several(vec![unreachable(), anyhow::anyhow!("else")], "2".into())), Exit::Failed);
    }

    #[test]
    fn every_refusal_of_who_asks_has_one_code() {
        for code_of_http in [401, 403] {
            let refused = Status::failure(code_of_http, "Forbidden", "no");
            assert_eq!(code(&anyhow::Error::new(ApiError::from(refused))), Exit::Connection);
        }
        assert_eq!(code(&anyhow::Error::new(ApiError::from(Status::failure(404, "NotFound", "no")))), Exit::Failed);
    }
}
