//! The one binary: arguments, wiring, telemetry, shutdown.

mod args;
mod client;
mod commands;
mod containerd;
mod control;
mod controllers;
mod data;
mod exit;
mod files;
mod join;
mod manifest;
mod node;
mod node_agent;
mod output;
mod picture;
mod rehearsal;
mod renew;
mod rollout;
mod security_audit;
mod signals;
mod table;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::exit::Exit;

/// Decided by measurement: writes are trees of small strings, made and dropped on several threads.
/// At 5,000 nodes the C library's allocator takes a third of the control plane's CPU, this one a
/// tenth.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return args::explain(&error),
    };
    let serves =
        matches!(cli.command, Command::Up(_) | Command::Server(_) | Command::Agent(_) | Command::Controller(_));
    match telemetry::start(&cli.log, !serves).and_then(|()| run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = exit::code(&error);
            if !matches!(code, Exit::Work | Exit::Unread) {
                eprintln!("error: {error:#}");
            }
            ExitCode::from(code as u8)
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(commands::run(command))
}
