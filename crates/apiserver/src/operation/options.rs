//! What a request says besides its target, decoded.

use super::connect::Connect;
use crate::hub::Filter;
use crate::registry::{DeleteOptions, ListOptions, WatchParameters};
use crate::schema::FieldValidation;

/// The options of an operation, by what it does.
#[derive(Clone, Debug)]
pub(crate) enum Options {
    Get {
        /// The state that is shown has reached this revision.
        not_older_than: Option<u64>,
    },
    List(ListOptions),
    Watch(WatchParameters),
    /// Create, update, patch.
    Write(WriteOptions),
    /// Delete and deletecollection; the body may add to them.
    Delete {
        write: WriteOptions,
        delete: DeleteOptions,
        filter: Filter,
    },
    Connect(Connect),
}

/// `CreateOptions`, `UpdateOptions`, `PatchOptions`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteOptions {
    /// Only pretend (DS-I21).
    pub(crate) dry_run: bool,
    pub(crate) validation: FieldValidation,
    /// Only server-side apply may be forced.
    pub(crate) force: bool,
}
