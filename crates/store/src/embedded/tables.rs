//! SQLite's tables: the only place that knows their columns.
//!
//! `kv` holds rows as they were at one revision, `log` every write since. A row has a number that
//! names one incarnation of a key, so no index on keys is needed: memory knows the number, and new
//! rows go to the end of the file. Rows and records have a checksum each; the row of numbers says
//! how many keys there must be and which records.

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
const PUT: &str = "REPLACE INTO kv (row, key, value, created, modified, expires_ms, checksum) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const DELETE: &str = "DELETE FROM kv WHERE row = ?1";
const GET: &str = "SELECT row, key, value, created, modified, expires_ms, checksum FROM kv";
const GET_ONE: &str = "SELECT row, key, value, created, modified, expires_ms, checksum FROM kv WHERE row = ?1";
const PUT_NUMBERS: &str =
    "UPDATE numbers SET revision = ?1, reserved = ?2, keys = ?3, folded = ?4, first = ?5, next = ?6";
const GET_NUMBERS: &str = "SELECT revision, reserved, keys, folded, first, next FROM numbers WHERE only = 1";
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
    connection.query_row(GET_NUMBERS, [], |row| {
        let number = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
        Ok(Marks {
            revision: Revision(number(0)?),
            reserved: Revision(number(1)?),
            keys: number(2)? as usize,
            folded: Revision(number(3)?),
            first: number(4)?,
            next: number(5)?,
        })
    })
}

pub(super) fn put_marks(connection: &Connection, marks: &Marks) -> rusqlite::Result<()> {
    let Marks { revision, reserved, keys, folded, first, next } = *marks;
    let numbers = [revision.0, reserved.0, keys as u64, folded.0, first, next];
    connection.prepare_cached(PUT_NUMBERS)?.execute(numbers.map(u64::cast_signed)).map(drop)
}

pub(super) fn entries(connection: &Connection) -> rusqlite::Result<Vec<Arc<Entry>>> {
    let mut statement = connection.prepare(GET)?;
    let mut rows = statement.query([])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(Arc::new(read_entry(row)?));
    }
    Ok(entries)
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
