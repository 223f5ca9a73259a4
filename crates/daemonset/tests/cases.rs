//! Runs `tests/cases/*.txt`. `UPDATE_CASES=1` writes what the plans say into the files; read the
//! difference.

#![allow(clippy::disallowed_methods, reason = "a test reads its case files")]

use std::path::PathBuf;

use everynode_daemonset::testkit::{parse_file, run, write_file};

fn files() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    files
}

#[test]
fn cases() {
    let update = std::env::var("UPDATE_CASES").is_ok();
    let mut failures = Vec::new();
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let (preamble, cases) = parse_file(&text);
        let actual: Vec<_> = cases.iter().map(|case| run(case).unwrap_or_else(|error| panic!("{error}"))).collect();
        if update {
            std::fs::write(&path, write_file(&preamble, &actual)).unwrap();
        }
        for (case, actual) in cases.iter().zip(&actual) {
            for (number, (expected, actual)) in case.steps.iter().zip(&actual.steps).enumerate() {
                if expected.expected != actual.expected {
                    let file = path.file_name().unwrap_or_default().display().to_string();
                    let (title, step) = (&case.title, number + 1);
                    let texts = format!("expected\n{}but the plan says\n{}", expected.expected, actual.expected);
                    failures.push(format!("{file}: {title}, step {step}:\n{texts}"));
                }
            }
        }
    }
    assert!(update || failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_case_names_a_requirement_and_breaks_no_rule() {
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let (_, cases) = parse_file(&text);
        for case in cases {
            assert!(case.title.contains("DS-") || case.title.contains("deviation"), "{}: no id", case.title);
            let broken = case.steps.iter().any(|step| step.expected.contains("VIOLATION"));
            assert!(!broken, "{}: breaks a rule", case.title);
        }
    }
}
