//! Sets of fields as JSON: the form `FieldsV1` of `metadata.managedFields`.

use std::sync::Arc;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::element::{Element, Scalar};
use crate::set::{FieldSet, Node};

/// How deep a set may be. An object's depth is bounded by its decoder at 128 levels.
const DEPTH_MAX: usize = 128;

/// How many elements a set may have: an object of 3 MiB has fewer fields.
const ELEMENTS_MAX: usize = 200_000;

/// Why JSON is no set of fields.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FieldsV1Error {
    #[error("a set of fields is a JSON object")]
    NoObject,
    #[error("a set of fields is at most {DEPTH_MAX} levels deep")]
    TooDeep,
    #[error("a set of fields has at most {ELEMENTS_MAX} elements")]
    TooLarge,
    #[error("missing key prefix: {0:?}")]
    NoPrefix(String),
    #[error("an item's keys are a JSON object of values without parts: {0:?}")]
    Keys(String),
    #[error("an item's value is JSON without parts: {0:?}")]
    Value(String),
    #[error("an index is an integer: {0:?}")]
    Index(String),
}

impl FieldSet {
    /// Reads a set. Elements of unknown kinds are left out.
    pub fn from_json(fields: &Value) -> Result<FieldSet, FieldsV1Error> {
        let mut left = ELEMENTS_MAX;
        Ok(read(fields, 0, &mut left)?.children)
    }

    /// The set as JSON, in its canonical form.
    pub fn to_json(&self) -> Value {
        Value::Object(self.object(false))
    }

    fn object(&self, member: bool) -> Map<String, Value> {
        let mut object = Map::new();
        if member && !self.is_empty() {
            object.insert(".".into(), Value::Object(Map::new()));
        }
        for (element, node) in &self.nodes {
            object.insert(element.to_key(), Value::Object(node.children.object(node.member)));
        }
        object
    }

    /// The canonical form as text, in the order of elements.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.write(false, &mut text);
        text
    }

    fn write(&self, member: bool, text: &mut String) {
        text.push('{');
        let mut first = true;
        let mut separate = |text: &mut String| {
            if !std::mem::take(&mut first) {
                text.push(',')
            }
        };
        if member && !self.is_empty() {
            separate(text);
            text.push_str("\".\":{}");
        }
        for (element, node) in &self.nodes {
            separate(text);
            text.push_str(&Value::String(element.to_key()).to_string());
            text.push(':');
            node.children.write(node.member, text);
        }
        text.push('}');
    }
}

/// A node and all below it. What has nothing below it is a member.
fn read(fields: &Value, depth: usize, left: &mut usize) -> Result<Node, FieldsV1Error> {
    let empty = Map::new();
    let object = match fields {
        Value::Object(object) => object,
        Value::Null => &empty,
        _ => return Err(FieldsV1Error::NoObject),
    };
    if depth > DEPTH_MAX {
        return Err(FieldsV1Error::TooDeep);
    }
    *left = left.checked_sub(object.len()).ok_or(FieldsV1Error::TooLarge)?;
    let mut node = Node::default();
    for (key, below) in object {
        if key == "." {
            node.member = true;
        } else if let Some(element) = Element::from_key(key)? {
            node.children.nodes.insert(element, read(below, depth + 1, left)?);
        }
    }
    node.member |= node.children.is_empty();
    Ok(node)
}

impl Element {
    /// `f:name`, `k:{"key":"value"}`, `v:"value"`, `i:0`.
    fn to_key(&self) -> String {
        match self {
            Element::Field(name) => format!("f:{name}"),
            Element::Key(fields) => {
                let object = fields.iter().map(|(name, value)| (name.to_string(), value.to_json()));
                format!("k:{}", Value::Object(object.collect()))
            }
            Element::Value(value) => format!("v:{}", value.to_json()),
            Element::Index(index) => format!("i:{index}"),
        }
    }

    /// `None`: a kind that later versions may know.
    fn from_key(key: &str) -> Result<Option<Element>, FieldsV1Error> {
        let Some((prefix, rest)) = key.split_at_checked(2).filter(|(prefix, _)| prefix.ends_with(':')) else {
            return Err(FieldsV1Error::NoPrefix(key.into()));
        };
        Ok(Some(match prefix {
            "f:" => Element::Field(rest.into()),
            "k:" => Element::Key(keys(rest).ok_or_else(|| FieldsV1Error::Keys(rest.into()))?),
            "v:" => {
                let scalar = serde_json::from_str(rest).ok().and_then(|value: Value| Scalar::of(&value));
                Element::Value(scalar.ok_or_else(|| FieldsV1Error::Value(rest.into()))?)
            }
            "i:" => Element::Index(rest.parse().map_err(|_| FieldsV1Error::Index(rest.into()))?),
            _ => return Ok(None),
        }))
    }
}

