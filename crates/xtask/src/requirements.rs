//! The requirements, each with its sentence and the tests that show it: `docs/requirements.md`.
//!
//! `data/requirements.txt` is the table: an id and what it asks for. The page is made of it and of
//! the places that cite the id: a test, a case file, or docs/deviations.md. So no id can get lost,
//! no test can be taken away unnoticed, and an id that has no sentence is found wherever it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// The page that is made.
pub(crate) const PAGE: &str = "docs/requirements.md";
/// Ids and sentences.
const TABLE: &str = include_str!("../data/requirements.txt");
const TABLE_PATH: &str = "crates/xtask/data/requirements.txt";
const DEVIATIONS: &str = "docs/deviations.md";
/// The sections whose requirements must all be shown: the controller's own.
const SHOWN_SECTIONS: &str = "ABCDEFGK";
/// What is searched for citations, below the top of the repository.
const PLACES: [&str; 8] =
    ["crates", "docs", "fuzz", "scripts", "examples", "README.md", "ARCHITECTURE.md", "CHANGELOG.md"];
const COLUMNS: usize = 100;

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

/// Reads every source, case file, script and page of the repository.
pub(crate) fn read(top: &Path) -> anyhow::Result<Citations> {
    let mut citations = Citations::default();
    for place in PLACES {
        for file in files(&top.join(place))? {
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let path = file.strip_prefix(top).unwrap_or(&file).to_string_lossy().into_owned();
            citations.add(&path, &text);
        }
    }
    Ok(citations)
}

/// All text files at or below a path, in order.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    const KNOWN: [&str; 5] = ["rs", "txt", "md", "sh", "yaml"];
    if !path.is_dir() {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let is_text = extension.is_some_and(|extension| KNOWN.contains(&extension));
        return Ok(if is_text { vec![path.to_owned()] } else { Vec::new() });
    }
    if path.ends_with("target") {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    for entry in entries {
        found.extend(files(&entry?.path())?);
    }
    found.sort();
    Ok(found)
}

impl Citations {
    pub(crate) fn add(&mut self, path: &str, text: &str) {
        // Here ids are listed or made up.
        if path == PAGE || path.starts_with("crates/xtask/") {
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

    fn places(&self, id: Id) -> Vec<&str> {
        let all = self.shown.iter().filter(|(_, ids)| ids.contains(&id));
        all.map(|(path, _)| path.strip_prefix("crates/").unwrap_or(path)).collect()
    }
}

/// All of a test file, a case file and the deviations; of a source file its tests; else nothing.
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

/// A line of the table.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Section(String),
    Requirement(Id, String),
}

/// Reads the table. Errors: an entry without an id or a sentence, or out of order.
fn table(text: &str) -> anyhow::Result<Vec<Line>> {
    let mut lines: Vec<Line> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(title) = line.strip_prefix("= ") {
            lines.push(Line::Section(title.to_owned()));
        } else if let Some(more) = line.strip_prefix("  ") {
            let Some(Line::Requirement(_, sentence)) = lines.last_mut() else {
                anyhow::bail!("{TABLE_PATH}: `{line}` continues nothing");
            };
            *sentence += &format!(" {more}");
        } else {
            let (id, sentence) = line.split_once(' ').unwrap_or((line, ""));
            let id = cited(id).pop_first();
            let id = id.with_context(|| format!("{TABLE_PATH}: `{line}` does not begin with an id"))?;
            lines.push(Line::Requirement(id, sentence.to_owned()));
        }
    }
    let of: Vec<(Id, &str)> = requirements(&lines).collect();
    ensure!(of.is_sorted_by(|a, b| a.0 < b.0), "{TABLE_PATH} is not in order, or names an id twice");
    let unfinished = of.iter().find(|(_, sentence)| !sentence.ends_with('.'));
    ensure!(unfinished.is_none(), "{TABLE_PATH}: {unfinished:?} is no sentence");
    Ok(lines)
}

