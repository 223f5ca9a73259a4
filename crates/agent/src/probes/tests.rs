//! Probes against small servers on the loopback interface, and the manager with a fake runtime.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::attempt::Attempts;
use super::machine::Outcome;
use super::*;
use crate::cri::{ExecOutput, FakeRuntime, v1};
use crate::ports::SystemClock;

fn target(container: Value, container_id: &str) -> ProbeTarget {
    ProbeTarget {
        pod: Arc::new(
            serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "x", "uid": "u"}})).unwrap(),
        ),
        container: serde_json::from_value(container).unwrap(),
        init: false,
        container_id: container_id.into(),
        started_at: Timestamp::now(),
        ip: Some("127.0.0.1".parse().unwrap()),
    }
}

async fn attempt(probe: Value) -> Outcome {
    let attempts = Attempts::new(Arc::new(FakeRuntime::new(Arc::new(SystemClock))));
    let probe: Probe = serde_json::from_value(probe).unwrap();
    attempts.probe(&probe, &target(json!({"name": "c"}), "id")).await
}

fn failed(text: impl Into<String>) -> Outcome {
    Outcome::Failed(text.into())
}

/// Answers by path; tells what it was asked with.
async fn web() -> (SocketAddr, mpsc::UnboundedReceiver<Request<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, questions) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let asked = asked.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let request = request.map(drop);
                let answer = page(request.uri().path());
                let _ = asked.send(request);
                async { Ok::<_, Infallible>(answer) }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, questions)
}

fn page(path: &str) -> Response<Full<Bytes>> {
    let answer = |status: u16, body: Vec<u8>| Response::builder().status(status).body(Full::from(body)).unwrap();
    let redirect = |to: &str| Response::builder().status(302).header("location", to).body(Full::from("moved")).unwrap();
    match path {
        "/here" => redirect("/ok"),
        "/around" => redirect("/around"),
        "/away" => redirect("http://192.0.2.1/ok"),
        "/big" => answer(200, vec![b'x'; 1 << 20]),
        "/big-redirect" => answer(300, vec![b'x'; 1 << 20]),
        "/teapot" => answer(418, vec![]),
        "/unready" => answer(503, b"secret details".to_vec()),
        _ => answer(200, b"fine".to_vec()),
    }
}

#[tokio::test]
async fn http_outcomes() {
    // DS-H18
    let (address, mut asked) = web().await;
    let port = address.port();
    let get = |path: &str| json!({"timeoutSeconds": 30, "httpGet": {"port": port, "path": path, "httpHeaders": [{"name": "X-A", "value": "b"}]}});
    for (path, outcome) in [
        ("/ok?a=b", Outcome::Passed),
        ("/here", Outcome::Passed),
        ("/big", Outcome::Passed),
        ("/away", Outcome::Warned("Probe terminated redirects, Response body: moved".into())),
        ("/teapot", failed("HTTP probe failed with statuscode: 418")),
        ("/unready", failed("HTTP probe failed with statuscode: 503")),
        ("/around", failed(format!("Get \"http://127.0.0.1:{port}/around\": stopped after 10 redirects"))),
    ] {
        assert_eq!(attempt(get(path)).await, outcome, "{path}");
    }
    let Outcome::Warned(told) = attempt(get("/big-redirect")).await else { panic!() };
    assert_eq!(told.matches('x').count(), 10 * 1024);
    let first = asked.recv().await.unwrap();
    let header = |name: &str| first.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(first.uri().to_string(), "/ok?a=b");
    assert_eq!((header("user-agent"), header("x-a")), ("kube-probe/1.36".into(), "b".into()));
    assert_eq!(header("host"), format!("127.0.0.1:{port}"));
}

/// One connection with a self-signed certificate, for another name.
async fn tls() -> u16 {
    let certified = rcgen::generate_simple_self_signed(vec!["elsewhere".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
        let service =
            service_fn(|request: Request<Incoming>| async move { Ok::<_, Infallible>(page(request.uri().path())) });
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    });
    port
}

#[tokio::test]
async fn certificates_are_not_verified() {
    // DS-H18
    let port = tls().await;
    let probe = json!({"timeoutSeconds": 30, "httpGet": {"port": port, "scheme": "HTTPS", "path": "/teapot"}});
    assert_eq!(attempt(probe).await, failed("HTTP probe failed with statuscode: 418"));
}

