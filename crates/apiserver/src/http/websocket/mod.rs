//! WebSockets that are not passed on as they come: what newer clients speak and agents do not.
//!
//! ```text
//! v5.channel.k8s.io (exec, attach)     channels become streams of SPDY        channels
//! SPDY/3.1+portforward.k8s.io          SPDY's bytes come in messages          here
//! logs                                 the body comes in messages             here
//! ```
//!
//! Older protocols of channels are understood by container runtimes, and pass byte for byte.

mod channels;
pub(crate) mod frames;
mod socket;
pub(crate) mod spdy;

use std::io;

use everynode_common::base64;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use self::frames::Opcode;
use super::agent_headers::listed;
use crate::operation::connect::{Connect, Streams};

const CHANNELS: &str = "v5.channel.k8s.io";
/// What is asked of agents for channels: version 4 is what there is over SPDY in all of them.
const AGENT_CHANNELS: &str = "v4.channel.k8s.io";
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
const AGENT_TUNNEL: &str = "portforward.k8s.io";
const BINARY: &str = "binary.k8s.io";
const BASE64: &str = "base64.binary.k8s.io";
const VERSION: &str = "13";
/// Part of every handshake (RFC 6455, 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// What is read at once of an agent's stream.
const READ_BYTES: usize = 32 << 10;

/// A WebSocket that ends here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WebSocket {
    kind: Kind,
    /// The protocol that was chosen of those that the client knows; empty: it named none.
    protocol: &'static str,
    accept: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Channels(Streams),
    Tunnel,
    Log { base64: bool },
}

impl WebSocket {
    /// What a request asks for; `None`: no WebSocket, or one that is passed on.
    pub(super) fn asked(headers: &HeaderMap, connect: &Connect) -> Option<WebSocket> {
        let one = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let upgrades = one(&UPGRADE).is_some_and(|to| to.eq_ignore_ascii_case("websocket"));
        let version = one(&http::header::SEC_WEBSOCKET_VERSION).map(str::trim);
        let key = one(&SEC_WEBSOCKET_KEY).map(str::trim).filter(|key| !key.is_empty());
        if !upgrades || version != Some(VERSION) {
            return None;
        }
        let (known, accept) = (listed(headers, SEC_WEBSOCKET_PROTOCOL.as_str()), accept(key?));
        let knows = |protocol: &&'static str| known.iter().any(|name| name == protocol);
        let first = |wanted: &[&'static str]| wanted.iter().copied().find(knows);
        let (kind, protocol) = match connect {
            Connect::Exec { streams, .. } | Connect::Attach { streams, .. } => {
                (Kind::Channels(*streams), first(&[CHANNELS])?)
            }
            Connect::PortForward { .. } => (Kind::Tunnel, first(&[TUNNEL])?),
            Connect::Log(_) if known.is_empty() => (Kind::Log { base64: false }, ""),
            Connect::Log(_) => {
                let protocol = first(&[BINARY, BASE64])?;
                (Kind::Log { base64: protocol == BASE64 }, protocol)
            }
            Connect::Proxy { .. } => return None,
        };
        Some(WebSocket { kind, protocol, accept })
    }

    /// Puts into the request to the agent what it must be asked for instead.
    pub(super) fn ask_agent(&self, headers: &mut HeaderMap) {
        let inner = match self.kind {
            Kind::Channels(_) => Some(AGENT_CHANNELS),
            Kind::Tunnel => Some(AGENT_TUNNEL),
            Kind::Log { .. } => None,
        };
        let of_websocket = |name: &&http::HeaderName| name.as_str().starts_with("sec-websocket-");
        let names: Vec<http::HeaderName> = headers.keys().filter(of_websocket).cloned().collect();
        for name in names.iter().chain([&CONNECTION, &UPGRADE]) {
            headers.remove(name);
        }
        if let Some(inner) = inner {
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("SPDY/3.1"));
            headers.insert("x-stream-protocol-version", HeaderValue::from_static(inner));
        }
    }

