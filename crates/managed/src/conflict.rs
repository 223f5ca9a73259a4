//! What an apply is refused with: fields of other writers that it would change.

use std::fmt;

use everynode_api::field::go_quote;

use crate::element::{Path, printed};
use crate::entry::{Entry, Operation};
use crate::set::FieldSet;

/// A field that is another writer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub path: Path,
    writer: Writer,
}

/// Who owns it, in the order in which messages name writers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Writer {
    manager: String,
    operation: Operation,
    api_version: String,
    subresource: String,
}

/// All conflicts of an apply, sorted by writer and path. There is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflicts(Vec<Conflict>);

impl Conflict {
    /// The path as messages print it.
    pub fn field(&self) -> String {
        printed(&self.path)
    }

    /// `conflict with "manager" using v1`: the message of its cause.
    pub fn message(&self) -> String {
        format!("conflict with {}", self.writer)
    }
}

impl Conflicts {
    /// The fields of each entry that are changed; `None`: no field is.
    pub(crate) fn of(changed: &[(&Entry, FieldSet)]) -> Option<Conflicts> {
        let mut found = Vec::new();
        for (entry, fields) in changed {
            let writer = Writer {
                manager: entry.manager.clone(),
                operation: entry.operation,
                api_version: entry.api_version.clone(),
                subresource: entry.subresource.clone(),
            };
            found.extend(fields.paths().into_iter().map(|path| Conflict { path, writer: writer.clone() }));
        }
        found.sort_by(|one, two| one.writer.cmp(&two.writer));
        (!found.is_empty()).then_some(Conflicts(found))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Conflict> {
        self.0.iter()
    }

    /// Those that are at other fields than these; `None`: there are no others.
    pub(crate) fn outside(self, allowed: &FieldSet) -> Option<Conflicts> {
        let left: Vec<Conflict> = self.0.into_iter().filter(|conflict| !allowed.contains(&conflict.path)).collect();
        (!left.is_empty()).then_some(Conflicts(left))
    }
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&go_quote(&self.manager))?;
        if !self.subresource.is_empty() {
            write!(f, " with subresource {}", go_quote(&self.subresource))?;
        }
        match self.operation {
            Operation::Update => write!(f, " using {}", self.api_version),
            Operation::Apply => Ok(()),
        }
    }
}

/// The message of the whole refusal.
impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = &self.0[..] {
            return write!(f, "Apply failed with 1 conflict: {}: {}", only.message(), only.field());
        }
        write!(f, "Apply failed with {} conflicts: ", self.0.len())?;
        let groups: Vec<String> = self
            .0
            .chunk_by(|one, two| one.writer == two.writer)
            .map(|group| {
                let fields: String = group.iter().map(|conflict| format!("\n- {}", conflict.field())).collect();
                format!("conflicts with {}:{fields}", group[0].writer)
            })
            .collect();
        f.write_str(&groups.join("\n"))
    }
}
