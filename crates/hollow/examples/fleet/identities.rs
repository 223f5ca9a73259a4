//! Nodes that speak as nodes: each joins with a key of its own, as `everynode agent` does, and then
//! uses its certificate on connections of its own. Their heartbeats are timed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, ensure};
use bytes::Bytes;
use everynode_api::kinds;
use everynode_api::ports::{Api, ApiError, BoxFuture, EventStream, Request, Target, WatchRequest};
use everynode_hollow::{Apis, KubeconfigApis};
use everynode_runtime::http_api::ServerConfig;
use everynode_runtime::{Env, HttpApi};
use serde_json::{Value, json};

use crate::endpoint::{Endpoint, pki};

const JOIN_PATH: &str = "/everynode.dev/v1/join";

/// Heartbeats that ended: how long each took, in milliseconds, and how many were not accepted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heartbeats(Arc<Mutex<Times>>);

/// What was measured since the last look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    pub(crate) milliseconds: Vec<f64>,
    pub(crate) failed: usize,
}

impl Heartbeats {
    /// What was measured since the last call.
    pub(crate) fn take(&self) -> Times {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, began: Instant, failed: bool) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.milliseconds.push(began.elapsed().as_secs_f64() * 1000.0);
        times.failed += usize::from(failed);
    }
}

/// Clients of nodes, each with its own certificate.
pub(crate) struct NodeApis {
    administrator: KubeconfigApis,
    endpoint: Endpoint,
    token: String,
    heartbeats: Heartbeats,
}

impl NodeApis {
    /// For a server whose keys are beside this kubeconfig.
    pub(crate) fn new(kubeconfig: &Path, heartbeats: Heartbeats) -> anyhow::Result<NodeApis> {
        let path = pki(kubeconfig)?.join("join.token");
        let token = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(NodeApis {
            administrator: KubeconfigApis::new(vec![PathBuf::from(kubeconfig)], None),
            endpoint: Endpoint::of_kubeconfig(kubeconfig)?,
            token: token.trim().to_owned(),
            heartbeats,
        })
    }

    /// Joins, and makes the node's client.
    async fn node(&self, name: &str) -> anyhow::Result<Arc<dyn Api>> {
        let key = rcgen::KeyPair::generate()?;
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let body = json!({ "nodeName": name, "csr": params.serialize_request(&key)?.pem()? });
        let (code, answer) = self.endpoint.ask("POST", JOIN_PATH, &self.token, body.to_string()).await?;
        ensure!(code == 200, "{name} cannot join: {code} {}", String::from_utf8_lossy(&answer));
        let joined: Value = serde_json::from_slice(&answer)?;
        let certificate = joined["certificate"].as_str().context("a join without a certificate")?;
        let config = ServerConfig {
            server: format!("https://{}", self.endpoint.address),
            ca_pem: Some(self.endpoint.ca_pem.clone()),
            client_pem: Some((certificate.into(), key.serialize_pem().into())),
            ..ServerConfig::default()
        };
        let inner = HttpApi::connect(&config, Env::real()).await?;
        Ok(Arc::new(Timed { inner, heartbeats: self.heartbeats.clone() }))
    }
}

impl Apis for NodeApis {
    fn connect(&self) -> BoxFuture<'_, Result<Arc<dyn Api>, String>> {
        self.administrator.connect()
    }

    fn connect_node<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<Option<Arc<dyn Api>>, String>> {
        Box::pin(async move { self.node(node).await.map(Some).map_err(|error| format!("{error:#}")) })
    }
}

/// A node's client whose heartbeats are timed, from the moment they are wanted until the answer is
/// there.
struct Timed {
    inner: HttpApi,
    heartbeats: Heartbeats,
}

impl Api for Timed {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Bytes, ApiError>> {
        Box::pin(async move {
            let (is_heartbeat, began) = (is_heartbeat(&request), Instant::now());
            let answer = self.inner.call(request).await;
            if is_heartbeat {
                self.heartbeats.add(began, answer.is_err());
            }
            answer
        })
    }

    fn watch(&self, request: WatchRequest) -> BoxFuture<'_, Result<Box<dyn EventStream>, ApiError>> {
        self.inner.watch(request)
    }
}

/// A renewal of the node's lease, or its status.
fn is_heartbeat(request: &Request) -> bool {
    let Request::Patch { target, .. } = request else { return false };
    let Target { kind, subresource, .. } = target;
    *kind == kinds::LEASE || (*kind == kinds::NODE && *subresource == Some("status"))
}
