//! Words that no type, function, module or file is named by: the field's terms and those of
//! docs/glossary.md say more. Some of them are in no comment, either.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// Words that were names once, and what is said instead.
const BANNED: [(&str, &str); 18] = [
    ("beside", "say what is done together, or where the other one is"),
    ("brain", "a controller process"),
    ("company", "a batch"),
    ("deed", "an action, or an event of a scenario"),
    ("deeds", "actions, or events of a scenario"),
    ("everybody", "name the clients, pods or tasks that are meant"),
    ("glance", "a snapshot"),
    ("goes", "say whether it is removed, starts, or continues"),
    ("guests", "pods of a node"),
    ("insists", "requires"),
    ("kin", "say what is shared"),
    ("nobody", "name the clients, pods or tasks that are meant"),
    ("seat", "an occupant of a node, or a candidate for a lease"),
    ("somebody", "name the client, pod or task that is meant"),
    ("teller", "a task that replies"),
    ("told", "reported"),
    ("traits", "labels and selectable fields; traits are Rust's"),
    ("turns", "permits of a fair semaphore"),
];

/// In comments, the client, user, task or pod that is meant has a name.
const BANNED_IN_COMMENTS: [&str; 3] = ["everybody", "nobody", "somebody"];

/// What introduces a name.
const KEYWORDS: [&str; 7] = ["struct", "enum", "trait", "type", "fn", "mod", "union"];

/// The names that a source declares.
fn declared(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let pairs: Vec<&str> = words
            .windows(2)
            .filter(|pair| KEYWORDS.contains(&pair[0]))
            .filter_map(|pair| pair[1].split(|c: char| !c.is_alphanumeric() && c != '_').next())
            .collect();
        pairs
    })
}

/// The words of a name in snake or camel case, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for letter in name.chars() {
        if letter == '_' || letter == '-' || letter.is_uppercase() {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn banned(name: &str) -> Option<(&'static str, &'static str)> {
    let words = words(name);
    BANNED.into_iter().find(|(banned, _)| words.iter().any(|word| word == banned))
}

/// One sentence per name in a source file that has a banned word.
fn violations_of(path: &str, source: &str) -> Vec<String> {
    let file = path.rsplit('/').next().map(|file| file.trim_end_matches(".rs"));
    let names = file.into_iter().chain(declared(source));
    let found = names.filter_map(|name| banned(name).map(|(word, instead)| (name, word, instead)));
    let found = found.map(|(name, word, instead)| format!("{path}: `{name}` has the word {word}: {instead}"));
    found.chain(comments_of(path, source)).collect()
}

/// One sentence per line of comment that has a banned word.
fn comments_of(path: &str, source: &str) -> impl Iterator<Item = String> {
    let comments = (1..).zip(source.lines()).filter(|(_, line)| line.trim_start().starts_with("//"));
    comments.filter_map(move |(number, line)| {
        let line = line.to_lowercase();
        let mut words = line.split(|letter: char| !letter.is_alphanumeric());
        let word = words.find(|word| BANNED_IN_COMMENTS.contains(word))?;
        Some(format!("{path}:{number}: a comment has the word {word}: name what is meant"))
    })
}

/// The same over all sources below `crates/`. Errors: a file cannot be read.
pub(crate) fn violations(top: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    // The words themselves stand in the tests of this file.
    let others = |file: &PathBuf| !file.ends_with("xtask/src/names.rs");
    for file in sources(&top.join("crates"))?.into_iter().filter(others) {
        let source = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let path = file.strip_prefix(top).unwrap_or(&file).to_string_lossy().into_owned();
        found.extend(violations_of(&path, &source));
    }
    Ok(found)
}

/// All Rust files below a directory, in order.
fn sources(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_has_a_banned_word() {
        let top = crate::requirements::top();
        assert!(sources(&top.join("crates")).unwrap().len() > 500);
        assert_eq!(violations(&top).unwrap(), [""; 0]);
    }

    #[test]
    fn names_are_found_and_split() {
        let source = "// fn a_brain() {}\npub(crate) struct Company(u8);\nasync fn nobody_waits() {}\n\
            enum Kind { Told }\nlet seat = 1;\nimpl Glance for X {}\ntype Kin<'a> = &'a str;\n";
        assert_eq!(
            violations_of("x/turns.rs", source),
            [
                "x/turns.rs: `turns` has the word turns: permits of a fair semaphore",
                "x/turns.rs: `Company` has the word company: a batch",
                "x/turns.rs: `nobody_waits` has the word nobody: name the clients, pods or tasks that are meant",
                "x/turns.rs: `Kin` has the word kin: say what is shared",
            ]
        );
        let comment = "    /// So that nobody waits.\nlet text = \"nobody\";\n";
        let refused = "x/a.rs:1: a comment has the word nobody: name what is meant";
        assert_eq!(violations_of("x/a.rs", comment), [refused]);
        assert_eq!(words("NodePods_of-x2"), ["node", "pods", "of", "x2"]);
        assert!(banned("Kind").is_none() && banned("returns").is_none());
    }
}
