//! The pod's cgroup in every hierarchy of v1, or in the one of v2 (DS-H48). The runtime makes the
//! containers' below it and leaves the pod's behind: it is removed here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::container::{PodLimits, cgroup_v2_weight};

const PERIOD_MICROSECONDS: i64 = 100_000;
/// A cgroup tree of a pod is at most this deep.
const DEPTH_MAX: usize = 8;

/// The mounted hierarchies below `mount`: one directory each, v2's unified one included.
fn hierarchies(mount: &Path) -> Vec<PathBuf> {
    if mount.join("cgroup.controllers").exists() {
        return vec![mount.to_owned()];
    }
    let entries = fs::read_dir(mount).into_iter().flatten().flatten();
    // Names like `cpu` are links to `cpu,cpuacct`.
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.path()).filter(|path| path.join("cgroup.procs").exists()).collect()
}

/// Makes the cgroup `parent` (`/root/kubepods/burstable/podUID`) and sets its limits.
///
/// # Errors
/// A directory cannot be made.
pub(super) fn create(mount: &Path, parent: &str, limits: PodLimits, pids_max: Option<u64>) -> io::Result<()> {
    for hierarchy in hierarchies(mount) {
        let unified = hierarchy.join("cgroup.controllers").exists();
        let mut path = hierarchy.clone();
        for part in parent.split('/').filter(|part| !part.is_empty()) {
            if unified {
                enable_controllers(&path);
            }
            path.push(part);
            make(&path)?;
            if part == "besteffort" {
                set(&path, "cpu.shares", 2);
            }
        }
        set_limits(&path, limits);
        set(&path, "pids.max", pids_max.map_or_else(|| "max".to_owned(), |pids| pids.to_string()));
    }
    Ok(())
}

fn make(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Lets the children of a v2 cgroup have its controllers, as far as each can be had.
fn enable_controllers(path: &Path) {
    let controllers = fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        let _ = fs::write(path.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// Writes what this hierarchy knows: files that do not exist belong to another one.
fn set_limits(path: &Path, limits: PodLimits) {
    set(path, "cpu.shares", limits.cpu_shares);
    set(path, "cpu.weight", cgroup_v2_weight(limits.cpu_shares));
    if let Some(quota) = limits.cpu_quota {
        set(path, "cpu.cfs_period_us", PERIOD_MICROSECONDS);
        set(path, "cpu.cfs_quota_us", quota);
        set(path, "cpu.max", format!("{quota} {PERIOD_MICROSECONDS}"));
    }
    if let Some(memory) = limits.memory {
        set(path, "memory.limit_in_bytes", memory);
        set(path, "memory.max", memory);
    }
}

fn set(path: &Path, file: &str, value: impl std::fmt::Display) {
    let file = path.join(file);
    if file.exists()
        && let Err(error) = fs::write(&file, value.to_string())
    {
        tracing::warn!(file = %file.display(), %error, "cannot set a cgroup limit");
    }
}

/// Removes the cgroup of every quality-of-service class that the pod may have had.
///
/// # Errors
/// A process is still in it.
pub(super) fn remove(mount: &Path, root: &str, uid: &str) -> io::Result<()> {
    let mut result = Ok(());
    for hierarchy in hierarchies(mount) {
        for class in ["", "burstable", "besteffort"] {
            let path = hierarchy.join(root.trim_matches('/')).join("kubepods").join(class).join(format!("pod{uid}"));
            result = result.and(remove_tree(&path, DEPTH_MAX));
        }
    }
    result
}

/// cgroups are removed from the leaves up; their files go with them.
fn remove_tree(path: &Path, depth: usize) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(path) else { return Ok(()) };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        if depth > 0 {
            remove_tree(&entry.path(), depth - 1)?;
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
