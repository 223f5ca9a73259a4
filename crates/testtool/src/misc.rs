//! Small commands: waiting, ending, looking around.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::args::number;
use crate::{Args, Outcome, sys};

fn named<T>(what: &str, result: io::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}

pub(crate) fn pause(_: &Args) -> Outcome {
    sys::exit_on_term();
    sys::forget_children();
    sys::sleep_for_ever()
}

pub(crate) fn sleep(args: &Args) -> Outcome {
    sys::exit_on_term();
    let Some(seconds) = args.words().first() else { sys::sleep_for_ever() };
    thread::sleep(Duration::from_secs(number(seconds, "SECONDS")?));
    Ok(0)
}

pub(crate) fn exit(args: &Args) -> Outcome {
    sys::exit_on_term();
    let code = number(args.word(0, "CODE")?, "CODE")?;
    thread::sleep(Duration::from_millis(args.number("after-ms", 0)?));
    if let Some(message) = args.get("message") {
        println!("{message}");
        let path = args.get_or("message-file", "/dev/termination-log");
        named(path, fs::write(path, message))?;
    }
    i32::try_from(code).map_err(|_| format!("exit code {code} is too large"))
}

pub(crate) fn trap_term(args: &Args) -> Outcome {
    let seconds = number(args.word(0, "SECONDS")?, "SECONDS")?;
    sys::remember_term();
    println!("ready");
    sys::wait_for_term();
    println!("SIGTERM: stopping in {seconds} s");
    thread::sleep(Duration::from_secs(seconds));
    println!("stopped");
    Ok(0)
}

pub(crate) fn ignore_term(_: &Args) -> Outcome {
    sys::ignore_term();
    println!("ready");
    sys::sleep_for_ever()
}

pub(crate) fn mem(args: &Args) -> Outcome {
    sys::exit_on_term();
    let megabytes = number(args.word(0, "MB")?, "MB")?;
    let mut held = Vec::new();
    for _ in 0..megabytes {
        // Not zero: zeroed pages would stay unbacked.
        held.push(vec![1u8; 1 << 20]);
    }
    println!("holding {} MB", held.len());
    sys::sleep_for_ever()
}

pub(crate) fn spin(args: &Args) -> Outcome {
    sys::exit_on_term();
    let threads = args.words().first().map_or(Ok(1), |text| number(text, "THREADS"))?;
    for _ in 0..threads.min(64) {
        thread::spawn(|| {
            loop {
                std::hint::spin_loop();
            }
        });
    }
    sys::sleep_for_ever()
}

pub(crate) fn env(args: &Args) -> Outcome {
    if args.words().is_empty() {
        std::env::vars().for_each(|(name, value)| println!("{name}={value}"));
        return Ok(0);
    }
    for name in args.words() {
        match std::env::var(name) {
            Ok(value) => println!("{name}={value}"),
            Err(_) => return Err(format!("{name} is not set")),
        }
    }
    Ok(0)
}

pub(crate) fn id(_: &Args) -> Outcome {
    let status = named("/proc/self/status", fs::read_to_string("/proc/self/status"))?;
    let wanted = ["Uid:", "Gid:", "Groups:", "CapEff:", "CapBnd:", "NoNewPrivs:", "Seccomp:"];
    status.lines().filter(|line| wanted.iter().any(|w| line.starts_with(w))).for_each(|l| println!("{l}"));
    Ok(0)
}

pub(crate) fn cat(args: &Args) -> Outcome {
    for path in args.words() {
        let mut file = named(path, fs::File::open(path))?;
        named(path, io::copy(&mut file, &mut io::stdout()).map(drop))?;
    }
    named("standard output", io::stdout().flush())?;
    Ok(0)
}

