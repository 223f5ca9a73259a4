//! Container logs on disk: CRI's format, read across rotations, and rotated (DS-H50 to DS-H52).

pub(crate) mod line;
mod read;
mod rotate;

use std::io;
use std::path::{Path, PathBuf};

use crate::files::{self, Directory};

pub(crate) use read::{LogOptions, LogReader};
pub(crate) use rotate::Rotation;

/// The files of one log, oldest first, the one that is written to last. Rotated files carry a
/// time after the name: `0.log.20261121-013852`.
pub(crate) fn files_of(log: &Path) -> Vec<PathBuf> {
    let mut files = rotated_files(log);
    files.push(log.to_owned());
    files
}

/// The files that were moved away from this log, oldest first.
fn rotated_files(log: &Path) -> Vec<PathBuf> {
    let Some(name) = log.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    let names = Directory::of(log).and_then(|directory| directory.names(&format!("{name}.")));
    names.unwrap_or_default().into_iter().map(|name| log.with_file_name(name)).collect()
}

/// Removes every file of a log.
///
/// # Errors
/// Of the file system: the first one; the others are removed.
pub(crate) fn remove(log: &Path) -> io::Result<()> {
    let directory = match Directory::of(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let mut removed = Ok(());
    for file in files_of(log) {
        removed = removed.and(files::name_of(&file).and_then(|name| directory.remove(name)));
    }
    removed
}
