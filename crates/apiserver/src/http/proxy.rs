//! Logs, exec, attach and port-forward: passed on to the node's agent.
//!
//! The API server speaks to the agent at the Node's InternalIP and kubelet port, with its own
//! client certificate, and checks the agent's certificate against the CA for the *node's name*.
//! Upgraded connections (SPDY and WebSocket) are tunnelled byte for byte, but those that agents do
//! not speak ([`super::websocket`]). Neither side's headers pass as they are ([`agent_headers`]),
//! and a redirection by an agent is not followed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use everynode_api::status::Status;
use http::header::HOST;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::agent_headers;
use super::answer::Answer;
use super::handle::Head;
use super::serve::Shared;
use super::slot::Slot;
use super::websocket::WebSocket;
use crate::catalogue::built_in;
use crate::object::{at, items, text};
use crate::operation::connect::{Connect, PodIdentity};
use crate::pki::{Pki, PkiError};
use crate::registry::{Registry, Target};

/// An agent that does not answer by then is not reachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// More words than that say nothing more.
const REFUSAL_BYTES_MAX: usize = 10_000;

/// How agents are reached.
pub(crate) struct Agents(TlsConnector);

impl Agents {
    pub(crate) fn new(pki: &Pki) -> Result<Agents, PkiError> {
        Ok(Agents(TlsConnector::from(Arc::new(pki.agent_config()?))))
    }
}

/// Passes a request on to the agent of the pod's (or the) node.
pub(crate) async fn serve(
    shared: &Arc<Shared>,
    head: &Head,
    target: &Target,
    asked: &Connect,
    request: Request<Incoming>,
    slot: Slot,
) -> Result<Answer, Status> {
    let registry = &shared.server.registry;
    let Some(Destination { node, path }) = destination(registry, target, asked)? else {
        // A pod without a node has no log yet; a WebSocket is refused with it.
        return Ok(super::answer::empty(StatusCode::NO_CONTENT));
    };
    let address = agent_address(registry, &node, asked)?;
    let stream = connect(&shared.agents, &node, address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(&node, address, &error))?;
    tokio::spawn(connection.with_upgrades());
    let (mut parts, body) = request.into_parts();
    parts.headers = agent_headers::to_agent(&head.headers);
    let client_upgrade = parts.extensions.remove::<OnUpgrade>();
    let websocket = WebSocket::asked(&head.headers, asked).filter(|_| client_upgrade.is_some());
    if let Some(websocket) = &websocket {
        websocket.ask_agent(&mut parts.headers);
    }
    let (method, sent) = (parts.method.clone(), parts.headers.clone());
    let outgoing = outgoing(parts, body, &path, address)?;
    let answer = sender.send_request(outgoing).await.map_err(|error| unreachable(&node, address, &error))?;
    let (said, incoming) = answer.into_parts();
    let parts = agent_headers::from_agent(&method, &sent, &said)?;
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        let agent = Response::from_parts(said, incoming);
        return Ok(match (client_upgrade, websocket) {
            (Some(client), Some(websocket)) => {
                let headers = websocket.answer();
                tokio::spawn(carry(websocket, client, agent, slot));
                switched(headers)
            }
            (client, _) => {
                if let Some(client) = client {
                    tokio::spawn(tunnel(client, agent, slot));
                }
                switched(parts.headers)
            }
        });
    }
    if matches!(asked, Connect::Log(_)) && !parts.status.is_success() {
        return Err(refusal(parts.status, incoming).await);
    }
    if let (Some(client), Some(websocket)) = (client_upgrade, websocket.filter(WebSocket::is_log)) {
        let headers = websocket.answer();
        tokio::spawn(carry_log(websocket, client, incoming, slot));
        return Ok(switched(headers));
    }
    Ok(Response::from_parts(parts, Streamed { body: incoming, _slot: slot }.boxed_unsync()))
}

