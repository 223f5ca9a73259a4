//! Runs many seeds, or one: `sim COUNT [FIRST]`, `sim --seed SEED [STEP,STEP…]`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use everynode_sim::{Scenario, run};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let pki = match tempfile::tempdir() {
        Ok(pki) => pki,
        Err(error) => {
            eprintln!("no temporary directory: {error}");
            return ExitCode::FAILURE;
        }
    };
    let number = |index: usize| arguments.get(index).and_then(|text| text.parse::<u64>().ok());
    let failed = match arguments.first().map(String::as_str) {
        Some("--seed") => one(number(1).unwrap_or(0), arguments.get(2), pki.path()),
        _ => many(number(0).unwrap_or(1_000), number(1).unwrap_or(0), pki.path()),
    };
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// One seed, with its story.
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

/// Many seeds on all processors; the first that fails is shrunk.
fn many(count: u64, first: u64, pki: &Path) -> bool {
    // The keys are made before the threads need them.
    run(&Scenario::new(first).only(&[]), pki);
    let (next, failed) = (AtomicU64::new(first), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    if let Some(failure) = run(&Scenario::new(seed), pki).failure {
                        failed.fetch_add(1, Ordering::Relaxed);
                        println!("seed {seed} FAILED at {failure}");
                    }
                }
            });
        }
    });
    let failures = failed.load(Ordering::Relaxed);
    println!("{count} seeds from {first}, {failures} failed");
    failures > 0
}
