//! The list of requests that are answered differently, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

/// A request of a scenario: its name, and which step it is, from 0.
pub(super) type Request = (String, usize);

/// One place in which two answers differ.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Difference {
    pub(super) path: String,
    pub(super) recorded: Value,
    pub(super) seen: Value,
}

/// Where two answers differ.
pub(super) fn differences(recorded: &Value, seen: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    differ(recorded, seen, "", &mut found);
    found
}

fn differ(recorded: &Value, seen: &Value, path: &str, found: &mut Vec<Difference>) {
    let absent = Value::from("<absent>");
    match (recorded, seen) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
                differ(a.get(key).unwrap_or(&absent), b.get(key).unwrap_or(&absent), &path, found);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for index in 0..a.len().max(b.len()) {
                let path = format!("{path}/{index}");
                differ(a.get(index).unwrap_or(&absent), b.get(index).unwrap_or(&absent), &path, found);
            }
        }
        _ if recorded == seen => {}
        _ => found.push(Difference { path: path.into(), recorded: recorded.clone(), seen: seen.clone() }),
    }
}

/// Reads the list: `SCENARIO #REQUEST | why | where it is described` a line, `//` before remarks.
pub(super) fn parse(list: &str) -> BTreeSet<Request> {
    let is_entry = |line: &&str| !line.trim().is_empty() && !line.starts_with("//");
    let entries = list.lines().filter(is_entry).map(|line| {
        let (request, why, described) = entry(line).unwrap_or_else(|| panic!("not an entry: {line:?}"));
        assert!(why != UNKNOWN && described != UNKNOWN, "a reason is missing: {line:?}");
        request
    });
    entries.collect()
}

fn entry(line: &str) -> Option<(Request, &str, &str)> {
    let mut parts = line.split(" | ").map(str::trim).filter(|part| !part.is_empty());
    let (scenario, request) = parts.next()?.split_once(" #")?;
    let entry = ((scenario.into(), request.parse().ok()?), parts.next()?, parts.next()?);
    parts.next().is_none().then_some(entry)
}

/// What a list that is written anew says of a request that was not on it.
const UNKNOWN: &str = "?";

/// The list for these requests: the remarks at its head stay, and so do reasons that are known.
pub(super) fn written<'a>(list: &str, requests: impl Iterator<Item = &'a Request>) -> String {
    let known = list.lines().filter_map(entry).map(|(request, why, described)| (request, (why, described)));
    let known: BTreeMap<Request, (&str, &str)> = known.collect();
    let mut written: String =
        list.lines().take_while(|line| line.starts_with("//")).map(|line| format!("{line}\n")).collect();
    for request in requests {
        let (why, described) = known.get(request).copied().unwrap_or((UNKNOWN, UNKNOWN));
        writeln!(written, "{} #{} | {why} | {described}", request.0, request.1).expect("a text takes all");
    }
    written
}

/// Both answers, for a person.
pub(super) fn shown(found: &[Difference]) -> String {
    let mut text = String::new();
    for Difference { path, recorded, seen } in found.iter().take(40) {
        let [recorded, seen] = [recorded, seen].map(|value| value.to_string().chars().take(600).collect::<String>());
        write!(text, "\n    {path}\n      recorded {recorded}\n      seen     {seen}").expect("a text takes all");
    }
    text
}

#[test]
fn answers_are_compared_by_place() {
    let recorded = serde_json::json!({"a/b": 1, "list": [1, {"deep": []}], "same": true});
    let seen = serde_json::json!({"a/b": 1.0, "list": [1, {"deep": [1]}, 3], "same": true});
    let found = differences(&recorded, &seen);
    let places: Vec<&str> = found.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(places, ["/a~1b", "/list/1/deep/0", "/list/2"]);
    assert_eq!(found[1].recorded, "<absent>");
}

#[test]
fn a_list_that_is_written_keeps_its_reasons() {
    let list = "// remark\nlist/paging #7 | tokens are ours | docs/deviations.md\n";
    let requests = [("list/paging".to_owned(), 7), ("new/one".to_owned(), 0)];
    assert_eq!(parse(list), BTreeSet::from([requests[0].clone()]));
    assert_eq!(written(list, requests.iter()), format!("{list}new/one #0 | ? | ?\n"));
    assert_eq!(entry("new/one #0 | why |  "), None, "where it is described is missing");
}

#[test]
#[should_panic(expected = "a reason is missing")]
fn a_list_without_reasons_is_not_read() {
    parse("new/one #0 | ? | ?\n");
}