/// Agents refuse logs in plain words (stock kubelets too); clients want them in a Status.
async fn refusal(code: StatusCode, body: Incoming) -> Status {
    let words = http_body_util::Limited::new(body, REFUSAL_BYTES_MAX).collect().await;
    let words = words.map(|words| String::from_utf8_lossy(&words.to_bytes()).trim().to_owned()).unwrap_or_default();
    match code {
        StatusCode::BAD_REQUEST => Status::bad_request(words),
        StatusCode::NOT_FOUND => {
            Status::failure(404, "NotFound", format!("the server could not find the requested resource: {words}"))
        }
        _ => Status::internal(words),
    }
}

fn outgoing(
    parts: http::request::Parts,
    body: Incoming,
    path: &str,
    address: SocketAddr,
) -> Result<Request<Incoming>, Status> {
    let uri: Uri =
        path.parse().map_err(|error| Status::bad_request(format!("the path cannot be passed on: {error}")))?;
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = parts.headers;
    let host = address.to_string().parse().map_err(Status::internal)?;
    request.headers_mut().insert(HOST, host);
    Ok(request)
}

/// The answer that changes the protocol.
fn switched(headers: http::HeaderMap) -> Answer {
    let mut answer = Response::new(super::body::whole(bytes::Bytes::new()));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = headers;
    answer
}

/// A WebSocket that ends here, beside the agent's stream.
async fn carry(websocket: WebSocket, client: OnUpgrade, agent: Response<Incoming>, _slot: Slot) {
    let (Ok(client), Ok(agent)) = tokio::join!(client, hyper::upgrade::on(agent)) else { return };
    if let Err(error) = websocket.stream(TokioIo::new(client), TokioIo::new(agent)).await {
        tracing::debug!(%error, "a stream to an agent ended");
    }
}

/// A log in messages.
async fn carry_log(websocket: WebSocket, client: OnUpgrade, log: Incoming, _slot: Slot) {
    let Ok(client) = client.await else { return };
    if let Err(error) = websocket.body(TokioIo::new(client), log).await {
        tracing::debug!(%error, "a log ended");
    }
}

async fn tunnel(client: OnUpgrade, agent: Response<Incoming>, _slot: Slot) {
    let (Ok(client), Ok(agent)) = tokio::join!(client, hyper::upgrade::on(agent)) else { return };
    let (mut client, mut agent) = (TokioIo::new(client), TokioIo::new(agent));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut agent).await {
        tracing::debug!(%error, "a stream to an agent ended");
    }
}

/// An agent's answer on its way to the client; holds its slot until it ends.
struct Streamed {
    body: Incoming,
    _slot: Slot,
}

impl hyper::body::Body for Streamed {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
        // An agent that breaks off ends the stream; the client sees a short body.
        std::pin::Pin::new(&mut self.body).poll_frame(context).map(|frame| frame.and_then(Result::ok).map(Ok))
    }
}

async fn connect(
    agents: &Agents,
    node: &str,
    address: SocketAddr,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Status> {
    let name = ServerName::try_from(node.to_owned()).map_err(Status::internal)?;
    let connected = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        agents.0.connect(name, stream).await
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, connected).await {
        Ok(result) => result.map_err(|error| unreachable(node, address, &error)),
        Err(_) => Err(unreachable(node, address, &"it does not answer")),
    }
}

fn unreachable(node: &str, address: SocketAddr, error: &dyn std::fmt::Display) -> Status {
    Status::failure(502, "ServiceUnavailable", format!("error dialing the agent of node {node} at {address}: {error}"))
}

/// Where a request is passed on to.
struct Destination {
    node: String,
    /// Path and query at its agent.
    path: String,
}

/// `None`: a log of a pod that has no node yet, which is empty.
fn destination(registry: &Registry, target: &Target, asked: &Connect) -> Result<Option<Destination>, Status> {
    if let Connect::Proxy { .. } = asked {
        let nobody = PodIdentity { namespace: "", name: "", uid: "" };
        return Ok(Some(Destination { node: target.name.clone(), path: asked.agent_path(nobody, "") }));
    }
    let (_, pod) = registry.current_value(&Target { subresource: "", ..target.clone() })?;
    let container = match asked {
        Connect::PortForward { .. } => String::new(),
        _ => container(target, &pod, asked.container())?,
    };
    let node = text(&pod, &["spec", "nodeName"]).to_owned();
    match (node.is_empty(), asked) {
        (true, Connect::Log(_)) => return Ok(None),
        (true, _) => {
            return Err(Status::bad_request(format!("pod {} does not have a host assigned", target.name)));
        }
        (false, _) => {}
    }
    let uid = crate::object::meta(&pod, "uid");
    let identity = PodIdentity { namespace: &target.namespace, name: &target.name, uid };
    Ok(Some(Destination { node, path: asked.agent_path(identity, &container) }))
}

