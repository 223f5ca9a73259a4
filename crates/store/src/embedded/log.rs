//! The log's text: every write since the tables were last brought up to date, in order.
//!
//! One record holds what one fsync made durable. A write of a key that exists is recorded as what
//! differs from the value before it: the renewal of a lease takes 50 bytes instead of 500, and a
//! pod's status a fraction of the pod. So records can only be read in order and onto the state
//! that they began from; each names the revision that it replaces, and one that does not fit is
//! damage.
//!
//! Numbers are little-endian base 128, as in protobuf.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::stage::Step;
use crate::tree::Entry;
use crate::{Key, KeyValue, Revision};

/// What a write did, in a record.
const CREATED: u8 = 1;
const CHANGED: u8 = 2;
const DELETED: u8 = 3;

/// Rows by their numbers.
pub(super) type RowMap = HashMap<u64, Arc<Entry>>;

/// Appends writes to a record whose newest revision so far is `last` (0: it is empty); returns its
/// newest now.
pub(super) fn encode(out: &mut Vec<u8>, steps: &[Step], mut last: Revision) -> Revision {
    for step in steps {
        let since = step.revision.0 - last.0;
        last = step.revision;
        match (&step.old, &step.new) {
            (None, Some(new)) => {
                head(out, CREATED, since, new.row);
                number(out, deadline(new));
                bytes(out, new.key().as_bytes());
                bytes(out, &new.kv.value);
            }
            (Some(old), Some(new)) => {
                head(out, CHANGED, since, new.row);
                number(out, step.revision.0 - old.kv.modified.0);
                number(out, deadline(new));
                difference(out, &old.kv.value, &new.kv.value);
            }
            (Some(old), None) => {
                head(out, DELETED, since, old.row);
                number(out, step.revision.0 - old.kv.modified.0);
            }
            (None, None) => {}
        }
    }
    last
}

fn head(out: &mut Vec<u8>, what: u8, since: u64, row: u64) {
    out.push(what);
    number(out, since);
    number(out, row);
}

/// A deadline as a number: 0 for none.
fn deadline(entry: &Entry) -> u64 {
    entry.expires_ms.map_or(0, |at_ms| at_ms.saturating_add(1))
}

/// How many bytes stay at the beginning and at the end, and what is between them now.
fn difference(out: &mut Vec<u8>, old: &[u8], new: &[u8]) {
    let same = |(one, other): &(&u8, &u8)| one == other;
    let kept = old.iter().zip(new).take_while(same).count();
    let ends = old[kept..].iter().rev().zip(new[kept..].iter().rev()).take_while(same).count();
    number(out, kept as u64);
    number(out, ends as u64);
    bytes(out, &new[kept..new.len() - ends]);
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A write as it is recorded.
#[derive(Debug)]
pub(super) struct Recorded<'a> {
    pub(super) row: u64,
    revision: Revision,
    what: RecordedChange<'a>,
}

#[derive(Debug)]
enum RecordedChange<'a> {
    Created { expires_ms: Option<u64>, key: &'a str, value: &'a [u8] },
    Changed { replaces: Revision, expires_ms: Option<u64>, kept: usize, ends: usize, middle: &'a [u8] },
    Deleted { replaces: Revision },
}

/// The writes of a record; `None`: it is damaged.
pub(super) fn decode(record: &[u8]) -> Option<Vec<Recorded<'_>>> {
    let (mut rest, mut found, mut last) = (Reader(record), Vec::new(), Revision(0));
    while let Some((what, after)) = rest.0.split_first() {
        rest = Reader(after);
        last = Revision(last.0.checked_add(rest.number()?)?);
        let row = rest.number()?;
        let what = rest.what(*what, last)?;
        found.push(Recorded { row, revision: last, what });
    }
    Some(found)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn what(&mut self, what: u8, revision: Revision) -> Option<RecordedChange<'a>> {
        match what {
            CREATED => Some(RecordedChange::Created {
                expires_ms: self.deadline()?,
                key: std::str::from_utf8(self.bytes()?).ok()?,
                value: self.bytes()?,
            }),
            CHANGED => Some(RecordedChange::Changed {
                replaces: self.replaces(revision)?,
                expires_ms: self.deadline()?,
                kept: usize::try_from(self.number()?).ok()?,
                ends: usize::try_from(self.number()?).ok()?,
                middle: self.bytes()?,
            }),
            DELETED => Some(RecordedChange::Deleted { replaces: self.replaces(revision)? }),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn replaces(&mut self, revision: Revision) -> Option<Revision> {
        revision.0.checked_sub(self.number()?).map(Revision)
    }

    fn deadline(&mut self) -> Option<Option<u64>> {
        Some(self.number()?.checked_sub(1))
    }
}

