//! The API over plain HTTP, by curl: ten times cheaper than a kubectl, so conditions are polled
//! with it, and it shows the server's own words.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The administrator's credentials as the files that curl wants.
pub(crate) struct Credentials {
    directory: PathBuf,
    server: String,
}

/// What the server said; code 0 if it said nothing.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Credentials {
    /// Takes them out of a kubeconfig, into `directory`.
    pub(crate) fn of(kubeconfig: &Path, directory: &Path) -> Result<Credentials, String> {
        let text = std::fs::read_to_string(kubeconfig).map_err(|error| format!("{}: {error}", kubeconfig.display()))?;
        let config: Value =
            serde_saphyr::from_str(&text).map_err(|error| format!("{}: {error}", kubeconfig.display()))?;
        let (cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
        std::fs::create_dir_all(directory).map_err(|error| error.to_string())?;
        let fields = [(cluster, "certificate-authority"), (user, "client-certificate"), (user, "client-key")];
        for (part, field) in fields {
            let data =
                part[format!("{field}-data")].as_str().ok_or_else(|| format!("no {field}-data in the kubeconfig"))?;
            std::fs::write(directory.join(field), decode_base64(data)).map_err(|error| error.to_string())?;
        }
        let server = cluster["server"].as_str().ok_or("no server in the kubeconfig")?;
        Ok(Credentials { directory: directory.to_owned(), server: server.to_owned() })
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None, &[])
    }

    /// The object or list at `path`, or why not.
    pub(crate) fn object(&self, path: &str) -> Result<Value, String> {
        let answer = self.get(path);
        if answer.code == 200 { Ok(answer.body) } else { Err(format!("{path}: {} {}", answer.code, answer.text)) }
    }

    /// The items of the list at `path`, or why not.
    pub(crate) fn items(&self, path: &str) -> Result<Vec<Value>, String> {
        let list = self.object(path)?;
        list["items"].as_array().cloned().ok_or_else(|| format!("{path} is no list"))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, Some(&body.to_string()), &[])
    }

    /// One request; `headers` as `Name: value`.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&str>, headers: &[&str]) -> Answer {
        let file = |name: &str| self.directory.join(name);
        let mut command = Command::new("curl");
        command.args(["-sS", "-m", "20", "-X", method, "-w", "\n%{http_code}"]);
        command.arg("--cacert").arg(file("certificate-authority"));
        command.arg("--cert").arg(file("client-certificate")).arg("--key").arg(file("client-key"));
        send(command, &format!("{}{path}", self.server), body, headers)
    }

    /// One request with a bearer token instead of a certificate, or with nothing.
    pub(crate) fn as_token(&self, token: Option<&str>, path: &str) -> Answer {
        let mut command = Command::new("curl");
        command.args(["-sS", "-m", "20", "-w", "\n%{http_code}", "--cacert"]);
        command.arg(self.directory.join("certificate-authority"));
        let header = token.map(|token| format!("Authorization: Bearer {token}"));
        send(command, &format!("{}{path}", self.server), None, &header.as_deref().into_iter().collect::<Vec<_>>())
    }
}

fn send(mut command: Command, url: &str, body: Option<&str>, headers: &[&str]) -> Answer {
    if body.is_some() {
        command.args(["--data-binary", "@-", "-H", "Expect:"]);
        if !headers.iter().any(|header| header.starts_with("Content-Type:")) {
            command.args(["-H", "Content-Type: application/json"]);
        }
    }
    for header in headers {
        command.args(["-H", header]);
    }
    command.arg(url).env_remove("https_proxy").env_remove("HTTPS_PROXY");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start curl");
    if let Some(mut stdin) = child.stdin.take() {
        // A server that answers before it has read everything has said what counts.
        let _ = stdin.write_all(body.unwrap_or_default().as_bytes());
    }
    let output = child.wait_with_output().expect("curl ends");
    let all = String::from_utf8_lossy(&output.stdout).into_owned();
    let (text, code) = all.rsplit_once('\n').unwrap_or(("", "0"));
    let words =
        if output.status.success() { text.to_owned() } else { String::from_utf8_lossy(&output.stderr).into_owned() };
    Answer { code: code.parse().unwrap_or(0), body: serde_json::from_str(text).unwrap_or(Value::Null), text: words }
}

/// RFC 4648, section 4, without checks: what the server wrote into its kubeconfig.
fn decode_base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u32> = text.bytes().filter_map(digit).map(u32::from).collect();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let joined = group.iter().fold(0, |sum, digit| sum << 6 | digit) << (6 * (4 - group.len()));
        bytes.extend(&joined.to_be_bytes()[1..group.len()]);
    }
    bytes
}

#[test]
fn base64_with_and_without_padding() {
    assert_eq!(decode_base64("bGlnaHQgd29yay4="), b"light work.");
    assert_eq!(decode_base64("bGlnaHQgd29yaw=="), b"light work");
    assert_eq!(decode_base64("bGlnaHQgd29y"), b"light wor");
}
