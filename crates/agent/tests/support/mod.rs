//! A private containerd for tests, and small neighbours of the worker.
#![allow(dead_code, reason = "every test file uses a part")]

pub mod fakes;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Images that tests use; made by `scripts/images.sh base`.
pub const BUSYBOX: &str = "localhost/everynode/busybox:1";
pub const TESTTOOL: &str = "localhost/everynode/testtool:1";
pub const TESTTOOL_2: &str = "localhost/everynode/testtool:2";

/// A containerd with its own root, state, socket and network configuration; ended when dropped.
pub struct Containerd {
    pub dir: tempfile::TempDir,
    process: Child,
}

impl Containerd {
    /// Starts one, with the base images in it.
    ///
    /// # Panics
    /// Without root or containerd: these tests cannot run then, and say so.
    pub fn start() -> Containerd {
        assert!(rustix::process::geteuid().is_root(), "these tests start containers: run them as root");
        let binary = Path::new("/usr/bin/containerd");
        assert!(binary.exists(), "these tests need containerd: run scripts/install-deps.sh");
        let dir = tempfile::Builder::new().prefix("ena-").tempdir_in("/tmp").unwrap();
        let config = dir.path().join("config.toml");
        write_config(dir.path(), &config);
        let log = std::fs::File::create(dir.path().join("containerd.log")).unwrap();
        let process = Command::new(binary)
            .arg("-c")
            .arg(&config)
            .args(["--log-level", "warn"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let containerd = Containerd { dir, process };
        containerd.wait_until_it_answers();
        containerd.import(&base_images());
        containerd
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("c.sock")
    }

    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn wait_until_it_answers(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.ctr(&["version"]).status.success() {
            let log = std::fs::read_to_string(self.dir.path().join("containerd.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "containerd does not answer:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn import(&self, archive: &Path) {
        let output = self.ctr(&["-n", "k8s.io", "images", "import", &archive.display().to_string()]);
        assert!(output.status.success(), "cannot import {}: {output:?}", archive.display());
    }

    fn ctr(&self, arguments: &[&str]) -> std::process::Output {
        Command::new("ctr").arg("-a").arg(self.socket()).args(arguments).output().expect("ctr comes with containerd")
    }
}

impl Drop for Containerd {
    /// Ends what still runs in it (by the ids it knows), then itself, then unmounts what is left.
    fn drop(&mut self) {
        for task in lines(&self.ctr(&["-n", "k8s.io", "tasks", "ls", "-q"]).stdout) {
            self.ctr(&["-n", "k8s.io", "tasks", "rm", "-f", &task]);
        }
        for container in lines(&self.ctr(&["-n", "k8s.io", "containers", "ls", "-q"]).stdout) {
            self.ctr(&["-n", "k8s.io", "containers", "rm", &container]);
        }
        if let Some(pid) = rustix::process::Pid::from_raw(self.process.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.process.wait();
        unmount_below(self.dir.path());
        remove_cgroups(self.dir.path());
        // There is one only if a pod had a network of its own.
        let _ = Command::new("ip").args(["link", "del", &bridge(self.dir.path())]).stderr(Stdio::null()).status();
    }
}

/// The empty cgroups that agents of this directory leave for the next run.
fn remove_cgroups(dir: &Path) {
    let prefix = format!("everynode-{}-", dir.file_name().unwrap().to_str().unwrap());
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        for entry in std::fs::read_dir(hierarchy.path()).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
                for below in ["kubepods/burstable", "kubepods/besteffort", "kubepods", ""] {
                    let _ = std::fs::remove_dir(entry.path().join(below));
                }
            }
        }
    }
}

fn lines(output: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(output).lines().map(str::to_owned).collect()
}

fn unmount_below(dir: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points =
        mounts.lines().filter_map(|line| line.split(' ').nth(4)).filter(|point| Path::new(point).starts_with(dir));
    let mut points: Vec<&str> = points.collect();
    points.sort_by_key(|point| std::cmp::Reverse(point.len()));
    for point in points {
        let _ = rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH);
    }
}

/// The archive that `make test` has made, or one made now.
fn base_images() -> PathBuf {
    if let Some(archive) = std::env::var_os("EVERYNODE_TEST_IMAGES") {
        return archive.into();
    }
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let archive = top.join("target/images/agent-tests.tar");
    let output = Command::new(top.join("scripts/images.sh")).arg("--out").arg(&archive).arg("base").output().unwrap();
    assert!(output.status.success(), "scripts/images.sh: {}", String::from_utf8_lossy(&output.stderr));
    archive
}

fn write_config(dir: &Path, config: &Path) {
    let restrict = lacks_sys_resource();
    let text = CONFIG.replace("DIR", &dir.display().to_string()).replace("RESTRICT", &restrict.to_string());
    std::fs::write(config, text).unwrap();
    let network = dir.join("cni/net.d");
    std::fs::create_dir_all(&network).unwrap();
    let mut file = std::fs::File::create(network.join("90-test.conflist")).unwrap();
    let text = CNI.replace("DIR", &dir.display().to_string()).replace("BRIDGE", &bridge(dir));
    file.write_all(text.as_bytes()).unwrap();
}

/// A bridge's name has at most 15 bytes; the directory's random part makes it unique.
fn bridge(dir: &Path) -> String {
    dir.file_name().unwrap().to_str().unwrap().chars().filter(char::is_ascii_alphanumeric).take(10).collect()
}

/// Bit 24 of the effective capabilities.
fn lacks_sys_resource() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap() & (1 << 24) == 0
}

const CNI: &str = r#"{"cniVersion":"0.4.0","name":"agent-test","plugins":[
 {"type":"bridge","bridge":"BRIDGE","isGateway":true,"ipMasq":false,"hairpinMode":true,
  "ipam":{"type":"host-local","dataDir":"DIR/cni/ipam","ranges":[[{"subnet":"10.233.77.0/24"}]]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}"#;

const CONFIG: &str = r#"version = 2
root = "DIR/root"
state = "DIR/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "DIR/c.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "DIR/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = RESTRICT
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "DIR/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "DIR/runc"
"#;
