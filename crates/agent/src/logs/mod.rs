//! Container logs on disk: CRI's format, read across rotations, and rotated (DS-H50 to DS-H52).

pub(crate) mod line;
mod read;
mod rotate;

use std::path::{Path, PathBuf};

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
    let (Some(directory), Some(name)) = (log.parent(), log.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let prefix = format!("{name}.");
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let is_rotated =
        |found: &std::fs::DirEntry| found.file_name().to_str().is_some_and(|name| name.starts_with(&prefix));
    let mut rotated: Vec<PathBuf> = entries.filter(is_rotated).map(|entry| entry.path()).collect();
    rotated.sort();
    rotated
}
