//! Runs many seeds, or one scenario: `sim COUNT [FIRST]`, `sim --seed SEED`, `sim --case FILE`,
//! `sim --shrink FILE`.

use std::path::Path;
use std::process::ExitCode;

use everynode_sim::{Scenario, many, run, shrink};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = match tempfile::tempdir() {
        Ok(directory) => directory,
        Err(error) => {
            eprintln!("no temporary directory: {error}");
            return ExitCode::FAILURE;
        }
    };
    let number = |index: usize| arguments.get(index).and_then(|text| text.parse::<u64>().ok());
    let file = || arguments.get(1).map_or("", String::as_str);
    let failed = match arguments.first().map(String::as_str) {
        Some("--seed") => one(&Scenario::new(number(1).unwrap_or(0)), directory.path()),
        Some("--case") => with(file(), |scenario| one(scenario, directory.path())),
        Some("--shrink") => with(file(), |scenario| {
            println!("{}", shrink(scenario, |smaller| run(smaller, directory.path()).failure.is_some()));
            false
        }),
        _ => {
            let (count, first) = (number(0).unwrap_or(1_000), number(1).unwrap_or(0));
            let sum = many(first, count, directory.path(), |failed| println!("{failed}\n"));
            println!("{sum}");
            sum.failed > 0
        }
    };
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Whether something failed.
fn with(file: &str, what: impl FnOnce(&Scenario) -> bool) -> bool {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string());
    match text.and_then(|text| text.parse()) {
        Ok(scenario) => what(&scenario),
        Err(error) => {
            eprintln!("{file}: {error}");
            true
        }
    }
}

/// One scenario with its story.
fn one(scenario: &Scenario, pki: &Path) -> bool {
    // First, so that it can be read when the run does not end.
    println!("{scenario}");
    let report = run(scenario, pki);
    report.story.iter().for_each(|line| println!("{line}"));
    println!("trace {:016x}, {} writes, converged after {:?}", report.trace, report.writes, report.converged_after);
    if let Some(failure) = &report.failure {
        println!("FAILED at {failure}");
    }
    report.failure.is_some()
}
