//! Reading JSON from a client: bounded, and remembering every member that was given twice.
//!
//! Of several members of one name the last one counts, as in Kubernetes; objects are merged member
//! by member, because Go reads the second one into the same struct or map. Whether duplicates are
//! an error, a warning or nothing is for `fieldValidation` to say (DS-I40). Unknown fields are
//! found elsewhere: they need the schema.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::json_syntax;

/// Largest request body that Kubernetes reads: 3 MiB (DS-I46).
pub const BODY_BYTES_MAX: usize = 3 << 20;
/// Most duplicate fields that are reported, as in Kubernetes.
const DUPLICATES_MAX: usize = 100;

/// What was read.
#[derive(Debug, PartialEq)]
pub struct Decoded {
    pub value: Value,
    /// One text per field given more than once, in the form `duplicate field "spec.foo"`, in
    /// document order.
    pub duplicates: Vec<String>,
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// More than the allowed number of bytes: 413.
    #[error("limit is {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    /// No JSON, JSON followed by something else, or nested deeper than 128 levels: 400. The text is
    /// that of Go's parser.
    #[error("json parse error: {0}")]
    Malformed(String),
}

/// Reads one JSON document of at most `bytes_max` bytes and 128 levels.
pub fn decode(bytes: &[u8], bytes_max: usize) -> Result<Decoded, DecodeError> {
    if bytes.len() > bytes_max {
        return Err(DecodeError::TooLarge { bytes_max });
    }
    read(bytes).or_else(|error| match json_syntax::mended(bytes) {
        Some(mended) => read(&mended).map_err(|error| malformed(&mended, &error)),
        None => Err(malformed(bytes, &error)),
    })
}

fn read(bytes: &[u8]) -> Result<Decoded, serde_json::Error> {
    let mut trail = Trail::default();
    // serde_json itself bounds the depth, so the recursion below is bounded too.
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Reader(&mut trail).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(Decoded { value, duplicates: trail.duplicates })
}

fn malformed(bytes: &[u8], error: &serde_json::Error) -> DecodeError {
    DecodeError::Malformed(json_syntax::error(bytes).unwrap_or_else(|| error.to_string()))
}

/// `unknown field "spec.foo"`
pub fn unknown_field(path: &str) -> String {
    format!("unknown field {}", crate::field::go_quote(path))
}

/// `duplicate field "spec.foo"`
fn duplicate_field(path: &str) -> String {
    format!("duplicate field {}", crate::field::go_quote(path))
}

/// Puts findings of a document, each a text of [`unknown_field`] or of [`Decoded::duplicates`],
/// into the order in which the document has their fields, as Kubernetes tells them.
pub fn in_document_order(bytes: &[u8], mut findings: Vec<String>) -> Vec<String> {
    if findings.len() < 2 {
        return findings;
    }
    let mended = json_syntax::mended(bytes).map_or(Cow::Borrowed(bytes), Cow::Owned);
    let wanted = findings.iter().map(|finding| (finding.clone(), usize::MAX)).collect();
    let mut positions = Positions { path: Trail::default(), wanted, next: 0 };
    let mut deserializer = serde_json::Deserializer::from_slice(&mended);
    // It was read before: it is read again.
    let _ = Finder(&mut positions).deserialize(&mut deserializer);
    findings.sort_by_key(|finding| positions.wanted.get(finding).copied().unwrap_or(usize::MAX));
    findings
}

/// Where in a document each finding is.
struct Positions {
    path: Trail,
    wanted: BTreeMap<String, usize>,
    next: usize,
}

impl Positions {
    fn meet(&mut self, finding: &str) {
        if let Some(position) = self.wanted.get_mut(finding).filter(|position| **position == usize::MAX) {
            *position = self.next;
            self.next += 1;
        }
    }
}

/// Visits a value at the path of the positions, and keeps nothing of it.
struct Finder<'p>(&'p mut Positions);

impl<'de> DeserializeSeed<'de> for Finder<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Finder<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for index in 0.. {
            let before = self.0.path.enter_item(index);
            let item = items.next_element_seed(Finder(self.0))?;
            self.0.path.leave(before);
            if item.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            let before = self.0.path.enter_field(&name);
            self.0.meet(&unknown_field(&self.0.path.path));
            if !names.insert(name) {
                self.0.meet(&duplicate_field(&self.0.path.path));
            }
            members.next_value_seed(Finder(self.0))?;
            self.0.path.leave(before);
        }
        Ok(())
    }
}