/// The container asked for, or the only one (or the one that the pod names as its default).
fn container(target: &Target, pod: &Value, wanted: &str) -> Result<String, Status> {
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    let names = |list: &str| {
        items(pod, &["spec", list]).iter().filter_map(|container| container["name"].as_str()).collect::<Vec<_>>()
    };
    if !wanted.is_empty() {
        let known = lists.iter().any(|list| names(list).contains(&wanted));
        return if known {
            waiting(target, pod, wanted).map(|()| wanted.to_owned())
        } else {
            Err(Status::bad_request(format!("container {wanted} is not valid for pod {}", target.name)))
        };
    }
    let all = names("containers");
    let default = text(pod, &["metadata", "annotations", "kubectl.kubernetes.io/default-container"]);
    let chosen = match all.as_slice() {
        [only] => only,
        many if many.contains(&default) => default,
        many => {
            let text = format!(
                "a container name must be specified for pod {}, choose one of: [{}]",
                target.name,
                many.join(" ")
            );
            return Err(Status::bad_request(text));
        }
    };
    waiting(target, pod, chosen).map(|()| chosen.to_owned())
}

/// DS-H52: a container that has not started has no log.
fn waiting(target: &Target, pod: &Value, container: &str) -> Result<(), Status> {
    if target.subresource != "log" {
        return Ok(());
    }
    let lists = ["containerStatuses", "initContainerStatuses"];
    let mut statuses =
        lists.iter().flat_map(|list| items(pod, &["status", list])).filter(|status| status["name"] == container);
    let Some(status) = statuses.next() else { return Ok(()) };
    let ran = at(status, &["containerID"]).as_str().is_some_and(|id| !id.is_empty())
        || status["restartCount"].as_i64().unwrap_or(0) > 0;
    match status["state"]["waiting"]["reason"].as_str() {
        Some(reason) if !ran => {
            let text = format!("container {container:?} in pod {:?} is waiting to start: {reason}", target.name);
            Err(Status::bad_request(text))
        }
        _ => Ok(()),
    }
}

/// Where a node's agent listens.
fn agent_address(registry: &Registry, node: &str, asked: &Connect) -> Result<SocketAddr, Status> {
    let info = &built_in::NODE;
    let target = Target { info: info.into(), namespace: String::new(), name: node.to_owned(), subresource: "" };
    let (_, object) = registry.current_value(&target)?;
    let addresses = items(&object, &["status", "addresses"]);
    let internal = addresses
        .iter()
        .find(|address| address["type"] == "InternalIP")
        .and_then(|address| address["address"].as_str());
    let ip: Option<IpAddr> = internal.and_then(|text| text.parse().ok());
    let port = at(&object, &["status", "daemonEndpoints", "kubeletEndpoint", "Port"])
        .as_u64()
        .and_then(|port| u16::try_from(port).ok());
    match (ip, port) {
        (Some(_), Some(port)) if !asks_agent(asked, port) => {
            Err(Status::bad_request(format!("only the agent of node {node} is reached through it, at port {port}")))
        }
        (Some(ip), Some(port)) => Ok(SocketAddr::new(ip, port)),
        _ => {
            Err(Status::failure(502, "ServiceUnavailable", format!("node {node} has not said where its agent listens")))
        }
    }
}

/// Whether no other port than the agent's is asked for.
fn asks_agent(asked: &Connect, agents: u16) -> bool {
    !matches!(asked, Connect::Proxy { port: Some(port), .. } if *port != agents)
}
