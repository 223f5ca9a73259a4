//! Container logs on disk: CRI's format, read across rotations, and rotated (DS-H50 to DS-H52).

use std::path::{Path, PathBuf};

/// The files of one log, oldest first, the one that is written to last. Rotated files carry a
/// time after the name: `0.log.20261121-013852`.
pub(crate) fn files_of(log: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (log.parent(), log.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let prefix = format!("{name}.");
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut rotated: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|found| found.starts_with(&prefix)))
        .map(|entry| entry.path())
        .collect();
    rotated.sort();
    rotated.push(log.to_owned());
    rotated
}