/// The 400 text for everything that strict decoding found (DS-I40).
pub fn strict_error(findings: &[String]) -> String {
    format!("strict decoding error: {}", findings.join(", "))
}

/// Where the reader is, and what it found.
#[derive(Default)]
struct Trail {
    path: String,
    duplicates: Vec<String>,
    reported: BTreeSet<String>,
}

impl Trail {
    /// Notes that the field at the current path was given again.
    fn report(&mut self) {
        if self.duplicates.len() < DUPLICATES_MAX && self.reported.insert(self.path.clone()) {
            self.duplicates.push(duplicate_field(&self.path));
        }
    }

    fn enter_field(&mut self, name: &str) -> usize {
        let before = self.path.len();
        if before > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        before
    }

    fn enter_item(&mut self, index: usize) -> usize {
        let before = self.path.len();
        // Writing to a string cannot fail.
        let _ = write!(self.path, "[{index}]");
        before
    }

    fn leave(&mut self, before: usize) {
        self.path.truncate(before);
    }
}

/// Reads one value at the trail's path.
struct Reader<'t>(&'t mut Trail);

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let before = self.0.enter_item(list.len());
            let item = items.next_element_seed(Reader(self.0))?;
            self.0.leave(before);
            match item {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let before = self.0.enter_field(&name);
            if map.contains_key(&name) {
                self.0.report();
            }
            let value = members.next_value_seed(Reader(self.0))?;
            match map.get_mut(&name) {
                Some(held) => merge(held, value),
                None => drop(map.insert(name, value)),
            }
            self.0.leave(before);
        }
        Ok(Value::Object(map))
    }
}

