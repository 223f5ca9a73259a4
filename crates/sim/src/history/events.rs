//! The events of sets, with the names in them left out.

use std::collections::BTreeMap;

use serde_json::Value;

use super::SPACE;
use crate::value::text;

/// A line for each event of a set; those that were combined count with the ones that they repeat.
pub(super) fn lines(events: &[Value], sets: &[&str]) -> Vec<String> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for event in events.iter().filter(|event| event["involvedObject"]["kind"] == "DaemonSet") {
        let message = nameless(text(&event["message"]), sets);
        let line = format!("event {} {} {message}", text(&event["type"]), text(&event["reason"]));
        *counts.entry(line).or_default() += event["count"].as_u64().unwrap_or(1);
    }
    counts.into_iter().map(|(line, count)| format!("{line} x{count}")).collect()
}

/// A message with placeholders for the names in it and for what is drawn.
pub(super) fn nameless(message: &str, sets: &[&str]) -> String {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let (mut out, mut rest) = (String::new(), message);
    while let Some(start) = rest.find(is_of_word) {
        let end = rest[start..].find(|c| !is_of_word(c)).map_or(rest.len(), |length| start + length);
        out.push_str(&rest[..start]);
        out.push_str(&placeholder(&rest[start..end], sets));
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

fn placeholder(word: &str, sets: &[&str]) -> String {
    let drawn = |rest: &str| rest.len() >= 5 && rest.chars().all(|c| c.is_ascii_alphanumeric());
    let is_pod = |set: &str| word.strip_prefix(set).and_then(|rest| rest.strip_prefix('-')).is_some_and(drawn);
    match word {
        SPACE => "NS".to_owned(),
        _ if is_uid(word) => "UID".to_owned(),
        _ if word.starts_with("aaaaaaaaaa") => "LONG".to_owned(),
        _ if word.starts_with("bare-") => "BARE".to_owned(),
        _ if sets.iter().copied().chain(["d", "e"]).any(is_pod) => "POD".to_owned(),
        _ => match word.strip_prefix(super::NODE_PREFIX) {
            Some(node) => format!("NS-{node}"),
            None => word.to_owned(),
        },
    }
}

fn is_uid(word: &str) -> bool {
    let is_right =
        |(at, c): (usize, u8)| if matches!(at, 8 | 13 | 18 | 23) { c == b'-' } else { c.is_ascii_hexdigit() };
    word.len() == 36 && word.bytes().enumerate().all(is_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_left_out() {
        assert_eq!(nameless("Created pod: d-x7k2p", &["d"]), "Created pod: POD");
        let message = "Found failed daemon pod h/d-x7k2p on node h-n1, will try to kill it";
        assert_eq!(nameless(message, &[]), "Found failed daemon pod NS/POD on node NS-n1, will try to kill it");
        let held = nameless("exists: h/d-59b4fvb78s/77b13c81-28d6-4135-b093-7c0fabaf77cc", &["d"]);
        assert_eq!(held, "exists: NS/POD/UID");
    }
}
