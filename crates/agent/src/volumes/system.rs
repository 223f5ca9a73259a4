//! Mount points of this machine.

use std::ffi::{CString, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

/// Rounds of unmounting: mounts that appear meanwhile are found by the next one.
const ROUNDS_MAX: usize = 8;

/// One line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
struct MountPoint {
    path: PathBuf,
    shared: bool,
}

/// `/proc/self/mountinfo` in the kernel's order: what covers comes after what is covered.
fn mount_points() -> io::Result<Vec<MountPoint>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

/// `36 35 98:0 / /mnt rw,noatime shared:1 - ext4 /dev/root rw`
fn parse(mountinfo: &[u8]) -> Vec<MountPoint> {
    let lines = mountinfo.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines
        .filter_map(|line| {
            let mut fields = line.split(|&byte| byte == b' ').skip(4);
            let path = PathBuf::from(OsString::from_vec(unescape(fields.next()?)));
            let mut optional = fields.skip(1).take_while(|field| *field != b"-");
            Some(MountPoint { path, shared: optional.any(|field| field.starts_with(b"shared:")) })
        })
        .collect()
}

/// Blanks and backslashes are written as `\040`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|digits| byte == b'\\' && digits.iter().all(u8::is_ascii_digit));
        let code = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    bytes
}

/// Whether something is mounted at exactly this path.
pub(super) fn is_mount_root(path: &Path) -> io::Result<bool> {
    let found = rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE)?;
    Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Mounts a memory file system. It is never swapped out where the kernel can promise that
/// (Linux 6.4): it may hold secrets.
pub(super) fn mount_tmpfs(path: &Path, bytes_max: Option<u64>) -> io::Result<()> {
    let size = bytes_max.map(|bytes| format!("size={bytes}"));
    let mount = |more: Option<&str>| {
        let options: Vec<&str> = size.as_deref().into_iter().chain(more).collect();
        let options = CString::new(options.join(",")).map_err(|_| Errno::INVAL)?;
        rustix::mount::mount("tmpfs", path, "tmpfs", MountFlags::empty(), options.as_c_str())
    };
    Ok(mount(Some("noswap")).or_else(|_| mount(None))?)
}

/// Unmounts everything at or below a directory, the covering mounts first.
///
/// # Errors
/// Something is still mounted there.
pub(super) fn unmount_below(dir: &Path) -> io::Result<()> {
    // The kernel tells real paths.
    let dir = match fs::canonicalize(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    for _ in 0..ROUNDS_MAX {
        let below: Vec<PathBuf> =
            mount_points()?.into_iter().map(|mount| mount.path).filter(|path| path.starts_with(&dir)).collect();
        if below.is_empty() {
            return Ok(());
        }
        for path in below.iter().rev() {
            unmount(path).map_err(|error| io::Error::other(format!("cannot unmount {}: {error}", path.display())))?;
        }
    }
    Err(io::Error::other(format!("mounts keep appearing below {}", dir.display())))
}

/// Unmounts one path. Something that still uses it keeps its view; no other process finds it any
/// more.
pub(super) fn unmount(path: &Path) -> io::Result<()> {
    match rustix::mount::unmount(path, UnmountFlags::NOFOLLOW) {
        // It went with another one.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(Errno::BUSY) => Ok(rustix::mount::unmount(path, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)?),
        Err(error) => Err(error.into()),
    }
}

/// Makes mount propagation possible for pods (DS-H32): the mounts of `/` and of the agent's
/// directory become shared where they are not. Runtimes refuse `HostToContainer` and
/// `Bidirectional` on private mounts, and plain containers and minimal systems start with those.
/// Not recursive, and never undone: others may rely on it by then. Answers what was changed.
///
/// # Errors
/// Of the kernel; the agent can go on without.
pub fn make_root_shared(kubelet_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let kubelet_dir = fs::canonicalize(kubelet_dir)?;
    let wanted = private_mounts(&mount_points()?, &kubelet_dir);
    for path in &wanted {
        rustix::mount::mount_change(path, MountPropagationFlags::SHARED)?;
    }
    Ok(wanted)
}

/// The mounts that hold `/` and `dir` as far as they are not shared.
fn private_mounts(mounts: &[MountPoint], dir: &Path) -> Vec<PathBuf> {
    // The last one at a path is the visible one.
    let root = mounts.iter().rev().find(|mount| mount.path == Path::new("/"));
    let holder = |longest: Option<&'_ MountPoint>, mount: &MountPoint| {
        longest.is_none_or(|longest| longest.path.as_os_str().len() <= mount.path.as_os_str().len())
    };
    let own = mounts
        .iter()
        .filter(|mount| dir.starts_with(&mount.path))
        .fold(None, |longest, mount| if holder(longest, mount) { Some(mount) } else { longest });
    let mut wanted: Vec<PathBuf> =
        [root, own].into_iter().flatten().filter(|mount| !mount.shared).map(|mount| mount.path.clone()).collect();
    wanted.dedup();
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &[u8] = b"27 1 254:0 / / rw,relatime - ext4 /dev/root rw\n\
        25 27 0:23 / /dev/shm rw shared:7 master:2 - tmpfs tmpfs rw\n\
        30 27 0:9 / /var/lib/with\\040blank\\134 rw - tmpfs shared:1 rw\n";

    #[test]
    fn mountinfo() {
        let mounts = parse(MOUNTINFO);
        let found: Vec<(&str, bool)> = mounts.iter().map(|m| (m.path.to_str().unwrap(), m.shared)).collect();
        assert_eq!(found, [("/", false), ("/dev/shm", true), ("/var/lib/with blank\\", false)]);
    }

    #[test]
    fn which_mounts_must_become_shared() {
        // DS-H32
        let mounts = parse(MOUNTINFO);
        let wanted = |dir: &str| private_mounts(&mounts, Path::new(dir));
        assert_eq!(wanted("/var/lib/kubelet"), [Path::new("/")]);
        assert_eq!(wanted("/dev/shm/kubelet"), [Path::new("/")]);
        assert_eq!(wanted("/var/lib/with blank\\/k"), [Path::new("/"), Path::new("/var/lib/with blank\\")]);
        assert!(private_mounts(&parse(b"1 0 0:1 / / rw shared:1 - ext4 d rw"), Path::new("/k")).is_empty());
    }
}
