//! Which kinds there are, as discovery told. Kinds come and go while controllers run.

use std::collections::{BTreeMap, BTreeSet};

use crate::kinds::Kind;

/// What is served, as far as it is known. A kind that is not here is unknown and not empty: nothing
/// follows from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Served {
    /// Every kind that is followed as a whole: what the view has of it is all there is, as of its
    /// seen revision.
    pub kinds: BTreeSet<Kind>,
    /// Paths of discovery (`/apis/metrics.k8s.io/v1`) that could not be read, and why. What was
    /// known to be served there stays in `kinds`.
    pub failed: BTreeMap<String, String>,
    /// Every kind that was served at this revision is in `kinds`, except those below `failed`.
    pub as_of: u64,
}

impl Served {
    /// Exactly these kinds, now and later.
    pub fn always(kinds: impl IntoIterator<Item = Kind>) -> Served {
        Served { kinds: kinds.into_iter().collect(), failed: BTreeMap::new(), as_of: u64::MAX }
    }
}
