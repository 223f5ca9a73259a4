//! SQLite's write-ahead log, read without SQLite.
//!
//! SQLite ends its log at the first frame whose checksum is wrong and says nothing: what a crash
//! tore off was acknowledged to no caller. A frame that went bad later looks the same to it, and
//! all commits after it are gone. The difference is what follows: with `synchronous=FULL` a commit
//! is on disk before the next one is begun, so frames that follow a commit prove that everything up
//! to it was once whole.
//!
//! Frames of a transaction that failed may stand behind the newest commit. They end with their own
//! commit at the latest, so nothing follows them.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// Of every database that [`super::file::create`] has made.
pub(super) const PAGE_BYTES: usize = 4_096;
/// Magic number and format of the log; with the last bit checksums are of big-endian words.
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;

/// A place in the log that was whole once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// The first byte of the frame (of the file, if it is the header).
    pub(super) at: u64,
    /// Whole frames behind it, at least.
    pub(super) later: u64,
}

/// Looks for damage in the middle; a log that is missing has none.
pub(super) fn damage(path: &Path) -> io::Result<Option<Damage>> {
    match File::open(path) {
        Ok(file) => find(BufReader::with_capacity(1 << 20, file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The same for the log's bytes.
pub(super) fn find(mut log: impl Read) -> io::Result<Option<Damage>> {
    let mut header = [0; HEADER_BYTES];
    if !fill(&mut log, &mut header)? {
        return Ok(None);
    }
    let mut scan = Scan::after(&header);
    let (mut frame, mut at) = ([0; FRAME_HEADER_BYTES + PAGE_BYTES], HEADER_BYTES as u64);
    while fill(&mut log, &mut frame)? {
        scan.take(&frame, at);
        at += frame.len() as u64;
    }
    Ok(scan.damage())
}

/// False where less is left.
fn fill(log: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        other => other.map(|()| true),
    }
}

type Sum = (u32, u32);

struct Scan {
    big_endian: bool,
    /// Every frame of this log has them; not known when the header is bad.
    salts: Option<[u8; 8]>,
    /// What the frame before says that its checksum is: the next one goes on from it.
    before: Sum,
    /// The first frame that SQLite does not take.
    bad_at: Option<u64>,
    /// Whether the frames in a row that led here, the first of them perhaps bad itself, have ended
    /// a commit.
    after_commit: bool,
    later: u64,
    proven: bool,
}

impl Scan {
    fn after(header: &[u8; HEADER_BYTES]) -> Scan {
        let big_endian = word(header, 0, true) & 1 == 1;
        let known = word(header, 0, true) | 1 == MAGIC | 1
            && word(header, 4, true) == VERSION
            && word(header, 8, true) as usize == PAGE_BYTES;
        let before = (word(header, 24, true), word(header, 28, true));
        let whole = known && sum((0, 0), &header[..24], big_endian) == before;
        Scan {
            big_endian,
            salts: whole.then(|| eight(&header[16..])),
            before,
            bad_at: (!whole).then_some(0),
            after_commit: false,
            later: 0,
            proven: false,
        }
    }

    fn take(&mut self, frame: &[u8], at: u64) {
        let (head, page) = frame.split_at(FRAME_HEADER_BYTES);
        let salts = eight(&head[8..]);
        let ours = *self.salts.get_or_insert(salts) == salts;
        let said = (word(head, 16, true), word(head, 20, true));
        let found = sum(sum(self.before, &head[..8], self.big_endian), page, self.big_endian);
        let follows = ours && found == said;
        let commits = ours && word(head, 4, true) != 0;
        self.before = said;
        if self.bad_at.is_none() && follows {
            return;
        }
        if self.bad_at.is_none() {
            self.bad_at = Some(at);
            self.after_commit = commits;
            return;
        }
        self.later += u64::from(follows);
        self.proven |= follows && self.after_commit;
        self.after_commit = commits || follows && self.after_commit;
    }

    fn damage(&self) -> Option<Damage> {
        self.bad_at.filter(|_| self.proven).map(|at| Damage { at, later: self.later })
    }
}

/// SQLite's checksum of bytes whose number is a multiple of eight.
fn sum((mut one, mut other): Sum, bytes: &[u8], big_endian: bool) -> Sum {
    for pair in bytes.chunks_exact(8) {
        one = one.wrapping_add(word(pair, 0, big_endian)).wrapping_add(other);
        other = other.wrapping_add(word(pair, 4, big_endian)).wrapping_add(one);
    }
    (one, other)
}

fn word(bytes: &[u8], at: usize, big_endian: bool) -> u32 {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).unwrap_or_default();
    if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
}

fn eight(bytes: &[u8]) -> [u8; 8] {
    bytes.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log as SQLite leaves it: commits of one or more pages.
    fn log() -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection.execute_batch("CREATE TABLE t (b BLOB)").unwrap();
        for size in [10, 9_000, 10, 20_000, 10, 10] {
            connection.execute("INSERT INTO t VALUES (zeroblob(?1))", [size]).unwrap();
        }
        std::fs::read(dir.path().join("d-wal")).unwrap()
    }

    const FRAME: usize = FRAME_HEADER_BYTES + PAGE_BYTES;

    fn commits(log: &[u8]) -> Vec<usize> {
        let frames = log[HEADER_BYTES..].chunks_exact(FRAME);
        frames.enumerate().filter(|(_, frame)| word(frame, 4, true) != 0).map(|(n, _)| n).collect()
    }

    fn found(log: &[u8]) -> Option<Damage> {
        find(log).unwrap()
    }

    #[test]
    fn a_whole_log_and_a_torn_one_are_no_damage() {
        let whole = log();
        assert!(commits(&whole).len() >= 7, "{:?}", commits(&whole));
        for length in (0..whole.len()).step_by(511).chain([whole.len()]) {
            assert_eq!(found(&whole[..length]), None, "{length}");
        }
    }

    /// The newest commit may be torn in any way; in those before it, every bit counts.
    #[test]
    fn damage_before_the_newest_commit_is_found_and_placed() {
        let whole = log();
        let ends = commits(&whole);
        let (newest, last) = (ends[ends.len() - 2] + 1, ends[ends.len() - 1]);
        assert_eq!(newest, last, "one frame");
        for at in (0..whole.len()).step_by(97).chain(0..HEADER_BYTES + FRAME_HEADER_BYTES) {
            let mut bad = whole.clone();
            bad[at] ^= 1 << (at % 8);
            let frame = at.checked_sub(HEADER_BYTES).map(|at| at / FRAME);
            let place = frame.map_or(0, |frame| (HEADER_BYTES + frame * FRAME) as u64);
            match found(&bad) {
                Some(damage) => assert_eq!(damage.at, place, "byte {at}"),
                // Nothing proves that it was whole: the checksum that the next one goes on from is
                // gone.
                None => assert!(frame.is_some_and(|frame| frame + 2 > last), "byte {at} of frame {frame:?}"),
            }
        }
    }

    /// A transaction failed after its frames were written, and a shorter one has come in its place.
    #[test]
    fn remains_of_a_failed_transaction_are_no_damage() {
        let whole = log();
        let ends = commits(&whole);
        let begins = ends.windows(2).find(|pair| pair[1] - pair[0] > 3).map(|pair| pair[0] + 1).unwrap();
        let longest = ends.iter().copied().find(|end| *end > begins).unwrap();
        let mut log = whole[..HEADER_BYTES + (longest + 1) * FRAME].to_vec();
        // One frame that is a commit of its own, chained to what is before it.
        let place = HEADER_BYTES + begins * FRAME;
        let before = (word(&log, place - FRAME + 16, true), word(&log, place - FRAME + 20, true));
        log[place + 4..place + 8].copy_from_slice(&9u32.to_be_bytes());
        let big_endian = word(&log, 0, true) & 1 == 1;
        let head = sum(before, &log[place..place + 8], big_endian);
        let (one, other) = sum(head, &log[place + FRAME_HEADER_BYTES..place + FRAME], big_endian);
        log[place + 16..place + 20].copy_from_slice(&one.to_be_bytes());
        log[place + 20..place + 24].copy_from_slice(&other.to_be_bytes());
        assert_eq!(found(&log), None);
    }
}
