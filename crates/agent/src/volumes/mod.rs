//! The volumes of pods on disk, and the mounts of containers (behaviour section H.5).
//!
//! ```text
//! source     which kind of volume this is, and where it lives below the pod's directory
//! gather     config maps, secrets, fields and tokens as the files of a volume (reads the API)
//! token      service-account tokens: asked for, kept, renewed
//! payload    PURE: keys, items, modes and paths to files
//! atomic     files to disk in one swap (DS-H33)
//! nested     PURE: mount points below volumes of files
//! host_path  checks and creates what is mounted from the host (DS-H30)
//! empty_dir  directories that live with the pod (DS-H36)
//! subpath    a place inside a volume, never outside of it (DS-H35)
//! owner      fsGroup, and the user that all containers share
//! system     mount points: look, mount, unmount, make propagation possible
//! remove     deletes a tree without ever crossing into another mount
//! layout     the agent's own directories (DS-H38)
//! ```
//!
//! The host's own content is only ever the source of a bind mount: nothing below a pod's
//! directory leads into it when the pod is torn down.

mod atomic;
mod empty_dir;
mod gather;
mod host_path;
mod layout;
mod mounts;
mod nested;
mod owner;
mod payload;
mod refresh;
mod remove;
mod source;
mod subpath;
mod system;
#[cfg(test)]
pub(crate) mod testkit;
#[cfg(test)]
mod tests;
mod token;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use k8s_openapi::api::core::v1::{Container, Pod, Volume};
use tokio::sync::watch;

use crate::config::{AgentConfig, Directories};
use crate::cri::v1::Mount;
use crate::env::{Allocatable, Objects};
use crate::ports::{BoxFuture, Clock, ConfigError, EnvVar, EventSink, MountError, PodRef, Volumes};

use gather::Gatherer;
use source::Source;
use token::Tokens;

pub use layout::prepare_directories;
pub use system::make_root_shared;

/// The volumes of this node's pods.
pub struct PodVolumes {
    shared: Arc<Shared>,
}

/// What the methods and the refreshing tasks have in common.
struct Shared {
    config: Arc<AgentConfig>,
    gatherer: Gatherer,
    allocatable: Allocatable,
    events: Arc<dyn EventSink>,
    clock: Arc<dyn Clock>,
    pods: Mutex<BTreeMap<String, Entry>>,
}

/// One pod whose volumes exist, by uid.
struct Entry {
    disk: Disk,
    latest: watch::Sender<Arc<Pod>>,
    refreshing: Option<tokio::task::AbortHandle>,
}

/// Serialises everything that touches one pod's directory. The value: it is torn down for good.
type Disk = Arc<tokio::sync::Mutex<bool>>;

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(task) = &self.refreshing {
            task.abort();
        }
    }
}

impl PodVolumes {
    /// `allocatable` are the node's amounts: they stand in for limits that are not set, and bound
    /// memory-backed directories.
    pub fn new(
        config: Arc<AgentConfig>,
        objects: Objects,
        allocatable: Allocatable,
        events: Arc<dyn EventSink>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let tokens = Tokens::new(objects.api().clone(), clock.clone());
        let gatherer = Gatherer { objects, tokens, allocatable: allocatable.clone() };
        let shared = Shared { config, gatherer, allocatable, events, clock, pods: Mutex::default() };
        PodVolumes { shared: Arc::new(shared) }
    }
}

impl Volumes for PodVolumes {
    fn set_up<'a>(&'a self, pod: &'a Arc<Pod>) -> BoxFuture<'a, Result<(), MountError>> {
        Box::pin(async move {
            let uid = PodRef::of(pod).uid;
            safe_uid(&uid).map_err(|message| MountError { message })?;
            let disk = self.shared.disk(pod);
            let mut settled = BTreeSet::new();
            let mut failure = None;
            for volume in volumes(pod) {
                match self.shared.set_up_volume(&disk, pod, volume).await {
                    Ok(true) => drop(settled.insert(volume.name.clone())),
                    Ok(false) => {}
                    Err(why) => drop(failure.get_or_insert(mount_error(volume, &why))),
                }
            }
            match failure {
                Some(failure) => Err(failure),
                None => {
                    self.shared.keep_fresh(pod, settled);
                    Ok(())
                }
            }
        })
    }

    fn mounts<'a>(
        &'a self,
        pod: &'a Pod,
        container: &'a Container,
        env: &'a [EnvVar],
    ) -> BoxFuture<'a, Result<Vec<Mount>, ConfigError>> {
        Box::pin(async move {
            let disk = self.shared.disk(&Arc::new(pod.clone()));
            mounts::of_container(&self.shared.config.dirs, &disk, pod, container, env).await
        })
    }

    fn pod_changed(&self, pod: &Arc<Pod>) {
        if let Some(entry) = self.shared.pods().get(&PodRef::of(pod).uid) {
            let meta = |pod: &Pod| (pod.metadata.labels.clone(), pod.metadata.annotations.clone());
            entry.latest.send_if_modified(|latest| {
                let follows = meta(latest) != meta(pod);
                *latest = pod.clone();
                follows
            });
        }
    }

    fn tear_down<'a>(&'a self, pod_uid: &'a str) -> BoxFuture<'a, Result<(), MountError>> {
        Box::pin(async move {
            safe_uid(pod_uid).map_err(|message| MountError { message })?;
            let disk = self.shared.known_disk(pod_uid).unwrap_or_default();
            let pod_dir = self.shared.config.dirs.pod(pod_uid);
            let mut gone = disk.lock_owned().await;
            let removed = blocking(move || {
                // Whatever still waits for the lock must not make anything again.
                *gone = true;
                remove_pod_volumes(&pod_dir)
            });
            removed.await.map_err(|why| MountError {
                message: format!("UnmountVolume.TearDown failed for pod \"{pod_uid}\" : {why}"),
            })?;
            self.shared.pods().remove(pod_uid);
            self.shared.gatherer.tokens.forget(pod_uid);
            Ok(())
        })
    }
}

