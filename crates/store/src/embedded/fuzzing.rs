//! What reads the store's files, for the fuzzing targets: any bytes are read or refused, and never
//! a panic.

use super::log::{self, RowMap};
use super::{wal, witness};
use crate::Revision;

/// A record of the log, onto no rows and onto those that it makes itself.
pub fn record(data: &[u8]) {
    let Some(writes) = log::decode(data) else { return };
    let mut rows = RowMap::new();
    let steps: Vec<_> = writes.into_iter().map_while(|write| write.replay(&mut rows)).collect();
    // Whatever was done can be written down and is read as the same.
    if steps.windows(2).all(|pair| pair[0].revision <= pair[1].revision) {
        let mut again = Vec::new();
        log::encode(&mut again, &steps, Revision(0));
        let read = log::decode(&again).map(|writes| writes.len());
        assert_eq!(read, Some(steps.len()), "a record that was written can be read");
    }
}

/// SQLite's log: damage is placed within it.
pub fn wal(data: &[u8]) {
    if let Ok(Some(damage)) = wal::find(data) {
        assert!(damage.later > 0 && damage.at < data.len() as u64);
    }
}

/// The witness: without a whole place in it, nothing is believed.
pub fn witness(data: &[u8]) {
    let said = witness::parse(data).acknowledged();
    assert!(said.is_none() || data.windows(8).any(|bytes| bytes == b"everywit"));
}
