//! Room that is given up when the disk is full, so that the way out of it still works.
//!
//! A delete is a write, too. `store.reserve` holds blocks that no other program can take; without
//! them SQLite finds room for deletes and small changes until enough is free again.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::lock::private_file;

/// Written at once when it is made.
const CHUNK_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    pub(super) fn new(dir: &Path, bytes: u64) -> Reserve {
        Reserve { path: dir.join("store.reserve"), bytes }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes it if it is not there; false: the disk has no room for it.
    pub(super) fn take(&self) -> bool {
        let held = fs::metadata(&self.path).map_or(0, |found| found.len());
        if held == self.bytes || self.bytes == 0 {
            return true;
        }
        match self.fill() {
            Ok(()) => true,
            Err(error) => {
                self.release();
                let full = is_full(&error);
                if !full {
                    tracing::warn!(path = %self.path.display(), %error, "no room can be reserved for a full disk");
                }
                // A disk that refuses for another reason is not helped by refusing what grows.
                !full
            }
        }
    }

    fn fill(&self) -> io::Result<()> {
        let (mut file, zeros) = (private_file(&self.path)?, vec![0; CHUNK_BYTES]);
        file.set_len(0)?;
        let mut left = self.bytes;
        while left > 0 {
            let chunk = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            file.write_all(&zeros[..chunk])?;
            left -= chunk as u64;
        }
        // Some file systems find out only now.
        file.sync_data()
    }

    pub(super) fn release(&self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(path = %self.path.display(), %error, "the reserved room cannot be given up");
            }
            _ => {}
        }
    }
}

/// Whether there is no room, on the disk or of a quota.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Asks the disk of a directory itself: SQLite says only of some disks without room that they are
/// full (`EDQUOT` is an input or output error to it).
pub(super) fn is_disk_full(dir: &Path) -> bool {
    let path = dir.join("store.probe");
    let written = private_file(&path).and_then(|mut file| {
        file.write_all(&[1; 4_096])?;
        file.sync_data()
    });
    let _ = fs::remove_file(&path);
    written.is_err_and(|error| is_full(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_made_once_and_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(dir.path(), 3_000_000);
        let length = || fs::metadata(dir.path().join("store.reserve")).ok().map(|found| found.len());
        assert!(reserve.take() && reserve.take());
        assert_eq!(length(), Some(3_000_000));
        reserve.release();
        reserve.release();
        assert_eq!(length(), None);
        assert!(!is_disk_full(dir.path()));
    }

    #[test]
    fn quotas_are_limits_of_room_and_other_errors_are_not() {
        let full = |number| is_full(&io::Error::from_raw_os_error(number));
        let (enospc, edquot, eio, erofs) = (28, 122, 5, 30);
        assert!(full(enospc) && full(edquot) && !full(eio) && !full(erofs));
    }
}
