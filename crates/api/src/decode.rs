//! Reading JSON from a client: bounded, and remembering every member that was given twice.
//!
//! The last of several members of one name wins, as in Kubernetes; whether the duplicates are an
//! error, a warning or nothing is for `fieldValidation` to say (DS-I40). Unknown fields are found
//! elsewhere: they need the schema.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

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
    /// No JSON, JSON followed by something else, or nested deeper than 128 levels: 400.
    #[error("json parse error")]
    Malformed(#[source] serde_json::Error),
}

/// Reads one JSON document of at most `bytes_max` bytes and 128 levels.
pub fn decode(bytes: &[u8], bytes_max: usize) -> Result<Decoded, DecodeError> {
    if bytes.len() > bytes_max {
        return Err(DecodeError::TooLarge { bytes_max });
    }
    let mut trail = Trail::default();
    // serde_json itself bounds the depth, so the recursion below is bounded too.
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Reader(&mut trail).deserialize(&mut deserializer).map_err(DecodeError::Malformed)?;
    deserializer.end().map_err(DecodeError::Malformed)?;
    Ok(Decoded { value, duplicates: trail.duplicates })
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
            self.duplicates.push(format!("duplicate field {}", crate::field::go_quote(&self.path)));
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
            let value = members.next_value_seed(Reader(self.0))?;
            if map.insert(name, value).is_some() {
                self.0.report();
            }
            self.0.leave(before);
        }
        Ok(Value::Object(map))
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
    fn duplicates_are_reported_and_the_last_wins() {
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
        for text in ["", "{", "{}x", "{} {}", "{\"a\":}", "nul", "[1,]", "{a:1}", "\"\\ud800\"", "1e999"] {
            let refused = decode(text.as_bytes(), BODY_BYTES_MAX);
            assert!(matches!(refused, Err(DecodeError::Malformed(_))), "{text}: {refused:?}");
        }
        assert!(matches!(decode(b"{} ", 2), Err(DecodeError::TooLarge { bytes_max: 2 })));
        assert!(decode(b"{}", 2).is_ok());
        assert!(decode(b"\"\xff\"", 9).is_err());
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
            prop_assert_eq!(decode(text.as_bytes(), BODY_BYTES_MAX).ok().map(|d| d.value), theirs);
        }
    }
}
