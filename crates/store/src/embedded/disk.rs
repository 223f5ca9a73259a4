//! The state on disk: rows as they were at one revision, and a log of every write since.
//!
//! A commit is one record at the end of the log, whatever it writes. Now and then the oldest
//! records are folded into the rows, many at a time, so that a row that is written again and again
//! is rewritten once. What is in the log is also the history that watches resume from after a
//! restart: rows and records together are the state at every revision since `folded`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::file::{
    FORMAT, bring_up_to_date, check_format, check_layout, connect, corrupt, create, refuse_damaged_log, refuse_remains,
    store_error, trust,
};
use super::lock::{disk_error, private_file};
use super::log::{self, RowMap};
use super::reserve::is_disk_full;
use super::tables::{self, Marks, Record, damaged};
use super::wal::PAGE_BYTES;
use super::witness::{self, Acknowledged, Witness, WitnessContent};
use crate::index::LoadedHistory;
use crate::stage::{IssuedNumbers, Step};
use crate::tree::Tree;
use crate::{Change, Revision, StoreError};

/// How far numbering leaps where nothing tells what was issued: weeks of the fastest writing.
pub(super) const UNKNOWN_REVISIONS: u64 = 1_000_000_000;
/// What one transaction folds when the whole log is folded.
const FOLD_WRITES: usize = 16_384;
const FOLD_BYTES: usize = 2 << 20;

/// What was found on disk.
pub(super) struct Loaded {
    pub(super) tree: Tree,
    pub(super) numbers: IssuedNumbers,
    pub(super) past: LoadedHistory,
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
    /// `None`: it could not be written.
    witness: Option<Witness>,
}

