//! [`HttpApi`]: the port to an API server over HTTP, against any Kubernetes API server.
//!
//! [`request`] turns requests into HTTP and [`answer`] turns answers into results (both pure),
//! [`config`] finds the server and the credentials, [`watch`] decodes streams. Credentials (client
//! certificates, tokens and their files, exec plugins) and TLS are kube's work.

mod answer;
pub(crate) mod config;
mod request;
mod watch;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use everynode_api::ports::{Api, ApiError, BoxFuture, EventStream, Request, WatchRequest};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use tokio::sync::Semaphore;

use self::answer::{Answer, Verdict};
pub use self::config::{ConfigError, ServerConfig};
use self::request::Prepared;
use self::watch::HttpEvents;
use crate::clock::Env;

/// Requests in flight; watches do not count. There is no limit per second: this one, and the
/// server's own answers, bound what a client may ask for.
const IN_FLIGHT_MAX: usize = 256;
/// How long a request may take, answer included; the server's own limit is 60 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(34);
/// The largest answer that is read: about 50,000 pods in one page.
const ANSWER_BYTES_MAX: usize = 512 << 20;
/// Attempts where the server asks to come back later.
const ATTEMPTS_MAX: u32 = 5;
/// The longest wait that the server can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// A Kubernetes API server, reached over HTTP with one identity.
pub struct HttpApi {
    /// Exchanged when there are other credentials.
    client: RwLock<kube::Client>,
    env: Env,
    in_flight: Semaphore,
    throttled_total: AtomicU64,
    /// Unknown fields are refused instead of dropped.
    strict: bool,
    /// The server does everything but keep what it did.
    dry_run: bool,
    /// Where the server is, for people: `https://10.0.0.1:6443`.
    server: String,
    /// The namespace that the kubeconfig's context names, or `default`.
    default_namespace: String,
}

impl HttpApi {
    fn new(client: kube::Client, server: String, default_namespace: String, env: Env) -> HttpApi {
        HttpApi {
            client: RwLock::new(client),
            env,
            in_flight: Semaphore::new(IN_FLIGHT_MAX),
            throttled_total: AtomicU64::new(0),
            strict: false,
            dry_run: false,
            server,
            default_namespace,
        }
    }

    /// The same, but the server refuses objects with fields that it does not know: what people
    /// write must not be dropped in silence.
    pub fn strict(self) -> HttpApi {
        HttpApi { strict: true, ..self }
    }

    /// The same, but the server answers what would be and keeps nothing (`dryRun=All`).
    pub fn dry_run(self) -> HttpApi {
        HttpApi { dry_run: true, ..self }
    }

    /// The namespace that the kubeconfig's context names, or `default`.
    pub fn default_namespace(&self) -> &str {
        &self.default_namespace
    }

    /// Goes on with other credentials, and with connections of its own: requests and watches that
    /// are under way end on theirs, all later ones are made by the new identity.
    ///
    /// # Errors
    /// `config` cannot be used; then nothing changes.
    pub async fn reconnect(&self, config: &ServerConfig) -> Result<(), ConfigError> {
        let client = HttpApi::connect(config, self.env.clone()).await?.client();
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = client;
        Ok(())
    }

    fn client(&self) -> kube::Client {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often the server asked to come back later, which was done.
    pub fn throttled_total(&self) -> u64 {
        self.throttled_total.load(Ordering::Relaxed)
    }

    /// One request, repeated only if the server says that it did nothing and when to come back.
    async fn perform(&self, request: Request) -> Result<Bytes, ApiError> {
        let mut prepared = Prepared::new(request);
        if self.strict {
            prepared.refuse_unknown_fields();
        }
        if self.dry_run {
            prepared.keep_nothing();
        }
        // The semaphore is never closed.
        let _permit = self.in_flight.acquire().await;
        for _ in 1..ATTEMPTS_MAX {
            match self.attempt(&prepared).await?.judge(prepared.repeat) {
                Verdict::Final(result) => return result,
                Verdict::Later(after) => {
                    self.throttled_total.fetch_add(1, Ordering::Relaxed);
                    self.env.sleep(after.min(RETRY_AFTER_MAX)).await;
                }
            }
        }
        self.attempt(&prepared).await?.result()
    }

    async fn attempt(&self, prepared: &Prepared) -> Result<Answer, ApiError> {
        let answer = async {
            let response = self.send(prepared).await?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| ApiError::UnknownOutcome(answer::explain(error.as_ref())))?;
            Ok(Answer::new(&parts, body.to_bytes()))
        };
        tokio::select! {
            biased;
            answer = answer => answer,
            () = self.env.sleep(REQUEST_TIMEOUT) => Err(timed_out()),
        }
    }

    async fn send(&self, prepared: &Prepared) -> Result<http::Response<Body>, ApiError> {
        let request = prepared.http().map_err(|error| ApiError::Unreachable(format!("not a request: {error}")))?;
        self.client().send(request).await.map_err(|error| answer::transport_error(error, &self.server))
    }

    async fn open(&self, request: WatchRequest) -> Result<Box<dyn EventStream>, ApiError> {
        let prepared = Prepared::watch(&request, &self.env);
        let response = tokio::select! {
            biased;
            response = self.send(&prepared) => response?,
            () = self.env.sleep(REQUEST_TIMEOUT) => return Err(timed_out()),
        };
        if response.status().is_success() {
            return Ok(Box::new(HttpEvents::new(response.into_body())));
        }
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| ApiError::UnknownOutcome(answer::explain(error.as_ref())))?;
        let unexpected = || ApiError::Garbled("a watch that is none".into());
        Err(Answer::new(&parts, body.to_bytes()).result().err().unwrap_or_else(unexpected))
    }
}

fn timed_out() -> ApiError {
    ApiError::UnknownOutcome(format!("no answer within {} s", REQUEST_TIMEOUT.as_secs()))
}

impl Api for HttpApi {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Bytes, ApiError>> {
        Box::pin(self.perform(request))
    }

    fn watch(&self, request: WatchRequest) -> BoxFuture<'_, Result<Box<dyn EventStream>, ApiError>> {
        Box::pin(self.open(request))
    }
}
