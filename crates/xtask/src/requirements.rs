//! Which requirement is shown where: `docs/requirements.txt` against the tests and `docs/deviations.md`.
//!
//! The list has a line for every requirement of the sections that are this product's heart: its id and the places that
//! show it. A place counts if it is a test (or a case file, or docs/deviations.md) and cites the id. So an id cannot get
//! lost, a test cannot be taken away unnoticed, and an id with a slip in it is found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

pub(crate) const LIST: &str = "docs/requirements.txt";
const DEVIATIONS: &str = "docs/deviations.md";
/// The sections whose requirements are all listed.
const SECTIONS: &str = "ABCDEFGK";

/// `DS-B04`: section and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(char, u32);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DS-{}{:02}", self.0, self.1)
    }
}

/// What files cite: in their tests, and anywhere.
#[derive(Debug, Default)]
pub(crate) struct Citations {
    /// By path below the top of the repository.
    shown: BTreeMap<String, BTreeSet<Id>>,
    mentioned: BTreeMap<Id, String>,
}

/// Reads every source, case file and page of the repository.
pub(crate) fn read(top: &Path) -> anyhow::Result<Citations> {
    let mut citations = Citations::default();
    for directory in ["crates", "docs"] {
        for file in files(&top.join(directory))? {
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let path = file.strip_prefix(top).unwrap_or(&file).to_string_lossy().into_owned();
            citations.add(&path, &text);
        }
    }
    Ok(citations)
}

fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        let known =
            ["rs", "txt", "md"].iter().any(|known| path.extension().is_some_and(|extension| extension == *known));
        return Ok(if known { vec![path.to_owned()] } else { Vec::new() });
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
        found.extend(files(&entry?.path())?);
    }
    found.sort();
    Ok(found)
}

impl Citations {
    pub(crate) fn add(&mut self, path: &str, text: &str) {
        // Here ids are listed or made up.
        if path == LIST || path.starts_with("crates/xtask/") {
            return;
        }
        for id in cited(text) {
            self.mentioned.entry(id).or_insert_with(|| path.to_owned());
        }
        let shown = cited_and_between(part_that_shows(path, text));
        if !shown.is_empty() {
            self.shown.insert(path.to_owned(), shown);
        }
    }
}

/// All of a test file, a case file and the deviations; of a source file what is in its tests; else nothing.
fn part_that_shows<'a>(path: &str, text: &'a str) -> &'a str {
    let is_test = path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("_tests.rs");
    let from = match () {
        () if path == DEVIATIONS || is_test => Some(0),
        () if path.ends_with(".rs") => text.find("#[cfg(test)]\nmod tests {"),
        () => None,
    };
    from.map_or("", |from| &text[from..])
}

/// The ids in a text.
fn cited(text: &str) -> BTreeSet<Id> {
    pieces(text).map(|(id, _)| id).collect()
}

/// The ids in a text, and those between: `DS-B04 to DS-B07` stands for all four.
fn cited_and_between(text: &str) -> BTreeSet<Id> {
    let mut ids = cited(text);
    let all: Vec<(Id, &str)> = pieces(text).collect();
    for pair in all.windows(2).filter(|pair| pair[0].1 == " to " && pair[0].0.0 == pair[1].0.0) {
        let (Id(section, first), Id(_, last)) = (pair[0].0, pair[1].0);
        ids.extend((first..last).map(|between| Id(section, between)));
    }
    ids
}

/// Each id with the text up to the next one.
fn pieces(text: &str) -> impl Iterator<Item = (Id, &str)> {
    text.split("DS-").skip(1).filter_map(|piece| {
        let section = piece.chars().next().filter(char::is_ascii_uppercase)?;
        let rest = &piece[1..];
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        Some((Id(section, rest[..end].parse().ok()?), &rest[end..]))
    })
}

/// The lines of the list: an id and the places that show it.
fn listed(list: &str) -> anyhow::Result<Vec<(Id, Vec<&str>)>> {
    let lines = list.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let id = words.next().map(cited).and_then(|mut ids| ids.pop_first());
            Ok((id.with_context(|| format!("`{line}` does not begin with an id"))?, words.collect()))
        })
        .collect()
}

