//! Sockets: accept, TLS, HTTP/1.1 and HTTP/2, and an orderly end.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use everynode_api::status::Status;
use everynode_listen::Accepted;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::accept::Listener;
use super::class::Class;
use super::handle::{self, Answered, Connection};
use super::limits::Limits;
use super::paced::Paced;
use super::progress::{Judge, Verdict};
use super::{answer, answered, handshake};
use crate::auth::authenticate::certificate_user;
use crate::pki::PkiError;
use crate::server::ApiServer;

/// Requests that are being served at the end get so long.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams of one HTTP/2 connection of a client that has shown no certificate, as in
/// kube-apiserver.
const STREAMS_MAX: u32 = 250;
/// An agent watches each config map and secret of its pods.
const STREAMS_MAX_NODE: u32 = 1_000;
/// A fleet of simulated nodes has thousands.
const STREAMS_MAX_CONTROLLER: u32 = 10_000;
/// Requests of a connection that are worked on at once, as a multiple of its streams: one whose
/// stream was reset continues to its end, and without a bound resets would be a way around that of
/// streams.
const OPEN_FACTOR: usize = 2;
/// Headers of a request: kubectl sends ten, impersonation one for each group.
const HEADERS_MAX: usize = 256;
/// Over HTTP/1, a request's head, and what is read at once of its body.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Over HTTP/2, a request's headers. h2 derives from it how many CONTINUATION frames it reads.
const HEADER_LIST_BYTES_MAX: u32 = 64 << 10;
/// What a client may send of a body before it is read.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// The same of all streams of a connection: the most of bodies that is in memory before it is read.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// What is kept of each answer that the client does not take.
const SEND_BYTES_MAX: usize = 64 << 10;
/// Streams that a client has opened and reset before they were looked at (CVE-2023-44487): one more
/// ends the connection.
const RESETS_PENDING_MAX: usize = 20;
/// Streams that we had to reset because of a client's errors: one more ends the connection.
const ERROR_RESETS_MAX: usize = 200;

/// How sockets are served.
#[derive(Clone, Debug, Default)]
pub struct ServeOptions {
    /// Serve plain HTTP (tests of the wire form only).
    pub plain: bool,
}

/// Why serving did not begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("cannot read the listening address: {0}")]
    Listener(#[from] io::Error),
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) server: Arc<ApiServer>,
    /// True from the moment the server stops: streams end.
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) agents: super::proxy::Agents,
}

impl ApiServer {
    /// Serves connections of `listener` until `shutdown` completes; then lets requests finish and
    /// returns.
    pub async fn serve(
        self: &Arc<Self>,
        mut listener: Listener,
        options: ServeOptions,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError> {
        let tls = match options.plain {
            true => None,
            false => Some(Arc::new(self.pki.server_config()?)),
        };
        let agents = super::proxy::Agents::new(&self.pki)?;
        let shared = Arc::new(Shared { server: self.clone(), stopping: watch::Sender::new(false), agents });
        self.metrics.serves(listener.connections());
        let mut beside = JoinSet::new();
        beside.spawn(self.clone().keep_certificates());
        // Every connection holds a sender: the channel closes when the last one has ended.
        let (alive, mut ended) = mpsc::channel::<()>(1);
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                Some(accepted) = listener.next() => {
                    tokio::spawn(connection(shared.clone(), tls.clone(), accepted, alive.clone()));
                }
                () = &mut shutdown => break,
            }
        }
        listener.close().await;
        self.stop_being_ready();
        shared.stopping.send_replace(true);
        drop(alive);
        if tokio::time::timeout(DRAIN_TIMEOUT, ended.recv()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        Ok(())
    }
}

