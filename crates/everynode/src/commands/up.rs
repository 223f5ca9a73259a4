//! `everynode up` and `everynode server`: a control plane, with or without this machine's agent.

use std::net::SocketAddr;
use std::sync::Arc;

use everynode_apiserver::User;

use crate::args::{ServerArgs, UpArgs};
use crate::control::{ControlPlane, kubeconfig_path};
use crate::data::DataDir;
use crate::node::{self, NodeSetup};
use crate::node_agent::{Identity, NodeAgent};
use crate::output;
use crate::signals::Signals;

pub(crate) async fn up(args: UpArgs) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    if !args.no_agent {
        node::need_root("up")?;
    }
    let data = DataDir::new(&args.data.data_dir);
    let _held = data.hold()?;
    if !args.no_agent {
        // What cannot work is told before anything is started.
        node::node_name(&args.node)?;
    }
    let control = ControlPlane::start(&args.api, &data).await?;
    output::notice(format_args!("everynode {}", env!("CARGO_PKG_VERSION")));
    output::notice(format_args!("  API         {}", control.url()));
    output::notice(format_args!("  kubeconfig  {}", kubeconfig_path(&args.api, &data).display()));
    if args.no_agent {
        output::notice("  node        none (--no-agent)");
        return serve(&mut signals, control, None).await;
    }
    let agent = tokio::select! {
        agent = start_agent(&args, &data, &control) => agent,
        () = signals.asked() => {
            control.stop().await;
            return Ok(());
        }
    };
    match agent {
        Ok(agent) => serve(&mut signals, control, Some(agent)).await,
        Err(error) => {
            control.stop().await;
            Err(error)
        }
    }
}

pub(crate) async fn server(args: ServerArgs) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let data = DataDir::new(&args.data.data_dir);
    let _held = data.hold()?;
    let control = ControlPlane::start(&args.api, &data).await?;
    output::notice(format_args!("everynode {}", env!("CARGO_PKG_VERSION")));
    output::notice(format_args!("  API         {}", control.url()));
    output::notice(format_args!("  kubeconfig  {}", kubeconfig_path(&args.api, &data).display()));
    output::notice(format_args!("  to join     everynode agent --server {} --token TOKEN", control.join_url()));
    output::notice(format_args!("  the token   everynode token --data-dir {}", data.root().display()));
    serve(&mut signals, control, None).await
}

async fn start_agent(args: &UpArgs, data: &DataDir, control: &ControlPlane) -> anyhow::Result<NodeAgent> {
    let mut setup: NodeSetup = node::set_up(&args.node, data, None, control.service).await?;
    setup.start_runtime(data).await?;
    let name = setup.config.node_name.clone();
    let pki = control.server.pki();
    let identity = Identity {
        api: control.server.client(User::new(&format!("system:node:{name}"), &["system:nodes"])),
        ca_pem: pki.ca_pem().to_owned(),
        certificate: pki.node_certificate(&name)?,
        servers: vec![local_server(control.address)],
    };
    NodeAgent::start(setup, Arc::new(identity)).await
}

/// The forwarder and the API server are in one process: a wildcard is reached through the loopback.
fn local_server(address: SocketAddr) -> SocketAddr {
    match address.ip().is_unspecified() {
        true => SocketAddr::new([127, 0, 0, 1].into(), address.port()),
        false => address,
    }
}

/// Runs until asked to stop. Pods stay: they are daemons.
async fn serve(signals: &mut Signals, mut control: ControlPlane, agent: Option<NodeAgent>) -> anyhow::Result<()> {
    let failure = tokio::select! {
        () = signals.asked() => None,
        error = control.failed() => Some(error),
    };
    if let Some(agent) = agent {
        agent.stop().await;
        output::notice("stopped; the pods run on (`everynode down` stops them)");
    }
    control.stop().await;
    failure.map_or(Ok(()), Err)
}