fn requirements(lines: &[Line]) -> impl Iterator<Item = (Id, &str)> {
    lines.iter().filter_map(|line| match line {
        Line::Requirement(id, sentence) => Some((*id, sentence.as_str())),
        Line::Section(_) => None,
    })
}

/// The page, anew: every requirement with all places that cite it now.
pub(crate) fn renewed(citations: &Citations) -> anyhow::Result<String> {
    page(TABLE, citations)
}

fn page(text: &str, citations: &Citations) -> anyhow::Result<String> {
    let mut page = String::from(
        "# Requirements\n\n\
        What everynode has to do as Kubernetes does it, and the tests that show it. The code cites\n\
        these ids. `cargo run -p xtask -- requirements` makes this page of\n\
        `crates/xtask/data/requirements.txt` and of the tests that cite an id; a test of `xtask`\n\
        holds it. Files are named below `crates/`. Where everynode differs on purpose,\n\
        [deviations.md](deviations.md) is among the places.\n\n",
    );
    page += &format!("{}\n", words(text));
    for line in table(text)? {
        page += "\n";
        match line {
            Line::Section(title) => page += &format!("## {title}\n"),
            Line::Requirement(id, sentence) => {
                let places = citations.places(id);
                page += &wrapped(&format!("**{id}** {sentence}"));
                if !places.is_empty() {
                    page += &wrapped(&format!("{SHOWN_BY}`{}`.", places.join("`, `")));
                }
            }
        }
    }
    Ok(page)
}

const SHOWN_BY: &str = "*Shown by* ";

/// What the table says of its own words: its comment without the first two sentences.
fn words(text: &str) -> String {
    let comment = text.lines().map_while(|line| line.strip_prefix("# "));
    comment.skip(2).collect::<Vec<_>>().join("\n")
}

/// A paragraph in lines of at most 100 columns.
fn wrapped(paragraph: &str) -> String {
    let mut lines = vec![String::new()];
    for word in paragraph.split(' ') {
        let line = lines.last_mut().filter(|line| line.len() + word.len() < COLUMNS);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => *line += &format!(" {word}"),
            None => lines.push(word.to_owned()),
        }
    }
    lines.join("\n") + "\n"
}

/// What a page says: each id with its paragraph and the places behind it.
fn listed(page: &str) -> BTreeMap<Id, (String, Vec<String>)> {
    let blocks = page.split("\n\n").filter(|block| block.starts_with("**DS-"));
    blocks
        .filter_map(|block| {
            let block = block.trim_end().replace('\n', " ");
            let (sentence, shown) = block.split_once(SHOWN_BY).unwrap_or((&block, ""));
            let (id, sentence) = sentence.strip_prefix("**")?.split_once("** ")?;
            let places = shown.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            Some((cited(id).pop_first()?, (sentence.trim_end().to_owned(), places)))
        })
        .collect()
}

/// One sentence per requirement that is not shown, place that does not show what it should, and id
/// that is none. Errors: the table cannot be read.
pub(crate) fn violations(page: &str, citations: &Citations) -> anyhow::Result<Vec<String>> {
    violations_of(TABLE, page, citations)
}