fn keys(text: &str) -> Option<Vec<(Arc<str>, Scalar)>> {
    let object: Map<String, Value> = serde_json::from_str(text).ok()?;
    let fields = object.iter().map(|(name, value)| Some((name.as_str().into(), Scalar::of(value)?)));
    fields.collect::<Option<Vec<_>>>().filter(|fields| !fields.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read_text(text: &str) -> Result<FieldSet, FieldsV1Error> {
        FieldSet::from_json(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn what_is_read_is_written_alike() {
        for text in [
            "{}",
            r#"{"f:data":{".":{},"f:x":{}}}"#,
            r#"{"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{}}}}}"#,
            r#"{"f:metadata":{"f:finalizers":{".":{},"v:\"a.b/c\"":{}}},"f:x":{"i:0":{}}}"#,
        ] {
            let set = read_text(text).unwrap();
            assert_eq!(set.to_text(), text);
            assert_eq!(set.to_json(), serde_json::from_str::<Value>(text).unwrap());
        }
    }

    #[test]
    fn other_forms_become_the_canonical_one() {
        let canonical = |text| read_text(text).unwrap().to_text();
        assert_eq!(canonical(r#"{"f:a":null,"f:b":{".":{}}}"#), r#"{"f:a":{},"f:b":{}}"#);
        assert_eq!(canonical(r#"{"k:{\"b\":1.0,\"a\":true}":{}}"#), r#"{"k:{\"a\":true,\"b\":1}":{}}"#);
        assert_eq!(canonical(r#"{"x:later":{"f:a":{}},"f:b":{}}"#), r#"{"f:b":{}}"#);
    }

    #[test]
    fn hostile_sets_are_refused_with_what_is_wrong() {
        let refused = |value: Value| FieldSet::from_json(&value).unwrap_err();
        assert_eq!(refused(json!([])), FieldsV1Error::NoObject);
        assert_eq!(refused(json!({"f:a": 1})), FieldsV1Error::NoObject);
        assert_eq!(refused(json!({"a": {}})), FieldsV1Error::NoPrefix("a".into()));
        assert_eq!(refused(json!({"\u{e4}x": {}})), FieldsV1Error::NoPrefix("\u{e4}x".into()));
        assert_eq!(refused(json!({"k:{}": {}})), FieldsV1Error::Keys("{}".into()));
        assert_eq!(refused(json!({"k:{\"a\":[]}": {}})), FieldsV1Error::Keys("{\"a\":[]}".into()));
        assert_eq!(refused(json!({"v:{}": {}})), FieldsV1Error::Value("{}".into()));
        assert_eq!(refused(json!({"i:x": {}})), FieldsV1Error::Index("x".into()));
        let deep = (0..200).fold(json!({}), |below, _| json!({ "f:a": below }));
        assert_eq!(refused(deep), FieldsV1Error::TooDeep);
        let wide: Map<String, Value> = (0..=ELEMENTS_MAX).map(|index| (format!("i:{index}"), Value::Null)).collect();
        assert_eq!(refused(Value::Object(wide)), FieldsV1Error::TooLarge);
    }

    proptest! {
        #[test]
        fn any_set_survives_its_text(set in crate::testkit::any_set()) {
            prop_assert_eq!(FieldSet::from_json(&set.to_json()), Ok(set.clone()));
            prop_assert_eq!(read_text(&set.to_text()), Ok(set));
        }

        #[test]
        fn sets_obey_their_algebra(one in crate::testkit::any_set(), two in crate::testkit::any_set()) {
            let (both, shared) = (one.clone().union(&two), one.intersection(&two));
            let only = one.clone().difference(&two);
            prop_assert_eq!(&two.clone().union(&one), &both);
            prop_assert_eq!(two.intersection(&one), shared.clone());
            prop_assert_eq!(only.len() + shared.len(), one.len());
            prop_assert_eq!(both.len(), one.len() + two.len() - shared.len());
            prop_assert_eq!(only.union(&shared), one.clone());
            prop_assert!(one.recursive_difference(&two).intersection(&two).is_empty());
        }
    }
}
