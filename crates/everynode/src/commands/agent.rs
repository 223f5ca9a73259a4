//! `everynode agent`: this machine as a node of a control plane elsewhere.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use everynode_api::kinds;
use everynode_api::ports::{Api, ApiError, Request, Target};
use everynode_apiserver::RotatingCertificate;
use everynode_runtime::{Env, HttpApi};
use serde_json::Value;

use crate::args::AgentArgs;
use crate::data::DataDir;
use crate::exit::{Exit, coded};
use crate::join::{self, Credentials};
use crate::node;
use crate::node_agent::{Identity, NodeAgent};
use crate::output;
use crate::renew::{self, Renewal};
use crate::signals::Signals;

pub(crate) async fn run(args: AgentArgs) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    node::need_root("agent")?;
    let data = DataDir::new(&args.data.data_dir);
    let _held = data.hold()?;
    let name = node::node_name(&args.node)?;
    let credentials = credentials(&args, &data, &name).await?;
    let servers = addresses(&credentials.server)?;
    let api = Arc::new(connect(&credentials).await?);
    let service = tokio::select! {
        service = service_address(api.as_ref()) => service?,
        () = signals.asked() => return Ok(()),
    };
    let mut setup = node::set_up(&args.node, &data, servers.first().copied(), service).await?;
    setup.start_runtime(&data).await?;
    output::notice(format_args!("everynode {}", env!("CARGO_PKG_VERSION")));
    output::notice(format_args!("  server      {}", credentials.server));
    let certificate = RotatingCertificate::new(credentials.pair()).context("the node's certificate")?;
    let identity =
        Identity { api: api.clone(), ca_pem: credentials.ca.clone(), certificate: certificate.clone(), servers };
    let agent = NodeAgent::start(setup, Arc::new(identity)).await?;
    let renewal = Renewal::new(data.agent_pki(), args.token.clone(), credentials, certificate, api);
    tokio::select! {
        () = signals.asked() => {}
        // What a kubeconfig holds is renewed by whoever made it.
        () = renewal.run(), if args.kubeconfig.is_none() => {}
    }
    agent.stop().await;
    output::notice("stopped; the pods run on (`everynode down` stops them)");
    Ok(())
}

async fn credentials(args: &AgentArgs, data: &DataDir, name: &str) -> anyhow::Result<Credentials> {
    match (&args.kubeconfig, &args.server, &args.token) {
        (Some(path), _, _) => from_kubeconfig(path, name),
        (None, Some(server), Some(token)) => join::join(&data.agent_pki(), server, token, name).await,
        _ => join::without_token(&data.agent_pki(), name),
    }
}

/// Credentials of a kubeconfig with a client certificate, in files or in line.
fn from_kubeconfig(path: &Path, name: &str) -> anyhow::Result<Credentials> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let config: Value = serde_saphyr::from_str(&text).map_err(|error| anyhow::anyhow!("{shown}: {error}"))?;
    let (cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
    let pem = |holder: &Value, field: &str| -> anyhow::Result<String> {
        let base = path.parent().unwrap_or(Path::new("."));
        if let Some(data) = holder[format!("{field}-data")].as_str() {
            let bytes: k8s_openapi::ByteString =
                serde_json::from_value(data.into()).with_context(|| format!("{shown}: {field}-data"))?;
            return String::from_utf8(bytes.0).with_context(|| format!("{shown}: {field}-data"));
        }
        let file =
            holder[field].as_str().with_context(|| format!("{shown}: neither {field} nor {field}-data is set"))?;
        std::fs::read_to_string(base.join(file)).with_context(|| format!("cannot read {file}"))
    };
    Ok(Credentials {
        server: cluster["server"].as_str().with_context(|| format!("{shown}: no server"))?.to_owned(),
        node_name: name.to_owned(),
        ca: pem(cluster, "certificate-authority")?,
        certificate: pem(user, "client-certificate")?,
        key: pem(user, "client-key")?,
    })
}

async fn connect(credentials: &Credentials) -> anyhow::Result<HttpApi> {
    let api = HttpApi::connect(&renew::server_config(credentials), Env::real()).await;
    api.map_err(|error| coded(Exit::Connection, format!("{}: {error}", credentials.server)))
}

/// The socket addresses of a server's URL.
fn addresses(server: &str) -> anyhow::Result<Vec<SocketAddr>> {
    let uri: http::Uri = server.parse().with_context(|| format!("`{server}` is not a URL"))?;
    let host = uri.host().with_context(|| format!("`{server}` names no host"))?.trim_matches(['[', ']']).to_owned();
    let found: Vec<_> = (host.as_str(), uri.port_u16().unwrap_or(443))
        .to_socket_addrs()
        .map_err(|error| coded(Exit::Connection, format!("cannot find {host}: {error}")))?
        .collect();
    ensure!(!found.is_empty(), "{host} has no address");
    Ok(found)
}

/// The address of the service `kubernetes`; waits for a server that is not there yet.
async fn service_address(api: &dyn Api) -> anyhow::Result<SocketAddr> {
    let mut told = false;
    loop {
        match api.call(Request::Get(Target::new(kinds::SERVICE, "default", "kubernetes"))).await {
            Ok(json) => {
                let service: Value = serde_json::from_slice(&json)?;
                let ip = service["spec"]["clusterIP"].as_str().and_then(|ip| ip.parse().ok());
                let ip: std::net::IpAddr = ip.context("the service default/kubernetes has no address")?;
                return Ok(SocketAddr::new(ip, 443));
            }
            Err(error @ ApiError::Status(_)) => return Err(error.into()),
            Err(error) if !told => {
                told = true;
                tracing::warn!("{error}; trying on");
            }
            Err(_) => {}
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}
