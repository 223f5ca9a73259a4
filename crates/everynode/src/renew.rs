//! The certificate of a node that has joined, renewed while its agent runs: before it ends, by the
//! request that it joined with and by the certificate itself; with the token, if the agent was
//! given one and the certificate is refused.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use everynode_apiserver::{RotatingCertificate, SystemEnvironment, keep_renewed};
use everynode_runtime::HttpApi;
use everynode_runtime::http_api::ServerConfig;

use crate::join::{self, Credentials};

pub(crate) struct Renewal {
    directory: PathBuf,
    token: Option<String>,
    held: Mutex<Credentials>,
    /// What the agent's server shows.
    certificate: Arc<RotatingCertificate>,
    /// What the agent asks the API with.
    api: Arc<HttpApi>,
}

impl Renewal {
    pub(crate) fn new(
        directory: PathBuf,
        token: Option<String>,
        held: Credentials,
        certificate: Arc<RotatingCertificate>,
        api: Arc<HttpApi>,
    ) -> Renewal {
        Renewal { directory, token, held: Mutex::new(held), certificate, api }
    }

    /// Renews in time, for ever.
    pub(crate) async fn run(&self) {
        let life = || self.certificate.lifetime();
        keep_renewed(&SystemEnvironment, "the node's certificate", life, || self.renew()).await;
    }

    /// On disk first, then in use: a crash in between finds the new one at the next start.
    async fn renew(&self) -> Result<(), Shown> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let renewed = self.ask(&held).await?;
        join::keep(&self.directory, &renewed)?;
        self.certificate.replace(renewed.pair()).map_err(anyhow::Error::from)?;
        self.api.reconnect(&server_config(&renewed)).await.map_err(anyhow::Error::from)?;
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }

    async fn ask(&self, held: &Credentials) -> anyhow::Result<Credentials> {
        let refused = match (join::by_certificate(held).await, &self.token) {
            (Ok(renewed), _) => return Ok(renewed),
            (Err(error), None) => return Err(error),
            (Err(error), Some(token)) => (error, token),
        };
        tracing::debug!(error = %Shown(refused.0), "trying with the token");
        join::by_token(&held.server, refused.1, &held.node_name, &held.key_pair()?).await
    }
}

/// An error with all its causes in one line.
struct Shown(anyhow::Error);

impl From<anyhow::Error> for Shown {
    fn from(error: anyhow::Error) -> Shown {
        Shown(error)
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:#}", self.0)
    }
}

/// How a node asks the API.
pub(crate) fn server_config(credentials: &Credentials) -> ServerConfig {
    ServerConfig {
        server: credentials.server.clone(),
        ca_pem: Some(credentials.ca.clone().into_bytes()),
        client_pem: Some((credentials.certificate.clone().into_bytes(), credentials.key.clone().into_bytes())),
        ..ServerConfig::default()
    }
}

#[cfg(test)]
mod tests;
