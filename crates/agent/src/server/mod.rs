//! The agent's own HTTPS server, with the paths of Kubernetes' agent: logs, exec, attach,
//! port-forward, pods, health (DS-H52, DS-H53). Only the API server may call it: a client
//! certificate of the given authority with the given name.

mod log;
pub(crate) mod request;
mod streaming;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_listen::{Accepted, Entry, Listener, descriptors_max};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::cri::Runtime;
use crate::worker::{Context, Inspector, PodSnapshot};
use request::{PodName, Route};

/// Connections at the same time. Each follower of a log and each exec holds one; those of strangers
/// make room.
const CONNECTIONS_MAX: usize = 512;
/// One in so many of the files that the process may open is such a connection at most.
const DESCRIPTORS_PART: usize = 8;
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// The API server's next request on a connection has come after so long.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// A stranger's: all that is there for them is `/healthz`.
const HEAD_MAX_STRANGER: Duration = Duration::from_secs(5);
/// Headers of a request, and what is read of it at once.
const HEADERS_MAX: usize = 100;
const HEAD_BYTES_MAX: usize = 64 << 10;

pub(crate) type Body = BoxBody<Bytes, std::io::Error>;
pub(crate) type Answer = Response<Body>;

/// How callers are known.
#[derive(Clone)]
pub struct ServerTls {
    /// Must ask for client certificates; those without one may only ask for `/healthz`.
    pub config: Arc<rustls::ServerConfig>,
    /// The common name that the API server's certificate carries.
    pub allowed_client: String,
}

/// The server, bound to its address.
pub struct Server {
    listener: Listener,
    tls: ServerTls,
    service: Arc<Service>,
}

/// What requests are answered from.
pub(crate) struct Service {
    pub inspector: Inspector,
    pub runtime: Arc<dyn Runtime>,
    pub context: Arc<Context>,
}

impl Service {
    /// The pod that a request means; one of the same name with another uid is not that one.
    fn find(&self, pod: &PodName) -> Option<PodSnapshot> {
        let found = self.inspector.find(&pod.namespace, &pod.name)?;
        let same = pod.uid.is_none() || pod.uid == found.pod.metadata.uid;
        same.then_some(found)
    }
}

impl Server {
    /// # Errors
    /// The address cannot be had.
    pub async fn bind(
        address: SocketAddr,
        tls: ServerTls,
        context: Arc<Context>,
        inspector: Inspector,
    ) -> std::io::Result<Server> {
        let listener = Listener::bind(address, Server::connections_max())?;
        let runtime = context.runtime.clone();
        Ok(Server { listener, tls, service: Arc::new(Service { inspector, runtime, context }) })
    }

    /// How many connections it has at once.
    pub fn connections_max() -> usize {
        CONNECTIONS_MAX.min(descriptors_max() / DESCRIPTORS_PART)
    }

    /// # Errors
    /// Of the socket.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        Ok(self.listener.address())
    }

    /// Serves until dropped.
    pub async fn run(mut self) {
        let acceptor = TlsAcceptor::from(self.tls.config.clone());
        let allowed: Arc<str> = self.tls.allowed_client.into();
        while let Some(Accepted { stream, entry, .. }) = self.listener.next().await {
            let (acceptor, service, allowed) = (acceptor.clone(), self.service.clone(), allowed.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = serve_connection(stream, acceptor, service, &allowed, &entry) => {}
                    () = entry.shed() => tracing::debug!("a stranger's connection made room for another one"),
                }
            });
        }
    }
}

async fn serve_connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    service: Arc<Service>,
    allowed: &str,
    entry: &Entry,
) {
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await else { return };
    entry.heard();
    let trusted = is_trusted(stream.get_ref().1.peer_certificates(), allowed);
    if trusted {
        entry.known();
    }
    let handler = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(answer(&service, request, trusted).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(if trusted { HEAD_MAX } else { HEAD_MAX_STRANGER })
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), handler).with_upgrades().await {
        tracing::debug!(%error, "a connection to the agent's server ended early");
    }
}

/// Whether the certificate, which TLS has verified, is the API server's: of exactly this one name,
/// and of no node. That it is of the cluster's authority is not enough; every node has such a one.
fn is_trusted(certificates: Option<&[CertificateDer<'_>]>, allowed: &str) -> bool {
    let Some(certificate) = certificates.and_then(<[_]>::first) else { return false };
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else { return false };
    let names: Vec<_> = parsed.subject().iter_common_name().map(|name| name.as_str().ok()).collect();
    let is_node = parsed.subject().iter_organization().any(|group| group.as_str().ok() == Some("system:nodes"));
    names == [Some(allowed)] && !is_node && !parsed.is_ca()
}

async fn answer(service: &Arc<Service>, request: Request<Incoming>, trusted: bool) -> Answer {
    let route = request::route(request.uri().path(), request.uri().query().unwrap_or_default());
    match route {
        Route::Health => text(StatusCode::OK, "ok"),
        _ if !trusted => text(StatusCode::UNAUTHORIZED, "Unauthorized"),
        Route::Unknown => text(StatusCode::NOT_FOUND, "404 page not found"),
        Route::Bad(message) => text(StatusCode::BAD_REQUEST, &message),
        Route::Pods if request.method() == Method::GET => pods(service),
        Route::Log(log) if request.method() == Method::GET => log::answer(service, log).await,
        Route::Stream(stream) if [Method::GET, Method::POST].contains(request.method()) => {
            streaming::answer(service, stream, request).await
        }
        Route::Pods | Route::Log(_) | Route::Stream(_) => text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
    }
}

/// A `PodList` of what this agent takes care of.
fn pods(service: &Service) -> Answer {
    let pods: Vec<_> = service.inspector.pods();
    let items: Vec<&k8s_openapi::api::core::v1::Pod> = pods.iter().map(AsRef::as_ref).collect();
    let list = serde_json::json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items});
    let mut answer = text(StatusCode::OK, &list.to_string());
    answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    answer
}

pub(crate) fn text(status: StatusCode, text: &str) -> Answer {
    let body = Full::new(Bytes::copy_from_slice(text.as_bytes())).map_err(|never| match never {}).boxed();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

    use super::*;

    const SERVER: &str = "kube-apiserver-kubelet-client";

    fn trusted(set_up: impl FnOnce(&mut CertificateParams)) -> bool {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        set_up(&mut params);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        is_trusted(Some(&[certificate.der().clone()]), SERVER)
    }

    #[test]
    fn only_the_api_servers_own_client_certificate_is_trusted() {
        assert!(trusted(|params| params.distinguished_name.push(DnType::CommonName, SERVER)));
        assert!(!is_trusted(None, SERVER) && !is_trusted(Some(&[CertificateDer::from(vec![1])]), SERVER));
        for name in ["system:node:n1", "kubernetes-admin", "kube-apiserver", "", "kube-apiserver-kubelet-client "] {
            assert!(!trusted(|params| params.distinguished_name.push(DnType::CommonName, name)), "{name}");
        }
        // A name of the server is nothing without the subject; a node stays a node whatever its
        // name; nor is it an authority.
        assert!(
            !trusted(|params| params.subject_alt_names = vec![rcgen::SanType::DnsName(SERVER.try_into().unwrap())])
        );
        assert!(!trusted(|params| {
            params.distinguished_name.push(DnType::CommonName, SERVER);
            params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        }));
        assert!(!trusted(|params| {
            params.distinguished_name.push(DnType::CommonName, SERVER);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }));
    }
}
