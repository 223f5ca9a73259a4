//! The database as a file: made whole, recognised, brought to the newest format, and what is said
//! when it is damaged.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};

use super::lock::{disk_error, private_file};
use super::tables::{self, Marks, SCHEMA, SCHEMA_OF_THE_LOG, SCHEMA_OF_THE_SUMS};
use super::wal::{self, PAGE_BYTES};
use crate::{Revision, StoreError};

/// "everynod" in the file's header, so that a stranger's file is recognised.
const APPLICATION_ID: i32 = 0x6576_6e64;
/// 1: rows only. 2: with a log of what was written since. 3: with checksums of numbers and rows,
/// and a witness beside.
pub(super) const FORMAT: i32 = 3;
/// Pages of SQLite's log before they are moved to the main file: 4 MiB. Four times as many made the
/// slowest commit five times slower (4.5 to 21 ms measured) and the throughput no better.
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
    [Some(dir), dir.parent()].into_iter().flatten().try_for_each(sync_dir).map_err(failed)
}

/// Makes what happened to names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    // A relative directory's parent is empty.
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}

fn fill(path: &Path) -> rusqlite::Result<()> {
    let mut connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES as i64)?;
    let transaction = connection.transaction()?;
    make_tables(&transaction)?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)
}

/// Makes the tables of an empty store.
pub(super) fn make_tables(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(SCHEMA)?;
    connection.execute_batch(SCHEMA_OF_THE_LOG)?;
    connection.execute_batch(SCHEMA_OF_THE_SUMS)?;
    tables::put_marks(connection, &Marks::of_an_empty_store())?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", FORMAT)
}

pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // Until everything was checked, closing must not move a damaged log into the main file.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
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

/// From now on closing leaves one file.
pub(super) fn trust(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map(drop)
}

/// Checks whose database it is; returns its format.
pub(super) fn check_format(connection: &Connection, path: &Path) -> Result<i32, StoreError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let id = pragma("application_id").map_err(|error| store_error(error, path))?;
    let format = pragma("user_version").map_err(|error| store_error(error, path))?;
    match (id, format) {
        (APPLICATION_ID, 1..=FORMAT) => Ok(format),
        (APPLICATION_ID, newer) => Err(StoreError::Corrupt(format!(
            "{} has format {newer} and this program reads format {FORMAT}: use the program that \
             wrote it",
            path.display()
        ))),
        _ => Err(corrupt(path, "it is not a database of everynode")),
    }
}

/// Brings a database of an older format to ours: all of it or nothing.
pub(super) fn bring_up_to_date(connection: &mut Connection, format: i32) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    if format < 2 {
        // Its rows are complete, so the log begins empty.
        transaction.execute_batch(SCHEMA_OF_THE_LOG)?;
    }
    if format < 3 {
        let marks = tables::marks_of_format_2(&transaction)?;
        transaction.execute_batch(SCHEMA_OF_THE_SUMS)?;
        tables::put_marks(&transaction, &marks)?;
    }
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

/// Checks what no row's checksum covers: the tables' definitions and how the file is laid out.
pub(super) fn check_layout(connection: &Connection) -> rusqlite::Result<()> {
    let model = Connection::open_in_memory()?;
    make_tables(&model)?;
    if definitions(connection)? != definitions(&model)? {
        return Err(tables::damaged("the tables are not defined as they were".to_owned()));
    }
    for (pragma, value) in [("page_size", "4096"), ("auto_vacuum", "0"), ("encoding", "UTF-8")] {
        let found = connection.pragma_query_value(None, pragma, text_of)?;
        if found != value {
            return Err(tables::damaged(format!("{pragma} is {found} instead of {value}")));
        }
    }
    Ok(())
}

fn text_of(row: &Row<'_>) -> rusqlite::Result<String> {
    match row.get_ref(0)? {
        ValueRef::Integer(number) => Ok(number.to_string()),
        other => Ok(other.as_str()?.to_owned()),
    }
}

fn definitions(connection: &Connection) -> rusqlite::Result<Vec<[Option<String>; 4]>> {
    let mut statement = connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
    rows.collect()
}

/// Refuses what an interrupted copy or a truncation leaves; SQLite would begin a new database.
pub(super) fn refuse_remains(path: &Path, witness: &Path) -> Result<(), StoreError> {
    let beside = [log_of(path), witness.to_owned()].into_iter().find(|beside| beside.exists());
    match (fs::metadata(path), beside) {
        (Ok(found), _) if found.len() == 0 => Err(corrupt(path, "it is empty")),
        (Err(_), Some(beside)) => Err(corrupt(path, &format!("it is missing and {} is not", beside.display()))),
        _ => Ok(()),
    }
}

/// Refuses a log that SQLite would silently end before acknowledged writes.
pub(super) fn refuse_damaged_log(
    connection: &Connection,
    path: &Path,
    acknowledged: Option<Revision>,
) -> Result<(), StoreError> {
    let log = log_of(path);
    let Some(damage) = wal::damage(&log).map_err(|error| disk_error("read", &log, error))? else { return Ok(()) };
    let last = tables::marks(connection).map(|marks| format!("revision {}", marks.revision.0));
    let what = format!(
        "at byte {} its checksum is wrong, and {} whole frames follow; before it is {}, acknowledged was {}",
        damage.at,
        damage.later,
        last.unwrap_or_else(|_| "nothing that can be read".to_owned()),
        acknowledged.map_or("more".to_owned(), |revision| format!("revision {}", revision.0)),
    );
    Err(corrupt(&log, &what))
}

pub(super) fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

pub(super) fn corrupt(path: &Path, what: &str) -> StoreError {
    let dir = path.parent().unwrap_or(path);
    StoreError::Corrupt(format!(
        "{} is damaged ({what}). Nothing was changed. Restore {} from a backup; or see with `everynode store verify` \
         what is left, and go on with that by `everynode store repair --accept-loss`; or move the directory away to \
         begin with an empty store",
        path.display(),
        dir.display(),
    ))
}

pub(super) fn failure(code: i32, text: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(text))
}

/// Says of an SQLite error whose fault it is.
pub(super) fn store_error(error: rusqlite::Error, path: &Path) -> StoreError {
    let damaged = match &error {
        rusqlite::Error::SqliteFailure(failure, _) => {
            use ErrorCode::{DatabaseCorrupt, NotADatabase, TooBig, Unknown};
            matches!(failure.code, DatabaseCorrupt | NotADatabase | TooBig | Unknown)
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
        false if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
            StoreError::Full(format!("{}: {error}", path.display()))
        }
        false => StoreError::Disk(format!("{}: {error}", path.display())),
    }
}