/// One sentence per requirement that nobody shows, place that does not show what it should, and id that is none.
pub(crate) fn violations(list: &str, citations: &Citations) -> anyhow::Result<Vec<String>> {
    let listed = listed(list)?;
    let ids: BTreeSet<Id> = listed.iter().map(|(id, _)| *id).collect();
    ensure!(ids.len() == listed.len() && listed.is_sorted_by_key(|(id, _)| *id), "{LIST} is not in order");
    let mut found = Vec::new();
    for (id, places) in &listed {
        if places.is_empty() {
            found.push(format!("{id}: nobody shows it, and {DEVIATIONS} does not say why"));
        }
        let absent = places.iter().filter(|place| !citations.shown.get(**place).is_some_and(|ids| ids.contains(id)));
        found.extend(absent.map(|place| format!("{id}: no test in {place} cites it")));
    }
    for (id, path) in &citations.mentioned {
        if SECTIONS.contains(id.0) && !ids.contains(id) {
            found.push(format!("{path} cites {id}, which is not in {LIST}"));
        }
    }
    Ok(found)
}

/// The list anew: every id with all places that cite it now.
pub(crate) fn renewed(list: &str, citations: &Citations) -> anyhow::Result<String> {
    let mut text: String =
        list.lines().take_while(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    for (id, _) in listed(list)? {
        let places = citations.shown.iter().filter(|(_, ids)| ids.contains(&id)).map(|(path, _)| path.as_str());
        text += &format!("{id} {}", places.collect::<Vec<_>>().join(" "));
        text = text.trim_end().to_owned() + "\n";
    }
    Ok(text)
}

/// The top of the repository.
pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Citations {
        let mut citations = Citations::default();
        files.iter().for_each(|(path, text)| citations.add(path, text));
        citations
    }

    #[test]
    fn every_requirement_is_shown_or_a_deviation() {
        let list = std::fs::read_to_string(top().join(LIST)).unwrap();
        let found = violations(&list, &read(&top()).unwrap()).unwrap();
        assert!(
            found.is_empty(),
            "{}\n(`cargo run -p xtask -- requirements` writes all places that cite an id into {LIST})",
            found.join("\n")
        );
        assert!(listed(&list).unwrap().len() > 280, "the list was cut short");
    }

    #[test]
    fn only_tests_show() {
        let citations = of(&[
            ("crates/x/src/a.rs", "#[cfg(test)]\nmod tests;\n// DS-B01\n#[cfg(test)]\nmod tests {\n// DS-B02"),
            ("crates/x/tests/cases/1.txt", "## this (DS-B03)"),
            ("docs/x.md", "DS-B04"),
            ("docs/deviations.md", "DS-B05"),
        ]);
        let list = "DS-B01 crates/x/src/a.rs\nDS-B02 crates/x/src/a.rs\nDS-B03 crates/x/tests/cases/1.txt\n\
            DS-B04 docs/x.md\nDS-B05 docs/deviations.md\n";
        assert_eq!(
            violations(list, &citations).unwrap(),
            ["DS-B01: no test in crates/x/src/a.rs cites it", "DS-B04: no test in docs/x.md cites it"]
        );
    }

    #[test]
    fn what_is_lost_or_made_up_is_named() {
        let citations = of(&[("crates/x/tests/a.rs", "DS-B01 to DS-B03, DS-B99, DS-H77")]);
        let list = "# about\nDS-B01 crates/x/tests/a.rs\nDS-B02 crates/x/tests/a.rs\nDS-B03\n";
        assert_eq!(
            violations(list, &citations).unwrap(),
            [
                "DS-B03: nobody shows it, and docs/deviations.md does not say why",
                "crates/x/tests/a.rs cites DS-B99, which is not in docs/requirements.txt"
            ]
        );
        assert!(violations("DS-B02 x\nDS-B01 x\n", &citations).is_err());
        assert!(violations("nonsense\n", &citations).is_err());
        let renewed = renewed(list, &citations).unwrap();
        assert_eq!(renewed, list.replace("DS-B03\n", "DS-B03 crates/x/tests/a.rs\n"));
    }
}