impl Disk {
    /// Opens or makes the database of a directory and loads it. Whatever is refused is left as it
    /// is.
    pub(super) fn open(dir: &Path) -> Result<(Disk, Loaded), StoreError> {
        let (path, witness_path) = (dir.join("store.db"), witness::path_in(dir));
        refuse_remains(&path, &witness_path)?;
        if !path.exists() {
            create(dir, &path)?;
        }
        let failed = |error| store_error(error, &path);
        private_file(&path).map_err(|error| disk_error("open", &path, error))?;
        let said = witness::read(&witness_path).map_err(|error| disk_error("read", &witness_path, error))?;
        let mut connection = connect(&path).map_err(failed)?;
        let format = check_format(&connection, &path)?;
        refuse_damaged_log(&connection, &path, said.acknowledged().map(|told| told.revision))?;
        if format < FORMAT {
            bring_up_to_date(&mut connection, format).map_err(failed)?;
        }
        check_layout(&connection).map_err(failed)?;
        let marks = tables::marks(&connection).map_err(failed)?;
        refuse_what_is_behind(&marks, &said, &path)?;
        let mut disk = Disk { connection, path, marks, size: LogSize::default(), witness: None };
        let mut loaded = disk.load().map_err(|error| store_error(error, &disk.path))?;
        disk.check(&loaded.tree)?;
        trust(&disk.connection).map_err(|error| store_error(error, &disk.path))?;
        if format == FORMAT && said.acknowledged().is_none() && loaded.numbers.revision > Revision(0) {
            disk.go_on_without_witness(&witness_path, &mut loaded)?;
        }
        disk.witness = Some(disk.call_witness(dir, said)?);
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
                if touched.insert(write.row)
                    && write.needs_old()
                    && let Some(old) = tables::entry(&self.connection, write.row)?
                {
                    marks.sum = marks.sum.wrapping_sub(tables::checksum(&old));
                    rows.insert(write.row, old);
                }
                write.replay(&mut rows).ok_or_else(|| misfit(&record))?;
            }
            (marks.folded, marks.first) = (record.revision, record.number + 1);
            Ok(folded.writes < limits.writes && folded.bytes < limits.bytes)
        });
        read.map_err(|error| store_error(error, &self.path))?;
        let written = touched.iter().filter_map(|row| rows.get(row)).map(|entry| tables::checksum(entry));
        marks.sum = written.fold(marks.sum, u64::wrapping_add);
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

    /// Pages of the database that are free for new rows, in bytes.
    pub(super) fn free_bytes(&self) -> u64 {
        let pages = self.connection.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
        u64::try_from(pages.unwrap_or(0)).unwrap_or(0) * PAGE_BYTES as u64
    }

    /// Asks the disk whether it takes writes.
    pub(super) fn probe(&mut self) -> Result<(), StoreError> {
        self.transaction(self.marks, |_| Ok(()))
    }

    /// Moves SQLite's log into the main file and closes.
    pub(super) fn close(mut self) -> Result<(), StoreError> {
        self.sync_witness();
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
        if let Err(error) = done {
            let error = store_error(error, &self.path);
            let dir = self.path.parent().unwrap_or(&self.path);
            return Err(match error {
                StoreError::Disk(text) if is_disk_full(dir) => StoreError::Full(text),
                other => other,
            });
        }
        self.marks = marks;
        self.tell_witness();
        Ok(())
    }

    /// Before anybody is told. What cannot be noted is durable all the same.
    fn tell_witness(&mut self) {
        let acknowledged = acknowledged(&self.marks);
        let Some(witness) = &mut self.witness else { return };
        if let Err(error) = witness.write(acknowledged) {
            tracing::error!(%error, "the store's witness cannot be written: a loss may not be seen later");
            // What it says stays true; trying at every commit would only fill the log.
            self.witness = None;
        }
    }

    /// Makes what the witness says outlive a power cut.
    pub(super) fn sync_witness(&mut self) {
        let Some(Err(error)) = self.witness.as_ref().map(Witness::sync) else { return };
        tracing::error!(%error, "the store's witness cannot be made durable: a loss may not be seen later");
        self.witness = None;
    }

    fn call_witness(&self, dir: &Path, said: WitnessContent) -> Result<Witness, StoreError> {
        let (path, acknowledged) = (witness::path_in(dir), acknowledged(&self.marks));
        let witness = match said {
            WitnessContent::This { turn, whole: true, .. } => Witness::go_on(&path, turn),
            WitnessContent::This { whole: false, .. } => {
                tracing::warn!(path = %path.display(), "one of the witness' two places is damaged; it is made anew");
                Witness::make(dir, acknowledged)
            }
            WitnessContent::Missing | WitnessContent::Nothing => Witness::make(dir, acknowledged),
        };
        witness.map_err(|error| disk_error("write", &path, error))
    }

    /// Nothing tells whether something is missing. So no number is used that may have been, and
    /// whoever remembers one begins again.
    fn go_on_without_witness(&mut self, witness: &Path, loaded: &mut Loaded) -> Result<(), StoreError> {
        let beyond = Revision(loaded.numbers.revision.0.saturating_add(UNKNOWN_REVISIONS));
        tracing::error!(
            witness = %witness.display(), found = loaded.numbers.revision.0, beyond = beyond.0,
            "the store's witness is missing or damaged: whether acknowledged writes are missing, too, cannot be told; \
             revisions go on beyond all that can have been issued, and clients list again"
        );
        self.begin_again_at(beyond)?;
        loaded.numbers.revision = beyond;
        loaded.past = LoadedHistory { oldest: beyond, commits: Vec::new() };
        Ok(())
    }

    /// Lets numbering and history begin beyond all that may have been issued since this state;
    /// answers where.
    pub(super) fn begin_anew(&mut self) -> Result<Revision, StoreError> {
        let beyond = Revision(self.marks.revision.max(self.marks.reserved).0.saturating_add(UNKNOWN_REVISIONS));
        self.begin_again_at(beyond).map(|()| beyond)
    }

    /// Folds the whole log and lets history begin at a revision.
    fn begin_again_at(&mut self, revision: Revision) -> Result<(), StoreError> {
        while self.marks.first < self.marks.next {
            self.fold(&LogSize { writes: FOLD_WRITES, bytes: FOLD_BYTES })?;
        }
        self.transaction(Marks { revision, reserved: Revision(0), folded: revision, ..self.marks }, |_| Ok(()))
    }

    fn load(&mut self) -> rusqlite::Result<Loaded> {
        let (mut entries, mut sum) = (Vec::new(), 0u64);
        tables::rows(&self.connection, true, |entry| {
            let entry = Arc::new(entry?);
            sum = sum.wrapping_add(tables::checksum(&entry));
            entries.push(entry);
            Ok(())
        })?;
        if sum != self.marks.sum {
            return Err(damaged("rows are missing, or older than they should be".to_owned()));
        }
        let mut row = entries.iter().map(|entry| entry.row).max().unwrap_or(0);
        entries.sort_unstable_by(|one, other| one.key().cmp(other.key()));
        if let Some(twice) = entries.windows(2).find(|pair| pair[0].key() == pair[1].key()) {
            return Err(damaged(format!("{} is there twice", twice[0].key())));
        }
        let mut rows: RowMap = entries.iter().map(|entry| (entry.row, entry.clone())).collect();
        let mut tree = Tree::from_sorted(entries);
        let mut past = LoadedHistory { oldest: self.marks.folded, commits: Vec::new() };
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
        Ok(Loaded { tree, numbers: IssuedNumbers { revision, row }, past })
    }

    fn check(&self, tree: &Tree) -> Result<(), StoreError> {
        match tree.len() == self.marks.keys {
            true => Ok(()),
            false => Err(corrupt(&self.path, &format!("{} keys instead of {}", tree.len(), self.marks.keys))),
        }
    }
}

fn acknowledged(marks: &Marks) -> Acknowledged {
    Acknowledged { revision: marks.revision, reserved: marks.reserved }
}

fn refuse_what_is_behind(marks: &Marks, said: &WitnessContent, path: &Path) -> Result<(), StoreError> {
    let told = said.acknowledged().unwrap_or_default().revision;
    match marks.revision < told {
        true => Err(corrupt(
            path,
            &format!("it ends at revision {}, and at least revision {} was acknowledged", marks.revision.0, told.0),
        )),
        false => Ok(()),
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
