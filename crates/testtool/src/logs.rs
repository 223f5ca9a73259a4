//! A log writer, and a log collector that follows files as node agents do.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::web::{Reply, hostname, listen, serve_http};
use crate::{Args, Outcome, api, sys};

/// What a collector prints starts so; two collectors that read each other's output skip such lines,
/// or a line would travel between them for ever.
const MARK: &str = "collected ";
/// Most that is read from one file in one round.
const ROUND_BYTES_MAX: u64 = 1 << 20;

pub(crate) fn writer(args: &Args) -> Outcome {
    sys::exit_on_term();
    let prefix = args.get_or("prefix", "line");
    let every = Duration::from_millis(args.number("every-ms", 1000)?);
    let count = args.number("count", u64::MAX)?;
    for number in 1..=count {
        if args.has("stderr") {
            eprintln!("{prefix} {number}");
        } else {
            println!("{prefix} {number}");
        }
        thread::sleep(every);
    }
    sys::sleep_for_ever()
}

#[derive(Default)]
struct Counters {
    lines: AtomicU64,
    files: AtomicU64,
    api_status: AtomicU64,
}

pub(crate) fn collector(args: &Args) -> Outcome {
    sys::exit_on_term();
    let dir = args.word(0, "DIR")?;
    let counters = Arc::new(Counters::default());
    serve_counters(args, &counters)?;
    if let Some(url) = args.get("api") {
        greet_api(url.to_owned(), args.clone(), Arc::clone(&counters));
    }
    println!("log-collector: following {dir}/*.log");
    let mut followed = BTreeMap::new();
    loop {
        round(Path::new(dir), &mut followed, &counters);
        thread::sleep(Duration::from_millis(args.number("every-ms", 200)?));
    }
}

/// Asks the API who it is, again and again until it answers; collecting does not wait for that.
fn greet_api(url: String, args: Args, counters: Arc<Counters>) {
    thread::spawn(move || {
        loop {
            match api::ask(&url, "/version", &args) {
                Ok((status, _)) => {
                    println!("log-collector: {url}/version answers {status}");
                    return counters.api_status.store(u64::from(status), Ordering::Relaxed);
                }
                Err(error) => println!("log-collector: {error}"),
            }
            thread::sleep(Duration::from_secs(2));
        }
    });
}

fn serve_counters(args: &Args, counters: &Arc<Counters>) -> Result<(), String> {
    let Some(port) = args.get("port") else {
        return Ok(());
    };
    let listener = listen("0.0.0.0", crate::args::number(port, "--port")?)?;
    let counters = Arc::clone(counters);
    thread::spawn(move || {
        serve_http(&listener, move |path| match path {
            "/api/v1/health" | "/healthz" => Reply::ok("ok\n"),
            "/metrics" => Reply::ok(metrics(&counters)),
            _ => Reply::status(404, "not found\n"),
        })
    });
    Ok(())
}

fn metrics(counters: &Counters) -> String {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    format!(
        "log_lines_total {}\nlog_files {}\napi_status {}\n",
        get(&counters.lines),
        get(&counters.files),
        get(&counters.api_status)
    )
}

/// Where a file was read up to. The inode tells a rotated file from a grown one.
#[derive(Default)]
struct Position {
    inode: u64,
    offset: u64,
}

fn round(dir: &Path, followed: &mut BTreeMap<String, Position>, counters: &Counters) {
    // A directory that is not there yet, or a link whose log is gone, is looked at again in the
    // next round.
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    let own = hostname() + "_";
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".log") && !name.starts_with(&own)).collect();
    names.sort_unstable();
    followed.retain(|name, _| names.binary_search(name).is_ok());
    counters.files.store(names.len() as u64, Ordering::Relaxed);
    for name in names {
        let position = followed.entry(name.clone()).or_default();
        let Ok(text) = read_more(&dir.join(&name), position) else {
            continue;
        };
        for line in text.lines().filter_map(message).filter(|line| !line.starts_with(MARK)) {
            counters.lines.fetch_add(1, Ordering::Relaxed);
            println!("{MARK}{name} {line}");
        }
    }
}

/// What was added since the last round, up to the last whole line.
fn read_more(path: &Path, position: &mut Position) -> io::Result<String> {
    let mut file = File::open(path)?;
    let about = file.metadata()?;
    if about.ino() != position.inode || about.len() < position.offset {
        *position = Position { inode: about.ino(), offset: 0 };
    }
    file.seek(SeekFrom::Start(position.offset))?;
    let mut added = Vec::new();
    file.take(ROUND_BYTES_MAX).read_to_end(&mut added)?;
    let whole = added.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    position.offset += whole as u64;
    Ok(String::from_utf8_lossy(&added[..whole]).into_owned())
}

/// The message of a line in the CRI format: time, stream, flags, message.
fn message(line: &str) -> Option<&str> {
    let mut parts = line.splitn(4, ' ').skip(1);
    let (stream, _flags, message) = (parts.next()?, parts.next()?, parts.next()?);
    ["stdout", "stderr"].contains(&stream).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::{Position, message, read_more};
    use std::fs;

    #[test]
    fn cri_lines() {
        assert_eq!(message("2026-01-01T00:00:00Z stdout F two words"), Some("two words"));
        assert_eq!(message("2026-01-01T00:00:00Z stdout F "), Some(""));
        assert_eq!(message("{\"log\":\"docker\"}"), None);
    }

    #[test]
    fn whole_lines_once_and_again_after_rotation() {
        let path = std::env::temp_dir().join(format!("testtool-tail-{}.log", std::process::id()));
        let mut position = Position::default();
        fs::write(&path, "one\ntw").unwrap();
        assert_eq!(read_more(&path, &mut position).unwrap(), "one\n");
        fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(read_more(&path, &mut position).unwrap(), "two\n");
        assert_eq!(read_more(&path, &mut position).unwrap(), "");
        fs::write(&path, "new\n").unwrap();
        assert_eq!(read_more(&path, &mut position).unwrap(), "new\n");
        fs::remove_file(&path).unwrap();
    }
}
