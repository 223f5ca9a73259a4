//! Small files of ours.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::Context;

/// Whether a file says that already: what is equal is not written again, so that a start needs no
/// room on a full disk.
pub(crate) fn is_already(path: &Path, content: &[u8]) -> bool {
    std::fs::read(path).is_ok_and(|found| found == content)
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn write_secret(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let fail = || format!("cannot write {}", path.display());
    let private = std::fs::symlink_metadata(path).is_ok_and(|found| found.permissions().mode() & 0o777 == 0o600);
    if private && is_already(path, content) {
        return Ok(());
    }
    if let Some(directory) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).with_context(fail)?;
    }
    let temporary = path.with_extension("new");
    let _ = std::fs::remove_file(&temporary);
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&temporary).with_context(fail)?;
    file.write_all(content).and_then(|()| file.sync_all()).with_context(fail)?;
    std::fs::rename(&temporary, path).with_context(fail)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn what_is_equal_and_private_is_not_written_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.kubeconfig");
        let inode = || std::fs::metadata(&path).unwrap().ino();
        write_secret(&path, b"a").unwrap();
        let first = inode();
        write_secret(&path, b"a").unwrap();
        assert_eq!(inode(), first);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_secret(&path, b"a").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        write_secret(&path, b"b").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"b");
    }
}
