//! The data directory: what is where, and which process holds it.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, coded};
use crate::files::is_already;

/// A data directory.
#[derive(Debug, Clone)]
pub(crate) struct DataDir {
    root: PathBuf,
}

/// Holds the data directory for this process; let go with the process, however it ends.
#[derive(Debug)]
pub(crate) struct Held {
    _file: File,
}

/// What an agent left behind for its next start and for `everynode down`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeState {
    pub(crate) node_name: String,
    pub(crate) cri_endpoint: String,
    pub(crate) private_runtime: bool,
    pub(crate) kubelet_dir: PathBuf,
    pub(crate) pod_logs: PathBuf,
    pub(crate) container_logs: PathBuf,
    pub(crate) cgroup_root: String,
    pub(crate) bridge: String,
    /// Files of ours outside the data directory.
    pub(crate) made: Vec<PathBuf>,
    /// This agent has the standard paths of the machine.
    pub(crate) primary: bool,
    /// Where `kubernetes.default` answers on this machine: an address that we put on the loopback
    /// interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<std::net::SocketAddr>,
}

impl DataDir {
    pub(crate) fn new(root: &Path) -> DataDir {
        DataDir { root: std::path::absolute(root).unwrap_or_else(|_| root.to_owned()) }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn admin_kubeconfig(&self) -> PathBuf {
        self.root.join("admin.kubeconfig")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    pub(crate) fn pki(&self) -> PathBuf {
        self.root.join("pki")
    }

    /// Credentials of this machine's agent, once it has joined.
    pub(crate) fn agent_pki(&self) -> PathBuf {
        self.root.join("agent")
    }

    fn lock_file(&self) -> PathBuf {
        self.root.join("everynode.lock")
    }

    fn node_file(&self) -> PathBuf {
        self.root.join("node.json")
    }

    /// Creates the directory if need be, and takes it for this process.
    pub(crate) fn hold(&self) -> anyhow::Result<Held> {
        let root = self.root.display();
        let fail = |what: &str, error: std::io::Error| {
            coded(Exit::Data, format!("cannot {what} the data directory {root}: {error}"))
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.root)
            .map_err(|error| fail("create", error))?;
        let file =
            File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(self.lock_file());
        let mut file = file.map_err(|error| fail("write to", error))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let holder = self.holder().map_or("another process".to_owned(), |pid| format!("process {pid}"));
            let message =
                format!("the data directory {root} is in use by {holder}; stop it, or choose another --data-dir");
            return Err(coded(Exit::Data, message));
        }
        note_holder(&mut file).map_err(|error| fail("write to", error))?;
        Ok(Held { _file: file })
    }

    /// The process that holds the directory right now.
    pub(crate) fn holder(&self) -> Option<i32> {
        let mut file = File::options().read(true).write(true).open(self.lock_file()).ok()?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return None;
        }
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    }

    pub(crate) fn node_state(&self) -> Option<NodeState> {
        serde_json::from_slice(&std::fs::read(self.node_file()).ok()?).ok()
    }

    pub(crate) fn write_node_state(&self, state: &NodeState) -> anyhow::Result<()> {
        let json = serde_json::to_vec_pretty(state)?;
        let path = self.node_file();
        if is_already(&path, &json) {
            return Ok(());
        }
        let temporary = path.with_extension("new");
        let written = std::fs::write(&temporary, json).and_then(|()| std::fs::rename(&temporary, &path));
        written.map_err(|error| coded(Exit::Data, format!("cannot write {}: {error}", path.display())))
    }

    pub(crate) fn remove_node_state(&self) {
        let _ = std::fs::remove_file(self.node_file());
    }
}

/// Leaves our process id in the file: over the one that is there, so that a full disk needs no new
/// block for it.
fn note_holder(file: &mut File) -> std::io::Result<()> {
    file.rewind()?;
    // The longest process id has seven digits; what is read is trimmed.
    write!(file, "{:<10}", std::process::id())
}

/// Which data directory's agent has the machine's standard paths (`/var/lib/kubelet` and the like).
/// Below `/run`, so that a reboot forgets it.
const PRIMARY: &str = "/run/everynode/primary";

/// A kubelet writes these and we never do: the directory beside them is its own, and so is every
/// pod in it.
const OF_A_KUBELET: [&str; 3] =
    ["/var/lib/kubelet/config.yaml", "/var/lib/kubelet/cpu_manager_state", "/var/lib/kubelet/kubeconfig"];

/// Claims the standard paths; false if another agent of this machine, or a kubelet, has them.
pub(crate) fn claim_primary(data: &DataDir) -> bool {
    let path = Path::new(PRIMARY);
    if OF_A_KUBELET.iter().any(|path| Path::new(path).exists()) {
        return false;
    }
    if let Some(directory) = path.parent() {
        let _ = std::fs::create_dir_all(directory);
    }
    let ours = data.root().to_string_lossy().into_owned();
    if let Ok(owner) = std::fs::read_to_string(path) {
        let taken = DataDir::new(Path::new(&owner)).node_state().is_some_and(|state| state.primary);
        if taken && owner != ours {
            return false;
        }
        let _ = std::fs::remove_file(path);
    }
    let created = File::options().write(true).create_new(true).open(path);
    created.and_then(|mut file| file.write_all(ours.as_bytes())).is_ok()
}

/// Gives the standard paths back.
pub(crate) fn release_primary(data: &DataDir) {
    let owner = std::fs::read_to_string(PRIMARY).unwrap_or_default();
    if Path::new(&owner) == data.root() {
        let _ = std::fs::remove_file(PRIMARY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_held_once_and_its_holder_is_known() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::new(&directory.path().join("d"));
        assert_eq!(data.holder(), None);
        let held = data.hold().unwrap();
        let error = data.hold().unwrap_err();
        assert_eq!(crate::exit::code(&error), Exit::Data);
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        drop(held);
        assert!(data.hold().is_ok());
    }

    #[test]
    fn a_data_directory_that_cannot_be_made_is_named() {
        let error = DataDir::new(Path::new("/proc/none/x")).hold().unwrap_err();
        assert!(error.to_string().contains("/proc/none/x"), "{error}");
        assert_eq!(crate::exit::code(&error), Exit::Data);
    }
}
