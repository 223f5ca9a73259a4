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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use super::answer::{self, Answer};
use super::handle::{self, Connection};
use crate::auth::authenticate::certificate_user;
use crate::pki::PkiError;
use crate::server::ApiServer;

/// A client that has not finished its handshake, or a request's head, by then is gone.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that are being served at the end get so long.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams of one HTTP/2 connection: an agent or controller process uses a few dozen, a hollow fleet thousands.
const STREAMS_MAX: u32 = 10_000;
/// Out of file descriptors: give the connections that end a moment.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    pub(crate) slots: super::slot::Slots,
    pub(crate) lists: super::budget::ListBudget,
}

impl ApiServer {
    /// Serves connections of `listener` until `shutdown` completes; then lets requests finish and returns.
    pub async fn serve(
        self: &Arc<Self>,
        listener: TcpListener,
        options: ServeOptions,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError> {
        let acceptor = match options.plain {
            true => None,
            false => Some(TlsAcceptor::from(Arc::new(self.pki.server_config()?))),
        };
        let agents = super::proxy::Agents::new(&self.pki)?;
        let shared = Arc::new(Shared {
            server: self.clone(),
            stopping: watch::Sender::new(false),
            agents,
            slots: super::slot::Slots::default(),
            lists: super::budget::ListBudget::default(),
        });
        // Every connection holds a sender: the channel closes when the last one has ended.
        let (alive, mut ended) = mpsc::channel::<()>(1);
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        tokio::spawn(connection(shared.clone(), acceptor.clone(), stream, alive.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                () = &mut shutdown => break,
            }
        }
        drop(listener);
        self.stop_being_ready();
        shared.stopping.send_replace(true);
        drop(alive);
        if tokio::time::timeout(DRAIN_TIMEOUT, ended.recv()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        Ok(())
    }
}

async fn connection(shared: Arc<Shared>, acceptor: Option<TlsAcceptor>, stream: TcpStream, _alive: mpsc::Sender<()>) {
    let Ok(peer) = stream.peer_addr() else { return };
    // Watch events are small and wanted at once.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = acceptor else {
        return requests(shared, Connection { peer, user: None }, TokioIo::new(stream)).await;
    };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let user = certificate.and_then(|der| certificate_user(der)).map(Arc::new);
            requests(shared, Connection { peer, user }, TokioIo::new(stream)).await;
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
    }
}

async fn requests<I>(shared: Arc<Shared>, connection: Connection, io: I)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let connection = Arc::new(connection);
    let mut stopping = shared.stopping.subscribe();
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE_TIMEOUT);
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
