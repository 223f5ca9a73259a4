//! The tests that docs/threat-model.md names: each exists.
//!
//! A test is named in backquotes by its file below `crates/` and its function: `store/tests/crash.rs::a_name`.

use std::path::Path;

use anyhow::Context;

pub(crate) const PAGE: &str = "docs/threat-model.md";

/// The (file, function) pairs that a page names.
fn cited(page: &str) -> Vec<(&str, &str)> {
    page.split('`').skip(1).step_by(2).filter_map(|word| word.split_once(".rs::")).collect()
}

/// Whether a source has this function as a test: a function below an attribute that ends in `test`, with or without arguments.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    let is_function = |line: &str| {
        let rest = line.trim_start_matches("async ").strip_prefix("fn ");
        rest.and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with('('))
    };
    lines.iter().enumerate().any(|(at, line)| {
        // Between the attribute and the function may stand other attributes.
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        is_function(line) && above.into_iter().any(is_test)
    })
}

/// One sentence per test that the page names and that does not exist.
pub(crate) fn violations(top: &Path) -> anyhow::Result<Vec<String>> {
    let page = std::fs::read_to_string(top.join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    let mut found = Vec::new();
    for (file, name) in cited(&page) {
        let source = std::fs::read_to_string(top.join("crates").join(format!("{file}.rs"))).unwrap_or_default();
        if !has_test(&source, name) {
            found.push(format!("{PAGE} names `{file}.rs::{name}`, which is no test"));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threat_model_names_tests_that_exist() {
        let top = crate::requirements::top();
        let page = std::fs::read_to_string(top.join(PAGE)).unwrap();
        assert!(cited(&page).len() > 20, "{PAGE} names hardly any test");
        assert_eq!(violations(&top).unwrap(), [""; 0]);
    }

    #[test]
    fn tests_are_told_from_other_functions() {
        let source = "#[test]\nfn a() {}\n#[tokio::test(flavor = \"x\")]\n    #[allow(x)]\n    async fn b() {}\nfn c() {}\n// fn d() {}\n";
        assert!(has_test(source, "a") && has_test(source, "b"));
        assert!(!has_test(source, "c") && !has_test(source, "d") && !has_test(source, "aa") && !has_test("", "a"));
        assert_eq!(cited("see `x/y.rs::z`, `nothing` and `a.rs::b`"), [("x/y", "z"), ("a", "b")]);
    }
}
