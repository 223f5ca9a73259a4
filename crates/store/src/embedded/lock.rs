//! One process per directory, and no other user reads it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::StoreError;

/// A lock that the kernel gives back however the process ends.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    file: File,
}

impl DirectoryLock {
    /// Locks `DIR/lock` and leaves our process id in it.
    pub(super) fn take(dir: &Path) -> Result<DirectoryLock, StoreError> {
        let path = dir.join("lock");
        let failed = |error| disk_error("lock", &path, error);
        let mut file = private_file(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(dir, path, &mut file)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // A full disk must not keep the store from serving reads: the id is only a courtesy.
        let noted = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        if let Err(error) = noted {
            tracing::warn!(path = %path.display(), %error, "cannot note the process id");
        }
        Ok(DirectoryLock { file })
    }
}

impl Drop for DirectoryLock {
    /// Not by closing: a child that was forked a moment ago has the file until it begins its
    /// program.
    fn drop(&mut self) {
        // The kernel does it otherwise.
        let _ = self.file.unlock();
    }
}

fn in_use(dir: &Path, path: PathBuf, file: &mut File) -> StoreError {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(20).read_to_string(&mut text));
    let holder = match read.ok().and(text.trim().parse::<u32>().ok()) {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    };
    StoreError::InUse(format!(
        "the data directory {} is in use by {holder} (lock file {}); stop that process or use \
         another directory",
        dir.display(),
        path.display()
    ))
}

/// Makes the directory for our eyes only. One that exists is left as it is, with a warning if
/// others may enter: it may hold more than the store.
pub(super) fn make_private_dir(dir: &Path) -> Result<(), StoreError> {
    if let Ok(found) = fs::metadata(dir) {
        let mode = found.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let mode = format!("{mode:o}");
            tracing::warn!(dir = %dir.display(), mode, "others can enter the data directory");
        }
        return Ok(());
    }
    private_dir(dir).map_err(|error| disk_error("make", dir, error))
}

pub(super) fn private_dir(dir: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Opens a file for reading and writing with mode 0600, whatever it was before.
pub(super) fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o777 != 0o600 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

pub(super) fn disk_error(action: &str, path: &Path, error: std::io::Error) -> StoreError {
    StoreError::Disk(format!("cannot {action} {}: {error}", path.display()))
}
