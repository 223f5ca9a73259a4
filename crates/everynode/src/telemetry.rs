//! Logs: to standard error, as text or JSON lines; colours only on terminals.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::args::{LogArgs, LogFormat};

/// Starts logging. `default_level` replaces the default `info` for short commands.
pub(crate) fn start(log: &LogArgs, quiet: bool) -> anyhow::Result<()> {
    let level = if quiet && log.log_level == "info" { "warn" } else { &log.log_level };
    // The client's library logs every refused request as an error; callers say what matters.
    let level = &format!("kube_client=off,hyper_util=warn,tower=warn,{level}");
    let filter = EnvFilter::try_new(level).context("--log-level")?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.log_format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}
