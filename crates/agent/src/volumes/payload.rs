//! From the data of an object to the files of a volume. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::KeyToPath;

use crate::env::Data;

/// The mode of files where nothing is said (DS-H33).
pub(super) const DEFAULT_MODE: u32 = 0o644;
/// As in Kubernetes: longer paths are refused before the file system does.
const PATH_BYTES_MAX: usize = 4096;
const NAME_BYTES_MAX: usize = 255;

/// The files of a volume, by their path below it.
pub(super) type Payload = BTreeMap<String, File>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub data: Vec<u8>,
    pub mode: u32,
    /// The user it belongs to; `None`: root.
    pub owner: Option<u32>,
}

impl File {
    pub(super) fn new(data: Vec<u8>, mode: u32) -> Self {
        File { data, mode, owner: None }
    }
}

/// The mode of one file: its own, else the volume's, else the default.
pub(super) fn mode(own: Option<i32>, default: Option<i32>) -> u32 {
    own.or(default).and_then(|mode| u32::try_from(mode).ok()).map_or(DEFAULT_MODE, |mode| mode & 0o777)
}

/// Adds a file after checking its path.
///
/// # Errors
/// The path leads out of the volume, or into the part that swaps are made with.
pub(super) fn add(payload: &mut Payload, path: &str, file: File) -> Result<(), String> {
    payload.insert(clean(path)?, file);
    Ok(())
}

fn clean(path: &str) -> Result<String, String> {
    let refuse = |why: &str| Err(format!("invalid path: {why}: {path:?}"));
    if path.is_empty() {
        return refuse("must not be empty");
    }
    if path.len() > PATH_BYTES_MAX {
        return refuse("must not be longer than 4096 bytes");
    }
    if path.starts_with('/') {
        return refuse("must be relative path");
    }
    if path.starts_with("..") {
        return refuse("must not start with '..'");
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return refuse("must not contain '..'");
    }
    if parts.first().is_none_or(|first| first.starts_with("..")) {
        return refuse("must not start with '..'");
    }
    if parts.iter().any(|part| part.len() > NAME_BYTES_MAX || part.contains('\0')) {
        return refuse("a name in it is too long or not a name");
    }
    Ok(parts.join("/"))
}

/// The chosen keys of an object's data, or all of them.
///
/// # Errors
/// A chosen key that does not exist, unless the reference is optional; `what` begins the message.
pub(super) fn select(
    data: Data,
    items: Option<&[KeyToPath]>,
    default_mode: Option<i32>,
    optional: bool,
    what: &str,
) -> Result<Payload, String> {
    let mut payload = Payload::new();
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        for (key, value) in data {
            add(&mut payload, &key, File::new(value, mode(None, default_mode)))?;
        }
        return Ok(payload);
    };
    for item in items {
        match data.get(&item.key) {
            Some(value) => add(&mut payload, &item.path, File::new(value.clone(), mode(item.mode, default_mode)))?,
            None if optional => {}
            None => return Err(format!("{what} key: {}", item.key)),
        }
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> Data {
        Data::from([("a".to_owned(), b"1".to_vec()), ("b".to_owned(), b"2".to_vec())])
    }

    fn item(key: &str, path: &str, mode: Option<i32>) -> KeyToPath {
        KeyToPath { key: key.into(), path: path.into(), mode }
    }

    #[test]
    fn all_keys_or_chosen_ones() {
        // DS-H33
        let all = select(data(), None, None, false, "x").unwrap();
        assert_eq!(all.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert!(all.values().all(|file| file.mode == 0o644));
        let chosen = [item("b", "sub/./file", Some(0o400))];
        let chosen = select(data(), Some(&chosen), Some(0o600), false, "x").unwrap();
        assert_eq!(chosen, Payload::from([("sub/file".to_owned(), File::new(b"2".to_vec(), 0o400))]));
    }

    #[test]
    fn a_missing_key_is_an_error_unless_optional() {
        // DS-H34
        let items = [item("zzz", "f", None)];
        let select =
            |optional| select(data(), Some(&items), None, optional, "configmap references non-existent config");
        assert_eq!(select(false).unwrap_err(), "configmap references non-existent config key: zzz");
        assert!(select(true).unwrap().is_empty());
    }

    #[test]
    fn paths_stay_inside() {
        // DS-H33: paths starting with `..` are refused
        for path in ["", "/a", "..", "..data/x", "../x", "a/../../x", "./..data", "a/\0"] {
            assert!(clean(path).is_err(), "{path:?}");
        }
        assert!(clean(&"x".repeat(256)).is_err());
        for (path, cleaned) in [("a", "a"), ("a//b/", "a/b"), ("a/..b", "a/..b"), (".hidden", ".hidden")] {
            assert_eq!(clean(path).as_deref(), Ok(cleaned), "{path:?}");
        }
    }
}
