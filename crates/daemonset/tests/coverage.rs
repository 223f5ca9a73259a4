//! How much is shown here; which requirement by what is `docs/requirements.md`, held by a test of
//! `xtask`.

#![allow(clippy::disallowed_methods, reason = "a test reads the repository")]

use std::path::Path;

#[test]
fn there_are_at_least_two_hundred_cases() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let cases = |text: String| text.lines().filter(|line| line.starts_with("## ")).count();
    let count: usize = files.map(|file| cases(std::fs::read_to_string(file).unwrap())).sum();
    assert!(count >= 200, "{count} cases");
}
