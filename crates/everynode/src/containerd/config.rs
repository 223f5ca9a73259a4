//! The private containerd's configuration, and the network of its pods.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::files::is_already;
use serde_json::json;

/// Where containerd finds network plugins, and what pods' addresses are.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) bin_dir: PathBuf,
    pub(crate) conf_dir: PathBuf,
    /// Name of the bridge, at most 15 bytes; one per agent on a machine.
    pub(crate) bridge: String,
    pub(crate) pod_cidr: String,
}

/// Where Debian installs the standard CNI plugins.
pub(crate) const SYSTEM_PLUGINS: &str = "/usr/lib/cni";
const PLUGINS_NEEDED: [&str; 4] = ["bridge", "host-local", "loopback", "portmap"];
const SNAPSHOTTERS_UNUSED: &str = r#"["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]"#;
const CAP_SYS_RESOURCE: u32 = 24;

/// Writes `config.toml` and our bridge's configuration.
pub(crate) fn write(directory: &Path, socket: &Path, network: &Network) -> anyhow::Result<()> {
    let fail = |path: &Path| format!("cannot write {}", path.display());
    std::fs::create_dir_all(directory).with_context(|| fail(directory))?;
    let path = directory.join("config.toml");
    let content = containerd_toml(directory, socket, network);
    if !is_already(&path, content.as_bytes()) {
        std::fs::write(&path, content).with_context(|| fail(&path))?;
    }
    write_network(directory, network)
}

/// Writes our bridge's configuration and puts the plugins that it names in place. A running
/// containerd notices.
pub(crate) fn write_network(directory: &Path, network: &Network) -> anyhow::Result<()> {
    let fail = |path: &Path| format!("cannot write {}", path.display());
    std::fs::create_dir_all(&network.conf_dir).with_context(|| fail(&network.conf_dir))?;
    let conflist = network.conf_dir.join("90-everynode.conflist");
    let content = bridge_conflist(directory, network);
    if std::fs::read_to_string(&conflist).is_ok_and(|found| found == content) {
        return Ok(());
    }
    std::fs::write(&conflist, content).with_context(|| fail(&conflist))?;
    install_plugins(&network.bin_dir)
}

/// Copies the standard plugins where the directory is not Debian's own. Copies, not links: network
/// plugins install themselves there with `cp`, which would write through a link.
fn install_plugins(bin_dir: &Path) -> anyhow::Result<()> {
    for (from, to) in missing_plugins(Path::new(SYSTEM_PLUGINS), bin_dir) {
        std::fs::create_dir_all(bin_dir).with_context(|| format!("cannot create {}", bin_dir.display()))?;
        std::fs::copy(&from, &to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}

/// The plugins that our bridge needs and the directory has not: where each is, and where it would
/// be put.
pub(crate) fn missing_plugins(system: &Path, bin_dir: &Path) -> Vec<(PathBuf, PathBuf)> {
    let pairs = PLUGINS_NEEDED.iter().map(|plugin| (system.join(plugin), bin_dir.join(plugin)));
    pairs.filter(|(from, to)| bin_dir != system && from.exists() && !to.exists()).collect()
}

fn containerd_toml(directory: &Path, socket: &Path, network: &Network) -> String {
    let quoted = |path: &Path| json!(path.to_string_lossy()).to_string();
    let below = |name: &str| quoted(&directory.join(name));
    let mut text = String::new();
    let mut line = |text_line: String| writeln!(text, "{text_line}").unwrap_or_default();
    line("version = 2".into());
    line(format!("root = {}", below("root")));
    line(format!("state = {}", below("state")));
    line(format!("disabled_plugins = {SNAPSHOTTERS_UNUSED}"));
    line(format!("[grpc]\n  address = {}", quoted(socket)));
    line(format!("[plugins.\"io.containerd.internal.v1.opt\"]\n  path = {}", below("opt")));
    line("[plugins.\"io.containerd.grpc.v1.cri\"]".into());
    line(format!("  sandbox_image = \"{}\"", super::pause::IMAGE));
    line(format!("  restrict_oom_score_adj = {}", !has_capability(CAP_SYS_RESOURCE)));
    line("  stream_server_address = \"127.0.0.1\"\n  stream_server_port = \"0\"".into());
    line("  netns_mounts_under_state_dir = true".into());
    line(format!("  [plugins.\"io.containerd.grpc.v1.cri\".registry]\n    config_path = {}", below("certs.d")));
    line(format!(
        "  [plugins.\"io.containerd.grpc.v1.cri\".cni]\n    bin_dir = {}\n    conf_dir = {}",
        quoted(&network.bin_dir),
        quoted(&network.conf_dir)
    ));
    line("  [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n    runtime_type = \"io.containerd.runc.v2\"".into());
    line(format!(
        "    [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n      Root = {}",
        below("runc")
    ));
    text
}

/// The name of our network.
const NETWORK: &str = "everynode";

/// Where pools of pods' addresses are.
fn address_pools(directory: &Path) -> PathBuf {
    directory.join("cni").join("ipam")
}

/// The addresses that pods have in our network: a file for each.
pub(super) fn address_pool(directory: &Path) -> PathBuf {
    address_pools(directory).join(NETWORK)
}

fn bridge_conflist(directory: &Path, network: &Network) -> String {
    json!({
        "cniVersion": "0.4.0",
        "name": NETWORK,
        "plugins": [
            {
                "type": "bridge", "bridge": network.bridge, "isGateway": true, "ipMasq": true, "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": address_pools(directory),
                    "ranges": [[{ "subnet": network.pod_cidr }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true }, "snat": true },
        ],
    })
    .to_string()
}

/// Whether this process has a capability; without CAP_SYS_RESOURCE the runtime may not lower a
/// container's OOM score and has to be told so.
fn has_capability(number: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    mask >> number & 1 == 1
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_plugins_that_are_not_there_are_put_there() {
        let folder = tempfile::tempdir().unwrap();
        let (system, bin) = (folder.path().join("system"), folder.path().join("bin"));
        for directory in [&system, &bin] {
            std::fs::create_dir(directory).unwrap();
        }
        for file in [system.join("bridge"), system.join("loopback"), system.join("vlan"), bin.join("bridge")] {
            std::fs::write(file, "").unwrap();
        }
        assert_eq!(missing_plugins(&system, &bin), [(system.join("loopback"), bin.join("loopback"))]);
        assert!(missing_plugins(&system, &system).is_empty());
    }

    use super::*;

    #[test]
    fn paths_are_quoted_and_the_network_is_ours() {
        let network = Network {
            bin_dir: "/usr/lib/cni".into(),
            conf_dir: "/d/cni/net.d".into(),
            bridge: "en0".into(),
            pod_cidr: "10.200.3.0/24".into(),
        };
        let text = containerd_toml(Path::new("/d \"x\""), Path::new("/d/c.sock"), &network);
        assert!(text.contains(r#"root = "/d \"x\"/root""#), "{text}");
        assert!(text.contains("conf_dir = \"/d/cni/net.d\"") && text.contains("netns_mounts_under_state_dir = true"));
        let conflist: serde_json::Value = serde_json::from_str(&bridge_conflist(Path::new("/d"), &network)).unwrap();
        assert_eq!(conflist["plugins"][0]["ipam"]["ranges"][0][0]["subnet"], "10.200.3.0/24");
    }
}
