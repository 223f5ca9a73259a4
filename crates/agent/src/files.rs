//! Files whose names or content a pod can change: a container with the host's `/var/log` may put a
//! pipe, a device or a link to another file in place of a log. Only regular files are opened,
//! without waiting and without following links in the part of the path that is the agent's own; so
//! directories are opened too.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

/// Names at the end of a log's path that are the agent's: `pods/POD/CONTAINER/FILE`. What is above
/// them was there before it, may hold links, and belongs to the machine.
pub(crate) const LOG_NAMES: usize = 4;
/// The same of a pod's hosts file: `pods/UID/etc-hosts`.
pub(crate) const HOSTS_NAMES: usize = 3;
/// The same of a termination message: `pods/UID/containers/CONTAINER/FILE`.
pub(crate) const MESSAGE_NAMES: usize = 5;
/// Names of one directory that are looked at; a pod may make any number.
const NAMES_MAX: usize = 1024;

/// Opens a regular file for reading. No link is followed in the last `own_names` of the path.
///
/// # Errors
/// It is something else, or a link leads to it; and of the file system.
pub(crate) fn open(path: &Path, own_names: usize) -> io::Result<File> {
    regular(open_own(path, own_names, OFlags::RDONLY, Mode::empty())?)
}

/// Opens a regular file to be written from its beginning, making it where there is none. `mode` is
/// set in any case.
///
/// # Errors
/// As [`open`].
pub(crate) fn write(path: &Path, own_names: usize, mode: u32, content: &[u8]) -> io::Result<()> {
    use std::io::Write;
    // Truncated only when it is known to be a regular file.
    let mut file = regular(open_own(path, own_names, OFlags::WRONLY | OFlags::CREATE, Mode::from_raw_mode(0o600))?)?;
    file.set_len(0)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
    file.write_all(content)
}

/// The length of a log.
///
/// # Errors
/// As [`open`].
pub(crate) fn length(path: &Path) -> io::Result<u64> {
    let directory = Directory::of(path)?;
    let found = rustix::fs::statat(&directory.0, name_of(path)?, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Ok(u64::try_from(found.st_size).unwrap_or(0)),
        _ => Err(not_regular()),
    }
}

/// Makes a directory with its missing parents, and sees to it that no link among the last
/// `own_names` leads to it.
///
/// # Errors
/// Of the file system.
pub(crate) fn make_directory(path: &Path, own_names: usize, mode: u32) -> io::Result<()> {
    std::fs::create_dir_all(path)?;
    let made = Directory::open(path, own_names)?;
    Ok(rustix::fs::fchmod(&made.0, Mode::from_raw_mode(mode))?)
}

/// A directory that no link led to.
pub(crate) struct Directory(OwnedFd);

impl Directory {
    /// The directory that a log is in.
    ///
    /// # Errors
    /// Of the file system.
    pub fn of(file: &Path) -> io::Result<Directory> {
        Directory::open(file.parent().unwrap_or(Path::new("/")), LOG_NAMES - 1)
    }

    fn open(path: &Path, own_names: usize) -> io::Result<Directory> {
        Ok(Directory(beneath(path, own_names, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?))
    }

    /// Its names that begin with `prefix`, sorted.
    ///
    /// # Errors
    /// Of the file system.
    pub fn names(&self, prefix: &str) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)?.take(NAMES_MAX) {
            let entry = entry?;
            if entry.file_name().to_bytes().starts_with(prefix.as_bytes()) {
                names.push(OsStr::from_bytes(entry.file_name().to_bytes()).to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// The bytes that a file takes up; 0 for anything else.
    pub fn bytes(&self, name: &OsStr) -> u64 {
        let found = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW);
        found.map_or(0, |found| u64::try_from(found.st_blocks).unwrap_or(0).saturating_mul(512))
    }

    /// Gives a file another name, which nothing has.
    ///
    /// # Errors
    /// Of the file system.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat_with(&self.0, from, &self.0, to, RenameFlags::NOREPLACE)?)
    }

    /// Removes a file, whatever it is; nothing there is success.
    ///
    /// # Errors
    /// Of the file system.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            done => Ok(done?),
        }
    }
}

