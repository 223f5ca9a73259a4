//! The Kubernetes API from inside a pod, with the pod's own token and CA. TLS is left to `openssl
//! s_client`, which the images carry beside this program.

use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use std::{env, fs};

use crate::misc::processes;
use crate::web::{parse_answer, resolve, split_port};
use crate::{Args, Outcome, sys};

const SERVER: &str = "https://kubernetes.default.svc:443";
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Asks `server` for `path` and gives the HTTP status and the body. The server's certificate must
/// be signed by the CA (`--ca`, by default the service account's) and carry the name that was asked
/// for.
pub(crate) fn ask(server: &str, path: &str, args: &Args) -> Result<(u16, String), String> {
    let authority = server.strip_prefix("https://").ok_or_else(|| format!("{server}: not https"))?;
    let authority = authority.trim_end_matches('/');
    let (host, port) = split_port(authority, 443);
    let ca = args.get("ca").map_or_else(|| format!("{ACCOUNT}/ca.crt"), str::to_owned);
    let token = read_token(args)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\n\
         Accept: application/json\r\nConnection: close\r\n\r\n"
    );
    let target = format!("{}:{port}", resolve(host));
    let answer = openssl(&target, host, &ca, &request)?;
    parse_answer(&answer).map_err(|error| format!("{server}{path}: {error}"))
}

fn read_token(args: &Args) -> Result<String, String> {
    let path = args.get("token-file").or(args.get("K"));
    let path = path.map_or_else(|| format!("{ACCOUNT}/token"), str::to_owned);
    let token = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    Ok(token.trim().to_owned())
}

fn openssl(target: &str, host: &str, ca: &str, request: &str) -> Result<String, String> {
    let mut child = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_quiet", "-verify_return_error", "-connect", target])
        .args(["-CAfile", ca])
        .args(expected_name(host))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("openssl: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // When the handshake fails it has gone before it read; its own message says more than ours.
        let _ = stdin.write_all(request.as_bytes());
        let output = child.wait_with_output();
        drop(stdin);
        let output = output.map_err(|error| format!("openssl: {error}"))?;
        if !output.status.success() && output.stdout.is_empty() {
            return Err(format!("{target}: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err("openssl: no standard input".to_owned())
}

/// What the server's certificate must carry. `KUBERNETES_SERVICE_HOST` is an address, not a name.
fn expected_name(host: &str) -> Vec<&str> {
    match host.parse::<IpAddr>() {
        Ok(_) => vec!["-verify_ip", host],
        Err(_) => vec!["-servername", host, "-verify_hostname", host],
    }
}

/// `host.svc` names and a server whose host is an environment variable both work: `--server env`
/// takes `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`.
fn server(args: &Args) -> Result<String, String> {
    match args.get("server") {
        Some("env") => {
            let get = |name: &str| env::var(name).map_err(|_| format!("{name} is not set"));
            Ok(format!("https://{}:{}", get("KUBERNETES_SERVICE_HOST")?, get("KUBERNETES_SERVICE_PORT")?))
        }
        Some(url) => Ok(url.to_owned()),
        None => Ok(SERVER.to_owned()),
    }
}

/// Prints the body; exit code 22 unless the status is 2xx.
pub(crate) fn get(args: &Args) -> Outcome {
    let (status, body) = ask(&server(args)?, args.word(0, "PATH")?, args)?;
    println!("{body}");
    eprintln!("status {status}");
    Ok(if (200..300).contains(&status) { 0 } else { 22 })
}

/// Watches the host's processes and looks its own node up in the API, again and again.
pub(crate) fn sensor(args: &Args) -> Outcome {
    sys::exit_on_term();
    let proc_dir = args.get_or("proc", "/host/proc");
    let url = args.get("k").unwrap_or(SERVER);
    let node = env::var("NODE_NAME").or_else(|_| env::var("FALCO_K8S_NODE_NAME")).unwrap_or_default();
    let every = Duration::from_secs(args.number("every-seconds", 10)?);
    loop {
        match processes(proc_dir) {
            Ok(names) => println!("sensor: {} processes under {proc_dir}", names.len()),
            Err(error) => println!("sensor: {proc_dir}: {error}"),
        }
        match ask(url, &format!("/api/v1/nodes/{node}"), args) {
            Ok((status, _)) => println!("sensor: {url}/api/v1/nodes/{node} answers {status}"),
            Err(error) => println!("sensor: {error}"),
        }
        thread::sleep(every);
    }
}
