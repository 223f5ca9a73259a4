//! Which kind of volume this is, and where it lives.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, DownwardAPIVolumeSource, EmptyDirVolumeSource, HostPathVolumeSource, ProjectedVolumeSource,
    SecretVolumeSource, Volume,
};

use super::system;
use crate::config::Directories;

/// What a volume is made from.
pub(super) enum Source<'a> {
    HostPath(&'a HostPathVolumeSource),
    EmptyDir(&'a EmptyDirVolumeSource),
    Files(Files<'a>),
    /// The field's name in the API.
    Unsupported(String),
}

/// Volumes whose files come from objects of the API.
pub(super) enum Files<'a> {
    ConfigMap(&'a ConfigMapVolumeSource),
    Secret(&'a SecretVolumeSource),
    DownwardApi(&'a DownwardAPIVolumeSource),
    Projected(&'a ProjectedVolumeSource),
}

impl Files<'_> {
    /// Whether the files must never reach a disk (DS-H33).
    pub(super) fn in_memory(&self) -> bool {
        !matches!(self, Files::ConfigMap(_))
    }
}

/// Recognises a volume.
pub(super) fn of(volume: &Volume) -> Source<'_> {
    if let Some(source) = &volume.host_path {
        Source::HostPath(source)
    } else if let Some(source) = &volume.empty_dir {
        Source::EmptyDir(source)
    } else if let Some(source) = &volume.config_map {
        Source::Files(Files::ConfigMap(source))
    } else if let Some(source) = &volume.secret {
        Source::Files(Files::Secret(source))
    } else if let Some(source) = &volume.downward_api {
        Source::Files(Files::DownwardApi(source))
    } else if let Some(source) = &volume.projected {
        Source::Files(Files::Projected(source))
    } else {
        // The API server fills in an empty directory where nothing is said: a kind that is newer
        // than this agent.
        Source::Unsupported(other_kind(volume).unwrap_or_else(|| "unknown".into()))
    }
}

/// The name of the only field that is set besides the name: `persistentVolumeClaim`, `csi` …
fn other_kind(volume: &Volume) -> Option<String> {
    let json = serde_json::to_value(volume).ok()?;
    json.as_object()?.keys().find(|key| *key != "name").cloned()
}

/// Where a volume lives, in the layout that other programs know from Kubernetes (DS-H38).
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// `ROOT/pods/UID/volumes/kubernetes.io~KIND/NAME`
    pub path: PathBuf,
    /// `ROOT/pods/UID/plugins/kubernetes.io~KIND/NAME`: what the agent notes about it.
    pub notes: PathBuf,
}

pub(super) fn place(dirs: &Directories, uid: &str, volume: &Volume) -> Place {
    let kind = match of(volume) {
        Source::HostPath(_) => "kubernetes.io~host-path",
        Source::EmptyDir(_) => "kubernetes.io~empty-dir",
        Source::Files(Files::ConfigMap(_)) => "kubernetes.io~configmap",
        Source::Files(Files::Secret(_)) => "kubernetes.io~secret",
        Source::Files(Files::DownwardApi(_)) => "kubernetes.io~downward-api",
        Source::Files(Files::Projected(_)) => "kubernetes.io~projected",
        Source::Unsupported(_) => "everynode.dev~unsupported",
    };
    Place {
        path: dirs.pod_volumes(uid).join(kind).join(&volume.name),
        notes: dirs.pod(uid).join("plugins").join(kind).join(&volume.name),
    }
}

/// What containers see of a volume: the host's path itself, or the volume's place.
pub(super) fn visible_path(dirs: &Directories, uid: &str, volume: &Volume) -> PathBuf {
    match of(volume) {
        Source::HostPath(source) => PathBuf::from(&source.path),
        _ => place(dirs, uid, volume).path,
    }
}

/// Makes the directory of a volume, on a memory file system if it is to be in memory. What is
/// there already stays: also after a restart of the agent.
pub(super) fn prepare_place(place: &Place, in_memory: bool) -> io::Result<()> {
    make_open(&place.path)?;
    if in_memory && !system::is_mount_root(&place.path)? {
        system::mount_tmpfs(&place.path, None)?;
    }
    Ok(())
}

/// A directory that every user of the pod may use, below directories that only the agent may.
pub(super) fn make_open(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    make_private(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))
}

pub(super) fn make_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o750).create(path)
}