/// The name that a path ends with.
///
/// # Errors
/// It ends with none.
pub(crate) fn name_of(path: &Path) -> io::Result<&OsStr> {
    path.file_name().ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Without waiting for a process at the other end of a pipe.
fn open_own(path: &Path, own_names: usize, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    Ok(beneath(path, own_names, flags | OFlags::NONBLOCK | OFlags::NOCTTY, mode)?)
}

/// Opens a path whose last names may neither be links nor lead out of the directory above them.
fn beneath(path: &Path, own_names: usize, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let above = path.ancestors().nth(own_names).filter(|above| !above.as_os_str().is_empty());
    let above = above.unwrap_or(Path::new("/"));
    let own: PathBuf = path.strip_prefix(above).map_err(|_| Errno::INVAL)?.to_owned();
    let root = rustix::fs::openat(CWD, above, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let own = if own.as_os_str().is_empty() { Path::new(".") } else { own.as_path() };
    rustix::fs::openat2(root, own, flags | OFlags::CLOEXEC, mode, resolve)
}

fn regular(opened: OwnedFd) -> io::Result<File> {
    match FileType::from_raw_mode(rustix::fs::fstat(&opened)?.st_mode) {
        FileType::RegularFile => Ok(opened.into()),
        _ => Err(not_regular()),
    }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a pod can put in place of a file, one after the other; `look` must come back, and
    /// refuse.
    pub(crate) fn in_place_of(path: &Path, look: impl Fn()) {
        let secret = path.with_file_name("secret");
        std::fs::write(&secret, "secret").unwrap();
        for what in ["pipe", "link", "directory", "device", "socket", "directory link"] {
            let _ = std::fs::remove_file(path).or_else(|_| std::fs::remove_dir(path));
            match what {
                "pipe" => rustix::fs::mkfifoat(CWD, path, Mode::from_raw_mode(0o666)).unwrap(),
                "link" => std::os::unix::fs::symlink(&secret, path).unwrap(),
                "directory" => std::fs::create_dir(path).unwrap(),
                // `/dev/zero`, if this is allowed here.
                "device" => {
                    let device = rustix::fs::makedev(1, 5);
                    let _ = rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, 0o666.into(), device);
                }
                "socket" => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
                // In place of the directory that the file is in, and a file of that name where it
                // leads.
                _ => {
                    std::fs::write(path, "secret").unwrap();
                    let (directory, moved) = (path.parent().unwrap(), path.parent().unwrap().with_extension("moved"));
                    std::fs::rename(directory, &moved).unwrap();
                    std::os::unix::fs::symlink(&moved, directory).unwrap();
                }
            }
            look();
        }
    }

    /// A path as deep as that of a log, below a directory that exists.
    pub(crate) fn log_path(root: &Path) -> PathBuf {
        let directory = root.join("pods/n_p_u/c");
        std::fs::create_dir_all(&directory).unwrap();
        directory.join("0.log")
    }

    #[test]
    fn only_regular_files_are_opened_and_no_link_is_followed() {
        let root = tempfile::tempdir().unwrap();
        let path = log_path(root.path());
        write(&path, LOG_NAMES, 0o644, b"text").unwrap();
        assert_eq!((std::fs::read_to_string(&path).unwrap(), length(&path).unwrap()), ("text".into(), 4));
        assert!(open(&path, LOG_NAMES).is_ok());
        in_place_of(&path, || {
            assert!(open(&path, LOG_NAMES).is_err() && length(&path).is_err());
            assert!(write(&path, LOG_NAMES, 0o600, b"x").is_err());
        });
        let directory = path.parent().unwrap().with_extension("moved");
        assert_eq!(std::fs::read_to_string(directory.join("secret")).unwrap(), "secret", "nothing was written through");
        assert!(Directory::of(&path).is_err() && make_directory(path.parent().unwrap(), LOG_NAMES - 1, 0o755).is_err());
    }
}
