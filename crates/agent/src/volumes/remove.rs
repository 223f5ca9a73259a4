//! Deletes a tree without following links and without crossing into another mount.
//!
//! Containers fill these trees: names and depth are theirs to choose. So directories are opened
//! relative to their parents with the kernel refusing links and mounts (a bind mount of the same
//! file system included), names are read in portions, and what lies very deep is first moved up.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Open directories at the same time.
const DEPTH_MAX: usize = 32;
/// Names in memory per directory.
const PORTION: usize = 512;

/// Deletes a directory with everything in it. Nothing there is success.
///
/// # Errors
/// Of the file system; `EXDEV` where something is mounted inside.
pub(super) fn tree(path: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        // A link or a file stands in for the directory: only itself goes.
        Err(Errno::NOTDIR | Errno::LOOP) => return std::fs::remove_file(path),
        opened => opened?,
    };
    Removal { root: &root, moved: 0 }.empty(&root, 0)?;
    Ok(rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR)?)
}

struct Removal<'a> {
    root: &'a OwnedFd,
    moved: u64,
}

impl Removal<'_> {
    /// Deletes what is in a directory; what lies too deep is moved to the root, whose
    /// own loop finds it.
    fn empty(&mut self, dir: &OwnedFd, depth: usize) -> io::Result<()> {
        loop {
            let names = portion(dir)?;
            if names.is_empty() {
                return Ok(());
            }
            for (name, kind) in names {
                self.remove(dir, &name, kind, depth)?;
            }
        }
    }

    fn remove(&mut self, dir: &OwnedFd, name: &CString, kind: FileType, depth: usize) -> io::Result<()> {
        if kind != FileType::Directory {
            return Ok(rustix::fs::unlinkat(dir, name, AtFlags::empty())?);
        }
        if depth >= DEPTH_MAX {
            return self.move_up(dir, name);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
        let child = rustix::fs::openat2(dir, name, flags, Mode::empty(), resolve)?;
        self.empty(&child, depth + 1)?;
        Ok(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
    }

    fn move_up(&mut self, dir: &OwnedFd, name: &CString) -> io::Result<()> {
        loop {
            self.moved += 1;
            let new = format!("..moved-{}", self.moved);
            match rustix::fs::renameat_with(dir, name, self.root, &new, rustix::fs::RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                done => return Ok(done?),
            }
        }
    }
}

/// The first names of a directory, with their kinds.
fn portion(dir: &OwnedFd) -> io::Result<Vec<(CString, FileType)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                FileType::from_raw_mode(rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
            }
            kind => kind,
        };
        names.push((name.to_owned(), kind));
        if names.len() == PORTION {
            break;
        }
    }
    Ok(names)
}
