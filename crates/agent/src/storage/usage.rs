//! How many bytes a directory takes up. Containers fill these trees: no link is followed, no other
//! mount entered, and depth and number of names are bounded.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};

/// Names that are looked at in one tree; what comes after them is not counted, and that is said in
/// the log.
const NAMES_MAX: u32 = 2_000_000;
/// Directories in each other that are looked into.
const DEPTH_MAX: usize = 256;
/// The unit of `st_blocks`.
const BLOCK_BYTES: u64 = 512;

/// The bytes below a directory, as the disk has them: holes in files take none. 0 where it cannot
/// be read.
pub(super) fn bytes_below(path: &Path) -> u64 {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(root) = rustix::fs::openat(CWD, path, flags, Mode::empty()) else { return 0 };
    let mut walk = Walk { bytes: 0, left: NAMES_MAX };
    if let Err(error) = walk.count(&root, 0) {
        tracing::debug!(path = %path.display(), %error, "cannot measure all of a directory");
    }
    if walk.left == 0 {
        tracing::warn!(path = %path.display(), "too many files to measure: what comes after them is not counted");
    }
    walk.bytes
}

struct Walk {
    bytes: u64,
    left: u32,
}

impl Walk {
    fn count(&mut self, directory: &OwnedFd, depth: usize) -> io::Result<()> {
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if self.left == 0 {
                return Ok(());
            }
            self.left -= 1;
            // Files come and go while one looks.
            let Ok(found) = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
            // A file of several names is there once.
            let names = if is_directory { 1 } else { found.st_nlink.max(1) };
            let blocks = u64::try_from(found.st_blocks).unwrap_or(0);
            self.bytes = self.bytes.saturating_add(blocks.saturating_mul(BLOCK_BYTES) / names);
            if is_directory && depth < DEPTH_MAX {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
                if let Ok(child) = rustix::fs::openat2(directory, name, flags, Mode::empty(), resolve) {
                    self.count(&child, depth + 1)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_the_disk_counts_and_links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("v");
        std::fs::create_dir_all(below.join("a/b")).unwrap();
        let empty = bytes_below(&below);
        std::fs::write(below.join("a/b/data"), vec![1; 1 << 20]).unwrap();
        std::fs::hard_link(below.join("a/b/data"), below.join("again")).unwrap();
        std::fs::write(dir.path().join("outside"), vec![1; 8 << 20]).unwrap();
        std::os::unix::fs::symlink("../outside", below.join("link")).unwrap();
        std::os::unix::fs::symlink("..", below.join("up")).unwrap();
        rustix::fs::mkfifoat(CWD, below.join("pipe"), 0o666.into()).unwrap();
        std::fs::File::create(below.join("sparse")).unwrap().set_len(1 << 40).unwrap();
        let grown = bytes_below(&below) - empty;
        assert!(((1 << 20)..(1 << 20) + 65_536).contains(&grown), "{grown}");
        assert_eq!(bytes_below(&dir.path().join("nowhere")), 0);
    }
}
