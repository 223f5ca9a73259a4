//! Everything that can be read of a store, damaged or not, and what is wrong with the rest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::file::{FORMAT, check_format, check_layout, connect, log_of, refuse_remains, store_error};
use super::lock::disk_error;
use super::log::{self, RowMap};
use super::tables::{self, Marks, Record};
use super::wal;
use super::witness::{self, WitnessContent};
use crate::tree::Entry;
use crate::{Revision, StoreError};

/// Problems that are told one by one; the others are counted.
const PROBLEMS_MAX: usize = 1_000;
/// Rows and records between two reports of progress.
const PROGRESS_EVERY: u64 = 10_000;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub file: PathBuf,
    /// The byte of the file, where one can be named.
    pub at: Option<u64>,
    pub what: String,
}

/// What was read.
pub(super) struct Salvage {
    /// By key: the state at `newest`, as far as it can be read.
    pub(super) entries: BTreeMap<crate::Key, Arc<Entry>>,
    /// The newest revision of that state.
    pub(super) newest: Revision,
    /// `None`: they are damaged.
    pub(super) marks: Option<Marks>,
    pub(super) said: WitnessContent,
    pub(super) records: u64,
    pub(super) problems: Problems,
}

/// What is wrong, up to a limit.
#[derive(Debug, Default)]
pub(super) struct Problems {
    pub(super) told: Vec<Problem>,
    pub(super) more: u64,
}

impl Problems {
    fn add(&mut self, file: &Path, at: Option<u64>, what: impl Into<String>) {
        match self.told.len() < PROBLEMS_MAX {
            true => self.told.push(Problem { file: file.to_owned(), at, what: what.into() }),
            false => self.more += 1,
        }
    }
}

/// Reads the store of a directory and changes nothing. Fails where not even a part can be read.
/// `progress` is called now and then with the number of rows and records that were read.
pub(super) fn read(dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<Salvage, StoreError> {
    let (path, witness) = (dir.join("store.db"), witness::path_in(dir));
    if !path.exists() && !witness.exists() {
        return Err(StoreError::Corrupt(format!("there is no store in {}", dir.display())));
    }
    refuse_remains(&path, &witness)?;
    let said = witness::read(&witness).map_err(|error| disk_error("read", &witness, error))?;
    let connection = connect(&path).map_err(|error| store_error(error, &path))?;
    let format = check_format(&connection, &path)?;
    if format < FORMAT {
        let text = format!("{} has format {format}: start everynode once, which brings it up to date", path.display());
        return Err(StoreError::Corrupt(text));
    }
    let marks = tables::marks(&connection);
    let (mut problems, newest) = (Problems::default(), Revision(0));
    let log = log_of(&path);
    if let Some(damage) = wal::damage(&log).map_err(|error| disk_error("read", &log, error))? {
        let what = format!("the checksum is wrong, and {} whole frames follow", damage.later);
        problems.add(&log, Some(damage.at), what);
    }
    if let Err(error) = &marks {
        problems.add(&path, None, error.to_string());
    }
    let marks = marks.ok();
    let salvage = Salvage { entries: BTreeMap::new(), newest, marks, said, records: 0, problems };
    let mut reader = Reader { connection, path, rows: RowMap::new(), read: 0, progress, salvage };
    reader.structure();
    reader.rows();
    reader.records();
    reader.witness(&witness);
    Ok(reader.salvage)
}

struct Reader<'a> {
    connection: Connection,
    path: PathBuf,
    rows: RowMap,
    read: u64,
    progress: &'a mut dyn FnMut(u64),
    salvage: Salvage,
}

