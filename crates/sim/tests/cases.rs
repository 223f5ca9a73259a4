//! Scenarios that found something once, made small: `cases/*.txt`, each with a line that says what.

use std::path::Path;

use everynode_sim::{Scenario, run};

#[test]
fn cases_stay_solved() {
    let keys = tempfile::tempdir().unwrap();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<_> = directory.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.display();
        assert!(text.starts_with("# "), "{name} does not say what it shows");
        let scenario: Scenario = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        let report = run(&scenario, keys.path());
        assert_eq!(report.failure, None, "{name}\n{}", report.story.join("\n"));
    }
}
