//! A real machine.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::{Files, Host, cgroups, message};
use crate::config::AgentConfig;
use crate::container::{self, LOG_FILE_ANNOTATION};
use crate::cri::{self, v1};
use crate::files;
use crate::ports::PodRef;

const HOSTS: &str = "/etc/hosts";
const DEFAULT_MESSAGE_PATH: &str = "/dev/termination-log";
/// Longer configuration files are not read: they are not what they should be.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// The machine that the agent runs on.
pub struct LinuxHost {
    config: Arc<AgentConfig>,
    memory_capacity: u64,
}

impl LinuxHost {
    pub fn new(config: Arc<AgentConfig>) -> Self {
        LinuxHost { config, memory_capacity: memory_capacity() }
    }

    fn hosts_mount(&self, pod: &Pod, container: &Container, ips: &[IpAddr]) -> io::Result<Option<v1::Mount>> {
        if mounts(container, HOSTS) {
            return Ok(None);
        }
        let (reference, spec) = (PodRef::of(pod), pod.spec.clone().unwrap_or_default());
        let node_hosts = read_text(Path::new(HOSTS));
        let text = container::hosts_file(&self.config, &spec, &reference, ips, &node_hosts);
        let path = self.config.dirs.pod(&reference.uid).join("etc-hosts");
        // In place: the file may be mounted into other containers of the pod.
        if read_whole(files::open(&path, files::HOSTS_NAMES)) != text {
            files::write(&path, files::HOSTS_NAMES, 0o644, text.as_bytes())?;
        }
        Ok(Some(bind(HOSTS, &path)))
    }
}

impl Host for LinuxHost {
    fn prepare_pod(&self, pod: &Pod) -> io::Result<()> {
        let reference = PodRef::of(pod);
        let spec = pod.spec.clone().unwrap_or_default();
        make_private(&self.config.dirs.pod(&reference.uid))?;
        let logs = container::log_directory(&self.config, &reference);
        files::make_directory(&logs, files::LOG_NAMES - 2, 0o755)?;
        fs::create_dir_all(&self.config.dirs.container_logs)?;
        let parent = container::cgroup_parent(&self.config, &spec, &reference.uid);
        cgroups::create(&self.config.cgroups.mount, &parent, container::pod_limits(&spec), self.config.pod_max_pids)
    }

    fn known_pods(&self) -> Vec<String> {
        let entries = fs::read_dir(self.config.dirs.root.join("pods")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn resolv_conf(&self) -> String {
        read_text(&self.config.dns.resolv_conf)
    }

    fn container_files(&self, pod: &Pod, container: &Container, attempt: u32, ips: &[IpAddr]) -> io::Result<Files> {
        let reference = PodRef::of(pod);
        let logs = container::log_directory(&self.config, &reference).join(&container.name);
        files::make_directory(&logs, files::LOG_NAMES - 1, 0o755)?;
        let directory = self.config.dirs.pod(&reference.uid).join("containers").join(&container.name);
        make_private(&directory)?;
        let message_file = directory.join(format!("{attempt}.message"));
        // Whatever user the container runs as may write to it.
        files::write(&message_file, files::MESSAGE_NAMES, 0o666, b"")?;
        let path = container.termination_message_path.as_deref().filter(|path| !path.is_empty());
        let path = path.unwrap_or(DEFAULT_MESSAGE_PATH);
        let message_mount = (!mounts(container, path)).then(|| bind(path, &message_file));
        let mounts = self.hosts_mount(pod, container, ips)?.into_iter().chain(message_mount).collect();
        Ok(Files { mounts, message_file })
    }

    fn link_log(&self, pod: &PodRef, container: &str, attempt: u32, id: &str) {
        let link = container::log_link(&self.config, pod, container, id);
        let target = container::log_directory(&self.config, pod).join(container::log_path(container, attempt));
        if let Err(error) = std::os::unix::fs::symlink(&target, &link)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            tracing::warn!(link = %link.display(), %error, "cannot link a container's log");
        }
    }

    fn termination_message(&self, found: &cri::Container) -> String {
        message::read(found)
    }

    fn remove_log(&self, found: &cri::Container) {
        if let Some(pod) = pod_of(found) {
            remove_file(&container::log_link(&self.config, &pod, &found.name, &found.id));
        }
        let Some(log) = found.annotations.get(LOG_FILE_ANNOTATION).map(PathBuf::from) else { return };
        if let Err(error) = crate::logs::remove(&log) {
            tracing::warn!(log = %log.display(), %error, "cannot remove a container's log");
        }
    }

    fn remove_logs(&self, pod: &PodRef) {
        let logs = container::log_directory(&self.config, pod);
        remove_links(&self.config.dirs.container_logs, &logs);
        if let Err(error) = fs::remove_dir_all(&logs)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %logs.display(), %error, "cannot remove a pod's logs");
        }
    }

    fn remove_pod(&self, pod: &PodRef) -> io::Result<()> {
        cgroups::remove(&self.config.cgroups.mount, &self.config.cgroups.root, &pod.uid)?;
        remove_directory(&self.config.dirs.pod(&pod.uid))
    }

    fn memory_capacity(&self) -> u64 {
        self.memory_capacity
    }
}

/// The pod that a container belongs to, from its labels.
pub(crate) fn pod_of(found: &cri::Container) -> Option<PodRef> {
    let label = |name: &str| found.labels.get(name).cloned();
    Some(PodRef {
        namespace: label(container::POD_NAMESPACE_LABEL)?,
        name: label(container::POD_NAME_LABEL)?,
        uid: label(container::POD_UID_LABEL)?,
    })
}

/// Whether the container mounts something of its own there.
fn mounts(container: &Container, path: &str) -> bool {
    container.volume_mounts.iter().flatten().any(|mount| mount.mount_path == path)
}

fn bind(inside: &str, outside: &Path) -> v1::Mount {
    v1::Mount { container_path: inside.to_owned(), host_path: outside.display().to_string(), ..v1::Mount::default() }
}

fn make_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o750).create(path)
}

/// A file of the machine's own, which may be a link.
fn read_text(path: &Path) -> String {
    read_whole(fs::File::open(path))
}

fn read_whole(file: io::Result<fs::File>) -> String {
    use std::io::Read;
    let mut text = String::new();
    let read = file.and_then(|file| file.take(TEXT_BYTES_MAX).read_to_string(&mut text));
    read.map_or_else(|_| String::new(), |_| text)
}

fn remove_file(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove a log file");
    }
}

/// Removes the links to the logs of one pod.
fn remove_links(directory: &Path, logs: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(logs)) {
            remove_file(&entry.path());
        }
    }
}

/// Removes the pod's directory: the volumes' part must be empty by now, so that nothing that is
/// still mounted is ever deleted through.
fn remove_directory(path: &Path) -> io::Result<()> {
    let volumes = path.join("volumes");
    let missing_is_fine = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    missing_is_fine(fs::remove_dir(&volumes))?;
    missing_is_fine(fs::remove_dir_all(path.join("containers")))?;
    missing_is_fine(fs::remove_file(path.join("etc-hosts")))?;
    missing_is_fine(fs::remove_dir(path))
}

/// `MemTotal` of `/proc/meminfo`.
fn memory_capacity() -> u64 {
    let text = read_text(Path::new("/proc/meminfo"));
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}
