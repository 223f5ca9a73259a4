//! The verbs, one module each.

mod agent;
mod apply;
mod audit;
mod controller;
mod delete;
mod down;
mod hollow;
mod plan;
mod rollout;
mod status;
mod store;
mod up;

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use serde_json::json;

use crate::args::{Cli, Command, Output};
use crate::data::DataDir;
use crate::output;

/// Runs one verb to its end.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Up(args) => up::up(args).await,
        Command::Server(args) => up::server(args).await,
        Command::Agent(args) => agent::run(args).await,
        Command::Controller(args) => controller::run(args).await,
        Command::Hollow(args) => hollow::run(*args).await,
        Command::Token(args) => token(&args),
        Command::Down(args) => down::run(args).await,
        Command::Apply(args) => apply::run(args).await,
        Command::Delete(args) => delete::run(args).await,
        Command::Status(args) => status::status(args).await,
        Command::Why(args) => status::why(args).await,
        Command::Audit(args) => audit::run(args).await,
        Command::Plan(args) => plan::run(args).await,
        Command::Rollout(args) => rollout::run(args.verb).await,
        Command::Store(args) => store::run(args.verb),
        Command::Kubeconfig(args) => kubeconfig(&args),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "everynode", &mut script);
            output::print(String::from_utf8_lossy(&script))
        }
        Command::Man { directory } => man(directory.as_deref()),
    }
}

fn token(args: &crate::args::TokenArgs) -> anyhow::Result<()> {
    let path = DataDir::new(&args.data.data_dir).pki().join("join.token");
    let token = std::fs::read_to_string(&path)
        .map_err(|error| anyhow::anyhow!("cannot read {}: {error}; `everynode server` writes it", path.display()))?;
    match args.output {
        Output::Json => output::line(json!({ "token": token.trim() })),
        Output::Text => output::line(token.trim()),
    }
}

fn kubeconfig(args: &crate::args::KubeconfigArgs) -> anyhow::Result<()> {
    let path = DataDir::new(&args.data.data_dir).admin_kubeconfig();
    if args.path {
        return output::line(path.display());
    }
    let text = std::fs::read_to_string(&path)
        .map_err(|error| anyhow::anyhow!("cannot read {}: {error}; `everynode up` writes it", path.display()))?;
    output::print(text)
}

/// The manual page of everynode itself, or a page for every command into a directory.
fn man(directory: Option<&Path>) -> anyhow::Result<()> {
    let command = Cli::command();
    if let Some(directory) = directory {
        return clap_mangen::generate_to(command, directory)
            .with_context(|| format!("cannot write to {}", directory.display()));
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    output::print(String::from_utf8_lossy(&page))
}