fn violations_of(text: &str, page: &str, citations: &Citations) -> anyhow::Result<Vec<String>> {
    let (table, listed) = (table(text)?, listed(page));
    let mut found = Vec::new();
    for (id, sentence) in requirements(&table) {
        match listed.get(&id) {
            Some((said, _)) if said == sentence => {}
            _ => found.push(format!("{id}: {PAGE} does not say what {TABLE_PATH} says")),
        }
        let now = citations.places(id);
        let places = listed.get(&id).map_or(&[][..], |(_, places)| places);
        let absent = places.iter().filter(|place| !now.contains(&place.as_str()));
        found.extend(absent.map(|place| format!("{id}: no test in {place} cites it")));
        if now.is_empty() && SHOWN_SECTIONS.contains(id.0) {
            found.push(format!("{id}: no test shows it, and {DEVIATIONS} does not say why"));
        }
    }
    let ids: BTreeSet<Id> = requirements(&table).map(|(id, _)| id).collect();
    let unknown = citations.mentioned.iter().filter(|(id, _)| !ids.contains(id));
    found.extend(unknown.map(|(id, path)| format!("{path} cites {id}, which is not in {TABLE_PATH}")));
    let extra = listed.keys().filter(|id| !ids.contains(id));
    found.extend(extra.map(|id| format!("{PAGE} lists {id}, which is not in {TABLE_PATH}")));
    Ok(found)
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
    fn every_requirement_has_its_sentence_and_is_shown_or_a_deviation() {
        let page = std::fs::read_to_string(top().join(PAGE)).unwrap();
        let found = violations(&page, &read(&top()).unwrap()).unwrap();
        assert!(found.is_empty(), "{}\n(`cargo run -p xtask -- requirements` makes {PAGE} anew)", found.join("\n"));
        assert!(listed(&page).len() >= 380, "the page was cut short");
    }

    const SMALL: &str = "# about\n# it\n# Words.\n= B. Placement\nDS-B01 One.\nDS-B02 Two\n  and\n  a half.\n\
        DS-B03 Three.\nDS-H01 Four.\n";

    #[test]
    fn only_tests_show() {
        let citations = of(&[
            ("crates/x/src/a.rs", "#[cfg(test)]\nmod tests;\n// DS-B01\n#[cfg(test)]\nmod tests {\n// DS-B02"),
            ("crates/x/tests/cases/1.txt", "## this (DS-B03)"),
            ("docs/x.md", "DS-B01"),
            ("docs/deviations.md", "DS-B03"),
        ]);
        let page = page(SMALL, &citations).unwrap();
        let said = listed(&page);
        assert_eq!(said[&Id('B', 1)], ("One.".to_owned(), vec![]));
        assert_eq!(said[&Id('B', 2)], ("Two and a half.".to_owned(), vec!["x/src/a.rs".to_owned()]));
        assert_eq!(said[&Id('B', 3)].1, ["x/tests/cases/1.txt", "docs/deviations.md"]);
        assert!(page.contains("\nWords.\n\n## B. Placement\n\n**DS-B01** One.\n"));
        assert_eq!(
            violations_of(SMALL, &page, &citations).unwrap(),
            ["DS-B01: no test shows it, and docs/deviations.md does not say why"]
        );
    }

    #[test]
    fn what_is_lost_or_made_up_is_named() {
        let cited = "DS-B01 to DS-B03, DS-B99, DS-H77";
        let citations = of(&[("crates/x/tests/a.rs", cited)]);
        let page = page(SMALL, &citations).unwrap();
        let lost = of(&[("crates/x/tests/a.rs", "DS-B01 to DS-B02, DS-B99, DS-H77")]);
        assert_eq!(
            violations_of(SMALL, &page.replace("Two and", "Two or"), &lost).unwrap(),
            [
                "DS-B02: docs/requirements.md does not say what crates/xtask/data/requirements.txt says",
                "DS-B03: no test in x/tests/a.rs cites it",
                "DS-B03: no test shows it, and docs/deviations.md does not say why",
                "crates/x/tests/a.rs cites DS-B99, which is not in crates/xtask/data/requirements.txt",
                "crates/x/tests/a.rs cites DS-H77, which is not in crates/xtask/data/requirements.txt",
            ]
        );
        assert!(table("DS-B02 X.\nDS-B01 X.\n").is_err());
        assert!(table("DS-B01 X.\nDS-B01 X.\n").is_err());
        assert!(table("nonsense\n").is_err() && table("  more\n").is_err());
        assert!(table("DS-B01 no end\n").is_err());
    }

    #[test]
    fn paragraphs_are_wrapped_at_100_columns() {
        let lines = wrapped(&"12345678 ".repeat(30));
        let longest = lines.lines().map(str::len).max();
        assert!(longest.is_some_and(|longest| longest > 90 && longest <= COLUMNS), "{lines}");
        assert_eq!(lines.split_whitespace().count(), 30);
    }
}
