//! Servers and clients over TCP and unix sockets, with a time and size limit on every read.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::{Args, Outcome, sys};

/// Longest request head that is read; more is cut off.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Longest answer that a client here reads.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
const IO_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn ok(body: impl Into<String>) -> Reply {
        Reply { status: 200, body: body.into() }
    }

    pub(crate) fn status(status: u16, body: &str) -> Reply {
        Reply { status, body: body.to_owned() }
    }
}

pub(crate) fn listen(addr: &str, port: u64) -> Result<TcpListener, String> {
    TcpListener::bind(format!("{addr}:{port}")).map_err(|error| format!("{addr}:{port}: {error}"))
}

/// Serves HTTP for ever, one thread per connection, one request each.
pub(crate) fn serve_http<F>(listener: &TcpListener, answer: F) -> !
where
    F: Fn(&str) -> Reply + Send + Sync + 'static,
{
    let answer = Arc::new(answer);
    loop {
        let Ok((stream, _)) = listener.accept() else {
            continue;
        };
        let answer = Arc::clone(&answer);
        thread::spawn(move || {
            // A client that went away is its own affair.
            let _ = answer_one(stream, &*answer);
        });
    }
}

fn answer_one(mut stream: TcpStream, answer: &dyn Fn(&str) -> Reply) -> io::Result<()> {
    set_timeouts(&stream)?;
    let head = read_head(&mut stream)?;
    let path = head.split_whitespace().nth(1).unwrap_or("/");
    let reply = answer(path);
    let text = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
        reply.status,
        if reply.status < 400 { "OK" } else { "Error" },
        reply.body.len(),
        reply.body
    );
    stream.write_all(text.as_bytes())
}

pub(crate) fn set_timeouts(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(IO_TIMEOUT))?;
    stream.set_write_timeout(Some(IO_TIMEOUT))
}

pub(crate) fn read_head(stream: &mut impl Read) -> io::Result<String> {
    let (mut head, mut chunk) = (Vec::new(), [0u8; 1024]);
    while !head.windows(4).any(|w| w == b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        match stream.read(&mut chunk)? {
            0 => break,
            n => head.extend_from_slice(&chunk[..n]),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// `/` gives the body, `/healthz` and `/readyz` the health, `/hostname`, `/count`; `/fail` and
/// `/heal` flip the health, `/exit/CODE` ends the process. With `--health-file` it is healthy while
/// that file exists.
pub(crate) fn http(args: &Args) -> Outcome {
    sys::exit_on_term();
    let listener = listen(args.get_or("addr", "0.0.0.0"), args.number("port", 8080)?)?;
    println!("listening on {}", listener.local_addr().map_err(|e| e.to_string())?);
    let body = args.get_or("body", "ok\n").to_owned();
    let file = args.get("health-file").map(PathBuf::from);
    let (healthy, count) = (AtomicBool::new(true), AtomicU64::new(0));
    serve_http(&listener, move |path| {
        count.fetch_add(1, Ordering::Relaxed);
        match path {
            "/healthz" | "/readyz" | "/livez" | "/health" | "/ready" => {
                let file_there = file.as_ref().is_none_or(|f| f.exists());
                health(file_there && healthy.load(Ordering::SeqCst))
            }
            "/fail" | "/heal" => {
                healthy.store(path == "/heal", Ordering::SeqCst);
                Reply::ok("done\n")
            }
            "/hostname" => Reply::ok(hostname() + "\n"),
            "/count" => Reply::ok(format!("{}\n", count.load(Ordering::Relaxed))),
            _ => match path.strip_prefix("/exit/").and_then(|code| code.parse().ok()) {
                Some(code) => std::process::exit(code),
                None => Reply::ok(body.clone()),
            },
        }
    })
}

fn health(good: bool) -> Reply {
    if good { Reply::ok("ok\n") } else { Reply::status(503, "failing\n") }
}

pub(crate) fn hostname() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim_end().to_owned()
}

/// Resolves through `/etc/hosts` by hand: a static glibc has no resolver to rely on.
pub(crate) fn resolve(host: &str) -> String {
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    lookup(&hosts, host).unwrap_or(host).to_owned()
}

fn lookup<'a>(hosts: &'a str, name: &str) -> Option<&'a str> {
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or(""));
    let mut rows = lines.map(|line| line.split_whitespace());
    rows.find_map(|mut row| row.next().filter(|_| row.any(|word| word == name)))
}

/// `host:port` from a URL's authority, with a default port.
pub(crate) fn split_port(authority: &str, default: u16) -> (&str, u16) {
    let split = authority.rsplit_once(':');
    split.and_then(|(host, port)| Some((host, port.parse().ok()?))).unwrap_or((authority, default))
}

fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{host}:{port}: {error}");
    let mut found = (resolve(host).as_str(), port).to_socket_addrs().map_err(|e| failed(&e))?;
    let address = found.next().ok_or_else(|| failed(&"no address"))?;
    let stream = TcpStream::connect_timeout(&address, IO_TIMEOUT).map_err(|e| failed(&e))?;
    stream.set_read_timeout(Some(IO_TIMEOUT)).map_err(|e| failed(&e))?;
    Ok(stream)
}