impl Recorded<'_> {
    /// Whether the row was there before.
    pub(super) fn needs_old(&self) -> bool {
        !matches!(self.what, RecordedChange::Created { .. })
    }

    /// Does the write again on rows as they were before it; `None`: it does not fit them.
    pub(super) fn replay(self, rows: &mut RowMap) -> Option<Step> {
        let Recorded { revision, row, what } = self;
        let old = rows.remove(&row);
        let (replaces, entry) = match what {
            RecordedChange::Created { expires_ms, key, value } => {
                let (key, value): (Key, _) = (key.into(), Bytes::copy_from_slice(value));
                let kv = KeyValue { key, value, created: revision, modified: revision };
                (None, Some(Entry { kv, expires_ms, row }))
            }
            RecordedChange::Changed { replaces, expires_ms, kept, ends, middle } => {
                let old = &old.as_ref()?.kv;
                let value = spliced(&old.value, kept, ends, middle)?;
                let kv = KeyValue { key: old.key.clone(), value, created: old.created, modified: revision };
                (Some(replaces), Some(Entry { kv, expires_ms, row }))
            }
            RecordedChange::Deleted { replaces } => (Some(replaces), None),
        };
        let new = entry.map(Arc::new);
        rows.extend(new.iter().map(|new| (row, new.clone())));
        let fits = old.as_ref().map(|old| old.kv.modified) == replaces;
        fits.then_some(Step { revision, old, new })
    }
}

fn spliced(old: &[u8], kept: usize, ends: usize, middle: &[u8]) -> Option<Bytes> {
    let begin = old.get(..kept)?;
    let end = &old[old.len().checked_sub(ends).filter(|at| *at >= kept)?..];
    Some([begin, middle, end].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(row: u64, value: &str, modified: u64, expires_ms: Option<u64>) -> Arc<Entry> {
        let (key, value) = (format!("/k/{row}").into(), value.to_owned().into());
        let kv = KeyValue { key, value, created: Revision(3), modified: Revision(modified) };
        Arc::new(Entry { kv, expires_ms, row })
    }

    fn step(old: Option<&Arc<Entry>>, new: Option<&Arc<Entry>>, revision: u64) -> Step {
        Step { revision: Revision(revision), old: old.cloned(), new: new.cloned() }
    }

    /// Created, changed in the middle, at both ends, not at all, to nothing and back, deleted.
    fn story() -> Vec<Step> {
        let texts = ["renewed at 1000 by a", "renewed at 1001 by a", "Renewed at 1001 by b"];
        let texts = texts.into_iter().chain(["Renewed at 1001 by b", "", "aaa", "aa", "aaaa"]);
        let states: Vec<_> = (3..).zip(texts).map(|(at, text)| entry(7, text, at, (at == 5).then_some(0))).collect();
        let mut steps = vec![step(None, states.first(), 3)];
        steps.extend(states.windows(2).map(|pair| step(Some(&pair[0]), Some(&pair[1]), pair[1].kv.modified.0)));
        steps.push(step(states.last(), None, 20_000));
        steps
    }

    fn record() -> Vec<u8> {
        let mut out = Vec::new();
        assert_eq!(encode(&mut out, &story(), Revision(0)), Revision(20_000));
        out
    }

    fn replayed(record: &[u8], rows: &mut RowMap) -> Option<Vec<Step>> {
        decode(record)?.into_iter().map(|one| one.replay(rows)).collect()
    }

    #[test]
    fn replaying_is_what_happened() {
        let told = |steps: &[Step]| -> Vec<_> {
            let deadline = |step: &Step| step.new.as_ref().map(|new| (new.expires_ms, new.row));
            steps.iter().map(|step| (step.change(), deadline(step))).collect()
        };
        let mut rows = RowMap::new();
        let found = replayed(&record(), &mut rows).expect("whole");
        assert_eq!(told(&found), told(&story()));
        assert!(rows.is_empty(), "it was deleted at the end");
    }

    #[test]
    fn a_renewal_takes_few_bytes() {
        let lease = |at: u32| format!("{}\"renewTime\":\"2026-11-25T22:38:{at}.000000Z\"}}", "x".repeat(400));
        let (old, new) = (entry(4_000, &lease(10), 100_000, None), entry(4_000, &lease(27), 105_000, None));
        let mut out = Vec::new();
        encode(&mut out, &[step(Some(&old), Some(&new), 105_000)], Revision(104_999));
        assert!(out.len() < 20, "{} bytes", out.len());
    }

    /// Cut or changed anywhere it is refused or read as something else, but never a panic.
    #[test]
    fn damage_never_panics() {
        let whole = record();
        for length in 0..whole.len() {
            replayed(&whole[..length], &mut RowMap::new());
            for bit in 0..8 {
                let mut bad = whole.clone();
                bad[length] ^= 1 << bit;
                replayed(&bad, &mut RowMap::new());
            }
        }
        assert!(replayed(&whole[..whole.len() - 1], &mut RowMap::new()).is_none());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (old, new) = (entry(7, "abc", 9, None), entry(7, "abd", 12, None));
        let mut out = Vec::new();
        encode(&mut out, &[step(Some(&old), Some(&new), 12)], Revision(0));
        let on = |rows: &[Arc<Entry>]| replayed(&out, &mut rows.iter().map(|one| (one.row, one.clone())).collect());
        assert!(on(&[old]).is_some());
        assert!(on(&[entry(7, "abc", 8, None)]).is_none(), "another revision");
        assert!(on(&[entry(7, "a", 9, None)]).is_none(), "another length");
        assert!(on(&[]).is_none(), "no row");
    }
}