impl Shared {
    fn pods(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.pods.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn disk(&self, pod: &Arc<Pod>) -> Disk {
        let mut pods = self.pods();
        let entry = pods.entry(PodRef::of(pod).uid).or_insert_with(|| Entry {
            disk: Disk::default(),
            latest: watch::channel(pod.clone()).0,
            refreshing: None,
        });
        entry.disk.clone()
    }

    /// `None`: the pod is torn down.
    fn known_disk(&self, uid: &str) -> Option<Disk> {
        self.pods().get(uid).map(|entry| entry.disk.clone())
    }

    /// Makes one volume ready, or brings it up to date. Answers whether it can never change.
    async fn set_up_volume(&self, disk: &Disk, pod: &Pod, volume: &Volume) -> Result<bool, String> {
        let place = source::place(&self.config.dirs, &PodRef::of(pod).uid, volume);
        let group = owner::fs_group(pod);
        match source::of(volume) {
            Source::HostPath(host_path) => {
                let (path, kind) = (PathBuf::from(&host_path.path), host_path.type_.clone().unwrap_or_default());
                on_disk(disk, move || host_path::prepare(&path, &kind)).await?;
                Ok(true)
            }
            Source::EmptyDir(wish) => {
                let medium = empty_dir::medium(pod, wish, &self.allocatable)?;
                on_disk(disk, move || empty_dir::set_up(&place, medium, group).map_err(in_words)).await?;
                Ok(true)
            }
            Source::Files(files) => {
                let gathered = self.gatherer.gather(pod, &files).await?;
                let mount_points = nested::mount_points(pod, &volume.name)?;
                let (now, in_memory) = (self.clock.now(), files.in_memory());
                let write = move || {
                    source::prepare_place(&place, in_memory)?;
                    let (files, mount_points) = (&gathered.payload, &mount_points);
                    atomic::write(&place.path, &atomic::Content { files, mount_points, group }, now)
                };
                on_disk(disk, move || write().map_err(in_words)).await?;
                Ok(gathered.settled)
            }
            Source::Unsupported(kind) => Err(unsupported_kind(&kind)),
        }
    }
}

fn unsupported_kind(kind: &str) -> String {
    format!("volumes of kind {kind} are not supported by this agent")
}

/// Why the pod's volumes cannot be had, whatever there is to be read.
#[cfg(test)]
pub(crate) fn unsupported(spec: &k8s_openapi::api::core::v1::PodSpec) -> Option<String> {
    let sources = |volume: &Volume| {
        volume.projected.iter().flat_map(|it| it.sources.clone().unwrap_or_default()).collect::<Vec<_>>()
    };
    spec.volumes.iter().flatten().find_map(|volume| match source::of(volume) {
        Source::Unsupported(kind) => Some(unsupported_kind(&kind)),
        _ => sources(volume).iter().find_map(gather::unsupported),
    })
}

/// The empty directories of a pod that are on disk: the volume's name, and where it is.
pub(crate) fn empty_directories(dirs: &Directories, pod: &Pod) -> Vec<(String, PathBuf)> {
    let uid = PodRef::of(pod).uid;
    let on_disk = |volume: &&Volume| match source::of(volume) {
        Source::EmptyDir(wish) => wish.medium.as_deref().unwrap_or_default().is_empty(),
        _ => false,
    };
    let found = volumes(pod).iter().filter(on_disk);
    found.map(|volume| (volume.name.clone(), source::place(dirs, &uid, volume).path)).collect()
}

fn volumes(pod: &Pod) -> &[Volume] {
    pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default()
}

fn mount_error(volume: &Volume, why: &str) -> MountError {
    MountError { message: format!("MountVolume.SetUp failed for volume \"{}\" : {why}", volume.name) }
}

fn in_words(error: io::Error) -> String {
    error.to_string()
}

/// A uid becomes a directory name.
fn safe_uid(uid: &str) -> Result<(), String> {
    match uid.is_empty() || uid.starts_with('.') || uid.contains(['/', '\0']) {
        true => Err(format!("\"{uid}\" is not a pod uid")),
        false => Ok(()),
    }
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(format!("volume work ended early: {error}")))
}

/// Runs file work on one pod's directory. The lock stays with the work even if no task waits for it
/// any more, so that a torn-down pod is never written to.
async fn on_disk<T: Send + 'static>(
    disk: &Disk,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let gone = disk.clone().lock_owned().await;
    blocking(move || if *gone { Err("the pod's volumes are torn down".to_owned()) } else { work() }).await
}

/// Everything that volumes put into a pod's directory.
const PARTS: [&str; 3] = ["volume-subpaths", "volumes", "plugins"];

fn remove_pod_volumes(pod_dir: &std::path::Path) -> Result<(), String> {
    for part in PARTS {
        system::unmount_below(&pod_dir.join(part)).map_err(in_words)?;
    }
    for part in PARTS {
        let path = pod_dir.join(part);
        remove::tree(&path).map_err(|error| format!("cannot remove {}: {error}", path.display()))?;
    }
    Ok(())
}
