//! Processes that outlive us: start, find, stop.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::io::Errno;
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

/// Kills every process of this name whose arguments name `socket`, and all below it: what a
/// runtime left that could not end its pods.
pub(crate) fn kill_trees(name: &str, socket: &Path) -> anyhow::Result<()> {
    let processes = processes().context("cannot read /proc")?;
    let socket = socket.to_string_lossy();
    let ours = |pid: &i32| {
        let arguments = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut arguments = arguments.split('\0');
        arguments.next().is_some_and(|program| program.contains(name)) && arguments.any(|argument| argument == socket)
    };
    let mut doomed: Vec<i32> = processes.iter().map(|(pid, _)| *pid).filter(ours).collect();
    let mut next = 0;
    while let Some(parent) = doomed.get(next).copied() {
        doomed.extend(processes.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    // Children first: a shim that is gone hands its containers over to others.
    for pid in doomed.into_iter().rev().filter_map(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
    Ok(())
}

/// Every process and its parent (proc(5), `stat`: the fourth field, after the name in parentheses).
fn processes() -> std::io::Result<Vec<(i32, i32)>> {
    let entries = std::fs::read_dir("/proc")?.filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let parent = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    Ok(pids.filter_map(|pid| Some((pid, parent(pid)?))).collect())
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
        match rustix::mount::unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // It went with another one: what stands twice in the table, or lies below what is gone.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot unmount {}", point.display())),
        }
    }
    Ok(())
}

/// Mount points are written with blanks, tabs, newlines and backslashes in octal.
fn unescape(point: &str) -> PathBuf {
    let plain = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    plain.iter().fold(point.to_owned(), |text, (code, character)| text.replace(code, character)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_killed_by_name_and_argument() {
        // A shell that is told the socket's name, with a child of its own. It may see that one die,
        // and end, before it is killed.
        let script = "sleep 1000 & echo $!; wait; exit 1";
        let spawn = |socket: &str| {
            Command::new("sh").args(["-c", script, socket, socket]).stdout(Stdio::piped()).spawn().unwrap()
        };
        let child_of = |shell: &mut std::process::Child| {
            use std::io::BufRead;
            let mut line = String::new();
            std::io::BufReader::new(shell.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            line.trim().parse::<i32>().unwrap()
        };
        let mine = format!("/tmp/mine-{}", std::process::id());
        let (mut ours, mut other) = (spawn(&mine), spawn("/tmp/another"));
        let (our_child, other_child) = (child_of(&mut ours), child_of(&mut other));
        kill_trees("sh", Path::new(&mine)).unwrap();
        assert!(!ours.wait().unwrap().success());
        let gone = |pid: i32| {
            !alive(pid) || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !gone(our_child) && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(gone(our_child) && !gone(other_child));
        let _ = kill_process(Pid::from_raw(other_child).unwrap(), Signal::KILL);
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