impl Reader<'_> {
    fn problem(&mut self, what: impl Into<String>) {
        self.salvage.problems.add(&self.path, None, what);
    }

    fn count(&mut self) {
        self.read += 1;
        if self.read.is_multiple_of(PROGRESS_EVERY) {
            (self.progress)(self.read);
        }
    }

    /// What SQLite says of its own pages.
    fn structure(&mut self) {
        if let Err(error) = check_layout(&self.connection) {
            self.problem(error.to_string());
        }
        let checked = self.connection.prepare("PRAGMA quick_check").and_then(|mut statement| {
            let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
            lines.collect::<rusqlite::Result<Vec<_>>>()
        });
        match checked {
            Ok(lines) => lines.into_iter().filter(|line| line != "ok").for_each(|line| self.problem(line)),
            Err(error) => self.problem(error.to_string()),
        }
    }

    /// From the first row on, and where that ends too early, from the last one back.
    fn rows(&mut self) {
        let mut found = Vec::new();
        let forwards = tables::rows(&self.connection, true, |entry| {
            found.push(entry);
            Ok(())
        });
        if let Err(error) = forwards {
            self.problem(format!("not all rows can be read: {error}"));
            // It ends where it meets the damage from the other side, or what is there already.
            let _ = tables::rows(&self.connection, false, |entry| {
                found.push(entry);
                Ok(())
            });
        }
        let mut sum = 0u64;
        for entry in found {
            self.count();
            match entry {
                Ok(entry) => {
                    let checksum = tables::checksum(&entry);
                    if self.rows.insert(entry.row, Arc::new(entry)).is_none() {
                        sum = sum.wrapping_add(checksum);
                    }
                }
                Err(error) => self.problem(error.to_string()),
            }
        }
        if self.salvage.marks.is_some_and(|marks| marks.sum != sum) {
            self.problem("rows are missing, or older than they should be");
        }
    }

    fn records(&mut self) {
        let mut records = Vec::new();
        let read = tables::records(&self.connection, |record| {
            records.push(record);
            Ok(true)
        });
        let mut next = self.salvage.marks.map(|marks| marks.first);
        for record in records {
            if next.is_some_and(|next| next != record.number) {
                break;
            }
            self.count();
            if !self.replay(&record) {
                break;
            }
            next = Some(record.number + 1);
        }
        if let Err(error) = read {
            self.problem(error.to_string());
        }
        let end = self.salvage.marks.map(|marks| marks.next).filter(|end| next != Some(*end));
        if let (Some(end), Some(next)) = (end, next) {
            self.problem(format!("the log ends before record {next} instead of {end}"));
        }
        self.settle();
    }

    /// Does the writes of a record again; what does not fit is dropped.
    fn replay(&mut self, record: &Record) -> bool {
        let Some(writes) = log::decode(&record.bytes) else {
            self.problem(format!("record {} cannot be read", record.number));
            return false;
        };
        for write in writes {
            let row = write.row;
            let key = self.rows.get(&row).map(|entry| entry.key().clone());
            if write.replay(&mut self.rows).is_none() {
                self.rows.remove(&row);
                let name = key.map_or("a key whose row is missing".to_owned(), |key| key.to_string());
                self.problem(format!("record {}: {name} is lost", record.number));
            }
        }
        self.salvage.records += 1;
        self.salvage.newest = record.revision;
        true
    }

    /// Rows to keys.
    fn settle(&mut self) {
        let mut rows: Vec<_> = std::mem::take(&mut self.rows).into_values().collect();
        rows.sort_unstable_by_key(|entry| entry.row);
        let newest = rows.iter().map(|entry| entry.kv.modified).max().unwrap_or_default();
        let marks = self.salvage.marks;
        self.salvage.newest = self.salvage.newest.max(newest).max(marks.map_or(Revision(0), |marks| marks.folded));
        for entry in rows {
            if let Some(older) = self.salvage.entries.insert(entry.key().clone(), entry) {
                self.problem(format!("{} is there twice", older.key()));
            }
        }
        let keys = self.salvage.entries.len();
        if let Some(marks) = marks.filter(|marks| marks.keys != keys) {
            self.problem(format!("{keys} keys instead of {}", marks.keys));
        }
    }

    fn witness(&mut self, witness: &Path) {
        let problems = &mut self.salvage.problems;
        let ends = self.salvage.marks.map_or(self.salvage.newest, |marks| marks.revision);
        match self.salvage.said {
            WitnessContent::Missing if ends > Revision(0) => problems.add(witness, None, "it is missing"),
            WitnessContent::Missing => {}
            WitnessContent::Nothing => problems.add(witness, None, "nothing in it can be believed"),
            WitnessContent::This { whole: false, .. } => {
                problems.add(witness, None, "one of its two places is damaged")
            }
            WitnessContent::This { whole: true, .. } => {}
        }
        let told = self.salvage.said.acknowledged().map(|told| told.revision);
        if let Some(told) = told.filter(|told| ends < *told) {
            let what = format!("it ends at revision {}, and at least revision {} was acknowledged", ends.0, told.0);
            problems.add(&self.path, None, what);
        }
    }
}
