//! No file descriptors left: the server, in a process of its own whose limit is lowered, goes on
//! serving.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::hostile::{metric, until};
use crate::support::*;

/// Set in the server's process.
const SERVES: &str = "EVERYNODE_TEST_SERVES_WITH_FEW_DESCRIPTORS";
const NAME: &str = "descriptors::clients_that_take_all_descriptors_block_no_other_client";
/// What the server may open besides what it has.
const DESCRIPTORS_LEFT: u64 = 24;
/// More than that, and far fewer than the server has room for by its table.
const SILENT: usize = 80;
/// It is no measure, but far more than an answer takes.
const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_take_all_descriptors_block_no_other_client() {
    if std::env::var_os(SERVES).is_some() {
        return serve().await;
    }
    let (mut child, address, ca) = start();
    assert_eq!(readyz(address, &ca).await, "ok");
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    for _ in 0..5 {
        let answered = tokio::time::timeout(LIMIT, readyz(address, &ca)).await;
        assert_eq!(answered.expect("it is answered beside them"), "ok");
    }
    drop(silent);
    // Its own checks follow.
    drop(child.stdin.take());
    let ended = tokio::task::spawn_blocking(move || child.wait()).await.unwrap();
    assert!(ended.unwrap().success(), "connections of strangers were closed because descriptors had run out");
}

/// The server's process, its address and authority.
fn start() -> (Child, SocketAddr, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", NAME, "--nocapture"]).env(SERVES, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let told = lines.find_map(|line| line.split_once("serves ").map(|(_, told)| told.to_owned())).unwrap();
    let (address, ca) = told.split_once(' ').unwrap();
    let pem = serde_json::from_str(ca).unwrap();
    // What it prints later is of no interest, but must go somewhere.
    std::thread::spawn(move || lines.for_each(drop));
    (child, address.parse().unwrap(), pem)
}

/// Until standard input ends.
async fn serve() {
    let server = Server::start().await;
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let limit = Rlimit { current: Some(open + DESCRIPTORS_LEFT), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).unwrap();
    println!("serves {} {}", server.address, serde_json::to_string(server.api.pki().ca_pem()).unwrap());
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0; 1])).await.unwrap();
    // By the table there was room for all: they were closed for want of descriptors.
    let shed = async || metric(&server, &["connections_closed_total", "shed"]).await;
    until("strangers are counted", async || shed().await >= SILENT as u64 - DESCRIPTORS_LEFT).await;
}

async fn readyz(address: SocketAddr, ca: &str) -> String {
    let connector = TlsConnector::from(Arc::new(tls(ca, None)));
    loop {
        let stream = TcpStream::connect(address).await.unwrap();
        // Who comes in this moment is a stranger, too, and may have to go: probes ask again.
        let Ok(mut stream) = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await else {
            continue;
        };
        let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer).await;
        if asked.is_ok() && read.is_ok() && !answer.is_empty() {
            return answer.split("\r\n\r\n").nth(1).unwrap().to_owned();
        }
    }
}
