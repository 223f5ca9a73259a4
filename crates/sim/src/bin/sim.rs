//! Runs many seeds, or one: `sim COUNT [FIRST]`, `sim --seed SEED [STEP,STEP… | none]`.

use std::path::Path;
use std::process::ExitCode;

use everynode_sim::{Scenario, many, run};

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
    let failed = match arguments.first().map(String::as_str) {
        Some("--seed") => one(number(1).unwrap_or(0), arguments.get(2), directory.path()),
        _ => {
            let (count, first) = (number(0).unwrap_or(1_000), number(1).unwrap_or(0));
            let failed = many(first, count, directory.path(), |failed| println!("{failed}\n"));
            println!("{count} seeds from {first}: {failed} failed");
            failed > 0
        }
    };
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// One seed, or some of its steps, with its story.
fn one(seed: u64, steps: Option<&String>, pki: &Path) -> bool {
    let whole = Scenario::new(seed);
    let scenario = match steps {
        Some(steps) => whole.only(&steps.split(',').filter_map(|step| step.parse().ok()).collect::<Vec<_>>()),
        None => whole,
    };
    let report = run(&scenario, pki);
    println!("{scenario}");
    report.story.iter().for_each(|line| println!("{line}"));
    println!("trace {:016x}, {} writes, converged after {:?}", report.trace, report.writes, report.converged_after);
    if let Some(failure) = &report.failure {
        println!("FAILED at {failure}");
    }
    report.failure.is_some()
}