    /// The headers of the answer that changes the protocol.
    pub(super) fn answer(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        if !self.protocol.is_empty() {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(self.protocol));
        }
        headers
    }

    /// Whether the agent's answer is a body, and no stream.
    pub(super) fn is_log(&self) -> bool {
        matches!(self.kind, Kind::Log { .. })
    }

    /// Carries a stream until either side ends.
    ///
    /// # Errors
    /// Of the connections, or one side keeps not to its protocol.
    pub(super) async fn stream<C, A>(&self, client: C, agent: A) -> io::Result<()>
    where
        C: AsyncRead + AsyncWrite,
        A: AsyncRead + AsyncWrite,
    {
        match self.kind {
            Kind::Channels(streams) => channels::run(client, agent, streams).await,
            Kind::Tunnel | Kind::Log { .. } => tunnel(client, agent).await,
        }
    }

    /// Sends an agent's body until it ends, or the client goes.
    ///
    /// # Errors
    /// Of the client's connection.
    pub(super) async fn body<C, B>(&self, client: C, mut body: B) -> io::Result<()>
    where
        C: AsyncRead + AsyncWrite,
        B: Body<Data = bytes::Bytes> + Unpin,
    {
        let is_base64 = self.kind == Kind::Log { base64: true };
        let (mut incoming, outgoing) = socket::split(client);
        let sends = async {
            while let Some(Ok(frame)) = body.frame().await {
                let Ok(data) = frame.into_data() else { continue };
                match is_base64 {
                    true => outgoing.send(Opcode::Text, &[base64::encode(&data).as_bytes()]).await?,
                    false => outgoing.send(Opcode::Binary, &[&data]).await?,
                }
            }
            Ok(())
        };
        let result = tokio::select! {
            sent = sends => sent,
            // What clients say is of no interest; that they go is.
            gone = async { while incoming.next().await?.is_some() {} Ok(()) } => gone,
        };
        outgoing.close().await;
        result
    }
}

/// Bytes of the agent's stream in binary messages, in both directions.
async fn tunnel<C, A>(client: C, agent: A) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite,
    A: AsyncRead + AsyncWrite,
{
    let (mut incoming, outgoing) = socket::split(client);
    let (mut from_agent, mut to_agent) = tokio::io::split(agent);
    let upward = async {
        while let Some(message) = incoming.next().await? {
            to_agent.write_all(&message).await?;
            to_agent.flush().await?;
        }
        Ok(())
    };
    let downward = async {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match from_agent.read(&mut buffer).await? {
                0 => return Ok(()),
                length => outgoing.send(Opcode::Binary, &[&buffer[..length]]).await?,
            }
        }
    };
    let result = tokio::select! {
        ended = upward => ended,
        ended = downward => ended,
    };
    outgoing.close().await;
    result
}

/// The answer to a handshake's key (RFC 6455, 4.2.2).
fn accept(key: &str) -> String {
    let text = format!("{key}{GUID}");
    // It proves that a server understood the handshake and protects nothing.
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    base64::encode(digest.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::connect::LogOptions;

    fn headers(protocols: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("WebSocket"));
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
        if !protocols.is_empty() {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(protocols).unwrap());
        }
        headers
    }

    fn asked(protocols: &str, connect: &Connect) -> Option<(Kind, &'static str)> {
        WebSocket::asked(&headers(protocols), connect).map(|socket| (socket.kind, socket.protocol))
    }

    #[test]
    fn only_what_agents_do_not_speak_ends_here() {
        let streams = Streams { stdout: true, ..Streams::default() };
        let exec = Connect::Exec { container: String::new(), command: vec!["id".into()], streams };
        assert_eq!(asked("v5.channel.k8s.io, v4.channel.k8s.io", &exec), Some((Kind::Channels(streams), CHANNELS)));
        assert_eq!(asked("v4.channel.k8s.io", &exec), None);
        let forward = Connect::PortForward { ports: vec![] };
        assert_eq!(asked("SPDY/3.1+portforward.k8s.io", &forward), Some((Kind::Tunnel, TUNNEL)));
        assert_eq!(asked("v4.channel.k8s.io", &forward), None);
        let log = Connect::Log(LogOptions::default());
        assert_eq!(asked("", &log), Some((Kind::Log { base64: false }, "")));
        assert_eq!(asked("base64.binary.k8s.io", &log), Some((Kind::Log { base64: true }, BASE64)));
        assert_eq!(asked("x, binary.k8s.io, base64.binary.k8s.io", &log), Some((Kind::Log { base64: false }, BINARY)));
        assert_eq!(asked("x", &log), None);
        for missing in ["upgrade", "sec-websocket-key", "sec-websocket-version"] {
            let mut headers = headers("");
            headers.remove(missing);
            assert_eq!(WebSocket::asked(&headers, &log), None, "{missing}");
        }
    }

    #[test]
    fn the_agent_is_asked_for_spdy_and_the_client_answered_as_the_rfc_has_it() {
        let socket = WebSocket::asked(&headers(TUNNEL), &Connect::PortForward { ports: vec![80] }).unwrap();
        let mut sent = headers(TUNNEL);
        socket.ask_agent(&mut sent);
        assert_eq!(
            (sent["upgrade"].as_bytes(), sent["x-stream-protocol-version"].as_bytes()),
            (&b"SPDY/3.1"[..], &b"portforward.k8s.io"[..])
        );
        assert!(!sent.keys().any(|name| name.as_str().starts_with("sec-websocket")));
        let answer = socket.answer();
        assert_eq!(answer["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answer["sec-websocket-protocol"], TUNNEL);
    }
}
