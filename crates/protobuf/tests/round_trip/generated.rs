//! Objects made up from a seed: each member of each kind comes up, with values at the borders.

use everynode_common::random::Random;
use everynode_protobuf::{Kind, MemberType, kinds};
use serde_json::{Map, Value, json};

use crate::{read, written};

/// Of each kind.
const OBJECTS: u64 = 20;

/// An object of a kind; the deeper, the fewer members it has.
pub(crate) fn object(version: &str, name: &str, kind: Kind, random: &mut Random) -> Value {
    let mut object = members(kind.members(), random, 1);
    object.insert("apiVersion".into(), version.into());
    object.insert("kind".into(), name.into());
    Value::Object(object)
}

fn members(
    all: impl Iterator<Item = (&'static str, MemberType)>,
    random: &mut Random,
    depth: u64,
) -> Map<String, Value> {
    let mut members = Map::new();
    for (name, member) in all {
        if random.below(1 + depth / 2) == 0 {
            members.insert(name.to_owned(), value(&member.notation(), member, random, depth));
        }
    }
    members
}

fn value(notation: &str, member: MemberType, random: &mut Random, depth: u64) -> Value {
    let message = |random: &mut Random| match member.members() {
        Some(all) if depth < 12 => Value::Object(members(all, random, depth + 1)),
        _ => json!({}),
    };
    let one_or_two = 1 + random.below(2);
    if let Some(inner) = notation.strip_prefix("[]") {
        return (0..one_or_two).map(|_| value(inner, member, random, depth + 1)).collect();
    }
    if let Some(inner) = notation.strip_prefix("{}") {
        return (0..one_or_two)
            .map(|_| (text(random), value(inner, member, random, depth + 1)))
            .collect::<Map<_, _>>()
            .into();
    }
    match (notation, random.below(2)) {
        ("s", _) => text(random).into(),
        ("i", _) => number(random).into(),
        ("b", _) => true.into(),
        ("d", _) => random.pick(&[json!(-1.5), json!(1e300), json!(3.0), json!(0.1)]).cloned().unwrap_or_default(),
        ("y", _) => random.pick(&["AA==", "AAEC", "+/8="]).copied().into(),
        ("t", _) => {
            random.pick(&["2026-02-28T23:59:59Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z"]).copied().into()
        }
        ("u", _) => random.pick(&["2026-01-02T03:04:05.000006Z", "1969-12-31T23:59:59.999999Z"]).copied().into(),
        ("q", _) => random.pick(&["0", "100m", "1Gi"]).copied().into(),
        ("n", 0) => number(random).into(),
        ("n", _) => "50%".into(),
        ("a", _) => json!({"any": [1, "\u{1}", null, {}]}),
        ("w" | "S", 0) | ("w", _) => json!([text(random)]),
        ("A", 0) => json!([message(random), message(random)]),
        ("B", 0) => random.below(2).eq(&0).into(),
        ("@" | "A" | "B" | "S", _) => message(random),
        other => panic!("no value for {other:?}"),
    }
}

/// No zero: it is left out where Go leaves it out.
fn number(random: &mut Random) -> i64 {
    random.pick(&[1, -1, 127, 128, i64::MAX, i64::MIN]).copied().unwrap_or(1)
}

fn text(random: &mut Random) -> String {
    let texts = ["a", "é\u{1f600}", "with \"quotes\" and \\", "\n\t\u{7f}", "a much longer text that is repeated "];
    let text = random.pick(&texts).copied().unwrap_or_default();
    text.repeat(1 + random.index(6))
}

#[test]
fn every_kind_is_read_as_it_was_written() {
    let mut random = Random::new(7);
    for (version, name, kind) in kinds() {
        for _ in 0..OBJECTS {
            let object = object(version, name, kind, &mut random);
            assert_eq!(read(&written(&object)), object, "{version} {name}");
        }
    }
}
