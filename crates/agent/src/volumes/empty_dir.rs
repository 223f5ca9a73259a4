//! Directories that live as long as the pod (DS-H36).

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use everynode_api::quantity::Quantity;
use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Pod};

use super::source::{Place, make_open, make_private};
use super::system;
use crate::container;
use crate::env::Allocatable;

/// Where the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Medium {
    Disk,
    /// With at most this many bytes.
    Memory {
        bytes_max: Option<u64>,
    },
}

/// The medium of an empty directory; one in memory is bounded by the smallest of its own limit,
/// the pod's and the node's memory.
///
/// # Errors
/// A medium that is not supported, or a limit that is not an amount.
pub(super) fn medium(pod: &Pod, wish: &EmptyDirVolumeSource, allocatable: &Allocatable) -> Result<Medium, String> {
    match wish.medium.as_deref().unwrap_or_default() {
        "" => Ok(Medium::Disk),
        "Memory" => {
            let own = wish
                .size_limit
                .as_ref()
                .map(|limit| Quantity::parse(&limit.0))
                .transpose()
                .map_err(|error| error.to_string())?;
            let of_pod = pod.spec.as_ref().and_then(|spec| container::pod_limits(spec).memory);
            let of_node = allocatable.get("memory").map(|amount| amount.value());
            let limits = [own.map(|amount| amount.value()), of_pod, of_node];
            let bytes = limits.into_iter().flatten().filter_map(|bytes| u64::try_from(bytes).ok());
            Ok(Medium::Memory { bytes_max: bytes.filter(|bytes| *bytes > 0).min() })
        }
        other => Err(format!("emptyDir medium \"{other}\" is not supported by this agent")),
    }
}

/// Makes the directory once; later calls leave it and its content alone.
pub(super) fn set_up(place: &Place, medium: Medium, group: Option<u32>) -> io::Result<()> {
    let ready = place.notes.join("ready");
    let on_memory = matches!(medium, Medium::Memory { .. });
    // After a reboot the note is there, but what was in memory is gone.
    if ready.exists() && place.path.is_dir() && (!on_memory || system::is_mount_root(&place.path)?) {
        return Ok(());
    }
    make_open(&place.path)?;
    if let Medium::Memory { bytes_max } = medium
        && !system::is_mount_root(&place.path)?
    {
        system::mount_tmpfs(&place.path, bytes_max)?;
    }
    if let Some(group) = group {
        give_to_group(&place.path, group)?;
    }
    make_private(&place.notes)?;
    fs::write(ready, "")
}

/// The group may do what the owner may, and new files belong to it.
fn give_to_group(path: &Path, group: u32) -> io::Result<()> {
    chown(path, None, Some(group))?;
    let mode = fs::metadata(path)?.mode() & 0o7777;
    fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o2770))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pod: &str, wish: &str, expected: Result<Medium, &str>) {
        let pod: Pod = serde_json::from_str(pod).unwrap();
        let wish: EmptyDirVolumeSource = serde_json::from_str(wish).unwrap();
        let allocatable = Allocatable::from([("memory".to_owned(), Quantity::parse("1Gi").unwrap())]);
        let found = medium(&pod, &wish, &allocatable);
        assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|text| *text));
    }

    #[test]
    fn the_smallest_limit_bounds_memory() {
        // DS-H36
        const FREE: &str = r#"{"spec":{"containers":[{"name":"c"}]}}"#;
        const LIMITED: &str = r#"{"spec":{"containers":[{"name":"c","resources":{"limits":{"memory":"64Mi"}}}]}}"#;
        let memory = |bytes: u64| Ok(Medium::Memory { bytes_max: Some(bytes) });
        check(FREE, "{}", Ok(Medium::Disk));
        check(FREE, r#"{"medium":"Memory"}"#, memory(1 << 30));
        check(FREE, r#"{"medium":"Memory","sizeLimit":"1Mi"}"#, memory(1 << 20));
        check(LIMITED, r#"{"medium":"Memory","sizeLimit":"1Gi"}"#, memory(64 << 20));
        check(FREE, r#"{"medium":"HugePages"}"#, Err("emptyDir medium \"HugePages\" is not supported by this agent"));
    }
}
