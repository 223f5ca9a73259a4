//! SQLite's tables: the only place that knows their columns.
//!
//! `kv` holds rows as they were at one revision, `log` every write since. A row has a number that
//! names one incarnation of a key, so no index on keys is needed: memory knows the number, and new
//! rows go to the end of the file. Rows, records and the row of numbers have a checksum each; the
//! row of numbers says how many keys there must be, which records, and the sum of the rows'
//! checksums, so that a row that is an older one of itself does not pass.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::checksum::Checksum;
use super::file::failure;
use crate::tree::Entry;
use crate::{KeyValue, Revision};

pub(super) const SCHEMA: &str = "
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
/// What came with format 2. After a crash of format 1 numbering continues beyond the reserved.
pub(super) const SCHEMA_OF_THE_LOG: &str = "
    CREATE TABLE log (
        number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, revision INTEGER NOT NULL,
        writes INTEGER NOT NULL, record BLOB NOT NULL, checksum INTEGER NOT NULL
    );
    ALTER TABLE numbers ADD COLUMN folded INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE numbers ADD COLUMN first INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE numbers ADD COLUMN next INTEGER NOT NULL DEFAULT 1;
    UPDATE numbers SET folded = max(revision, reserved);
";
/// What came with format 3; the numbers are to be written anew after it.
pub(super) const SCHEMA_OF_THE_SUMS: &str = "
    ALTER TABLE numbers ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE numbers ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
";
const PUT: &str = "REPLACE INTO kv (row, key, value, created, modified, expires_ms, checksum) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const DELETE: &str = "DELETE FROM kv WHERE row = ?1";
const GET: &str = "SELECT row, key, value, created, modified, expires_ms, checksum FROM kv ORDER BY row";
const GET_BACKWARDS: &str = "SELECT row, key, value, created, modified, expires_ms, checksum FROM kv ORDER BY row DESC";
const GET_ONE: &str = "SELECT row, key, value, created, modified, expires_ms, checksum FROM kv WHERE row = ?1";
const PUT_NUMBERS: &str = "UPDATE numbers SET revision = ?1, reserved = ?2, keys = ?3, folded = ?4, first = ?5, next = ?6, sum = ?7, \
     checksum = ?8";
const GET_NUMBERS: &str =
    "SELECT revision, reserved, keys, folded, first, next, sum, checksum FROM numbers WHERE only = 1";
const GET_NUMBERS_OF_2: &str = "SELECT revision, reserved, keys, folded, first, next, 0, 0 FROM numbers WHERE only = 1";
const APPEND: &str =
    "INSERT INTO log (number, at_ms, revision, writes, record, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const FORGET: &str = "DELETE FROM log WHERE number < ?1";
const RECORDS: &str = "SELECT number, at_ms, revision, writes, record, checksum FROM log ORDER BY number";

/// The row of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) revision: Revision,
    /// Relaxed writes may be issued up to here; numbering continues beyond it after a crash.
    pub(super) reserved: Revision,
    pub(super) keys: usize,
    /// The revision that `kv` shows.
    pub(super) folded: Revision,
    /// The number of the first record, and of the one to come.
    pub(super) first: u64,
    pub(super) next: u64,
    /// Of the checksums of all rows of `kv`.
    pub(super) sum: u64,
}

impl Marks {
    pub(super) fn of_an_empty_store() -> Marks {
        let (revision, reserved, folded) = Default::default();
        Marks { revision, reserved, keys: 0, folded, first: 1, next: 1, sum: 0 }
    }

    fn words(&self) -> [u64; 7] {
        let Marks { revision, reserved, keys, folded, first, next, sum } = *self;
        [revision.0, reserved.0, keys as u64, folded.0, first, next, sum]
    }

    fn checksum(&self) -> u64 {
        self.words().into_iter().fold(Checksum::new(), Checksum::number).finish()
    }
}

/// A row of the log.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) at_ms: u64,
    /// The newest revision in it.
    pub(super) revision: Revision,
    pub(super) writes: usize,
    pub(super) bytes: Vec<u8>,
}

pub(super) fn marks(connection: &Connection) -> rusqlite::Result<Marks> {
    let (marks, checksum) = connection.query_row(GET_NUMBERS, [], read_marks)?;
    match marks.checksum() == checksum {
        true => Ok(marks),
        false => Err(damaged("the checksum of the numbers is wrong".to_owned())),
    }
}

/// The numbers of a database of format 2, with the sum that its rows have.
pub(super) fn marks_of_format_2(connection: &Connection) -> rusqlite::Result<Marks> {
    let (marks, _) = connection.query_row(GET_NUMBERS_OF_2, [], read_marks)?;
    let mut sum = 0u64;
    rows(connection, true, |entry| {
        sum = sum.wrapping_add(checksum(&entry?));
        Ok(())
    })?;
    Ok(Marks { sum, ..marks })
}

