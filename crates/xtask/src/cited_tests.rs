//! The tests that pages of docs/ name: each exists.
//!
//! A test is named in backquotes by its file below `crates/` and its function,
//! `store/tests/crash.rs::a_name`; a file or directory of tests by its path alone.

use std::path::Path;

use anyhow::Context;

/// The pages, and how many tests each names at least.
pub(crate) const PAGES: [(&str, usize); 2] = [("docs/threat-model.md", 20), ("docs/what-works.md", 80)];

/// The words of a page in backquotes.
fn quoted(page: &str) -> impl Iterator<Item = &str> {
    page.split('`').skip(1).step_by(2)
}

/// The (file, function) pairs that a page names.
fn cited(page: &str) -> Vec<(&str, &str)> {
    quoted(page).filter_map(|word| word.split_once(".rs::")).collect()
}

/// The test files and directories that a page names by their path alone.
fn cited_files(page: &str) -> impl Iterator<Item = &str> {
    let is_path = |word: &&str| {
        let tests = word.contains("/tests/") || word.ends_with("tests.rs") || word.ends_with("/tests");
        tests && !word.contains([' ', ':', '{', '*'])
    };
    quoted(page).filter(is_path)
}

/// Whether a source has this function as a test: a function below an attribute that ends in `test`,
/// with or without arguments.
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

/// One sentence per test or test file that a page names and that does not exist. Errors: a page
/// cannot be read.
pub(crate) fn violations(top: &Path) -> anyhow::Result<Vec<String>> {
    let crates = top.join("crates");
    let mut found = Vec::new();
    for (name_of_page, _) in PAGES {
        let page = read(top, name_of_page)?;
        for (file, name) in cited(&page) {
            let source = std::fs::read_to_string(crates.join(format!("{file}.rs"))).unwrap_or_default();
            if !has_test(&source, name) {
                found.push(format!("{name_of_page} names `{file}.rs::{name}`, which is no test"));
            }
        }
        let absent = cited_files(&page).filter(|path| !crates.join(path).exists());
        found.extend(absent.map(|path| format!("{name_of_page} names `{path}`, which is not there")));
    }
    Ok(found)
}

fn read(top: &Path, page: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(top.join(page)).with_context(|| format!("cannot read {page}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_name_tests_that_exist() {
        let top = crate::requirements::top();
        for (page, least) in PAGES {
            assert!(cited(&read(&top, page).unwrap()).len() >= least, "{page} names too few tests");
        }
        assert_eq!(violations(&top).unwrap(), [""; 0]);
    }

    #[test]
    fn the_glossary_names_places_that_exist() {
        let top = crate::requirements::top();
        let page = read(&top, "docs/glossary.md").unwrap();
        let rows: Vec<&str> = page.lines().filter(|line| line.ends_with("` |")).collect();
        assert!(rows.len() >= 40, "{rows:?}");
        for row in rows {
            let place = quoted(row).last().unwrap();
            let exists = top.join(place).exists() || top.join("crates").join(place).exists();
            assert!(exists, "docs/glossary.md: {place} is not there");
        }
    }

    #[test]
    fn tests_are_found_among_other_functions() {
        let source = "#[test]\nfn a() {}\n#[tokio::test(flavor = \"x\")]\n    #[allow(x)]\n    async fn b() {}\nfn c() {}\n// fn d() {}\n";
        assert!(has_test(source, "a") && has_test(source, "b"));
        assert!(!has_test(source, "c") && !has_test(source, "d") && !has_test(source, "aa") && !has_test("", "a"));
        assert_eq!(cited("see `x/y.rs::z`, `nothing` and `a.rs::b`"), [("x/y", "z"), ("a", "b")]);
        let files = "`x/tests/a.rs`, `x/src/y/tests`, `x/src/tests.rs`, `x/src/lib.rs`, `x/tests/{a,b}.rs`";
        assert_eq!(cited_files(files).collect::<Vec<_>>(), ["x/tests/a.rs", "x/src/y/tests", "x/src/tests.rs"]);
    }
}
