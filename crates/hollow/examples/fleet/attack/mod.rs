//! Hostile clients of our own server, in a process of their own: `fleet attack KIND`. For the
//! scenario `hostile`, which starts them and measures what others see of them.
//!
//! They speak to an address of this machine only, and end when their standard input does. Once a
//! second they print a line of JSON about what they have.

mod frames;
mod http2;
mod silent;
mod slow;

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::ensure;
use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::endpoint::Endpoint;

/// How often the state is printed.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Connections that are set up at the same time: the listening socket's queue is for others, too.
const CONNECTING_MAX: usize = 64;
/// The pause before what was closed is opened again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Connections that say nothing: half of them before TLS, half of them after the handshake
    Silent,
    /// Bodies of an ordinary user's requests that come byte by byte
    Slow,
    /// Every frame of HTTP/2, without end
    Http2,
}

#[derive(Debug, Parser)]
pub(crate) struct AttackArgs {
    #[arg(value_enum)]
    pub(crate) kind: Kind,
    /// The server; an address of this machine
    #[arg(long)]
    server: SocketAddr,
    /// The authority of its certificate
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// Whom slow bodies come from
    #[arg(long, default_value = "")]
    token: String,
    /// Connections (silent), requests (slow), or connections for each abuse (http2)
    #[arg(long)]
    count: usize,
    /// The address that connections come from
    #[arg(long)]
    from: Option<Ipv4Addr>,
}

/// What the attackers have and did so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    /// Connections, or requests whose body is being sent.
    pub(crate) open: usize,
    pub(crate) opened_total: u64,
    /// What the server ended, or answered.
    pub(crate) ended_total: u64,
    /// What could not be opened at all.
    pub(crate) failed_total: u64,
    pub(crate) mebibytes_sent: u64,
}

/// Counts; shared by all tasks of an attack.
#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    opened: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
}

impl Counts {
    fn state(&self) -> State {
        State {
            open: self.open.load(Ordering::Relaxed),
            opened_total: self.opened.load(Ordering::Relaxed),
            ended_total: self.ended.load(Ordering::Relaxed),
            failed_total: self.failed.load(Ordering::Relaxed),
            mebibytes_sent: self.bytes.load(Ordering::Relaxed) >> 20,
        }
    }
}

/// Something that is open as long as this value lives.
struct Open<'a>(&'a Counts);

impl<'a> Open<'a> {
    fn new(counts: &'a Counts) -> Open<'a> {
        counts.opened.fetch_add(1, Ordering::Relaxed);
        counts.open.fetch_add(1, Ordering::Relaxed);
        Open(counts)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// What every task of an attack needs.
struct Attack {
    endpoint: Endpoint,
    from: Option<Ipv4Addr>,
    token: String,
    counts: Counts,
    connecting: Semaphore,
}

impl Attack {
    /// Repeats something that ends, with a pause.
    async fn forever<F: Future<Output = anyhow::Result<()>>>(&self, once: impl Fn() -> F) {
        loop {
            if once().await.is_err() {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

/// Attacks until standard input ends.
///
/// # Errors
/// The server is on another machine, or the authority's file cannot be read.
pub(crate) async fn run(args: AttackArgs) -> anyhow::Result<()> {
    ensure!(args.server.ip().is_loopback(), "{} is not this machine's own: nobody else is attacked", args.server);
    let attack = Arc::new(Attack {
        endpoint: Endpoint::new(args.server, &args.ca)?,
        from: args.from,
        token: args.token,
        counts: Counts::default(),
        connecting: Semaphore::new(CONNECTING_MAX),
    });
    match args.kind {
        Kind::Silent => silent::start(&attack, args.count),
        Kind::Slow => slow::start(&attack, args.count),
        Kind::Http2 => http2::start(&attack, args.count),
    }
    let ended = tokio::task::spawn_blocking(|| {
        let mut input = [0; 1];
        while !matches!(std::io::stdin().read(&mut input), Ok(0) | Err(_)) {}
    });
    tokio::select! {
        _ = ended => {}
        () = report(&attack.counts) => {}
    }
    // Tasks still run; the process ends with them.
    std::process::exit(0)
}

async fn report(counts: &Counts) {
    loop {
        let line = serde_json::to_string(&counts.state()).unwrap_or_default();
        println!("{line}");
        tokio::time::sleep(REPORT_EVERY).await;
    }
}
