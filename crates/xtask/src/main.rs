//! Repository chores.
//!
//! `cargo run -p xtask -- deps` checks the dependency table of ARCHITECTURE.md; `cargo test` does so, too.

mod deps;

use std::process::ExitCode;

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    if command.as_deref() != Some("deps") {
        eprintln!("usage: xtask deps    check who depends on whom");
        return ExitCode::from(2);
    }
    match deps::workspace() {
        Ok(packages) => report(&deps::violations(&packages)),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn report(violations: &[String]) -> ExitCode {
    for violation in violations {
        eprintln!("{violation}");
    }
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
