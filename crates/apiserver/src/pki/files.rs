//! Small files: written whole or not at all, private ones with mode 0600 from the first moment.
//!
//! What is done to the disk is a list of [`Step`]s, so that tests can end it after any of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::PkiError;

pub(super) const PRIVATE: u32 = 0o600;
pub(super) const PUBLIC: u32 = 0o644;

/// One change of the disk. Until the directory is synced, a crash may undo any of those before.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Makes the file anew, and its content durable.
    Write {
        path: PathBuf,
        text: String,
        mode: u32,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove(PathBuf),
    /// Makes what happened to names in the directory durable.
    Sync(PathBuf),
}

impl Step {
    pub(super) fn run(&self) -> Result<(), PkiError> {
        match self {
            Step::Write { path, text, mode } => write_new(path, text, *mode).map_err(failed("write", path)),
            Step::Rename { from, to } => fs::rename(from, to).map_err(failed("write", to)),
            Step::Remove(path) => fs::remove_file(path).map_err(failed("remove", path)),
            Step::Sync(directory) => {
                File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed("sync", directory))
            }
        }
    }
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> PkiError + 'a {
    move |source| PkiError::File { what, path: path.to_owned(), source }
}

pub(super) fn make_directory(path: &Path) -> Result<(), PkiError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make", path))
}

/// The text of a file; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, PkiError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Writes a file whole or not at all. What is equal is left alone, so that a start needs no room on
/// a full disk.
pub(super) fn write(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    if is_already(path, text, mode) {
        return Ok(());
    }
    replace(path, text, mode).iter().chain([&sync_of(path)]).try_for_each(Step::run)
}

fn is_already(path: &Path, text: &str, mode: u32) -> bool {
    let as_strict = |found: fs::Metadata| found.is_file() && found.permissions().mode() & 0o777 == mode;
    fs::symlink_metadata(path).is_ok_and(as_strict) && fs::read_to_string(path).is_ok_and(|found| found == text)
}

/// Writes beside the file, and renames.
pub(super) fn replace(path: &Path, text: &str, mode: u32) -> [Step; 2] {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    [
        Step::Write { path: beside.clone(), text: text.to_owned(), mode },
        Step::Rename { from: beside, to: path.to_owned() },
    ]
}

/// Syncs the directory that a file is in.
pub(super) fn sync_of(path: &Path) -> Step {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Step::Sync(directory.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn what_is_equal_is_not_written_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sa.pub");
        let inode = || fs::metadata(&path).unwrap().ino();
        write(&path, "key", PUBLIC).unwrap();
        let first = inode();
        write(&path, "key", PUBLIC).unwrap();
        assert_eq!(inode(), first);
        write(&path, "key", PRIVATE).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, PRIVATE, "another mode");
        write(&path, "other", PRIVATE).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "other");
    }
}
