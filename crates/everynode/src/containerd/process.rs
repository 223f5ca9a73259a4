//! Processes that outlive us: start, find, stop.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::mount::UnmountFlags;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// Whether something accepts connections on a unix socket.
pub(crate) async fn accepts(socket: &Path) -> bool {
    tokio::net::UnixStream::connect(socket).await.is_ok()
}

/// A program on `PATH` or in the system's directories.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories =
        std::env::split_paths(&path).chain(["/usr/sbin", "/usr/bin", "/usr/local/bin"].map(PathBuf::from));
    directories.map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// Starts a program in its own process group, so that Ctrl-C at our terminal does not reach it.
pub(crate) fn spawn_detached(program: &Path, arguments: &[&str], directory: &Path, log: &Path) -> anyhow::Result<i32> {
    let output = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    let child = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let pid = i32::try_from(child.id())?;
    // Reaped in the background: a dead child must not look alive.
    std::thread::Builder::new().name("reaper".into()).spawn(move || {
        let mut child = child;
        let _ = child.wait();
    })?;
    Ok(pid)
}

/// Whether a process runs. One that has ended and is only waited for by its parent does not.
pub(crate) fn alive(pid: i32) -> bool {
    let exists = Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid).is_ok());
    exists && !is_zombie(pid)
}

/// The state is the first word after the name in parentheses, which may itself have some (proc(5)).
fn is_zombie(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// Whether a process exists and runs this program (and not another that got its number).
pub(crate) fn is_program(pid: i32, name: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
}

/// Asks a process to end, and insists after `patience`.
pub(crate) async fn terminate(pid: i32, patience: Duration) -> anyhow::Result<()> {
    let Some(process) = Pid::from_raw(pid) else {
        return Ok(());
    };
    let _ = kill_process(process, Signal::TERM);
    let deadline = Instant::now() + patience;
    let mut insisted = false;
    while alive(pid) {
        if Instant::now() > deadline {
            if insisted {
                bail!("process {pid} does not end");
            }
            insisted = true;
            let _ = kill_process(process, Signal::KILL);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The end of a log file, for error messages.
pub(crate) fn last_lines(file: &Path, count: usize) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Unmounts everything that is mounted below a directory, deepest first.
pub(crate) fn unmount_below(directory: &Path) -> anyhow::Result<()> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").context("cannot read /proc/self/mountinfo")?;
    let mut points: Vec<PathBuf> = table.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape).collect();
    points.retain(|point| point.starts_with(directory) && point != directory);
    points.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
    for point in points {
        rustix::mount::unmount(&point, UnmountFlags::DETACH)
            .with_context(|| format!("cannot unmount {}", point.display()))?;
    }
    Ok(())
}

/// Mount points are written with blanks, tabs, newlines and backslashes in octal.
fn unescape(point: &str) -> PathBuf {
    let plain = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    plain.iter().fold(point.to_owned(), |text, (code, character)| text.replace(code, character)).into()
}
