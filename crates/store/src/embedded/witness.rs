//! What was acknowledged, written down outside the log.
//!
//! After each commit's fsync and before its answers, the newest revision goes to `store.witness`.
//! So the log may be ahead of its witness and never behind: a store that ends before it has lost
//! something. The witness outlives the process at once; it gets an fsync of its own only now and
//! then, so that after a power cut it may say too little, never too much.
//!
//! Two places are written in turn, each with a checksum: one is whole at any moment.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::checksum::Checksum;
use super::file::sync_dir;
use super::lock::private_file;
use crate::Revision;

const MAGIC: &[u8; 8] = b"everywit";
const SLOT_BYTES: usize = 40;
/// A disk's sector is never shared by both places.
const SLOT_EVERY: usize = 4_096;

/// The newest numbers that were acknowledged to a caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Acknowledged {
    pub(super) revision: Revision,
    /// Relaxed writes may have been told up to here.
    pub(super) reserved: Revision,
}

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WitnessContent {
    Missing,
    /// In neither place is anything that can be believed.
    Nothing,
    This {
        acknowledged: Acknowledged,
        turn: u64,
        /// Both places are whole.
        whole: bool,
    },
}

impl WitnessContent {
    pub(super) fn acknowledged(&self) -> Option<Acknowledged> {
        match self {
            WitnessContent::This { acknowledged, .. } => Some(*acknowledged),
            WitnessContent::Missing | WitnessContent::Nothing => None,
        }
    }
}

pub(super) fn path_in(dir: &Path) -> PathBuf {
    dir.join("store.witness")
}

pub(super) fn read(path: &Path) -> io::Result<WitnessContent> {
    let mut bytes = Vec::new();
    match File::open(path) {
        // Longer ones are not ours.
        Ok(file) => file.take(2 * SLOT_EVERY as u64).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(WitnessContent::Missing),
        Err(error) => return Err(error),
    };
    Ok(parse(&bytes))
}

pub(super) fn parse(bytes: &[u8]) -> WitnessContent {
    let slots = [slot(bytes, 0), slot(bytes, SLOT_EVERY)];
    let whole = slots.iter().all(Option::is_some);
    match slots.into_iter().flatten().max_by_key(|(turn, _)| *turn) {
        Some((turn, acknowledged)) => WitnessContent::This { acknowledged, turn, whole },
        None => WitnessContent::Nothing,
    }
}

fn slot(bytes: &[u8], at: usize) -> Option<(u64, Acknowledged)> {
    let slot: &[u8; SLOT_BYTES] = bytes.get(at..)?.first_chunk()?;
    let (words, _) = slot.as_chunks::<8>();
    let number = |at: usize| words.get(at).copied().map(u64::from_le_bytes);
    let (turn, revision, reserved) = (number(1)?, Revision(number(2)?), Revision(number(3)?));
    let acknowledged = Acknowledged { revision, reserved };
    (slot == &encode(turn, acknowledged)).then_some((turn, acknowledged))
}

fn encode(turn: u64, acknowledged: Acknowledged) -> [u8; SLOT_BYTES] {
    let (mut out, mut sum) = ([0; SLOT_BYTES], Checksum::new().bytes(MAGIC));
    out[..8].copy_from_slice(MAGIC);
    for (at, word) in [turn, acknowledged.revision.0, acknowledged.reserved.0].into_iter().enumerate() {
        out[8 * (at + 1)..8 * (at + 2)].copy_from_slice(&word.to_le_bytes());
        sum = sum.number(word);
    }
    out[SLOT_BYTES - 8..].copy_from_slice(&sum.finish().to_le_bytes());
    out
}

/// The file, while the store is open.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
    turn: u64,
}

impl Witness {
    /// Goes on with a file that is whole.
    pub(super) fn go_on(path: &Path, turn: u64) -> io::Result<Witness> {
        Ok(Witness { file: private_file(path)?, turn })
    }

    /// Makes the file anew, durably and at once: whoever looks finds the old one or this.
    pub(super) fn make(dir: &Path, acknowledged: Acknowledged) -> io::Result<Witness> {
        let (path, fresh) = (path_in(dir), dir.join("store.witness.new"));
        let file = private_file(&fresh)?;
        file.set_len(0)?;
        // Written to its whole length, so that no later write needs room.
        file.write_all_at(&[0; 2 * SLOT_EVERY], 0)?;
        let mut witness = Witness { file, turn: 0 };
        witness.write(acknowledged)?;
        witness.write(acknowledged)?;
        witness.file.sync_all()?;
        fs::rename(&fresh, &path)?;
        sync_dir(dir)?;
        Ok(witness)
    }

    /// Notes what is durable and will be told next.
    pub(super) fn write(&mut self, acknowledged: Acknowledged) -> io::Result<()> {
        let turn = self.turn + 1;
        self.file.write_all_at(&encode(turn, acknowledged), turn % 2 * SLOT_EVERY as u64)?;
        self.turn = turn;
        Ok(())
    }

    /// Makes it outlive a power cut.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(revision: u64) -> Acknowledged {
        Acknowledged { revision: Revision(revision), reserved: Revision(100) }
    }

    /// The form on disk does not change by accident.
    #[test]
    fn a_file_of_another_build_is_read() {
        let file = include_bytes!("../../../../fuzz/corpus/store_witness/whole");
        let acknowledged = Acknowledged { revision: Revision(300), reserved: Revision(0) };
        assert_eq!(parse(file), WitnessContent::This { acknowledged, turn: 2, whole: true });
    }

    #[test]
    fn the_newest_is_read_and_one_place_is_always_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = path_in(dir.path());
        assert_eq!(read(&path).unwrap(), WitnessContent::Missing);
        let mut witness = Witness::make(dir.path(), at(1)).unwrap();
        for revision in 2..7 {
            witness.write(at(revision)).unwrap();
            witness.sync().unwrap();
            let bytes = fs::read(&path).unwrap();
            let WitnessContent::This { acknowledged, turn, whole: true } = parse(&bytes) else { panic!("not whole") };
            assert_eq!(acknowledged, at(revision));
            witness = Witness::go_on(&path, turn).unwrap();
            for byte in 0..bytes.len() {
                let mut bad = bytes.clone();
                bad[byte] ^= 1 << (byte % 8);
                let WitnessContent::This { acknowledged, .. } = parse(&bad) else { panic!("byte {byte}: nothing") };
                assert!([at(revision), at(revision - 1)].contains(&acknowledged), "byte {byte}");
            }
            for length in 0..bytes.len() {
                let said = parse(&bytes[..length]).acknowledged();
                assert!(said.is_none_or(|said| said.revision <= Revision(revision)), "cut at {length}");
            }
        }
    }
}
