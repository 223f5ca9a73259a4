//! Making the container runtime notice a network configuration.
//!
//! containerd 1.6 looks at its configurations again when one of them is written to, renamed away or
//! removed, and not when one appears. Installers rename theirs into the directory, so that half of
//! it is never read: then the node would stay NotReady until something else is written there.

use std::fs;
use std::io;
use std::path::Path;

/// No configuration: a file with this name is never read.
const MARK: &str = ".everynode-look";
/// What configurations end with.
const ENDINGS: [&str; 3] = ["conf", "conflist", "json"];

/// Writes and removes a file beside the configurations, if there are any.
///
/// # Errors
/// Of the file system.
pub(crate) fn make_runtime_look(directory: &Path) -> io::Result<()> {
    let mut found = fs::read_dir(directory)?.filter_map(Result::ok);
    let is_configuration = |name: &Path| ENDINGS.iter().any(|end| name.extension().is_some_and(|found| found == *end));
    if !found.any(|entry| is_configuration(Path::new(&entry.file_name()))) {
        return Ok(());
    }
    let mark = directory.join(MARK);
    // One that an earlier run left; never through a link.
    let _ = fs::remove_file(&mark);
    let written = fs::OpenOptions::new().write(true).create_new(true).open(&mark);
    written.and_then(|mut file| io::Write::write_all(&mut file, b"\n"))?;
    fs::remove_file(&mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_nothing_behind_and_does_nothing_where_there_is_nothing_to_find() {
        let dir = tempfile::tempdir().unwrap();
        let changed = || fs::metadata(dir.path()).unwrap().modified().unwrap();
        let before = changed();
        make_runtime_look(dir.path()).unwrap();
        assert_eq!(changed(), before);
        fs::write(dir.path().join("10-net.conflist"), "{}").unwrap();
        std::os::unix::fs::symlink("10-net.conflist", dir.path().join(MARK)).unwrap();
        make_runtime_look(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(dir.path().join("10-net.conflist")).unwrap(), "{}");
        assert!(make_runtime_look(Path::new("/nowhere")).is_err());
    }
}
