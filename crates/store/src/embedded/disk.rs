//! SQLite: the only place that knows its tables.
//!
//! A row has a number that names one incarnation of a key, so no index on keys is needed: memory
//! knows the number, and new rows go to the end of the file. Row by row there is a checksum, and
//! the row of numbers holds how many keys there must be.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, Transaction, params};

use super::checksum::Checksum;
use super::lock::{disk_error, private_file};
use crate::stage::Numbers;
use crate::tree::{Entry, Tree};
use crate::{KeyValue, Revision, StoreError};

/// "everynod" in the file's header, so that a stranger's file is recognised.
const APPLICATION_ID: i32 = 0x6576_6e64;
const FORMAT: i32 = 1;
/// Pages of log before they are moved to the main file: 4 MiB. Four times as many made the slowest
/// commit five times slower (4.5 to 21 ms measured) and the throughput no better.
const CHECKPOINT_PAGES: i32 = 1_000;

const SCHEMA: &str = "
    CREATE TABLE kv (
        row INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB NOT NULL,
        created INTEGER NOT NULL, modified INTEGER NOT NULL, expires_ms INTEGER,
        checksum INTEGER NOT NULL
    );
    CREATE TABLE numbers (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        revision INTEGER NOT NULL, reserved INTEGER NOT NULL, keys INTEGER NOT NULL
    );
    INSERT INTO numbers VALUES (1, 0, 0, 0);
";
const PUT: &str = "REPLACE INTO kv (row, key, value, created, modified, expires_ms, checksum) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const DELETE: &str = "DELETE FROM kv WHERE row = ?1";
const PUT_NUMBERS: &str = "UPDATE numbers SET revision = ?1, reserved = ?2, keys = ?3";
const GET: &str = "SELECT row, key, value, created, modified, expires_ms, checksum FROM kv";

/// The last state of rows; `None` when a row is gone.
pub(super) type Rows = BTreeMap<u64, Option<Arc<Entry>>>;

/// What is durable beside the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) revision: Revision,
    /// Relaxed writes may be issued up to here; numbering continues beyond it after a crash.
    pub(super) reserved: Revision,
    pub(super) keys: usize,
}

/// What was found on disk.
pub(super) struct Loaded {
    pub(super) tree: Tree,
    pub(super) numbers: Numbers,
}

#[derive(Debug)]
pub(super) struct Disk {
    connection: Connection,
    path: PathBuf,
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
        let connection = connect(&path).map_err(|error| store_error(error, &path))?;
        check_format(&connection, &path)?;
        let disk = Disk { connection, path };
        let loaded = disk.load()?;
        Ok((disk, loaded))
    }

    /// Writes rows (those of `newer` win) and marks in one transaction; durable on return.
    pub(super) fn write(&mut self, older: &Rows, newer: &Rows, marks: Marks) -> Result<(), StoreError> {
        let path = &self.path;
        let rows = older.iter().filter(|(row, _)| !newer.contains_key(row)).chain(newer);
        write_rows(&mut self.connection, rows, marks).map_err(|error| store_error(error, path))
    }

    /// Moves the log into the main file and closes.
    pub(super) fn close(self) -> Result<(), StoreError> {
        self.connection.close().map_err(|(_, error)| store_error(error, &self.path))
    }

    fn load(&self) -> Result<Loaded, StoreError> {
        let marks = self.marks().map_err(|error| store_error(error, &self.path))?;
        let mut entries = self.entries().map_err(|error| store_error(error, &self.path))?;
        let row = entries.iter().map(|entry| entry.row).max().unwrap_or(0);
        entries.sort_unstable_by(|one, other| one.key().cmp(other.key()));
        if entries.len() != marks.keys {
            let text = format!("{} keys instead of {}", entries.len(), marks.keys);
            return Err(corrupt(&self.path, &text));
        }
        if let Some(twice) = entries.windows(2).find(|pair| pair[0].key() == pair[1].key()) {
            return Err(corrupt(&self.path, &format!("{} is there twice", twice[0].key())));
        }
        let revision = marks.revision.max(marks.reserved);
        Ok(Loaded { tree: Tree::from_sorted(entries), numbers: Numbers { revision, row } })
    }

    fn marks(&self) -> rusqlite::Result<Marks> {
        let sql = "SELECT revision, reserved, keys FROM numbers WHERE only = 1";
        self.connection.query_row(sql, [], |row| {
            let number = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
            let (revision, reserved) = (Revision(number(0)?), Revision(number(1)?));
            Ok(Marks { revision, reserved, keys: number(2)? as usize })
        })
    }

    fn entries(&self) -> rusqlite::Result<Vec<Arc<Entry>>> {
        let mut statement = self.connection.prepare(GET)?;
        let mut rows = statement.query([])?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            entries.push(Arc::new(read_entry(row)?));
        }
        Ok(entries)
    }
}

