//! The state on disk: rows as they were at one revision, and a log of every write since.
//!
//! A commit is one record at the end of the log, whatever it writes. Now and then the oldest
//! records are folded into the rows, many at a time, so that a row that is written again and again
//! is rewritten once. What is in the log is also the history that watches resume from after a
//! restart: rows and records together are the state at every revision since `folded`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::file::{check_format, connect, corrupt, create, refuse_remains, store_error};
use super::lock::{disk_error, private_file};
use super::log::{self, RowMap};
use super::tables::{self, Marks, Record, damaged};
use crate::index::Past;
use crate::stage::{Numbers, Step};
use crate::tree::Tree;
use crate::{Change, Revision, StoreError};

/// What was found on disk.
pub(super) struct Loaded {
    pub(super) tree: Tree,
    pub(super) numbers: Numbers,
    pub(super) past: Past,
}

/// How much the log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LogSize {
    pub(super) writes: usize,
    pub(super) bytes: usize,
}

impl LogSize {
    fn add(&mut self, record: &Record) {
        self.writes += record.writes;
        self.bytes += record.bytes.len();
    }

    fn exceeds(&self, other: &LogSize) -> bool {
        self.writes > other.writes || self.bytes > other.bytes
    }
}

/// What a commit says beside its writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commit {
    pub(super) revision: Revision,
    pub(super) reserved: Revision,
    pub(super) keys: usize,
    pub(super) at_ms: u64,
}

#[derive(Debug)]
pub(super) struct Disk {
    connection: Connection,
    path: PathBuf,
    marks: Marks,
    size: LogSize,
}

impl Disk {
    /// Opens or makes the database of a directory and loads it.
    pub(super) fn open(dir: &Path) -> Result<(Disk, Loaded), StoreError> {
        let path = dir.join("store.db");
        refuse_remains(&path)?;
        if !path.exists() {
            create(dir, &path)?;
        }
        private_file(&path).map_err(|error| disk_error("open", &path, error))?;
        let mut connection = connect(&path).map_err(|error| store_error(error, &path))?;
        check_format(&mut connection, &path)?;
        let marks = tables::marks(&connection).map_err(|error| store_error(error, &path))?;
        let mut disk = Disk { connection, path, marks, size: LogSize::default() };
        let loaded = disk.load().map_err(|error| store_error(error, &disk.path))?;
        disk.check(&loaded.tree)?;
        Ok((disk, loaded))
    }

    /// Appends writes to the log, older ones first, in one transaction; durable on return.
    pub(super) fn append(&mut self, older: &[Step], newer: &[Step], commit: Commit) -> Result<(), StoreError> {
        let Commit { revision, reserved, keys, at_ms } = commit;
        let mut bytes = Vec::new();
        let between = log::encode(&mut bytes, older, Revision(0));
        let newest = log::encode(&mut bytes, newer, between);
        let writes = older.len() + newer.len();
        let record = Record { number: self.marks.next, at_ms, revision: newest, writes, bytes };
        let next = self.marks.next + u64::from(writes > 0);
        let marks = Marks { revision, reserved, keys, next, ..self.marks };
        self.transaction(marks, |connection| match writes {
            0 => Ok(()),
            _ => tables::append(connection, &record),
        })?;
        self.size.add(&record);
        Ok(())
    }

    /// Whether the log holds more than that.
    pub(super) fn exceeds(&self, size: &LogSize) -> bool {
        self.size.exceeds(size)
    }

