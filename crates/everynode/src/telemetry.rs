//! Logs: to standard error, as text or JSON lines; colours only on terminals.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::args::{LogArgs, LogFormat};

/// Starts logging. `default_level` replaces the default `info` for short commands.
pub(crate) fn start(log: &LogArgs, quiet: bool) -> anyhow::Result<()> {
    check(&log.log_level)?;
    let level = if quiet && log.log_level == "info" { "warn" } else { &log.log_level };
    // The client's library logs every refused request as an error; callers say what matters.
    let level = &format!("kube_client=off,hyper_util=warn,tower=warn,{level}");
    let filter = EnvFilter::try_new(level).with_context(|| wrong(&log.log_level))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.log_format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

/// A bare word would be taken for the name of a module, and nothing be logged.
fn check(level: &str) -> anyhow::Result<()> {
    let known = |word: &str| word.contains('=') || word.parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
    anyhow::ensure!(level.split(',').all(|word| known(word.trim())), wrong(level));
    Ok(())
}

fn wrong(level: &str) -> String {
    format!("--log-level `{level}` is neither a level (error, warn, info, debug, trace) nor a list of filters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_checked() {
        assert!(check("info,everynode_agent=debug").is_ok() && check("warn").is_ok());
        assert!(check("loud").unwrap_err().to_string().contains("`loud`"));
    }
}
