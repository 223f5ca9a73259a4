//! A read-only image registry over an unpacked OCI archive (`scripts/images.sh --out FILE`): enough
//! of the distribution protocol for a container runtime to pull from, with a password if wanted.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use crate::web::{listen, read_head, set_timeouts};
use crate::{Args, Outcome, sys};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const BLOB: &str = "application/octet-stream";

struct Registry {
    dir: PathBuf,
    /// Image names without registry host (`prom/node-exporter:v1.8.0`), and their manifests'
    /// digests.
    tags: Vec<(String, String)>,
    /// What the `Authorization` header must be.
    authorization: Option<String>,
}

pub(crate) fn serve(args: &Args) -> Outcome {
    sys::exit_on_term();
    let dir = PathBuf::from(args.word(0, "DIR")?);
    let index = dir.join("index.json");
    let index = fs::read_to_string(&index).map_err(|error| format!("{}: {error}", index.display()))?;
    let authorization = args.get("user").map(|user| format!("Basic {}", base64(user.as_bytes())));
    let registry = Arc::new(Registry { dir, tags: tags(&index), authorization });
    let listener = listen(args.get_or("addr", "127.0.0.1"), args.number("port", 5000)?)?;
    println!("listening on {}", listener.local_addr().map_err(|e| e.to_string())?);
    for stream in listener.incoming().flatten() {
        let registry = Arc::clone(&registry);
        // A client that went away is its own affair.
        thread::spawn(move || registry.answer(stream));
    }
    Ok(0)
}

/// Names and digests of an index that `scripts/images.sh` wrote (digest before name, one manifest
/// after the other).
fn tags(index: &str) -> Vec<(String, String)> {
    let manifests = index.split("\"digest\":\"").skip(1);
    let pairs = manifests.filter_map(|row| {
        let digest = row.split('"').next()?;
        let name = row.split("\"io.containerd.image.name\":\"").nth(1)?.split('"').next()?;
        let (_host, name) = name.split_once('/')?;
        Some((name.to_owned(), digest.to_owned()))
    });
    pairs.collect()
}

impl Registry {
    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        set_timeouts(&stream)?;
        let head = read_head(&mut stream)?;
        let mut words = head.split_whitespace();
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        if !self.allowed(&head) {
            println!("401 {method} {path}");
            return refuse(&mut stream, "401 Unauthorized", "UNAUTHORIZED");
        }
        if path == "/v2/" {
            return write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
        }
        match self.find(path) {
            Some((kind, digest)) => {
                println!("200 {method} {path}");
                self.send(&mut stream, method, kind, &digest)
            }
            None => {
                println!("404 {method} {path}");
                refuse(&mut stream, "404 Not Found", "MANIFEST_UNKNOWN")
            }
        }
    }

    fn allowed(&self, head: &str) -> bool {
        let Some(wanted) = &self.authorization else { return true };
        let mut headers = head.lines().filter_map(|line| line.split_once(':'));
        headers.any(|(name, value)| name.eq_ignore_ascii_case("authorization") && value.trim() == wanted)
    }

    /// The kind and digest of what a path names, if it is here.
    fn find(&self, path: &str) -> Option<(&'static str, String)> {
        // Mirrored pulls carry `?ns=HOST`.
        let path = path.split('?').next()?.strip_prefix("/v2/")?;
        if let Some((_, digest)) = path.split_once("/blobs/") {
            return self.blob(digest).exists().then(|| (BLOB, digest.to_owned()));
        }
        let (name, reference) = path.split_once("/manifests/")?;
        if reference.starts_with("sha256:") {
            return self.blob(reference).exists().then(|| (MANIFEST, reference.to_owned()));
        }
        let tag = format!("{name}:{reference}");
        self.tags.iter().find(|(known, _)| *known == tag).map(|(_, digest)| (MANIFEST, digest.clone()))
    }

    /// Only hexadecimal digits reach the path, so that no request leaves the directory.
    fn blob(&self, digest: &str) -> PathBuf {
        let hex: String = digest.chars().skip("sha256:".len()).filter(char::is_ascii_hexdigit).collect();
        self.dir.join("blobs/sha256").join(if hex.is_empty() { "none" } else { &hex })
    }

    fn send(&self, stream: &mut TcpStream, method: &str, kind: &str, digest: &str) -> io::Result<()> {
        let mut file = File::open(self.blob(digest))?;
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nDocker-Content-Digest: {digest}\r\n\
             Connection: close\r\n\r\n",
            file.metadata()?.len()
        )?;
        if method != "HEAD" {
            io::copy(&mut file, stream)?;
        }
        Ok(())
    }
}

fn refuse(stream: &mut TcpStream, status: &str, code: &str) -> io::Result<()> {
    let body = format!("{{\"errors\":[{{\"code\":\"{code}\"}}]}}");
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nWWW-Authenticate: Basic realm=\"test\"\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0u32, |word, (i, b)| word | u32::from(*b) << (16 - 8 * i));
        for digit in 0..4 {
            let index = (word >> (18 - 6 * digit)) & 63;
            text.push(if digit <= chunk.len() { char::from(DIGITS[index as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Registry, base64, tags};
    use std::path::PathBuf;

    #[test]
    fn base64_of_credentials() {
        assert_eq!(base64(b"user:pass"), "dXNlcjpwYXNz");
        assert_eq!(base64(b"ab"), "YWI=");
        assert_eq!(base64(b"a"), "YQ==");
    }

    #[test]
    fn index_rows_become_tags_and_paths_stay_inside() {
        let index = r#"{"manifests":[{"digest":"sha256:aa","size":1,"annotations":{"io.containerd.image.name":"docker.io/prom/x:v1"}},{"digest":"sha256:bb","size":1,"annotations":{"io.containerd.image.name":"localhost/y:2"}}]}"#;
        let tags = tags(index);
        let pair = |name: &str, digest: &str| (name.to_owned(), digest.to_owned());
        assert_eq!(tags, [pair("prom/x:v1", "sha256:aa"), pair("y:2", "sha256:bb")]);
        let registry = Registry { dir: PathBuf::from("/dir"), tags, authorization: None };
        let found = registry.find("/v2/prom/x/manifests/v1?ns=docker.io").map(|(_, digest)| digest);
        assert_eq!(found.as_deref(), Some("sha256:aa"));
        assert_eq!(registry.find("/v2/prom/x/manifests/v2"), None);
        assert_eq!(registry.blob("sha256:../../etc/ab"), PathBuf::from("/dir/blobs/sha256/ecab"));
    }
}
