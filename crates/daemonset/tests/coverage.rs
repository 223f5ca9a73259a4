//! Every requirement that this crate and `placement` answer for is cited by a case, a test, or docs/deviations.md.

#![allow(clippy::disallowed_methods, reason = "a test reads the repository")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Section, first and last number. What is missing in between belongs to other crates: admission and validation
/// (B18, B19, B26, B53), the scheduler's loop (B45, B47, B51), the driver (C05 to C08, C15, C52 to C57, C73, E12), garbage
/// collection (C80 to C84), kubectl (D03, D60 to D71), the API server (D40); or says nothing testable (C33, D17, K14).
const OURS: [(char, u32, u32); 23] = [
    ('B', 1, 17),
    ('B', 20, 25),
    ('B', 30, 31),
    ('B', 33, 34),
    ('B', 40, 44),
    ('B', 46, 46),
    ('B', 48, 49),
    ('B', 52, 52),
    ('B', 54, 54),
    ('C', 1, 4),
    ('C', 10, 14),
    ('C', 16, 32),
    ('C', 40, 44),
    ('C', 50, 50),
    ('C', 59, 64),
    ('C', 70, 72),
    ('D', 1, 2),
    ('D', 4, 7),
    ('D', 10, 16),
    ('D', 20, 29),
    ('D', 41, 54),
    ('E', 1, 11),
    ('K', 1, 29),
];

fn collect(path: &Path, text: &mut String) {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        entries.for_each(|path| collect(&path, text));
    } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "txt" || extension == "md") {
        let content = std::fs::read_to_string(path).unwrap();
        let is_source = path.components().any(|part| part.as_os_str() == "src");
        // Of a source file only its tests count.
        let from = if is_source { content.find("#[cfg(test)]").unwrap_or(content.len()) } else { 0 };
        text.push_str(&content[from..]);
        text.push('\n');
    }
}

/// The ids in a text; `DS-B04 to DS-B07` stands for all between.
fn cited(text: &str) -> BTreeSet<(char, u32)> {
    let mut ids = BTreeSet::new();
    let mut open: Option<(char, u32)> = None;
    for piece in text.split("DS-").skip(1) {
        let mut chars = piece.chars();
        let section = chars.next().unwrap_or(' ');
        let digits: String = chars.take_while(char::is_ascii_digit).collect();
        let Ok(number) = digits.parse::<u32>() else { continue };
        if let Some((_, first)) = open.filter(|(from, _)| *from == section) {
            ids.extend((first..number).map(|between| (section, between)));
        }
        ids.insert((section, number));
        let rest = &piece[1 + digits.len()..];
        open = (rest == " to ").then_some((section, number));
    }
    ids
}

#[test]
fn every_requirement_is_cited() {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    for path in ["src", "tests/cases", "tests/wake.rs", "tests/world", "tests/converge.rs", "../placement/src"] {
        collect(&here.join(path), &mut text);
    }
    collect(&here.join("../../docs/deviations.md"), &mut text);
    let cited = cited(&text);
    // DS-E07 does not exist.
    let wanted = OURS.iter().flat_map(|(section, first, last)| (*first..=*last).map(|number| (*section, number)));
    let missing: Vec<_> = wanted.filter(|id| *id != ('E', 7) && !cited.contains(id)).collect();
    assert!(missing.is_empty(), "nobody shows {missing:?}");
}

#[test]
fn there_are_at_least_two_hundred_cases() {
    let mut text = String::new();
    collect(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases"), &mut text);
    assert!(text.lines().filter(|line| line.starts_with("## ")).count() >= 200);
}