#[tokio::test]
async fn a_hook_is_content_with_any_answer() {
    // DS-H19
    let (address, mut asked) = web().await;
    let hook = |port: u16| serde_json::from_value(json!({"port": port, "path": "/unready"})).unwrap();
    let container: Container = serde_json::from_value(json!({"name": "c"})).unwrap();
    let ip = Some(address.ip());
    assert_eq!(hook::get(&hook(address.port()), &container, ip).await, Ok(()));
    assert_eq!(asked.recv().await.unwrap().headers()["user-agent"], "kube-lifecycle/1.36");
    assert!(hook::get(&hook(closed_port().await), &container, ip).await.unwrap_err().contains("connection refused"));
}

/// A port without a listener.
async fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// Accepts and never answers.
async fn silent() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    port
}

#[tokio::test]
async fn no_server_answers() {
    // DS-H17
    let closed = closed_port().await;
    let refused = format!("dial tcp 127.0.0.1:{closed}: connect: connection refused");
    let silent = silent().await;
    let late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    for (probe, outcome) in [
        (json!({"tcpSocket": {"port": silent}}), Outcome::Passed),
        (json!({"tcpSocket": {"port": closed}}), failed(refused.clone())),
        (
            json!({"httpGet": {"port": closed, "path": "/h"}}),
            failed(format!("Get \"http://127.0.0.1:{closed}/h\": {refused}")),
        ),
        (json!({"httpGet": {"port": silent}}), failed(format!("Get \"http://127.0.0.1:{silent}/\": {late}"))),
        (json!({"grpc": {"port": silent}}), failed("timeout: health rpc did not complete within 1s")),
        (json!({"httpGet": {"port": "nope"}}), Outcome::Errored("port nope not found".into())),
    ] {
        assert_eq!(attempt(probe.clone()).await, outcome, "{probe}");
    }
    let Outcome::Failed(why) = attempt(json!({"grpc": {"port": closed}})).await else { panic!() };
    assert!(why.starts_with(&format!("error: failed to connect service at \"127.0.0.1:{closed}\": ")), "{why}");
}

/// The health service, for the services `ready` and `sick`.
async fn health_service() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service_fn(answer_health)));
        }
    });
    port
}

async fn answer_health(
    request: Request<Incoming>,
) -> Result<Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>, Infallible> {
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let service = grpc::HealthCheckRequest::decode(&body[5..]).unwrap().service;
    let (status, code) = match service.as_str() {
        "ready" => (1, "0"),
        "sick" => (2, "0"),
        _ => (0, "5"),
    };
    let message = grpc::HealthCheckResponse { status }.encode_to_vec();
    let frame = [&[0, 0, 0, 0, message.len() as u8][..], &message].concat();
    let frame = if code == "0" { frame } else { Vec::new() };
    let mut trailers = hyper::HeaderMap::new();
    trailers.insert("grpc-status", code.parse().unwrap());
    trailers.insert("grpc-message", "unknown service".parse().unwrap());
    let body = Full::new(Bytes::from(frame)).with_trailers(async { Some(Ok(trailers)) });
    Ok(Response::builder().header("content-type", "application/grpc").body(body.boxed()).unwrap())
}

#[tokio::test]
async fn grpc_outcomes() {
    // DS-H15
    let port = health_service().await;
    for (service, outcome) in [
        ("ready", Outcome::Passed),
        ("sick", failed("service unhealthy (responded with \"NOT_SERVING\")")),
        ("", failed("error: health rpc probe failed: rpc error: code = NotFound desc = unknown service")),
    ] {
        let probe = json!({"timeoutSeconds": 30, "grpc": {"port": port, "service": service}});
        assert_eq!(attempt(probe).await, outcome, "{service}");
    }
}

#[derive(Default)]
struct Events(Mutex<Vec<Event>>);

impl EventSink for Events {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

struct Bench {
    runtime: Arc<FakeRuntime>,
    events: Arc<Events>,
    manager: ProbeManager,
    reports: ProbeReports,
    told: mpsc::UnboundedReceiver<ProbeReport>,
}

impl Bench {
    fn new() -> Self {
        let (runtime, events) = (Arc::new(FakeRuntime::new(Arc::new(SystemClock))), Arc::new(Events::default()));
        let manager = ProbeManager::new(runtime.clone(), events.clone(), Arc::new(SystemClock));
        let (sender, told) = mpsc::unbounded_channel();
        let reports: ProbeReports = Arc::new(move |report| drop(sender.send(report)));
        Bench { runtime, events, manager, reports, told }
    }

