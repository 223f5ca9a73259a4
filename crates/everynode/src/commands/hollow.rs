//! `everynode hollow`: simulated nodes against any Kubernetes API server.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use everynode_hollow::{KubeconfigApis, Mode, Options, Orders, Probability, Profile, Progress, Report};
use everynode_runtime::{Env, Shutdown};

use crate::args::{HollowArgs, HollowProfile, HollowWatch};
use crate::client;
use crate::exit::{Exit, coded};
use crate::output;
use crate::signals::Signals;

/// Where the output is no terminal, the line is written this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

pub(crate) async fn run(args: HollowArgs) -> anyhow::Result<()> {
    let options = options(&args)?;
    let mut signals = Signals::new()?;
    let paths = client::kubeconfig_paths(&args.client);
    let apis = Arc::new(KubeconfigApis::new(paths, args.client.context.clone()));
    let (trigger, shutdown) = Shutdown::new();
    let mut screen = Screen::new();
    let show = |progress: &Progress| screen.show(progress);
    let work = everynode_hollow::run_with(options, apis, shutdown, Env::real(), Orders::none(), show);
    tokio::pin!(work);
    let result = tokio::select! {
        result = &mut work => result,
        () = signals.asked() => {
            trigger.fire();
            work.await
        }
    };
    let report = result.map_err(|error| coded(Exit::Connection, format!("{:#}", anyhow!(error))))?;
    write_report(&report, args.report.as_deref())
}

fn write_report(report: &Report, path: Option<&Path>) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(report)?;
    match path {
        Some(path) => std::fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display())),
        None => output::line(json),
    }
}

/// The scenario's options, or plain ones, with the flags' on top.
fn options(args: &HollowArgs) -> anyhow::Result<Options> {
    let mut options = match &args.scenario {
        Some(path) => scenario(path)?,
        None => Options::nodes(args.nodes.unwrap_or_default()),
    };
    match args.profile {
        Some(HollowProfile::Fast) => (options.profile, options.leases) = (Profile::Fast, false),
        Some(HollowProfile::Real) => options.profile = Profile::Real,
        None => {}
    }
    match args.watch {
        Some(HollowWatch::PerNode) => options.mode = Mode::WatchPerNode,
        Some(HollowWatch::Shared) => options.mode = Mode::SharedWatch,
        None => {}
    }
    options.leases &= !args.no_leases;
    options.clean_up |= args.clean_up;
    options.duration = args.duration.or(options.duration);
    set(&mut options.pods.pull, args.pull);
    set(&mut options.pods.start, args.start);
    set(&mut options.pods.ready, args.ready);
    set(&mut options.failures.crash, args.crash);
    if args.crash.is_some_and(|Probability(crash)| crash > 0.0) && options.failures.crash_after == Default::default() {
        options.failures.crash_after = everynode_hollow::Delay::Fixed(Duration::from_secs(10));
    }
    set(&mut options.in_flight_max, args.in_flight);
    set(&mut options.seed, args.seed);
    options.validate()?;
    Ok(options)
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn scenario(path: &Path) -> anyhow::Result<Options> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Options::from_scenario(&text).with_context(|| format!("{} is no scenario", path.display()))
}

/// One line that changes on a terminal; else a line now and then.
struct Screen {
    is_terminal: bool,
    next_line: Duration,
}

impl Screen {
    fn new() -> Self {
        Screen { is_terminal: std::io::stderr().is_terminal(), next_line: Duration::ZERO }
    }

    fn show(&mut self, progress: &Progress) {
        // A closed output is no reason to stop.
        let mut out = std::io::stderr().lock();
        if self.is_terminal {
            let _ = write!(out, "\r\x1b[K{progress}");
            let _ = out.flush();
        } else if progress.since_start >= self.next_line {
            self.next_line = progress.since_start + LINE_EVERY;
            let _ = writeln!(out, "{progress}");
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.is_terminal {
            eprintln!();
        }
    }
}