async fn connection(
    shared: Arc<Shared>,
    tls: Option<Arc<rustls::ServerConfig>>,
    accepted: Accepted,
    _alive: mpsc::Sender<()>,
) {
    let Accepted { stream, peer, entry } = accepted;
    let connection = Connection { peer, user: None, entry, known: OnceLock::new(), progress: Arc::default() };
    let Some(tls) = tls else {
        return requests(shared, connection, TokioIo::new(Paced::new(stream))).await;
    };
    let Ok(local) = stream.local_addr() else { return };
    let lane = handshake::lane(peer.ip(), local.ip());
    let handshakes = &shared.server.metrics.handshakes;
    let handshake = handshakes.accept(tls, stream, lane, || connection.entry.heard());
    let stream = tokio::select! {
        stream = handshake => stream,
        () = connection.entry.shed() => return,
    };
    match stream {
        Ok(stream) => {
            let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let certified = certificate.and_then(|der| certificate_user(der, shared.server.registry.env.now()));
            if let Some(certified) = &certified {
                shared.server.metrics.client_certificate(certified.left);
            }
            let user = certified.map(|certified| Arc::new(certified.user));
            requests(shared, Connection { user, ..connection }, TokioIo::new(Paced::new(stream))).await;
        }
        Err(error) => tracing::debug!(%peer, %error, "no TLS handshake"),
    }
}

/// How many requests a connection may have at once.
fn streams_max(connection: &Connection) -> u32 {
    match connection.user.as_ref().map_or(Class::Everybody, |user| Class::of_user(user)) {
        Class::Leaders | Class::Heartbeats | Class::Everybody => STREAMS_MAX,
        Class::Nodes => STREAMS_MAX_NODE,
        Class::Controllers => STREAMS_MAX_CONTROLLER,
    }
}

/// HTTP/1.1 and HTTP/2 within bounds.
fn builder(connection: &Connection, limits: &Limits) -> Builder<TokioExecutor> {
    let head_timeout = if connection.user.is_some() { limits.head_known } else { limits.head_stranger };
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams_max(connection))
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX)
        .keep_alive_interval(limits.ping_after)
        .keep_alive_timeout(limits.ping_timeout);
    builder
}

async fn requests<I>(shared: Arc<Shared>, connection: Connection, io: I)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let limits = &shared.server.metrics.slots.limits;
    let idle_max = if connection.user.is_some() { limits.idle_intervals_known } else { limits.idle_intervals_stranger };
    let builder = builder(&connection, limits);
    let connection = Arc::new(connection);
    let service = service_fn(|request: Request<Incoming>| {
        let (shared, connection) = (shared.clone(), connection.clone());
        async move { Ok::<_, Infallible>(isolated(shared, connection, request).await) }
    });
    let mut served = std::pin::pin!(builder.serve_connection_with_upgrades(io, service));
    let (mut stopping, mut ending) = (shared.stopping.subscribe(), false);
    let mut judge = Judge::default();
    let mut look = tokio::time::interval_at(Instant::now() + limits.first_request, limits.interval);
    let result = loop {
        tokio::select! {
            result = served.as_mut() => break result,
            () = connection.entry.shed() => break Err("it made room for another one".into()),
            () = stopped(&mut stopping), if !ending => {
                ending = true;
                served.as_mut().graceful_shutdown();
            }
            _ = look.tick() => match connection.progress.judge(&mut judge, idle_max) {
                Verdict::GoOn => {}
                // An idle client is notified, and given another interval.
                Verdict::Idle if !ending => {
                    ending = true;
                    served.as_mut().graceful_shutdown();
                }
                verdict => {
                    shared.server.metrics.connection_ended(verdict);
                    break Err(format!("{verdict:?}").into());
                }
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(peer = %connection.peer, %error, "connection ended");
    }
}

/// Returns when the server stops.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// A request runs in a task of its own: a defect that panics ends this request and nothing else,
/// and a client that goes away does not cut a write in half. (Served by the connection's task it
/// costs more, too: hyper wakes that task while it runs, to read the body, and the runtime wakes
/// another thread for it.)
async fn isolated(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Response<answered::Answered> {
    let pending = connection.progress.begin();
    let slots = &shared.server.metrics.slots;
    if connection.progress.open() > OPEN_FACTOR * streams_max(&connection) as usize {
        let refused = Status::too_many_requests("too many requests at once, wait for answers before sending more", 1);
        return answered::counted(slots, None, true, answer::failure(&refused), pending);
    }
    match tokio::spawn(handle::answer(shared.clone(), connection, request)).await {
        Ok(Answered { answer, asker, long_running }) => answered::counted(slots, asker, !long_running, answer, pending),
        Err(error) => {
            tracing::error!(%error, "a request failed by a defect");
            shared.server.metrics.panicked();
            let failure = answer::failure(&Status::internal("the server has a defect; see its log"));
            answered::counted(slots, None, true, failure, pending)
        }
    }
}
