//! Sockets: accept, TLS, HTTP/1.1 and HTTP/2, and an orderly end.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use everynode_api::status::Status;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::accept::{Accepted, Listener};
use super::answer::{self, Answer};
use super::handle::{self, Connection};
use super::handshake;
use crate::auth::authenticate::certificate_user;
use crate::pki::PkiError;
use crate::server::ApiServer;

/// A client that has not finished a request's head by then is gone.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that are being served at the end get so long.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams of one HTTP/2 connection: an agent or controller process uses a few dozen, a hollow fleet thousands.
const STREAMS_MAX: u32 = 10_000;

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
    pub(crate) lists: super::budget::ListBudget,
}

impl ApiServer {
    /// Serves connections of `listener` until `shutdown` completes; then lets requests finish and returns.
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
        let shared = Arc::new(Shared {
            server: self.clone(),
            stopping: watch::Sender::new(false),
            agents,
            lists: super::budget::ListBudget::default(),
        });
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
    let Accepted { stream, peer, place } = accepted;
    // Watch events are small and wanted at once.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        drop(place);
        return requests(shared, Connection { peer, user: None }, TokioIo::new(stream)).await;
    };
    let Ok(local) = stream.local_addr() else { return };
    let lane = handshake::lane(peer.ip(), local.ip());
    match shared.server.metrics.handshakes.accept(tls, stream, lane).await {
        Ok(stream) => {
            drop(place);
            let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let certified = certificate.and_then(|der| certificate_user(der, shared.server.registry.env.now()));
            if let Some(certified) = &certified {
                shared.server.metrics.client_certificate(certified.left);
            }
            let user = certified.map(|certified| Arc::new(certified.user));
            requests(shared, Connection { peer, user }, TokioIo::new(stream)).await;
        }
        Err(error) => tracing::debug!(%peer, %error, "no TLS handshake"),
    }
}

async fn requests<I>(shared: Arc<Shared>, connection: Connection, io: I)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let connection = Arc::new(connection);
    let mut stopping = shared.stopping.subscribe();
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
    let service = service_fn(|request: Request<Incoming>| {
        let (shared, connection) = (shared.clone(), connection.clone());
        async move { Ok::<_, Infallible>(isolated(shared, connection, request).await) }
    });
    let mut served = std::pin::pin!(builder.serve_connection_with_upgrades(io, service));
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = stopped(&mut stopping) => {
            served.as_mut().graceful_shutdown();
            served.await
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

/// A request runs in a task of its own: a defect that panics ends this request and nothing else, and a client that
/// goes away does not cut a write in half. (Served by the connection's task it costs more, too: hyper wakes that task
/// while it runs, to read the body, and the runtime wakes another thread for it.)
async fn isolated(shared: Arc<Shared>, connection: Arc<Connection>, request: Request<Incoming>) -> Answer {
    match tokio::spawn(handle::answer(shared.clone(), connection, request)).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::error!(%error, "a request failed by a defect");
            shared.server.metrics.panicked();
            answer::failure(&Status::internal("the server has a defect; see its log"))
        }
    }
}