pub(crate) fn ls(args: &Args) -> Outcome {
    for dir in args.words() {
        let mut names = Vec::new();
        for entry in named(dir, fs::read_dir(dir))? {
            names.push(named(dir, entry)?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        names.iter().for_each(|name| println!("{name}"));
    }
    Ok(0)
}

pub(crate) fn write(args: &Args) -> Outcome {
    let path = args.word(0, "FILE")?;
    named(path, fs::write(path, args.words()[1..].join(" ") + "\n"))?;
    Ok(0)
}

/// Copies files into a directory under a temporary name first, so that half a file is never run or
/// read.
pub(crate) fn install(args: &Args) -> Outcome {
    let [sources @ .., dir] = args.words() else {
        return Err("SOURCE and DIR are missing".to_owned());
    };
    let dir = Path::new(dir);
    for source in sources {
        let name = Path::new(source).file_name().ok_or_else(|| format!("{source}: not a file"))?;
        let whole = dir.join(name);
        let part = dir.join(format!(".{}.part", name.to_string_lossy()));
        named(source, fs::copy(source, &part))?;
        named(&whole.to_string_lossy(), fs::rename(&part, &whole))?;
        println!("installed {}", whole.display());
    }
    Ok(0)
}

pub(crate) fn wait_file(args: &Args) -> Outcome {
    sys::exit_on_term();
    let path = args.word(0, "PATH")?;
    let deadline = Instant::now() + Duration::from_secs(args.number("timeout-seconds", 60)?);
    while !Path::new(path).exists() {
        if Instant::now() > deadline {
            return Err(format!("{path} did not appear"));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(0)
}

/// Names (`comm`) of the processes under a `/proc` like directory.
pub(crate) fn processes(dir: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let numeric = path.file_name().is_some_and(|n| n.as_encoded_bytes().iter().all(u8::is_ascii_digit));
        // A process may end between the listing and the reading.
        if numeric && let Ok(comm) = fs::read_to_string(path.join("comm")) {
            names.push(comm.trim_end().to_owned());
        }
    }
    Ok(names)
}

pub(crate) fn proc_count(args: &Args) -> Outcome {
    let dir = args.word(0, "DIR")?;
    let mut names = named(dir, processes(dir))?;
    if let Some(wanted) = args.get("name") {
        names.retain(|name| name == wanted);
    }
    println!("{}", names.len());
    Ok(if names.is_empty() { 1 } else { 0 })
}

/// What a network plugin's agent does here: says that the configuration is in place, and takes it
/// away (`--remove`, repeatable by commas) when it is stopped, so that no node keeps a network
/// without its agent.
pub(crate) fn cni_agent(args: &Args) -> Outcome {
    sys::remember_term();
    let node = args.required("node-name")?;
    let conf = args.get_or("conf", "/etc/cni/net.d");
    println!("cni-agent: node {node}, configuration under {conf}:");
    ls(&Args::parse(vec![conf.to_owned()]))?;
    println!("cni-agent: ready");
    sys::wait_for_term();
    for path in args.get_or("remove", "").split(',').filter(|path| !path.is_empty()) {
        match fs::remove_file(path) {
            Ok(()) => println!("cni-agent: removed {path}"),
            Err(error) => println!("cni-agent: {path}: {error}"),
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::{Args, install, processes};
    use std::fs;

    #[test]
    fn install_copies_whole_files_and_leaves_no_part() {
        let root = std::env::temp_dir().join(format!("testtool-install-{}", std::process::id()));
        let target = root.join("to");
        fs::create_dir_all(&target).unwrap();
        fs::write(root.join("plugin"), "body").unwrap();
        let words = [root.join("plugin"), target.clone()].map(|p| p.to_string_lossy().into_owned());
        assert_eq!(install(&Args::parse(words.to_vec())), Ok(0));
        let names: Vec<_> = fs::read_dir(&target).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["plugin"]);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn this_process_is_found_under_proc() {
        let own = fs::read_to_string("/proc/self/comm").unwrap();
        assert!(processes("/proc").unwrap().iter().any(|name| name == own.trim_end()));
    }
}