fn write_rows<'a>(
    connection: &mut Connection,
    rows: impl Iterator<Item = (&'a u64, &'a Option<Arc<Entry>>)>,
    marks: Marks,
) -> rusqlite::Result<()> {
    // Dropping the transaction on any error rolls it back.
    let transaction = connection.transaction()?;
    {
        let mut put = transaction.prepare_cached(PUT)?;
        let mut delete = transaction.prepare_cached(DELETE)?;
        for (row, entry) in rows {
            match entry {
                Some(entry) => put.execute(params![
                    row.cast_signed(),
                    &**entry.key(),
                    &*entry.kv.value,
                    entry.kv.created.0.cast_signed(),
                    entry.kv.modified.0.cast_signed(),
                    entry.expires_ms.map(u64::cast_signed),
                    checksum(entry).cast_signed(),
                ])?,
                None => delete.execute([row.cast_signed()])?,
            };
        }
    }
    write_marks(&transaction, marks)?;
    transaction.commit()
}

fn write_marks(transaction: &Transaction<'_>, marks: Marks) -> rusqlite::Result<()> {
    let Marks { revision, reserved, keys } = marks;
    let keys = (keys as u64).cast_signed();
    let mut put = transaction.prepare_cached(PUT_NUMBERS)?;
    put.execute(params![revision.0.cast_signed(), reserved.0.cast_signed(), keys]).map(drop)
}

fn read_entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let number = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
    let kv = KeyValue {
        key: row.get_ref(1)?.as_str()?.into(),
        value: Bytes::copy_from_slice(row.get_ref(2)?.as_blob()?),
        created: Revision(number(3)?),
        modified: Revision(number(4)?),
    };
    let expires_ms = row.get::<_, Option<i64>>(5)?.map(i64::cast_unsigned);
    let entry = Entry { kv, expires_ms, row: number(0)? };
    if checksum(&entry) == number(6)? {
        return Ok(entry);
    }
    let text = format!("the checksum of {} is wrong", entry.key());
    Err(failure(rusqlite::ffi::SQLITE_CORRUPT, text))
}

fn checksum(entry: &Entry) -> u64 {
    Checksum::new()
        .number(entry.row)
        .number(entry.kv.created.0)
        .number(entry.kv.modified.0)
        .number(entry.expires_ms.map_or(u64::MAX, |at_ms| at_ms))
        .bytes(entry.key().as_bytes())
        .bytes(&entry.kv.value)
        .finish()
}

/// A database appears under its name only when it is whole: an empty or missing one beside its
/// log is damage and never a fresh start.
fn create(dir: &Path, path: &Path) -> Result<(), StoreError> {
    let fresh = dir.join("store.db.new");
    let failed = |error| disk_error("make", &fresh, error);
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    private_file(&fresh).map_err(failed)?;
    fill(&fresh).map_err(|error| store_error(error, &fresh))?;
    fs::rename(&fresh, path).map_err(failed)?;
    for dir in [Some(dir), dir.parent()].into_iter().flatten() {
        // A relative directory's parent is empty.
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
    }
    Ok(())
}

fn fill(path: &Path) -> rusqlite::Result<()> {
    let mut connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // Exclusive before the first read: the log's index then lives in memory and not in a file.
    connection.pragma_update(None, "locking_mode", "exclusive")?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        let text = format!("the journal mode stays {mode}, write-ahead log is needed");
        return Err(failure(rusqlite::ffi::SQLITE_CANTOPEN, text));
    }
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    Ok(connection)
}

fn check_format(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let id = pragma("application_id").map_err(|error| store_error(error, path))?;
    let format = pragma("user_version").map_err(|error| store_error(error, path))?;
    match (id, format) {
        (APPLICATION_ID, FORMAT) => Ok(()),
        (APPLICATION_ID, newer) => Err(StoreError::Corrupt(format!(
            "{} has format {newer} and this program reads format {FORMAT}: use the program that \
             wrote it",
            path.display()
        ))),
        _ => Err(corrupt(path, "it is not a database of everynode")),
    }
}

/// Refuses what an interrupted copy or a truncation leaves; SQLite would begin a new database.
fn refuse_remains(path: &Path) -> Result<(), StoreError> {
    match fs::metadata(path) {
        Ok(found) if found.len() == 0 => Err(corrupt(path, "it is empty")),
        Err(_) if log_of(path).exists() => {
            Err(corrupt(path, &format!("it is missing and {} is not", log_of(path).display())))
        }
        _ => Ok(()),
    }
}

fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

fn corrupt(path: &Path, what: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "{} is damaged ({what}): restore it from a backup, or move it and {} away to begin with \
         an empty store",
        path.display(),
        log_of(path).display()
    ))
}

fn failure(code: i32, text: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(text))
}

/// Says of an SQLite error whose fault it is.
fn store_error(error: rusqlite::Error, path: &Path) -> StoreError {
    let damaged = match &error {
        rusqlite::Error::SqliteFailure(failure, _) => {
            matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        }
        // A whole file cannot make these: our statements fit its tables and its rows their types.
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::QueryReturnedNoRows
        | rusqlite::Error::SqlInputError { .. }
        | rusqlite::Error::Utf8Error(..) => true,
        _ => false,
    };
    match damaged {
        true => corrupt(path, &error.to_string()),
        false => StoreError::Disk(format!("{}: {error}", path.display())),
    }
}
