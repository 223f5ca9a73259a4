//! `/exec`, `/attach`, `/portForward`: the upgraded connection is tunnelled byte for byte to the
//! runtime's own streaming server, whatever it speaks (SPDY/3.1 or WebSocket).

use std::time::Duration;

use http::{HeaderMap, HeaderName, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::request::{StreamKind, StreamRoute, Streams};
use super::{Answer, Service, text};
use crate::cri::{ContainerState, RuntimeError, v1};
use crate::worker::PodSnapshot;

const CONNECT_MAX: Duration = Duration::from_secs(10);
/// What the runtime says instead of upgrading is passed on, up to this.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

type Refusal = (StatusCode, String);

pub(super) async fn answer(service: &Service, route: StreamRoute, request: Request<Incoming>) -> Answer {
    let result = match url(service, &route).await {
        Ok(url) => tunnel(&url, &route.kind, request).await,
        Err(refusal) => Err(refusal),
    };
    result.unwrap_or_else(|(status, message)| text(status, &message))
}

/// The runtime's URL for this request.
async fn url(service: &Service, route: &StreamRoute) -> Result<Uri, Refusal> {
    let StreamRoute { pod, kind } = route;
    let name = &pod.name;
    let not_found = || (StatusCode::NOT_FOUND, format!("pod \"{name}_{}\" does not exist", pod.namespace));
    let snapshot = service.find(pod).ok_or_else(not_found)?;
    let runtime = &service.runtime;
    let url = match kind {
        StreamKind::Exec { container, command, streams } => {
            let (container_id, cmd) = (running(&snapshot, container)?, command.clone());
            let Streams { stdin, stdout, stderr, tty } = *streams;
            runtime.exec_url(v1::ExecRequest { container_id, cmd, tty, stdin, stdout, stderr }).await
        }
        StreamKind::Attach { container, streams } => {
            let container_id = running(&snapshot, container)?;
            let Streams { stdin, stdout, stderr, tty } = *streams;
            runtime.attach_url(v1::AttachRequest { container_id, stdin, tty, stdout, stderr }).await
        }
        StreamKind::PortForward { ports } => {
            let sandbox = snapshot.observed.sandbox().filter(|sandbox| sandbox.ready);
            let sandbox = sandbox.ok_or_else(|| (StatusCode::NOT_FOUND, format!("pod {name:?} is not running")))?;
            let request = v1::PortForwardRequest { pod_sandbox_id: sandbox.id.clone(), port: ports.clone() };
            runtime.port_forward_url(request).await
        }
    };
    let url = url.map_err(|error: RuntimeError| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    url.parse()
        .map_err(|_| (StatusCode::INTERNAL_SERVER_ERROR, format!("the runtime's streaming URL is invalid: {url}")))
}

fn running(snapshot: &PodSnapshot, container: &str) -> Result<String, Refusal> {
    let latest = snapshot.observed.latest(container);
    let found = latest.filter(|found| found.state == ContainerState::Running);
    let pod = snapshot.pod.metadata.name.clone().unwrap_or_default();
    found
        .map(|found| found.id.clone())
        .ok_or((StatusCode::NOT_FOUND, format!("container not found ({container:?} of pod {pod:?} is not running)")))
}

/// Makes the same upgrade request to the runtime; when it agrees, connects both sides.
async fn tunnel(url: &Uri, kind: &StreamKind, mut request: Request<Incoming>) -> Result<Answer, Refusal> {
    let bad_gateway = |what: &str, error: &dyn std::fmt::Display| {
        (StatusCode::BAD_GATEWAY, format!("cannot {what} the runtime's streaming server: {error}"))
    };
    let authority = url.authority().map(ToString::to_string).unwrap_or_default();
    let connected = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(&authority)).await;
    let stream =
        connected.map_err(|error| bad_gateway("reach", &error))?.map_err(|error| bad_gateway("reach", &error))?;
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| bad_gateway("speak to", &error))?;
    tokio::spawn(async move {
        let _ = connection.with_upgrades().await;
    });
    let onward = onward(url, &authority, kind, &request)?;
    let mut answer = sender.send_request(onward).await.map_err(|error| bad_gateway("ask", &error))?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(refused(answer).await);
    }
    let mut back = Response::new(Empty::new().map_err(|never| match never {}).boxed());
    *back.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *back.headers_mut() = upgrade_headers(answer.headers());
    let (ours, theirs) = (hyper::upgrade::on(&mut request), hyper::upgrade::on(&mut answer));
    tokio::spawn(async move {
        if let (Ok(ours), Ok(theirs)) = tokio::join!(ours, theirs) {
            let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(ours), &mut TokioIo::new(theirs)).await;
        }
    });
    Ok(back)
}

/// The request to the runtime: its path, the caller's upgrade. A WebSocket port-forward names its
/// ports in the query.
fn onward(
    url: &Uri,
    authority: &str,
    kind: &StreamKind,
    request: &Request<Incoming>,
) -> Result<Request<Empty<bytes::Bytes>>, Refusal> {
    let mut target = url.path().to_owned();
    if let StreamKind::PortForward { ports } = kind
        && !ports.is_empty()
    {
        let list: Vec<String> = ports.iter().map(|port| format!("port={port}")).collect();
        target = format!("{target}?{}", list.join("&"));
    }
    let mut onward = Request::builder().method(request.method()).uri(target);
    if let Some(headers) = onward.headers_mut() {
        *headers = upgrade_headers(request.headers());
        headers.insert(header::HOST, authority.parse().unwrap_or(http::HeaderValue::from_static("localhost")));
    }
    onward.body(Empty::new()).map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// What the two ends must agree on; nothing else passes, credentials least of all.
fn upgrade_headers(headers: &HeaderMap) -> HeaderMap {
    let passes = |name: &HeaderName| {
        let name = name.as_str();
        matches!(name, "connection" | "upgrade" | "origin" | "x-stream-protocol-version")
            || name.starts_with("sec-websocket-")
    };
    headers.iter().filter(|(name, _)| passes(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

async fn refused(answer: Response<Incoming>) -> Answer {
    let status = answer.status();
    let body = http_body_util::Limited::new(answer.into_body(), REFUSAL_BYTES_MAX).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    text(status, &String::from_utf8_lossy(&body))
}
