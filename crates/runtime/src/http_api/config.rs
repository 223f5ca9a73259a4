//! Where the server is and what our identity is: kubeconfig, explicit, or in-cluster.

use std::path::PathBuf;

use everynode_common::base64;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use serde_json::{Value, json};

use super::HttpApi;
use crate::clock::Env;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot use the kubeconfig")]
    Kubeconfig(#[source] KubeconfigError),
    #[error("this does not seem to be a pod of a cluster")]
    InCluster(#[source] kube::config::InClusterError),
    #[error("cannot use the server's address or the credentials")]
    Client(#[source] kube::Error),
    #[error("the certificate or key is not text")]
    NotPem,
}

/// A server and an identity, given in parts.
#[derive(Clone, Debug, Default)]
pub struct ServerConfig {
    /// `https://10.0.0.1:6443`
    pub server: String,
    /// Certificates that the server's must be signed by, in PEM; `None`: the machine's own.
    pub ca_pem: Option<Vec<u8>>,
    /// Client certificate (with its chain) and its key, in PEM.
    pub client_pem: Option<(Vec<u8>, Vec<u8>)>,
    pub token: Option<String>,
    /// A file with a token that is read again when it changes.
    pub token_file: Option<PathBuf>,
    /// The name to expect in the server's certificate, if not the host of `server`.
    pub tls_server_name: Option<String>,
}

impl HttpApi {
    /// From kubeconfig files, of which the first counts where several say something (kubectl's rule
    /// for `$KUBECONFIG`); without a path, where kubectl looks for one. Credential plugins are run
    /// as the files say. Call it inside a tokio runtime.
    pub async fn from_kubeconfig(paths: &[PathBuf], context: Option<&str>, env: Env) -> Result<HttpApi, ConfigError> {
        let files: Result<Vec<Kubeconfig>, _> = match paths {
            [] => Kubeconfig::read().map(|file| vec![file]),
            paths => paths.iter().map(Kubeconfig::read_from).collect(),
        };
        let merged = files.and_then(merge);
        HttpApi::from_loaded(merged.map_err(ConfigError::Kubeconfig)?, context, env).await
    }

    /// From explicit parts. Call it inside a tokio runtime.
    pub async fn connect(config: &ServerConfig, env: Env) -> Result<HttpApi, ConfigError> {
        let file = serde_json::from_value(kubeconfig_of(config)).map_err(|_| ConfigError::NotPem)?;
        HttpApi::from_loaded(file, None, env).await
    }

    /// As a pod of the cluster: service-account token and CA at their standard paths.
    pub fn in_cluster(env: Env) -> Result<HttpApi, ConfigError> {
        HttpApi::from_config(kube::Config::incluster().map_err(ConfigError::InCluster)?, env)
    }

    async fn from_loaded(file: Kubeconfig, context: Option<&str>, env: Env) -> Result<HttpApi, ConfigError> {
        HttpApi::from_config(select(file, context).await.map_err(ConfigError::Kubeconfig)?, env)
    }

    fn from_config(mut config: kube::Config, env: Env) -> Result<HttpApi, ConfigError> {
        config.default_retry = false; // `perform` knows better what may be repeated.
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let default_namespace = config.default_namespace.clone();
        let client = kube::Client::try_from(config).map_err(ConfigError::Client)?;
        Ok(HttpApi::new(client, server, default_namespace, env))
    }
}

/// One of several: where they say different things, the first counts.
pub(crate) fn merge(files: Vec<Kubeconfig>) -> Result<Kubeconfig, KubeconfigError> {
    files.into_iter().try_fold(Kubeconfig::default(), Kubeconfig::merge)
}

/// The cluster and the user of a context; `None`: of the current one.
pub(crate) async fn select(file: Kubeconfig, context: Option<&str>) -> Result<kube::Config, KubeconfigError> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    kube::Config::from_custom_kubeconfig(file, &options).await
}

/// The kubeconfig that says what `config` says.
fn kubeconfig_of(config: &ServerConfig) -> Value {
    let mut cluster = json!({"server": config.server});
    let mut user = json!({});
    set(&mut cluster, "certificate-authority-data", config.ca_pem.as_deref().map(base64::encode));
    set(&mut cluster, "tls-server-name", config.tls_server_name.clone());
    if let Some((certificate, key)) = &config.client_pem {
        set(&mut user, "client-certificate-data", Some(base64::encode(certificate)));
        set(&mut user, "client-key-data", Some(base64::encode(key)));
    }
    set(&mut user, "token", config.token.clone());
    set(&mut user, "tokenFile", config.token_file.as_ref().map(|path| path.to_string_lossy().into_owned()));
    json!({
        "kind": "Config",
        "apiVersion": "v1",
        "current-context": "everynode",
        "clusters": [{"name": "everynode", "cluster": cluster}],
        "users": [{"name": "everynode", "user": user}],
        "contexts": [{"name": "everynode", "context": {"cluster": "everynode", "user": "everynode"}}],
    })
}

fn set(object: &mut Value, name: &str, value: Option<String>) {
    if let Some(value) = value {
        object[name] = value.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_make_a_kubeconfig() {
        let config = ServerConfig { server: "https://a".into(), token: Some("t".into()), ..ServerConfig::default() };
        let file: Kubeconfig = serde_json::from_value(kubeconfig_of(&config)).unwrap();
        assert_eq!(file.current_context.as_deref(), Some("everynode"));
        assert!(file.auth_infos[0].auth_info.as_ref().unwrap().token.is_some());
    }
}
