//! The catalogue: what is served, one row for each kind and version.
//!
//! A row holds everything about a kind (names, paths, storage, strategy, admission, validation,
//! subresources, selectable fields, columns). Rows of built-in kinds are written in
//! `registry/kinds` and live as long as the process; rows of custom resources are made at run
//! time. A request takes the [`Rows`] that are served when it is read, and a reference to one row
//! ([`RowRef`]) is what everything after that works with. Reading order: [`row`], [`built_in`],
//! this file.

pub(crate) mod built_in;
pub(crate) mod row;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use everynode_api::kinds::{Kind, Text};

pub(crate) use row::{Action, Row, RowRef, Subresource};

use crate::discovery;

/// The rows that are served now, replaced as a whole.
#[derive(Debug)]
pub(crate) struct Catalogue {
    rows: RwLock<Arc<Rows>>,
}

impl Catalogue {
    pub(crate) fn new(rows: Rows) -> Catalogue {
        Catalogue { rows: RwLock::new(Arc::new(rows)) }
    }

    pub(crate) fn replace(&self, rows: Rows) {
        *self.rows.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rows);
    }

    /// What is served now. It stays as it is while the caller holds it.
    pub(crate) fn rows(&self) -> Arc<Rows> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// All rows at one moment, and the documents that are made of them.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// In the order of discovery.
    all: Vec<RowRef>,
    by_plural: HashMap<Text, Vec<RowRef>>,
    /// The documents of discovery, made with the first request.
    pub(crate) discovery: OnceLock<discovery::Documents>,
    /// The documents of OpenAPI that were asked for.
    pub(crate) openapi: Mutex<HashMap<String, discovery::Answer>>,
}

impl Rows {
    pub(crate) fn new(all: Vec<RowRef>) -> Rows {
        let mut by_plural: HashMap<Text, Vec<RowRef>> = HashMap::new();
        for row in &all {
            by_plural.entry(row.kind.plural.clone()).or_default().push(row.clone());
        }
        Rows { all, by_plural, ..Rows::default() }
    }

    /// The kinds that are always there.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn built_in() -> Rows {
        Rows::new(built_in::all().into_iter().map(RowRef::BuiltIn).collect())
    }

    /// The row of a resource at a version.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&RowRef> {
        let rows = self.by_plural.get(plural)?;
        rows.iter().find(|row| row.kind.group == group && row.kind.version == version)
    }

    /// The row of a kind that is known by its path.
    pub(crate) fn of(&self, kind: &Kind) -> Option<&RowRef> {
        self.find(&kind.group, &kind.version, &kind.plural)
    }

    /// The row of a kind, by API version (`apps/v1`) and kind name.
    pub(crate) fn by_kind(&self, api_version: &str, kind: &str) -> Option<&RowRef> {
        self.all.iter().find(|row| row.kind.kind == kind && row.kind.api_version() == api_version)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &RowRef> {
        self.all.iter()
    }
}

#[cfg(test)]
mod tests {
    use everynode_api::kinds::{EVENT, EVENTS_EVENT, KINDS, NODE};

    use super::*;

    #[test]
    fn rows_are_found_by_path_and_by_kind() {
        let rows = Rows::built_in();
        assert_eq!(rows.iter().count(), KINDS.len(), "every kind has a row");
        assert_eq!(rows.of(&NODE).map(|row| &*row.storage), Some("minions"));
        assert_eq!(rows.by_kind("v1", "Event").map(|row| &row.kind), Some(&EVENT));
        assert_eq!(rows.find("events.k8s.io", "v1", "events").map(|row| &row.kind), Some(&EVENTS_EVENT));
        assert!(rows.find("apps", "v2", "daemonsets").is_none());
    }

    #[test]
    fn what_is_held_stays_when_the_catalogue_is_replaced() {
        let catalogue = Catalogue::new(Rows::built_in());
        let held = catalogue.rows();
        catalogue.replace(Rows::default());
        assert!(held.of(&NODE).is_some() && catalogue.rows().of(&NODE).is_none());
    }
}