    /// Writes what the oldest records did into the rows and forgets them: as many records as reach
    /// one of the limits, at least one.
    pub(super) fn fold(&mut self, limits: &LogSize) -> Result<(), StoreError> {
        let (mut marks, mut folded) = (self.marks, LogSize::default());
        let (mut rows, mut touched) = (RowMap::new(), BTreeSet::new());
        let read = tables::records(&self.connection, |record| {
            folded.add(&record);
            for write in read(&record)? {
                if touched.insert(write.row) && write.needs_old() {
                    rows.extend(tables::entry(&self.connection, write.row)?.map(|old| (write.row, old)));
                }
                write.replay(&mut rows).ok_or_else(|| misfit(&record))?;
            }
            (marks.folded, marks.first) = (record.revision, record.number + 1);
            Ok(folded.writes < limits.writes && folded.bytes < limits.bytes)
        });
        read.map_err(|error| store_error(error, &self.path))?;
        self.transaction(marks, |connection| {
            tables::forget(connection, marks.first)?;
            touched.iter().try_for_each(|row| match rows.get(row) {
                Some(entry) => tables::put_entry(connection, entry),
                None => tables::delete_entry(connection, *row),
            })
        })?;
        self.size.writes -= folded.writes;
        self.size.bytes -= folded.bytes;
        Ok(())
    }

    /// Moves SQLite's log into the main file and closes.
    pub(super) fn close(self) -> Result<(), StoreError> {
        self.connection.close().map_err(|(_, error)| store_error(error, &self.path))
    }

    /// One transaction that ends with these marks.
    fn transaction(
        &mut self,
        marks: Marks,
        write: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let done = self.connection.transaction().and_then(|transaction| {
            // Dropping the transaction on any error rolls it back.
            write(&transaction)?;
            tables::put_marks(&transaction, &marks)?;
            transaction.commit()
        });
        done.map_err(|error| store_error(error, &self.path))?;
        self.marks = marks;
        Ok(())
    }

    fn load(&mut self) -> rusqlite::Result<Loaded> {
        let mut entries = tables::entries(&self.connection)?;
        let mut row = entries.iter().map(|entry| entry.row).max().unwrap_or(0);
        entries.sort_unstable_by(|one, other| one.key().cmp(other.key()));
        if let Some(twice) = entries.windows(2).find(|pair| pair[0].key() == pair[1].key()) {
            return Err(damaged(format!("{} is there twice", twice[0].key())));
        }
        let mut rows: RowMap = entries.iter().map(|entry| (entry.row, entry.clone())).collect();
        let mut tree = Tree::from_sorted(entries);
        let mut past = Past { oldest: self.marks.folded, commits: Vec::new() };
        let (size, mut next) = (&mut self.size, self.marks.first);
        tables::records(&self.connection, |record| {
            if record.number != next {
                return Err(damaged(format!("record {next} is missing")));
            }
            next += 1;
            size.add(&record);
            let writes = read(&record)?;
            row = writes.iter().map(|write| write.row).max().unwrap_or(0).max(row);
            let steps = writes.into_iter().map(|write| write.replay(&mut rows).ok_or_else(|| misfit(&record)));
            let steps = steps.collect::<rusqlite::Result<Vec<_>>>()?;
            for commit in steps.chunk_by(|one, other| one.revision == other.revision) {
                commit.iter().for_each(|step| place(&mut tree, step));
                let changes: Vec<Change> = commit.iter().filter_map(Step::change).collect();
                past.commits.push((changes.into(), record.at_ms));
            }
            Ok(true)
        })?;
        if next != self.marks.next {
            return Err(damaged(format!("record {next} is missing")));
        }
        let revision = self.marks.revision.max(self.marks.reserved);
        Ok(Loaded { tree, numbers: Numbers { revision, row }, past })
    }

    fn check(&self, tree: &Tree) -> Result<(), StoreError> {
        match tree.len() == self.marks.keys {
            true => Ok(()),
            false => Err(corrupt(&self.path, &format!("{} keys instead of {}", tree.len(), self.marks.keys))),
        }
    }
}

fn place(tree: &mut Tree, step: &Step) {
    match (&step.old, &step.new) {
        (_, Some(new)) => drop(tree.insert(new.clone())),
        (Some(old), None) => drop(tree.remove(old.key())),
        (None, None) => {}
    }
}

fn read(record: &Record) -> rusqlite::Result<Vec<log::Recorded<'_>>> {
    log::decode(&record.bytes).ok_or_else(|| damaged(format!("record {} cannot be read", record.number)))
}

fn misfit(record: &Record) -> rusqlite::Error {
    damaged(format!("record {} does not fit the rows", record.number))
}
