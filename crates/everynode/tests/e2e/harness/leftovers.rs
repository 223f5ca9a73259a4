//! What a node leaves on the machine: processes, mounts, control groups and links that belong to a
//! directory.

use std::path::Path;

/// One line for each process, mount or control group that still belongs to `directory`; `cgroup` is
/// the node's cgroup root.
pub(crate) fn leftovers(directory: &Path, cgroup: &str) -> Vec<String> {
    let mut found = processes(directory);
    found.extend(mounts(directory));
    found.extend(cgroups(cgroup));
    found
}

/// Containers' processes are found by their control group, everything else by its command line.
fn processes(directory: &Path) -> Vec<String> {
    let wanted = format!("{}/", directory.display());
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let sweeper = line.contains("sweep.sh");
        (line.contains(&wanted) && !sweeper).then(|| format!("process {}: {line}", entry.file_name().display()))
    });
    lines.collect()
}

fn mounts(directory: &Path) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").expect("read the mounts");
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    points.filter(|point| Path::new(point).starts_with(directory)).map(|point| format!("mount {point}")).collect()
}

fn cgroups(root: &str) -> Vec<String> {
    let mount = Path::new("/sys/fs/cgroup");
    let controllers = std::fs::read_dir(mount).into_iter().flatten().flatten().map(|entry| entry.path());
    let places = controllers.chain([mount.to_owned()]).map(|controller| controller.join(root));
    places.filter(|place| place.exists()).map(|place| format!("cgroup {}", place.display())).collect()
}