fn read_marks(row: &Row<'_>) -> rusqlite::Result<(Marks, u64)> {
    let number = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
    let marks = Marks {
        revision: Revision(number(0)?),
        reserved: Revision(number(1)?),
        keys: number(2)? as usize,
        folded: Revision(number(3)?),
        first: number(4)?,
        next: number(5)?,
        sum: number(6)?,
    };
    Ok((marks, number(7)?))
}

pub(super) fn put_marks(connection: &Connection, marks: &Marks) -> rusqlite::Result<()> {
    let [revision, reserved, keys, folded, first, next, sum] = marks.words();
    let numbers = [revision, reserved, keys, folded, first, next, sum, marks.checksum()];
    connection.prepare_cached(PUT_NUMBERS)?.execute(numbers.map(u64::cast_signed)).map(drop)
}

/// Hands out the rows in the order of their numbers, or against it. A row whose checksum is wrong
/// is an error that is handed out in its place; what SQLite itself cannot read ends it.
pub(super) fn rows(
    connection: &Connection,
    forwards: bool,
    mut take: impl FnMut(rusqlite::Result<Entry>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(if forwards { GET } else { GET_BACKWARDS })?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        take(read_entry(row))?;
    }
    Ok(())
}

pub(super) fn entry(connection: &Connection, row: u64) -> rusqlite::Result<Option<Arc<Entry>>> {
    let mut statement = connection.prepare_cached(GET_ONE)?;
    statement.query_row([row.cast_signed()], read_entry).optional().map(|entry| entry.map(Arc::new))
}

pub(super) fn put_entry(connection: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached(PUT)?;
    put.execute(params![
        entry.row.cast_signed(),
        &**entry.key(),
        &*entry.kv.value,
        entry.kv.created.0.cast_signed(),
        entry.kv.modified.0.cast_signed(),
        entry.expires_ms.map(u64::cast_signed),
        checksum(entry).cast_signed(),
    ])
    .map(drop)
}

pub(super) fn delete_entry(connection: &Connection, row: u64) -> rusqlite::Result<()> {
    connection.prepare_cached(DELETE)?.execute([row.cast_signed()]).map(drop)
}

pub(super) fn append(connection: &Connection, record: &Record) -> rusqlite::Result<()> {
    let mut append = connection.prepare_cached(APPEND)?;
    append
        .execute(params![
            record.number.cast_signed(),
            record.at_ms.cast_signed(),
            record.revision.0.cast_signed(),
            (record.writes as u64).cast_signed(),
            record.bytes,
            checksum_of_record(record).cast_signed(),
        ])
        .map(drop)
}

/// Removes the records before `number`.
pub(super) fn forget(connection: &Connection, number: u64) -> rusqlite::Result<()> {
    connection.prepare_cached(FORGET)?.execute([number.cast_signed()]).map(drop)
}

/// Hands out the records in order, until `take` has had enough.
pub(super) fn records(
    connection: &Connection,
    mut take: impl FnMut(Record) -> rusqlite::Result<bool>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(RECORDS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if !take(read_record(row)?)? {
            break;
        }
    }
    Ok(())
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
    match checksum(&entry) == number(6)? {
        true => Ok(entry),
        false => Err(damaged(format!("the checksum of {} is wrong", entry.key()))),
    }
}

fn read_record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let number = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
    let record = Record {
        number: number(0)?,
        at_ms: number(1)?,
        revision: Revision(number(2)?),
        writes: number(3)? as usize,
        bytes: row.get_ref(4)?.as_blob()?.to_owned(),
    };
    match checksum_of_record(&record) == number(5)? {
        true => Ok(record),
        false => Err(damaged(format!("the checksum of record {} is wrong", record.number))),
    }
}

pub(super) fn checksum(entry: &Entry) -> u64 {
    Checksum::new()
        .number(entry.row)
        .number(entry.kv.created.0)
        .number(entry.kv.modified.0)
        .number(entry.expires_ms.map_or(u64::MAX, |at_ms| at_ms))
        .bytes(entry.key().as_bytes())
        .bytes(&entry.kv.value)
        .finish()
}

fn checksum_of_record(record: &Record) -> u64 {
    Checksum::new()
        .number(record.number)
        .number(record.at_ms)
        .number(record.revision.0)
        .number(record.writes as u64)
        .bytes(&record.bytes)
        .finish()
}

pub(super) fn damaged(text: String) -> rusqlite::Error {
    failure(rusqlite::ffi::SQLITE_CORRUPT, text)
}

pub(super) fn unwritable(error: &std::io::Error) -> rusqlite::Error {
    failure(rusqlite::ffi::SQLITE_CANTOPEN, error.to_string())
}
