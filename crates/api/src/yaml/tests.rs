//! What `kubectl annotate --local -o json` of version 1.36 makes of the same texts.

use serde_json::{Value, json};

use super::*;

fn value(text: &str) -> Value {
    decode(text).unwrap().value
}

fn refused(text: &str) -> String {
    decode(text).unwrap_err().to_string()
}

/// Go's form of the value, in which `30.0` and `30` are the same.
#[track_caller]
fn check(text: &str, expected: Value) {
    assert_eq!(value(text).to_string(), expected.to_string(), "{text}");
}

#[test]
fn plain_scalars_are_those_of_yaml_1_1() {
    check("[0755, 0o755, 0x1f, 0b101, -0b11, +12, 1_000, 0_7, 08]", json!([493, 493, 31, 5, -3, 12, 1000, 7, 8]));
    check("[09.5, 1e3, 1.0, 30.0, 1., .5, 5e-1, -.5]", json!([9.5, 1000, 1, 30, 1, 0.5, 0.5, -0.5]));
    check("[-9223372036854775808, 18446744073709551615, 1e21]", json!([i64::MIN, u64::MAX, 1e21]));
    check("[1__0, 0x_1f, +0x1f, -017, -0x10, 0b1_1, 1_, -_1]", json!([10, 31, 31, -15, -16, 3, 1, -1]));
    check("[y, Y, n, N, yes, no, On, OFF]", json!([true, true, false, false, true, false, true, false]));
    check("[~, null, NULL, Null, '', true]", json!([null, null, null, null, "", true]));
    let texts =
        ["oN", "_1", "0x", "0b", "0o8", "0b12", "1E400", "190:20:30", "2001-01-01", "1e", "+", ".", "--1", "+-1"];
    for text in texts {
        check(&format!("a: {text}"), json!({ "a": text }));
    }
}

#[test]
fn quotes_and_tags_decide() {
    check("['0755', \"yes\", '~']", json!(["0755", "yes", "~"]));
    check(
        "[!!str 123, !!int \"7\", !!float 3, !foo bar, !!bool \"yes\", !!null \"\", !!str yes, !!int 0x10, !!str ]",
        json!(["123", 7, 3, "bar", true, null, "yes", 16, ""]),
    );
    assert_eq!(refused("a: !!int x"), "line 1: cannot decode !!str `x` as a !!int");
    assert_eq!(refused("a: !!int 1.5"), "line 1: cannot decode !!float `1.5` as a !!int");
    assert_eq!(refused("a: .inf"), "line 1: unsupported value: +Inf");
    assert!(refused("a: !!binary aGVsbG8=").contains("!!binary is not supported"));
}

#[test]
fn keys_become_text() {
    check(
        "{yes: 1, 010: 2, n: 3, 1.5: 4, 1e3: 5, 0x1F: 6}",
        json!({"true": 1, "8": 2, "false": 3, "1.5": 4, "1000": 5, "31": 6}),
    );
    check(
        "{\"yes\": 1, '010': 2, -5: 3, .inf: 4, .nan: 5}",
        json!({"yes": 1, "010": 2, "-5": 3, ".inf": 4, ".nan": 5}),
    );
    check("99999999999999999999: a", json!({ "1e+20": "a" }));
    assert_eq!(refused("a: 1\n~: x"), "line 2: unsupported map key of type null");
    assert!(refused("[a]: b").contains("invalid map key") && refused("{a: b}: c").contains("invalid map key"));
}

#[test]
fn the_last_of_equal_keys_counts_and_each_is_reported() {
    let document = decode("a: 1\nb:\n  x: 1\n  x: 2\ntrue: 1\nyes: 2\n").unwrap();
    assert_eq!(document.value, json!({ "a": 1, "b": { "x": 2 }, "true": 2 }));
    assert_eq!(
        document.duplicates,
        ["line 4: key \"x\" already set in map", "line 6: key \"true\" already set in map"]
    );
}

#[test]
fn maps_are_merged_as_in_go() {
    check("{a: &x {b: 1}, c: {b: 3, <<: *x}}", json!({ "a": { "b": 1 }, "c": { "b": 1 } }));
    check("{a: &x {b: 1}, c: {<<: *x, b: 3}}", json!({ "a": { "b": 1 }, "c": { "b": 3 } }));
    check(
        "{a: &x {b: 1}, d: &y {b: 2, e: 1}, c: {<<: [*x, *y]}}",
        json!({ "a": { "b": 1 }, "d": { "b": 2, "e": 1 }, "c": { "b": 1, "e": 1 } }),
    );
    check("c: {'<<': 3}", json!({ "c": { "<<": 3 } }));
    assert!(refused("c: {<<: 3}").contains("map merge requires map or sequence of maps"));
}

#[test]
fn aliases_stand_for_what_was_written() {
    check("{a: &q yes, b: *q, *q : 3}", json!({ "a": true, "b": true, "true": 3 }));
    assert!(refused("a: &x [*x]").contains("contains itself"));
    assert!(refused("a: *none").starts_with("line 1: "));
}

#[test]
fn every_input_is_bounded() {
    let bomb = (1..10).fold("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
        let before = format!("*a{}, ", level - 1).repeat(10);
        format!("{text}a{level}: &a{level} [{before}]\n")
    });
    assert!(refused(&bomb).contains("aliases stand for more than"));
    assert!(decode(&format!("{}{}", "[".repeat(100), "]".repeat(100))).is_ok());
    assert!(decode(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))).is_err());
    assert!(decode(&"- ".repeat(100_000)).is_err());
    let chain = (1..6).fold("a0: &a0 x\n".to_owned(), |text, level| {
        format!("{text}a{level}: &a{level} {}*a{}{}\n", "[".repeat(40), level - 1, "]".repeat(40))
    });
    assert!(refused(&chain).contains("nested deeper"));
}

#[test]
fn documents_follow_each_other() {
    let values: Vec<Value> =
        decode_all("a: 1\n---\n# nothing\n---\nb: 2\n...\n").unwrap().into_iter().map(|d| d.value).collect();
    assert_eq!(values, [json!({ "a": 1 }), Value::Null, json!({ "b": 2 })]);
    assert_eq!(value(""), Value::Null);
}

#[test]
fn whole_numbers_of_json_lose_their_fraction() {
    let mut value = json!({ "a": 30.0, "b": [1.0, 1.5, 1e21], "c": "1.0", "d": 7 });
    shorten(&mut value);
    assert_eq!(value.to_string(), json!({ "a": 30, "b": [1, 1.5, 1e21], "c": "1.0", "d": 7 }).to_string());
}