pub(crate) fn http_get(args: &Args) -> Outcome {
    let url = args.word(0, "URL")?;
    let rest = url.strip_prefix("http://").ok_or("only http:// is spoken here")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = split_port(authority, 80);
    let mut stream = connect(host, port)?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).map_err(|e| e.to_string())?;
    let answer = String::from_utf8_lossy(&answer);
    let (status, body) = parse_answer(&answer)?;
    print!("{body}");
    if (200..300).contains(&status) {
        return Ok(0);
    }
    eprintln!("{url}: HTTP status {status}");
    Ok(22)
}

/// Status and body of an HTTP/1.1 answer; a chunked body is put together.
pub(crate) fn parse_answer(answer: &str) -> Result<(u16, String), String> {
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer is not HTTP")?;
    let status = head.split_whitespace().nth(1).and_then(|s| s.parse().ok()).ok_or("no HTTP status")?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Ok((status, if chunked { join_chunks(body) } else { body.to_owned() }))
}

fn join_chunks(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
            break;
        };
        let Some(chunk) = rest.get(..size).filter(|_| size > 0) else {
            break;
        };
        whole.push_str(chunk);
        body = rest.get(size + 2..).unwrap_or("");
    }
    whole
}

pub(crate) fn tcp(args: &Args) -> Outcome {
    sys::exit_on_term();
    let listener = listen(args.get_or("addr", "0.0.0.0"), args.number("port", 8080)?)?;
    println!("listening on {}", listener.local_addr().map_err(|e| e.to_string())?);
    let banner = args.get_or("banner", "hello\n");
    for mut stream in listener.incoming().flatten() {
        // A probe closes at once; that is no failure of ours.
        let _ = stream.write_all(banner.as_bytes());
    }
    Ok(0)
}

pub(crate) fn tcp_get(args: &Args) -> Outcome {
    let (host, port) = split_port(args.word(0, "HOST:PORT")?, 80);
    let stream = connect(host, port)?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).map_err(|e| e.to_string())?;
    print!("{answer}");
    Ok(0)
}

/// Binds a unix socket, in place of a stale one.
pub(crate) fn bind_unix(path: &Path) -> Result<UnixListener, String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => UnixListener::bind(path).map_err(failed),
    }
}

/// Answers every connection with one line, on a thread of its own.
pub(crate) fn answer_unix(listener: UnixListener, reply: String) {
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // The caller may close before it reads.
            let _ = stream.write_all(reply.as_bytes());
        }
    });
}

pub(crate) fn ask_unix(path: &str) -> Result<String, String> {
    let failed = |error: io::Error| format!("{path}: {error}");
    let stream = UnixStream::connect(path).map_err(failed)?;
    stream.set_read_timeout(Some(IO_TIMEOUT)).map_err(failed)?;
    let mut answer = String::new();
    stream.take(HEAD_BYTES_MAX as u64).read_to_string(&mut answer).map_err(failed)?;
    Ok(answer)
}

pub(crate) fn unix_listen(args: &Args) -> Outcome {
    sys::remember_term();
    let path = Path::new(args.word(0, "PATH")?);
    answer_unix(bind_unix(path)?, args.get_or("reply", "ok").to_owned() + "\n");
    println!("listening on {}", path.display());
    sys::wait_for_term();
    fs::remove_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(0)
}

pub(crate) fn unix_get(args: &Args) -> Outcome {
    print!("{}", ask_unix(args.word(0, "PATH")?)?);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::{Reply, listen, lookup, parse_answer, serve_http, split_port};
    use std::io::{Read, Write};
    use std::net::TcpStream;

    #[test]
    fn hosts_file() {
        let hosts = "127.0.0.1 localhost # kubernetes\n10.0.0.1\tkubernetes.default.svc kubernetes.default\n";
        assert_eq!(lookup(hosts, "kubernetes.default"), Some("10.0.0.1"));
        assert_eq!(lookup(hosts, "kubernetes"), None);
    }

    #[test]
    fn ports() {
        assert_eq!(split_port("a:81", 443), ("a", 81));
        assert_eq!(split_port("a", 443), ("a", 443));
    }

    #[test]
    fn answers() {
        let plain = parse_answer("HTTP/1.1 404 Not Found\r\nA: b\r\n\r\nbody");
        assert_eq!(plain, Ok((404, "body".to_owned())));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        assert_eq!(parse_answer(chunked), Ok((200, "abcde".to_owned())));
        assert!(parse_answer("SSH-2.0").is_err());
    }

    #[test]
    fn a_request_is_answered_by_its_path() {
        let listener = listen("127.0.0.1", 0).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || serve_http(&listener, |path| Reply::ok(path.to_owned())));
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /where HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(parse_answer(&answer), Ok((200, "/where".to_owned())));
    }
}
