//! The least API server that a node can live with, and which can be told to behave badly.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub const RETRY_AFTER_SECONDS: u64 = 1;

/// How the server behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// How many times each request is answered with 429 first.
    pub throttle_times: usize,
    /// Everything is answered with this code.
    pub refuse: Option<u16>,
}

/// What was asked, and what was answered.
#[derive(Clone, Debug)]
pub struct Asked {
    pub what: String,
    /// `resourceVersion` of the query.
    pub version: String,
    pub at: Instant,
    pub code: u16,
}

#[derive(Default)]
struct State {
    manners: Manners,
    requests: Vec<Asked>,
}

pub struct Server {
    directory: tempfile::TempDir,
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// The listener and all connections; `None`: dead.
    life: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Server {
    pub async fn start(manners: Manners) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let server = Server { directory, address, state: Arc::default(), life: Mutex::default() };
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\n\
             users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
        );
        std::fs::write(server.kubeconfig(), config).unwrap();
        server.manners(|now| *now = manners);
        server.live(listener);
        server
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    pub fn manners(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.state.lock().unwrap().manners);
    }

    pub fn requests(&self) -> Vec<Asked> {
        self.state.lock().unwrap().requests.clone()
    }

    /// Nothing listens any more, and every connection is cut.
    pub fn die(&self) {
        self.life.lock().unwrap().take().unwrap().abort();
    }

    /// Listens again where it did before.
    pub fn revive(&self) {
        let listener = std::net::TcpListener::bind(self.address).unwrap();
        listener.set_nonblocking(true).unwrap();
        self.live(TcpListener::from_std(listener).unwrap());
    }

    fn live(&self, listener: TcpListener) {
        let state = self.state.clone();
        let life = tokio::spawn(async move {
            // Connections end with this task.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = state.clone();
                let service = hyper::service::service_fn(move |request| {
                    let answer = answer(&mut state.lock().unwrap(), &request);
                    std::future::ready(Ok::<_, Infallible>(answer))
                });
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                connections.spawn(async move { drop(connection.await) });
            }
        });
        *self.life.lock().unwrap() = Some(life);
    }
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

fn answer(state: &mut State, request: &Request<Incoming>) -> Answer {
    let query = request.uri().query().unwrap_or_default();
    let is_watch = query.contains("watch=true");
    let suffix = match (request.method() == Method::GET, is_watch) {
        (true, true) => " watch",
        (true, false) => " list",
        _ => "",
    };
    let what = format!("{} {}{suffix}", request.method(), request.uri().path());
    let version = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion=")).unwrap_or_default().into();
    let times = state.requests.iter().filter(|one| one.what == what).count();
    let code = match state.manners {
        Manners { refuse: Some(code), .. } => code,
        Manners { throttle_times, .. } if times < throttle_times => 429,
        _ => 200,
    };
    state.requests.push(Asked { what, version, at: Instant::now(), code });
    let builder = Response::builder().status(code).header("content-type", "application/json");
    let full = |text: String| Full::new(Bytes::from(text)).boxed();
    match (code, suffix) {
        (200, " watch") => builder.body(Cut::default().boxed()),
        (200, " list") => builder.body(full(r#"{"metadata":{"resourceVersion":"5"},"items":[]}"#.into())),
        (200, _) => builder.body(full(r#"{"metadata":{"name":"hollow-0","uid":"u"}}"#.into())),
        (429, _) => builder.header("retry-after", RETRY_AFTER_SECONDS).body(full("{}".into())),
        _ => builder.body(full(format!(r#"{{"kind":"Status","code":{code},"message":"no"}}"#))),
    }
    .unwrap()
}

/// A pod of the node, at revision 7.
const POD: &str = r#"{"metadata":{"name":"p","namespace":"x","uid":"p","resourceVersion":"7"},
    "spec":{"nodeName":"hollow-0","containers":[{"name":"c","image":"i"}]}}"#;

/// A watch that tells of a pod, begins another event, and then waits for ever.
#[derive(Default)]
struct Cut {
    has_spoken: bool,
}

impl Body for Cut {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.has_spoken, true) {
            return Poll::Pending;
        }
        let pod = POD.replace('\n', " ");
        let text = format!("{{\"type\":\"ADDED\",\"object\":{pod}}}\n{{\"type\":\"MODIF");
        Poll::Ready(Some(Ok(Frame::data(text.into()))))
    }
}
