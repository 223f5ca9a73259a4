//! The database as a file: made whole, recognised, brought to the newest format, and what is said
//! when it is damaged.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::lock::{disk_error, private_file};
use super::tables::{SCHEMA, SCHEMA_OF_THE_LOG};
use crate::StoreError;

/// "everynod" in the file's header, so that a stranger's file is recognised.
const APPLICATION_ID: i32 = 0x6576_6e64;
/// 1: rows only. 2: with a log of what was written since.
const FORMAT: i32 = 2;
/// Pages of SQLite's log before they are moved to the main file: 4 MiB. Four times as many made the slowest
/// commit five times slower (4.5 to 21 ms measured) and the throughput no better.
const CHECKPOINT_PAGES: i32 = 1_000;

/// A database appears under its name only when it is whole: an empty or missing one beside its
/// log is damage and never a fresh start.
pub(super) fn create(dir: &Path, path: &Path) -> Result<(), StoreError> {
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
    transaction.execute_batch(SCHEMA_OF_THE_LOG)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)
}

pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
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

/// Checks whose database it is; one of an older format is brought to ours.
pub(super) fn check_format(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let id = pragma("application_id").map_err(|error| store_error(error, path))?;
    let format = pragma("user_version").map_err(|error| store_error(error, path))?;
    match (id, format) {
        (APPLICATION_ID, FORMAT) => Ok(()),
        (APPLICATION_ID, 1) => add_log(connection).map_err(|error| store_error(error, path)),
        (APPLICATION_ID, newer) => Err(StoreError::Corrupt(format!(
            "{} has format {newer} and this program reads format {FORMAT}: use the program that \
             wrote it",
            path.display()
        ))),
        _ => Err(corrupt(path, "it is not a database of everynode")),
    }
}

/// From format 1: its rows are complete, so the log begins empty. All of it or nothing.
fn add_log(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA_OF_THE_LOG)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

/// Refuses what an interrupted copy or a truncation leaves; SQLite would begin a new database.
pub(super) fn refuse_remains(path: &Path) -> Result<(), StoreError> {
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

pub(super) fn corrupt(path: &Path, what: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "{} is damaged ({what}): restore it from a backup, or move it and {} away to begin with \
         an empty store",
        path.display(),
        log_of(path).display()
    ))
}

pub(super) fn failure(code: i32, text: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(text))
}

/// Says of an SQLite error whose fault it is.
pub(super) fn store_error(error: rusqlite::Error, path: &Path) -> StoreError {
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
