//! Repository chores; `cargo test` makes the checks, too.
//!
//! - `cargo run -p xtask -- deps` checks the dependency table of ARCHITECTURE.md
//! - `cargo run -p xtask -- cited-tests` checks that the tests that pages of docs/ name exist
//! - `cargo run -p xtask -- histories DIR` makes the histories of sim's tests from a recording
//! - `cargo run -p xtask -- lock` checks licences, sources and double versions of other people's
//!   code
//! - `cargo run -p xtask -- names` checks that no name has a word that was given up
//! - `cargo run -p xtask -- requirements` makes docs/requirements.md: each requirement and where it
//!   is shown; and checks it

mod cited_tests;
mod deps;
mod histories;
mod lock;
mod names;
mod requirements;

use std::process::ExitCode;

use anyhow::Context;

fn main() -> ExitCode {
    let found = match std::env::args().nth(1).as_deref() {
        Some("deps") => deps::workspace().map(|packages| deps::violations(&packages)),
        Some("cited-tests") => cited_tests::violations(&requirements::top()),
        Some("histories") => renew_histories(),
        Some("lock") => lock::violations(&requirements::top()),
        Some("names") => names::violations(&requirements::top()),
        Some("requirements") => renew_requirements(),
        _ => {
            eprintln!("usage: xtask deps           check who depends on whom");
            eprintln!("       xtask cited-tests    check the tests that pages of docs/ name");
            eprintln!("       xtask histories DIR  take over what an original controller was seen to do");
            eprintln!("       xtask lock           check licences, sources and double versions");
            eprintln!("       xtask names          check for words that were given up");
            eprintln!("       xtask requirements   write down where each requirement is shown");
            return ExitCode::from(2);
        }
    };
    match found {
        Ok(violations) => report(&violations),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn renew_requirements() -> anyhow::Result<Vec<String>> {
    let top = requirements::top();
    let citations = requirements::read(&top)?;
    let page = requirements::renewed(&citations)?;
    std::fs::write(top.join(requirements::PAGE), &page)?;
    requirements::violations(&page, &citations)
}

fn renew_histories() -> anyhow::Result<Vec<String>> {
    let recording = std::env::args().nth(2).context("which directory has the recording?")?;
    histories::renew(recording.as_ref(), &requirements::top().join(histories::DIRECTORY))?;
    Ok(Vec::new())
}

fn report(violations: &[String]) -> ExitCode {
    for violation in violations {
        eprintln!("{violation}");
    }
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
