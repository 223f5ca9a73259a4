//! The agent's own directories (DS-H38).

use std::io;
use std::path::Path;

use super::source::make_private;

/// Directories that node services rely on below the agent's root: where plugins put their sockets
/// and where they announce them.
const DIRECTORIES: [&str; 5] = ["pods", "plugins", "plugins_registry", "device-plugins", "pod-resources"];

/// Makes the agent's directories; what exists keeps its mode.
///
/// # Errors
/// Of the file system, naming the directory.
pub fn prepare_directories(root: &Path) -> io::Result<()> {
    let paths = std::iter::once(root.to_path_buf()).chain(DIRECTORIES.iter().map(|name| root.join(name)));
    for path in paths {
        make_private(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot create {}: {error}", path.display())))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testkit::Scratch;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn made_once_with_their_modes() {
        // DS-H38
        let scratch = Scratch::new("layout");
        let root = scratch.path("kubelet");
        prepare_directories(&root).unwrap();
        prepare_directories(&root).unwrap();
        for name in ["", "plugins", "plugins_registry", "device-plugins"] {
            assert_eq!(std::fs::metadata(root.join(name)).unwrap().permissions().mode() & 0o777, 0o750, "{name}");
        }
    }
}
