//! A place inside a volume, never outside of it (DS-H35).
//!
//! The content of a volume is the containers': links in it may lead anywhere, and may change while
//! they are looked at. So the kernel resolves the path beneath the volume, and what it found is
//! bound by its descriptor to a path that only the agent can change.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::source::make_private;
use super::system;

/// A container that moves directories around all the time cannot keep us busy for ever.
const RACES_MAX: usize = 16;

/// Why a subPath is not acceptable before anybody looks at the volume.
///
/// # Errors
/// In Kubernetes' words.
pub(super) fn check(sub: &str) -> Result<(), String> {
    let path = Path::new(sub);
    if path.is_absolute() {
        return Err(format!("error SubPath `{sub}` must not be an absolute path"));
    }
    match path.components().any(|part| part == Component::ParentDir) {
        true => Err(format!("unable to provision SubPath `{sub}`: must not contain '..'")),
        false => Ok(()),
    }
}

/// Binds `sub` of the volume to `target`, creating the directory if nothing is there: with the
/// volume's own mode, so that a user that may write to the volume may write to it, and may not
/// remove another user's files where the volume says so (the sticky bit).
///
/// # Errors
/// Of the file system; `EXDEV` when a link leads out of the volume.
pub(super) fn bind(volume: &Path, sub: &Path, target: &Path) -> io::Result<()> {
    let root = rustix::fs::open(volume, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let found = match open_beneath(&root, sub) {
        Err(Errno::NOENT) => {
            make_beneath(&root, sub, fs::metadata(volume)?.mode() & 0o3777)?;
            open_beneath(&root, sub)?
        }
        opened => opened?,
    };
    prepare_target(target, &found)?;
    rustix::mount::mount_bind(format!("/proc/self/fd/{}", found.as_raw_fd()), target)?;
    Ok(())
}

fn open_beneath(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..RACES_MAX {
        match rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            done => return done,
        }
    }
    Err(Errno::AGAIN)
}

/// Creates the missing directories of a path, each in a parent that was resolved beneath the root.
fn make_beneath(root: &OwnedFd, path: &Path, mode: u32) -> io::Result<()> {
    let mut done = PathBuf::from(".");
    for part in path.components().filter(|part| matches!(part, Component::Normal(_))) {
        let parent = open_beneath(root, &done)?;
        done.push(part);
        match open_beneath(root, &done) {
            Err(Errno::NOENT) => make_one(&parent, Path::new(part.as_os_str()), mode)?,
            opened => drop(opened?),
        }
    }
    Ok(())
}

fn make_one(parent: &OwnedFd, name: &Path, mode: u32) -> io::Result<()> {
    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let made = rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve)?;
    Ok(rustix::fs::fchmod(made, Mode::from_raw_mode(mode))?)
}

/// An empty file or directory to bind to. An earlier bind of a container that has ended goes.
fn prepare_target(target: &Path, found: &OwnedFd) -> io::Result<()> {
    let wants_directory = FileType::from_raw_mode(rustix::fs::fstat(found)?.st_mode) == FileType::Directory;
    while target.exists() && system::is_mount_root(target)? {
        system::unmount(target)?;
    }
    if let Ok(metadata) = fs::symlink_metadata(target) {
        if metadata.is_dir() == wants_directory {
            return Ok(());
        }
        if metadata.is_dir() { fs::remove_dir(target)? } else { fs::remove_file(target)? }
    }
    match wants_directory {
        true => make_private(target),
        false => {
            target.parent().map_or(Ok(()), make_private)?;
            fs::write(target, "")?;
            fs::set_permissions(target, fs::Permissions::from_mode(0o640))
        }
    }
}

#[cfg(test)]
#[path = "subpath_tests.rs"]
mod tests;
