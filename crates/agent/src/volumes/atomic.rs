//! Writes the files of a volume in one swap, so that readers see all of one version (DS-H33).
//!
//! ```text
//! key          -> ..data/key          what containers open; never changes while the key exists
//! ..data       -> ..2026_11_21_…      replaced by rename
//! ..2026_11_21_…/key                  one version
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown, symlink};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::payload::{File, Payload};

const DATA: &str = "..data";
const DATA_TMP: &str = "..data_tmp";
/// Names that are tried for a version before giving up.
const NAME_TRIES: u32 = 64;

/// What a volume shows.
pub(super) struct Content<'a> {
    pub files: &'a Payload,
    /// Directories that other volumes are mounted on, relative to the volume.
    pub mount_points: &'a BTreeSet<PathBuf>,
    /// The pod's fsGroup.
    pub group: Option<u32>,
}

/// Brings the directory up to date. Answers whether any file was written.
///
/// # Errors
/// Of the file system; what was there before stays visible.
pub(super) fn write(dir: &Path, content: &Content<'_>, now: Timestamp) -> io::Result<bool> {
    own_directory(dir, content.group)?;
    let old = current(dir);
    let changed = !old.as_ref().is_some_and(|old| same(&dir.join(old), content.files, content.group));
    let version = match old.filter(|_| !changed) {
        Some(old) => old,
        None => new_version(dir, content, now)?,
    };
    make_mount_points(dir, content)?;
    show(dir, content)?;
    remove_stale(dir, content, &version)?;
    Ok(changed)
}

/// The name of the version that is visible.
fn current(dir: &Path) -> Option<PathBuf> {
    let version = fs::read_link(dir.join(DATA)).ok()?;
    // Anything but a plain name beside the link is not ours.
    (version.components().count() == 1 && version.to_string_lossy().starts_with("..2")).then_some(version)
}

/// Whether a version has exactly these files with these modes.
fn same(version: &Path, payload: &Payload, group: Option<u32>) -> bool {
    let mut found = BTreeSet::new();
    if list(version, Path::new(""), &mut found).is_err() || found.len() != payload.len() {
        return false;
    }
    payload.iter().all(|(path, file)| {
        let full = version.join(path);
        let unchanged = |metadata: fs::Metadata| {
            metadata.is_file()
                && metadata.len() == file.data.len() as u64
                && metadata.mode() & 0o7777 == file_mode(file, group)
        };
        found.contains(Path::new(path))
            && fs::symlink_metadata(&full).is_ok_and(unchanged)
            && fs::read(&full).is_ok_and(|data| data == file.data)
    })
}

/// The files below a directory; bounded, because only payloads are ever written there.
fn list(root: &Path, below: &Path, found: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => list(root, &path, found)?,
            false => drop(found.insert(path)),
        }
    }
    Ok(())
}

/// Writes a version beside the visible one and makes it visible.
fn new_version(dir: &Path, content: &Content<'_>, now: Timestamp) -> io::Result<PathBuf> {
    let (version, group) = (make_version_directory(dir, now)?, content.group);
    let root = dir.join(&version);
    own(&root, None, group, directory_mode(group))?;
    for (path, file) in content.files {
        write_file(&root, Path::new(path), file, group)?;
    }
    let next = dir.join(DATA_TMP);
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(&version, &next)?;
    fs::rename(&next, dir.join(DATA))?;
    Ok(version)
}

