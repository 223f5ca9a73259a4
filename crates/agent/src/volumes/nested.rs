//! Mount points below read-only volumes. Pure.
//!
//! A container may mount something below a config map or another volume of files. The runtime
//! cannot make the directory for it there, because it mounts those read-only: so it is made
//! beforehand.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod};

/// The directories, relative to the volume, that containers of the pod mount something else on. Of
/// mounts within each other only the outermost: the inner ones lie in another volume.
///
/// # Errors
/// A mount path leads out of its container.
pub(super) fn mount_points(pod: &Pod, volume: &str) -> Result<BTreeSet<PathBuf>, String> {
    let mut found = BTreeSet::new();
    for container in pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers)) {
        add(container, volume, &mut found)?;
    }
    Ok(found)
}

fn add(container: &Container, volume: &str, found: &mut BTreeSet<PathBuf>) -> Result<(), String> {
    let mounts = || container.volume_mounts.iter().flatten();
    if !mounts().any(|mount| mount.name == volume) {
        return Ok(());
    }
    let all = mounts().map(|mount| normal(&mount.mount_path)).collect::<Result<BTreeSet<PathBuf>, String>>()?;
    for own in mounts().filter(|mount| mount.name == volume && shows_all(mount)) {
        let own = normal(&own.mount_path)?;
        let mut outermost: Option<&Path> = None;
        // In order: what lies below a path comes right after it.
        for (path, below) in all.iter().filter_map(|path| Some((path, path.strip_prefix(&own).ok()?))) {
            let is_inner = outermost.is_some_and(|outermost| path.starts_with(outermost));
            if !below.as_os_str().is_empty() && !is_inner {
                outermost = Some(path);
                found.insert(below.to_owned());
            }
        }
    }
    Ok(())
}

/// A part of a volume is mounted by itself: its mount points would not be at its top.
fn shows_all(mount: &k8s_openapi::api::core::v1::VolumeMount) -> bool {
    let is_empty = |path: &Option<String>| path.as_deref().is_none_or(str::is_empty);
    is_empty(&mount.sub_path) && is_empty(&mount.sub_path_expr)
}

/// The path within the container, without `.` and `..`.
fn normal(path: &str) -> Result<PathBuf, String> {
    let mut normal = PathBuf::from("/");
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir if !normal.pop() => {
                return Err(format!("mount path {path:?} leads out of its container"));
            }
            _ => {}
        }
    }
    Ok(normal)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(mounts: Value) -> Result<Vec<String>, String> {
        let pod = json!({"spec": {"containers": [{"name": "other"}, {"name": "c", "volumeMounts": mounts}]}});
        let found = mount_points(&serde_json::from_value(pod).unwrap(), "v")?;
        Ok(found.iter().map(|path| path.display().to_string()).collect())
    }

    #[test]
    fn outermost_mounts_below_the_volume() {
        let mounts = json!([
            {"name": "e", "mountPath": "/etc/outer/inner/deep/er"},
            {"name": "v", "mountPath": "/etc/outer/"},
            {"name": "f", "mountPath": "etc/outer/./inner/deep"},
            {"name": "g", "mountPath": "/etc/outer/inner/deep-er"},
            {"name": "h", "mountPath": "/etc/outer2/x"},
            {"name": "i", "mountPath": "/etc/outer/x/../b"},
        ]);
        assert_eq!(of(mounts).unwrap(), ["b", "inner/deep", "inner/deep-er"]);
        let elsewhere =
            json!([{"name": "v", "mountPath": "/a/b", "subPath": "s"}, {"name": "e", "mountPath": "/a/b/c"}]);
        assert_eq!(of(elsewhere).unwrap(), [""; 0]);
        assert_eq!(of(json!([{"name": "e", "mountPath": "/a/b"}, {"name": "f", "mountPath": "/a"}])).unwrap(), [""; 0]);
    }

    #[test]
    fn a_path_out_of_the_container_is_refused() {
        let mounts = json!([{"name": "v", "mountPath": "/v"}, {"name": "e", "mountPath": "../../x"}]);
        assert_eq!(of(mounts).unwrap_err(), "mount path \"../../x\" leads out of its container");
    }
}
