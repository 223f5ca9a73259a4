//! The bytes of a stored object.
//!
//! A store value never contains its own resourceVersion: the store's revision is it. On the way out
//! the version is spliced in by copying, without parsing. That works because [`encode_stored`]
//! fixes the layout:
//!
//! ```text
//! {"kind":"…","apiVersion":"…","metadata":{ members, sorted },"spec":…  everything else, sorted }
//!                                          ^ here goes "resourceVersion":"N",
//! ```
//!
//! Only string members `kind` and `apiVersion` may precede `metadata`. Inside a JSON string the
//! quotes of the marker would be escaped, so its first occurrence is always the right one. Equal
//! objects give equal bytes.

use std::io::Write;

use serde_json::{Map, Value};

const MARKER: &[u8] = b"\"metadata\":{";
const VERSION_KEY: &str = "resourceVersion";

/// The bytes to store for `object`: deterministic, `metadata` near the front and without
/// resourceVersion. `metadata` that is absent or no object is stored as `{}`; something that is no
/// object at all is stored as if empty.
pub fn encode_stored(object: &Value) -> Vec<u8> {
    encode(object, |_| None)
}

/// As [`encode_stored`], with a member's text (which is part of a stored object already) in place
/// of its value.
pub fn encode_stored_with(object: &Value, member: &str, text: &[u8]) -> Vec<u8> {
    encode(object, |key| (key == member).then_some(text))
}

fn encode<'a>(object: &Value, text_of: impl Fn(&str) -> Option<&'a [u8]>) -> Vec<u8> {
    let empty = Map::new();
    let members = object.as_object().unwrap_or(&empty);
    let metadata = members.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
    let mut out = Vec::with_capacity(1024);
    out.push(b'{');
    for key in ["kind", "apiVersion"] {
        if let Some(value @ Value::String(_)) = members.get(key) {
            push_member(&mut out, key, value);
            out.push(b',');
        }
    }
    out.extend_from_slice(MARKER);
    push_members(&mut out, metadata.iter().filter(|(key, _)| *key != VERSION_KEY));
    out.push(b'}');
    for (key, value) in members.iter().filter(|(key, value)| !is_leading(key, value)) {
        out.push(b',');
        match text_of(key) {
            Some(text) => {
                push_json(&mut out, key);
                out.push(b':');
                out.extend_from_slice(text);
            }
            None => push_member(&mut out, key, value),
        }
    }
    out.push(b'}');
    out
}

/// The stored bytes with `"resourceVersion":"<revision>"` as the first member of `metadata`.
pub fn splice_resource_version(stored: &[u8], revision: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(stored.len() + 48);
    splice_resource_version_into(&mut out, stored, revision);
    out
}

/// As [`splice_resource_version`], appended to `out`: lists are assembled without intermediate
/// copies. Bytes that [`encode_stored`] did not make and that lack its marker are appended
/// unchanged.
pub fn splice_resource_version_into(out: &mut Vec<u8>, stored: &[u8], revision: u64) {
    let Some(at) = metadata_start(stored) else {
        return out.extend_from_slice(stored);
    };
    let (head, tail) = stored.split_at(at);
    out.extend_from_slice(head);
    let separator = if tail.starts_with(b"}") { "" } else { "," };
    // Writing to a vector cannot fail.
    let _ = write!(out, "\"{VERSION_KEY}\":\"{revision}\"{separator}");
    out.extend_from_slice(tail);
}

/// As [`splice_resource_version_into`], without `kind` and `apiVersion`: the items of a list have
/// none, as the list says what they are.
pub fn splice_item_into(out: &mut Vec<u8>, stored: &[u8], revision: u64) {
    let Some(at) = metadata_start(stored) else {
        return out.extend_from_slice(stored);
    };
    out.push(b'{');
    splice_resource_version_into(out, &stored[at - MARKER.len()..], revision);
}

/// The offset just behind the brace that opens `metadata`.
fn metadata_start(stored: &[u8]) -> Option<usize> {
    let at = stored.windows(MARKER.len()).position(|window| window == MARKER)?;
    Some(at + MARKER.len())
}

fn is_leading(key: &str, value: &Value) -> bool {
    key == "metadata" || (matches!(key, "kind" | "apiVersion") && value.is_string())
}

fn push_members<'a>(out: &mut Vec<u8>, members: impl Iterator<Item = (&'a String, &'a Value)>) {
    for (position, (key, value)) in members.enumerate() {
        if position > 0 {
            out.push(b',');
        }
        push_member(out, key, value);
    }
}

fn push_member(out: &mut Vec<u8>, key: &str, value: &Value) {
    push_json(out, key);
    out.push(b':');
    push_json(out, value);
}