/// `..<timestamp>.<number>`, new.
fn make_version_directory(dir: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let time = now.strftime("..%Y_%m_%d_%H_%M_%S").to_string();
    for attempt in 0..NAME_TRIES {
        let number = u32::try_from(now.subsec_nanosecond()).unwrap_or(0).wrapping_add(attempt);
        let name = PathBuf::from(format!("{time}.{number:09}"));
        match fs::DirBuilder::new().mode(0o755).create(dir.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| name),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn write_file(root: &Path, path: &Path, file: &File, group: Option<u32>) -> io::Result<()> {
    make_directories(root, path.parent().unwrap_or(Path::new("")), group)?;
    let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(root.join(path))?;
    out.write_all(&file.data)?;
    if file.owner.is_some() || group.is_some() {
        fchown(&out, file.owner, group)?;
    }
    out.set_permissions(fs::Permissions::from_mode(file_mode(file, group)))
}

/// Makes the directories of a path that are missing.
fn make_directories(root: &Path, path: &Path, group: Option<u32>) -> io::Result<()> {
    let mut directory = root.to_path_buf();
    for part in path.components() {
        directory.push(part);
        if !directory.is_dir() {
            fs::DirBuilder::new().mode(0o755).create(&directory)?;
            own(&directory, None, group, directory_mode(group))?;
        }
    }
    Ok(())
}

/// The group may read what it owns, whatever the mode says (DS-H36).
fn file_mode(file: &File, group: Option<u32>) -> u32 {
    if group.is_some() { file.mode | 0o440 } else { file.mode }
}

fn directory_mode(group: Option<u32>) -> u32 {
    if group.is_some() { 0o2755 } else { 0o755 }
}

fn own(path: &Path, owner: Option<u32>, group: Option<u32>, mode: u32) -> io::Result<()> {
    if owner.is_some() || group.is_some() {
        chown(path, owner, group)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// The volume's own directory belongs to the group too.
fn own_directory(dir: &Path, group: Option<u32>) -> io::Result<()> {
    let metadata = fs::metadata(dir)?;
    match group {
        Some(group) if metadata.gid() != group || metadata.mode() & 0o2550 != 0o2550 => {
            own(dir, None, Some(group), metadata.mode() & 0o7777 | 0o2550)
        }
        _ => Ok(()),
    }
}

/// The directories that something is mounted on. They are of the volume itself and not of a
/// version: a version goes, and with it whatever containers have mounted there.
fn make_mount_points(dir: &Path, content: &Content<'_>) -> io::Result<()> {
    for point in content.directories() {
        if let Some(first) = first_name(point).map(|name| dir.join(name)).filter(|first| first.is_symlink()) {
            fs::remove_file(first)?;
        }
        make_directories(dir, point, content.group)?;
    }
    Ok(())
}

/// The names that containers open: one link per top-level name.
fn show(dir: &Path, content: &Content<'_>) -> io::Result<()> {
    for name in content.linked() {
        let (link, target) = (dir.join(name), Path::new(DATA).join(name));
        if fs::read_link(&link).is_ok_and(|found| found == target) {
            continue;
        }
        match symlink(&target, &link) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                remove_any(&link)?;
                symlink(&target, &link)?;
            }
            done => done?,
        }
    }
    Ok(())
}

impl Content<'_> {
    /// Mount points that must be made. Something may be mounted on a file, too, which is there
    /// then.
    fn directories(&self) -> impl Iterator<Item = &Path> {
        let is_file = |point: &&PathBuf| point.to_str().is_some_and(|point| self.files.contains_key(point));
        self.mount_points.iter().filter(move |point| !is_file(point)).map(PathBuf::as_path)
    }

    /// Top-level names of files. Where there are mount points, those come first, as in Kubernetes.
    fn linked(&self) -> BTreeSet<&str> {
        let taken: BTreeSet<&str> = self.directories().filter_map(first_name).collect();
        let names = self.files.keys().map(|path| path.split_once('/').map_or(path.as_str(), |(first, _)| first));
        names.filter(|name| !taken.contains(name)).collect()
    }
}

fn first_name(path: &Path) -> Option<&str> {
    path.components().next()?.as_os_str().to_str()
}

/// Names whose keys are gone, and versions that no container sees any more (also of a run that was
/// interrupted). Mount points stay: a container may have something mounted there.
fn remove_stale(dir: &Path, content: &Content<'_>, version: &Path) -> io::Result<()> {
    let mut visible = content.linked();
    visible.extend(content.directories().filter_map(first_name));
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let keep = match name.to_str() {
            Some(DATA) => true,
            Some(text) => Path::new(text) == version || visible.contains(text),
            None => false,
        };
        if !keep {
            remove_any(&dir.join(&name))?;
        }
    }
    Ok(())
}

fn remove_any(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path)?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

#[cfg(test)]
#[path = "atomic_tests.rs"]
mod tests;
