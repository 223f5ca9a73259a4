//! A look at a store that does not run, and the way on when a part of it is lost.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::disk::{Disk, UNKNOWN_REVISIONS};
use super::file::{log_of, make_tables, store_error, sync_dir};
use super::lock::{DirectoryLock, disk_error, private_file};
use super::salvage::{self, Problem, Salvage};
use super::tables::{self, Marks};
use super::witness::{self, Acknowledged, Witness, WitnessContent};
use crate::{Revision, StoreError};

/// How far numbering leaps after a loss although the witness is there: it may be a second behind
/// after a power cut, and no server writes that much in a second.
const REVISIONS_OF_THE_LAG: u64 = 1_000_000;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The newest revision that is there.
    pub revision: Revision,
    /// The newest one that was acknowledged, at least; `None`: nothing says.
    pub acknowledged: Option<Revision>,
    pub keys: u64,
    /// Records of the log.
    pub records: u64,
    /// Everything that is wrong; none: the store is sound.
    pub problems: Vec<Problem>,
    /// Problems beyond those.
    pub more_problems: u64,
}

/// What a repair did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// The next write comes after this revision; clients that remember an older one list again.
    pub goes_on_after: Revision,
    /// Where the damaged files are now.
    pub kept: PathBuf,
}

/// Reads the whole store of a directory, checks it and changes nothing. `progress` is called now
/// and then with the number of rows and records that were read.
///
/// Fails with [`StoreError::InUse`] while it runs, and with [`StoreError::Corrupt`] if nothing can
/// be read.
pub fn verify(dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<Report, StoreError> {
    let _lock = lock(dir)?;
    salvage::read(dir, progress).map(|salvage| report(&salvage))
}

/// Makes a sound store of what can be read: the rest is lost. Revisions go on beyond all that may
/// have been issued, and history begins anew. The files as they were are kept in a directory
/// beside. A sound store is left alone.
///
/// Fails as [`verify`] does, and with [`StoreError::Disk`] if the disk refuses; nothing is lost by
/// that.
pub fn repair(dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<(Report, Option<Repaired>), StoreError> {
    let _lock = lock(dir)?;
    let salvage = salvage::read(dir, progress)?;
    let found = report(&salvage);
    if found.problems.is_empty() {
        return Ok((found, None));
    }
    let goes_on_after = beyond(&salvage);
    let fresh = dir.join("store.db.new");
    make(&fresh, &salvage, goes_on_after).map_err(|error| store_error(error, &fresh))?;
    let kept = exchange(dir, &fresh, goes_on_after).map_err(|error| disk_error("repair", dir, error))?;
    Ok((found, Some(Repaired { goes_on_after, kept })))
}

/// Notes that the store of a directory is an older state that was put back: what was written since
/// has been seen by clients. Revisions leap beyond all that may have been issued, and history
/// begins anew, so that whoever remembers a newer state lists again. Answers the revision that the
/// next write comes after.
///
/// Fails as [`EmbeddedStore::open`](super::EmbeddedStore::open) does.
pub fn begin_anew(dir: &Path) -> Result<Revision, StoreError> {
    let _lock = lock(dir)?;
    let (mut disk, _) = Disk::open(dir)?;
    let beyond = disk.begin_anew()?;
    disk.close()?;
    Ok(beyond)
}

fn lock(dir: &Path) -> Result<DirectoryLock, StoreError> {
    match dir.is_dir() {
        true => DirectoryLock::take(dir),
        false => Err(StoreError::Corrupt(format!("there is no store in {}", dir.display()))),
    }
}

fn report(salvage: &Salvage) -> Report {
    Report {
        revision: salvage.marks.map_or(salvage.newest, |marks| marks.revision),
        acknowledged: salvage.said.acknowledged().map(|told| told.revision),
        keys: salvage.entries.len() as u64,
        records: salvage.records,
        problems: salvage.problems.told.clone(),
        more_problems: salvage.problems.more,
    }
}

fn beyond(salvage: &Salvage) -> Revision {
    let marks = salvage.marks.map(|marks| marks.revision.max(marks.reserved));
    let told = salvage.said.acknowledged().map(|told| told.revision.max(told.reserved));
    let known = salvage.newest.max(marks.unwrap_or_default()).max(told.unwrap_or_default());
    let leap = match salvage.said {
        WitnessContent::This { .. } => REVISIONS_OF_THE_LAG,
        WitnessContent::Missing | WitnessContent::Nothing => UNKNOWN_REVISIONS,
    };
    Revision(known.0.saturating_add(leap))
}

/// A whole database beside the damaged one.
fn make(fresh: &Path, salvage: &Salvage, revision: Revision) -> rusqlite::Result<()> {
    let _ = fs::remove_file(fresh);
    private_file(fresh).map_err(|error| tables::unwritable(&error))?;
    let mut connection = Connection::open_with_flags(fresh, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let transaction = connection.transaction()?;
    make_tables(&transaction)?;
    let mut marks = Marks { revision, folded: revision, ..Marks::of_an_empty_store() };
    for entry in salvage.entries.values() {
        tables::put_entry(&transaction, entry)?;
        marks.keys += 1;
        marks.sum = marks.sum.wrapping_add(tables::checksum(entry));
    }
    tables::put_marks(&transaction, &marks)?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)
}

/// Puts it in place. The damaged log goes first: SQLite would lay it over any database. Whenever
/// this is interrupted, what is there is refused at a start, because the old witness is ahead of
/// it, or it is the new one.
fn exchange(dir: &Path, fresh: &Path, revision: Revision) -> std::io::Result<PathBuf> {
    let (path, witness) = (dir.join("store.db"), witness::path_in(dir));
    let kept = free_name(dir);
    super::lock::private_dir(&kept)?;
    fs::hard_link(&path, kept.join("store.db"))?;
    if witness.exists() {
        fs::hard_link(&witness, kept.join("store.witness"))?;
    }
    sync_dir(&kept)?;
    let log = log_of(&path);
    if log.exists() {
        fs::rename(&log, kept.join("store.db-wal"))?;
        sync_dir(dir)?;
    }
    fs::rename(fresh, &path)?;
    sync_dir(dir)?;
    Witness::make(dir, Acknowledged { revision, reserved: Revision(0) })?;
    Ok(kept)
}

fn free_name(dir: &Path) -> PathBuf {
    let names = (1u32..).map(|number| dir.join(format!("damaged-{number}")));
    names.into_iter().find(|name| !name.exists()).unwrap_or_else(|| dir.join("damaged"))
}