/// What is read over what the same member held before. (The depth is bounded by the reader's.)
fn merge(held: &mut Value, value: Value) {
    match (held, value) {
        (Value::Object(held), Value::Object(members)) => {
            for (name, value) in members {
                match held.get_mut(&name) {
                    Some(held) => merge(held, value),
                    None => drop(held.insert(name, value)),
                }
            }
        }
        (held, value) => *held = value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(text: &str) -> Decoded {
        decode(text.as_bytes(), BODY_BYTES_MAX).unwrap()
    }

    #[test]
    fn numbers_are_the_nearest_there_are() {
        let numbers = [
            ("9223372036854775807", "9223372036854775807"),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "1.8446744073709552e+19"),
            ("123456789012345678901234567890", "1.2345678901234568e+29"),
            ("5.46306266090147e302", "5.46306266090147e+302"),
            ("0.1000000000000000055511151231257827", "0.1"),
            ("2.2250738585072011e-308", "2.225073858507201e-308"),
            ("-0", "-0.0"),
        ];
        for (text, printed) in numbers {
            assert_eq!(read(text).value.to_string(), printed, "{text}");
        }
        assert!(decode(b"1e400", BODY_BYTES_MAX).is_err());
    }

    proptest! {
        #[test]
        fn a_number_that_was_read_is_read_again_as_the_same(text in "-?[1-9][0-9]{0,40}(\\.[0-9]{1,40})?(e-?[0-9]{1,2})?") {
            let value = read(&text).value;
            prop_assert_eq!(value.as_f64(), text.parse().ok());
            prop_assert_eq!(&read(&value.to_string()).value, &value);
        }
    }

    #[test]
    fn duplicates_are_reported_and_merged() {
        // DS-I40
        let cases: Vec<(&str, Value, Vec<&str>)> = vec![
            (r#"{"a":1,"b":2}"#, json!({"a": 1, "b": 2}), vec![]),
            (r#"{"kind":"A","kind":"B"}"#, json!({"kind": "B"}), vec!["kind"]),
            (r#"{"a":1,"a":2,"a":3}"#, json!({"a": 3}), vec!["a"]),
            (r#"{"spec":{"foo":1,"foo":2}}"#, json!({"spec": {"foo": 2}}), vec!["spec.foo"]),
            (
                r#"{"spec":{"containers":[{"name":"a"},{"name":"b","name":"c"}]}}"#,
                json!({"spec": {"containers": [{"name": "a"}, {"name": "c"}]}}),
                vec!["spec.containers[1].name"],
            ),
            (r#"{"a":{"x":1,"x":1},"a":{"x":2}}"#, json!({"a": {"x": 2}}), vec!["a.x", "a"]),
            (r#"[[{"a":1,"a":1}]]"#, json!([[{"a": 1}]]), vec!["[0][0].a"]),
            (r#"{"data":{"a":"1"},"data":{"b":"2"}}"#, json!({"data": {"a": "1", "b": "2"}}), vec!["data"]),
            (
                r#"{"m":{"name":"a","labels":{"x":"1"}},"m":{"name":"b","labels":{"y":"2"}}}"#,
                json!({"m": {"name": "b", "labels": {"x": "1", "y": "2"}}}),
                vec!["m"],
            ),
            (r#"{"c":[{"a":1}],"c":[{"b":2,"b":3}]}"#, json!({"c": [{"b": 3}]}), vec!["c", "c[0].b"]),
            (r#"{"a":{"x":1},"a":null}"#, json!({"a": null}), vec!["a"]),
        ];
        for (text, value, fields) in cases {
            let duplicates = fields.iter().map(|field| format!("duplicate field \"{field}\"")).collect();
            assert_eq!(read(text), Decoded { value, duplicates });
        }
    }

    #[test]
    fn strict_text() {
        let found = read(r#"{"a":1,"a":2,"b":1,"b":2}"#).duplicates;
        assert_eq!(strict_error(&found), r#"strict decoding error: duplicate field "a", duplicate field "b""#);
    }

    #[test]
    fn reports_are_bounded() {
        let members: Vec<String> = (0..500).map(|n| format!("\"k{n}\":1,\"k{n}\":2")).collect();
        assert_eq!(read(&format!("{{{}}}", members.join(","))).duplicates.len(), 100);
    }

    #[test]
    fn refused() {
        for text in ["", "{", "{}x", "{} {}", "{\"a\":}", "nul", "[1,]", "{a:1}", "1e999"] {
            let refused = decode(text.as_bytes(), BODY_BYTES_MAX);
            assert!(matches!(refused, Err(DecodeError::Malformed(_))), "{text}: {refused:?}");
        }
        assert!(matches!(decode(b"{} ", 2), Err(DecodeError::TooLarge { bytes_max: 2 })));
        assert!(decode(b"{}", 2).is_ok());
    }

    #[test]
    fn what_is_no_unicode_is_replaced_as_in_go() {
        for bytes in [b"\"a\xffb\"".as_slice(), br#""a\ud800b""#, br#""a\udc00b""#] {
            assert_eq!(decode(bytes, BODY_BYTES_MAX).unwrap().value, json!("a\u{fffd}b"));
        }
        assert_eq!(read(r#""\ud83d\ude00""#).value, json!("\u{1f600}"));
        assert_eq!(read(r#""\\ud800""#).value, json!("\\ud800"));
    }

    #[test]
    fn findings_are_in_the_order_of_the_document() {
        let text = r#"{"z":1,"metadata":{"bar":2,"b":1,"b":1},"spec":{"list":[{"y":1}],"foo":1},"extra":1}"#;
        let unknown = ["extra", "metadata.bar", "spec.foo", "spec.list[0].y", "z"].map(unknown_field);
        let findings = unknown.into_iter().chain(read(text).duplicates).collect();
        let mut wanted = ["z", "metadata.bar", "spec.list[0].y", "spec.foo", "extra"].map(unknown_field).to_vec();
        wanted.insert(2, duplicate_field("metadata.b"));
        assert_eq!(in_document_order(text.as_bytes(), findings), wanted);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(decode(nested(100).as_bytes(), BODY_BYTES_MAX).is_ok());
        assert!(decode(nested(200).as_bytes(), BODY_BYTES_MAX).is_err());
        assert!(decode(nested(1_000_000).as_bytes(), BODY_BYTES_MAX).is_err());
    }

    #[test]
    fn every_type_is_read_like_serde_json_reads_it() {
        let text = r#"[null,true,false,0,-1,18446744073709551615,1.5,1e3,123456789012345678901,"","é\n\u0041",{},[]]"#;
        assert_eq!(read(text).value, serde_json::from_str::<Value>(text).unwrap());
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in r#"[\[\]{}:,"a0. ]{0,40}"#) {
            let theirs = serde_json::from_str::<Value>(&text).ok();
            let ours = decode(text.as_bytes(), BODY_BYTES_MAX).ok();
            // Of members given twice, it keeps the last one whole.
            if ours.as_ref().is_none_or(|ours| ours.duplicates.is_empty()) {
                prop_assert_eq!(ours.map(|decoded| decoded.value), theirs);
            }
        }
    }
}
