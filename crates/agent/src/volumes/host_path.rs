//! What is mounted from the host: checked, and created where the type says so (DS-H30).

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Checks a hostPath against its type, creating it for the `…OrCreate` types. With an empty type
/// nothing is checked, and the runtime creates a directory if nothing is there (DS-H31).
///
/// # Errors
/// In Kubernetes' words.
pub(super) fn prepare(path: &Path, kind: &str) -> Result<(), String> {
    let found = fs::metadata(path).map(|metadata| metadata.file_type());
    let missing = found.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    match kind {
        "DirectoryOrCreate" if missing => return make_directory(path).map_err(|error| in_words("mkdir", path, &error)),
        "FileOrCreate" if missing => return make_file(path).map_err(|error| in_words("open", path, &error)),
        _ => {}
    }
    let is = |test: fn(&fs::FileType) -> bool| found.as_ref().is_ok_and(test);
    let (right, what) = match kind {
        "" => return Ok(()),
        "Directory" | "DirectoryOrCreate" => (is(fs::FileType::is_dir), "directory"),
        "File" | "FileOrCreate" => (is(fs::FileType::is_file), "file"),
        "Socket" => (is(FileTypeExt::is_socket), "socket file"),
        "CharDevice" => (is(FileTypeExt::is_char_device), "character device"),
        "BlockDevice" => (is(FileTypeExt::is_block_device), "block device"),
        _ => return Err(format!("{kind} is an invalid volume type")),
    };
    match right {
        true => Ok(()),
        false => Err(format!("hostPath type check failed: {} is not a {what}", path.display())),
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// The parent must exist.
fn make_file(path: &Path) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

fn in_words(call: &str, path: &Path, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        _ => error.to_string(),
    };
    format!("{call} {}: {why}", path.display())
}

#[cfg(test)]
mod tests {
    use super::super::testkit::Scratch;
    use super::*;

    #[test]
    fn every_type() {
        // DS-H30
        let scratch = Scratch::new("host-path");
        let (dir, file, socket) = (scratch.path("dir"), scratch.path("file"), scratch.path("socket"));
        fs::create_dir(&dir).unwrap();
        fs::write(&file, "").unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let null = Path::new("/dev/null");
        for (path, right, wrong) in [
            (dir.as_path(), "Directory", "File"),
            (dir.as_path(), "DirectoryOrCreate", "Socket"),
            (file.as_path(), "File", "Directory"),
            (file.as_path(), "FileOrCreate", "DirectoryOrCreate"),
            (socket.as_path(), "Socket", "File"),
            (null, "CharDevice", "BlockDevice"),
        ] {
            assert_eq!(prepare(path, right), Ok(()), "{path:?} {right}");
            assert!(prepare(path, wrong).is_err(), "{path:?} {wrong}");
            assert_eq!(prepare(path, ""), Ok(()));
        }
    }

    #[test]
    fn the_words_of_a_wrong_type() {
        // DS-H30
        let missing = Path::new("/nowhere/x");
        for (kind, words) in [
            ("Directory", "hostPath type check failed: /nowhere/x is not a directory"),
            ("File", "hostPath type check failed: /nowhere/x is not a file"),
            ("Socket", "hostPath type check failed: /nowhere/x is not a socket file"),
            ("CharDevice", "hostPath type check failed: /nowhere/x is not a character device"),
            ("BlockDevice", "hostPath type check failed: /nowhere/x is not a block device"),
            ("FileOrCreate", "open /nowhere/x: no such file or directory"),
            ("Nope", "Nope is an invalid volume type"),
        ] {
            assert_eq!(prepare(missing, kind).unwrap_err(), words);
        }
        assert_eq!(prepare(missing, ""), Ok(())); // DS-H31
    }

    #[test]
    fn created_with_their_modes() {
        // DS-H30
        let scratch = Scratch::new("host-path-create");
        let (dir, file) = (scratch.path("a/b"), scratch.path("f"));
        prepare(&dir, "DirectoryOrCreate").unwrap();
        prepare(&file, "FileOrCreate").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&file)), (0o755, 0o644));
    }
}