    async fn container(&self) -> String {
        let metadata = Some(v1::ContainerMetadata { name: "c".into(), attempt: 0 });
        let config = v1::ContainerConfig { metadata, ..Default::default() };
        self.runtime.create_container("s", &config, &v1::PodSandboxConfig::default()).await.unwrap()
    }

    fn execs(&self) -> usize {
        self.runtime.calls().iter().filter(|call| call.starts_with("ExecSync")).count()
    }

    async fn next(&mut self) -> (ProbeKind, bool) {
        let report = tokio::time::timeout(Duration::from_secs(30), self.told.recv());
        let report = report.await.expect("a report comes").unwrap();
        (report.probe, report.passed)
    }
}

fn exec_probe() -> Value {
    json!({"exec": {"command": ["check"]}, "periodSeconds": 3600, "failureThreshold": 1})
}

#[tokio::test]
async fn startup_first_then_the_others_at_once() {
    // DS-H16
    let mut bench = Bench::new();
    let id = bench.container().await;
    let probes = json!({"name": "c", "startupProbe": exec_probe(), "readinessProbe": exec_probe(), "livenessProbe": exec_probe()});
    let target = target(probes, &id);
    bench.manager.start(target.clone(), bench.reports.clone());
    assert_eq!(bench.next().await, (ProbeKind::Startup, true));
    let mut others = [bench.next().await, bench.next().await];
    others.sort();
    assert_eq!(others, [(ProbeKind::Liveness, true), (ProbeKind::Readiness, true)]);
    // The same container again: nothing new begins.
    bench.manager.start(target, bench.reports.clone());
    assert_eq!(bench.execs(), 3);
}

#[tokio::test]
async fn a_failed_startup_is_reported_and_nothing_else_runs() {
    // DS-H16, DS-H17
    let mut bench = Bench::new();
    let id = bench.container().await;
    bench.runtime.set_exec("c", ExecOutput { stdout: b"not yet".into(), stderr: vec![], exit_code: 1 });
    let probes = json!({"name": "c", "startupProbe": exec_probe(), "readinessProbe": exec_probe()});
    bench.manager.start(target(probes.clone(), &id), bench.reports.clone());
    assert_eq!(bench.next().await, (ProbeKind::Startup, false));
    {
        let events = bench.events.0.lock().unwrap();
        assert_eq!(events.len(), 1);
        let regarding = Regarding::Container {
            pod: PodRef { namespace: "x".into(), name: "p".into(), uid: "u".into() },
            name: "c".into(),
            init: false,
        };
        assert_eq!((events[0].reason, events[0].message.as_str()), ("Unhealthy", "Startup probe failed: not yet"));
        assert_eq!(events[0].regarding, regarding);
    }
    // Restarted: the new container's probes replace the old one's.
    bench.runtime.set_exec("c", ExecOutput::default());
    let id = bench.container().await;
    bench.manager.start(target(probes, &id), bench.reports.clone());
    assert_eq!([bench.next().await, bench.next().await], [(ProbeKind::Startup, true), (ProbeKind::Readiness, true)]);
}

#[tokio::test]
async fn a_terminating_pod_is_asked_for_readiness_only() {
    // DS-H06
    let mut bench = Bench::new();
    let id = bench.container().await;
    let probes = json!({"name": "c", "readinessProbe": exec_probe(), "livenessProbe": exec_probe()});
    let mut target = target(probes, &id);
    let pod =
        json!({"metadata": {"name": "p", "namespace": "x", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    target.pod = Arc::new(serde_json::from_value(pod).unwrap());
    bench.manager.start(target, bench.reports.clone());
    assert_eq!(bench.next().await, (ProbeKind::Readiness, true));
    bench.manager.forget("u");
    assert!(bench.manager.running().is_empty());
    assert_eq!(bench.execs(), 1);
}

#[test]
fn the_first_probe_waits_out_the_initial_delay_only() {
    // DS-H15, DS-H16
    let bench = Bench::new();
    let probe: Probe = serde_json::from_value(json!({"initialDelaySeconds": 100, "periodSeconds": 10})).unwrap();
    let mut target = target(json!({"name": "c"}), "id");
    let delay = |target: &ProbeTarget| bench.manager.first_delay(target, ProbeKind::Readiness, &probe).as_secs();
    assert!((99..=100).contains(&delay(&target)));
    // Older than the agent: what is left of it, and a part of the period.
    target.started_at = Timestamp::now() - jiff::SignedDuration::from_secs(90);
    assert!((9..=20).contains(&delay(&target)));
    target.started_at = Timestamp::now() - jiff::SignedDuration::from_hours(1);
    assert!(delay(&target) < 10);
}