/// Encoding into memory fails only for maps without string keys, which JSON values do not have.
fn push_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn stored(value: Value) -> String {
        String::from_utf8(encode_stored(&value)).unwrap()
    }

    fn spliced(value: Value, revision: u64) -> String {
        String::from_utf8(splice_resource_version(&encode_stored(&value), revision)).unwrap()
    }

    #[test]
    fn layout() {
        let cases = [
            (
                json!({"spec": {"b": 1, "a": [null]}, "apiVersion": "v1", "metadata":
                    {"name": "x", "resourceVersion": "7", "annotations": {}}, "kind": "Pod", "data": "é\n"}),
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"annotations":{},"name":"x"},"data":"é\n","spec":{"a":[null],"b":1}}"#,
            ),
            (json!({"metadata": {"resourceVersion": "7"}}), r#"{"metadata":{}}"#),
            (json!({"kind": "A"}), r#"{"kind":"A","metadata":{}}"#),
            (json!({"metadata": null, "x": 1}), r#"{"metadata":{},"x":1}"#),
            (json!({"kind": {"metadata": {}}}), r#"{"metadata":{},"kind":{"metadata":{}}}"#),
            (json!([]), r#"{"metadata":{}}"#),
        ];
        for (value, text) in cases {
            assert_eq!(stored(value), text);
        }
    }

    #[test]
    fn splices() {
        let cases = [
            (
                json!({"kind": "Pod", "metadata": {"name": "x"}}),
                r#"{"kind":"Pod","metadata":{"resourceVersion":"42","name":"x"}}"#,
            ),
            (json!({"kind": "A"}), r#"{"kind":"A","metadata":{"resourceVersion":"42"}}"#),
            (
                json!({"kind": "\"metadata\":{", "metadata": {"a": 1}}),
                r#"{"kind":"\"metadata\":{","metadata":{"resourceVersion":"42","a":1}}"#,
            ),
            (
                json!({"kind": {"metadata": {}}, "spec": {"metadata": {"a": 1}}}),
                r#"{"metadata":{"resourceVersion":"42"},"kind":{"metadata":{}},"spec":{"metadata":{"a":1}}}"#,
            ),
        ];
        for (value, text) in cases {
            assert_eq!(spliced(value, 42), text);
        }
        assert_eq!(splice_resource_version(b"null", 1), b"null");
        assert!(spliced(json!({}), u64::MAX).contains("18446744073709551615"));
    }

    #[test]
    fn splicing_appends() {
        let mut out = b"[".to_vec();
        splice_resource_version_into(&mut out, &encode_stored(&json!({})), 1);
        assert_eq!(out, br#"[{"metadata":{"resourceVersion":"1"}}"#);
    }

    #[test]
    fn items_of_lists_do_not_say_what_they_are() {
        let mut out = Vec::new();
        let object = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}, "spec": {"kind": 1}});
        splice_item_into(&mut out, &encode_stored(&object), 7);
        assert_eq!(out, br#"{"metadata":{"resourceVersion":"7","name":"a"},"spec":{"kind":1}}"#);
    }

    #[test]
    fn a_member_may_be_given_as_text() {
        let object = json!({"kind": "Pod", "metadata": {"name": "a"}, "spec": {"x": [1]}, "status": {}});
        let whole = encode_stored(&object);
        let aside = json!({"kind": "Pod", "metadata": {"name": "a"}, "spec": null, "status": {}});
        assert_eq!(encode_stored_with(&aside, "spec", br#"{"x":[1]}"#), whole);
    }

    /// Determinism rests on serde_json's map being sorted, that is, on no crate asking for
    /// `preserve_order`.
    #[test]
    fn json_maps_are_sorted() {
        let value: Value = serde_json::from_str(r#"{"b":1,"a":2}"#).unwrap();
        assert_eq!(value.to_string(), r#"{"a":2,"b":1}"#);
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z\"\\\\{}:é]{0,12}",
            Just("metadata".to_owned()),
            Just("kind".to_owned()),
            Just("apiVersion".to_owned()),
            Just("resourceVersion".to_owned()),
            Just("\"metadata\":{".to_owned()),
        ]
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(text(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn stored_and_spliced_objects_mean_the_same(object in value(), revision: u64) {
            let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
            let mut expected = object.clone();
            if !expected.is_object() {
                expected = json!({});
            }
            if !expected["metadata"].is_object() {
                expected["metadata"] = json!({});
            }
            expected["metadata"].as_object_mut().unwrap().remove(VERSION_KEY);
            let bytes = encode_stored(&object);
            prop_assert_eq!(&read(&bytes), &expected);
            prop_assert_eq!(encode_stored(&expected), bytes.clone());
            expected["metadata"][VERSION_KEY] = revision.to_string().into();
            prop_assert_eq!(read(&splice_resource_version(&bytes, revision)), expected);
        }
    }
}
