//! From a container's `volumeMounts` to the runtime's mounts.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};

use super::source::{self, Source};
use super::{Disk, on_disk, subpath, volumes};
use crate::config::Directories;
use crate::cri::v1::{Mount, MountPropagation};
use crate::env::expand::expand;
use crate::ports::{ConfigError, EnvVar, PodRef};

/// The mounts of one container, in its own order.
///
/// # Errors
/// The message for `CreateContainerConfigError`.
pub(super) async fn of_container(
    dirs: &Directories,
    disk: &Disk,
    pod: &Pod,
    container: &Container,
    env: &[EnvVar],
) -> Result<Vec<Mount>, ConfigError> {
    let uid = PodRef::of(pod).uid;
    let mut mounts = Vec::new();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let volume = volumes(pod).iter().find(|volume| volume.name == mount.name).ok_or_else(|| {
            ConfigError::new(format!(
                "cannot find volume \"{}\" to mount into container \"{}\"",
                mount.name, container.name
            ))
        })?;
        let whole = source::visible_path(dirs, &uid, volume);
        let host_path = match sub_path(mount, env)? {
            None => whole,
            Some(sub) => {
                let parts = [mount.name.as_str(), &container.name, &index.to_string()];
                let target = parts.iter().fold(dirs.pod(&uid).join("volume-subpaths"), |path, part| path.join(part));
                bind(disk, whole, PathBuf::from(sub), target, mount, container).await?
            }
        };
        let fixed = matches!(source::of(volume), Source::Files(_));
        mounts.push(to_mount(mount, &host_path, fixed)?);
    }
    Ok(mounts)
}

/// The details go to the log: they would tell about the host's file system.
async fn bind(
    disk: &Disk,
    volume: PathBuf,
    sub: PathBuf,
    target: PathBuf,
    mount: &VolumeMount,
    container: &Container,
) -> Result<PathBuf, ConfigError> {
    let path = target.clone();
    let bound = on_disk(disk, move || subpath::bind(&volume, &sub, &target).map_err(|error| error.to_string())).await;
    bound.map(|()| path).map_err(|error| {
        tracing::warn!(volume = mount.name, container = container.name, error, "cannot prepare a subPath");
        let (volume, container) = (&mount.name, &container.name);
        ConfigError::new(format!("failed to prepare subPath for volumeMount \"{volume}\" of container \"{container}\""))
    })
}

/// The path inside the volume, expanded and checked; `None`: the whole volume.
fn sub_path(mount: &VolumeMount, env: &[EnvVar]) -> Result<Option<String>, ConfigError> {
    let fixed = mount.sub_path.clone().filter(|path| !path.is_empty());
    let expression = mount.sub_path_expr.as_deref().filter(|path| !path.is_empty());
    let path = match (expression, fixed) {
        (Some(expression), _) => Some(expand_strictly(expression, env)?),
        (None, fixed) => fixed,
    };
    if let Some(path) = &path {
        subpath::check(path).map_err(ConfigError::new)?;
    }
    // An expression may come to nothing: the whole volume.
    Ok(path.filter(|path| !path.is_empty()))
}

/// Unlike in commands, an unknown variable is an error.
fn expand_strictly(expression: &str, env: &[EnvVar]) -> Result<String, ConfigError> {
    let missing = RefCell::new(None);
    let expanded = expand(expression, |name| {
        let found = env.iter().find(|var| var.name == name).map(|var| var.value.as_str());
        if found.is_none() {
            missing.borrow_mut().get_or_insert_with(|| name.to_owned());
        }
        found
    });
    match missing.into_inner() {
        None => Ok(expanded),
        Some(name) => Err(ConfigError::new(format!("missing value for \"{name}\""))),
    }
}

/// `fixed`: containers never write to volumes of this kind.
fn to_mount(mount: &VolumeMount, host_path: &Path, fixed: bool) -> Result<Mount, ConfigError> {
    let unsupported = |what: String| {
        Err(ConfigError::new(format!("volumeMount \"{}\": {what} is not supported by this agent", mount.name)))
    };
    let propagation = match mount.mount_propagation.as_deref().unwrap_or_default() {
        "" | "None" => MountPropagation::PropagationPrivate,
        "HostToContainer" => MountPropagation::PropagationHostToContainer,
        "Bidirectional" => MountPropagation::PropagationBidirectional,
        other => return unsupported(format!("mountPropagation {other}")),
    };
    if mount.recursive_read_only.as_deref() == Some("Enabled") {
        return unsupported("recursiveReadOnly Enabled".into());
    }
    let Some(host_path) = host_path.to_str() else {
        return unsupported("a path that is not text".into());
    };
    Ok(Mount {
        container_path: absolute(&mount.mount_path),
        host_path: host_path.to_owned(),
        readonly: fixed || mount.read_only == Some(true),
        propagation: propagation as i32,
        ..Mount::default()
    })
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(json: &str) -> VolumeMount {
        serde_json::from_str(&format!(r#"{{"name":"v","mountPath":"/m",{json}}}"#)).unwrap()
    }

    #[test]
    fn propagation_and_read_only() {
        // DS-H32
        for (json, fixed, propagation, readonly) in [
            (r#""readOnly":false"#, false, 0, false),
            (r#""mountPropagation":"None","readOnly":true"#, false, 0, true),
            (r#""mountPropagation":"HostToContainer""#, false, 1, false),
            (r#""mountPropagation":"Bidirectional""#, true, 2, true),
        ] {
            let made = to_mount(&mount(json), Path::new("/h"), fixed).unwrap();
            assert_eq!((made.propagation, made.readonly), (propagation, readonly), "{json}");
        }
        let refused = to_mount(&mount(r#""recursiveReadOnly":"Enabled""#), Path::new("/h"), false).unwrap_err();
        assert_eq!(refused.message, "volumeMount \"v\": recursiveReadOnly Enabled is not supported by this agent");
    }

    #[test]
    fn sub_paths() {
        // DS-H35
        let env = [EnvVar { name: "POD".into(), value: "p-1".into() }];
        let of = |json: &str| sub_path(&mount(json), &env).map_err(|error| error.message);
        assert_eq!(of(r#""readOnly":true"#), Ok(None));
        assert_eq!(of(r#""subPath":"a/b""#), Ok(Some("a/b".into())));
        assert_eq!(of(r#""subPathExpr":"logs/$(POD)""#), Ok(Some("logs/p-1".into())));
        assert_eq!(of(r#""subPathExpr":"$(NOPE)""#), Err("missing value for \"NOPE\"".into()));
        assert_eq!(of(r#""subPath":"/a""#), Err("error SubPath `/a` must not be an absolute path".into()));
        assert!(of(r#""subPath":"a/../../b""#).unwrap_err().contains("must not contain '..'"));
    }
}
