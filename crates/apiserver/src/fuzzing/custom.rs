//! Definitions of custom resources, and objects of them.

use std::sync::LazyLock;

use everynode_api::decode::{BODY_BYTES_MAX, decode};
use everynode_managed::FieldSet;
use everynode_store::{KeyValue, Revision};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::catalogue::{Row, RowRef};
use crate::custom::{definition, rows};
use crate::hub::Item;
use crate::schema::{self, FieldValidation, Media};
use crate::tables::{IncludeObject, table};

static DEFINITIONS: LazyLock<Row> = LazyLock::new(definition::row);

/// A definition and an object, in JSON, divided by a line end. The definition is checked as in a
/// create; what is accepted makes rows, and by each of them the object is read, checked, applied and
/// shown. What was read once is read again as the same.
pub fn custom_object(data: &[u8]) {
    let Some(at) = data.iter().position(|byte| *byte == b'\n') else { return };
    let Some(definition) = established(&data[..at]) else { return };
    let Ok(object) = decode(&data[at + 1..], BODY_BYTES_MAX) else { return };
    let defined = rows::rows(&definition);
    assert!(defined.is_some(), "a definition that was accepted makes no rows: {definition}");
    for row in defined.into_iter().flat_map(|defined| defined.served) {
        one(&row, object.value.clone());
    }
}

/// The definition as it is stored once its names were accepted, unless it is refused.
fn established(bytes: &[u8]) -> Option<Value> {
    let row = &*DEFINITIONS;
    let (mut definition, _) = schema::decode(row, bytes, Media::Json, FieldValidation::Warn).ok()?;
    schema::default(row, &mut definition);
    if !schema::validate_create(row, &definition).is_empty() {
        return None;
    }
    let accepted = definition["spec"]["names"].clone();
    definition["status"] =
        json!({"acceptedNames": accepted, "conditions": [{"type": "Established", "status": "True"}]});
    Some(definition)
}

fn one(row: &RowRef, mut object: Value) {
    let Some(members) = object.as_object_mut() else { return };
    members.insert("apiVersion".to_owned(), row.kind.api_version().into());
    members.insert("kind".to_owned(), row.kind.kind.to_string().into());
    let Ok((value, _)) = schema::decode_value(&**row, object, FieldValidation::Warn) else { return };
    let again = schema::decode_value(&**row, value.clone(), FieldValidation::Strict);
    assert!(again.as_ref().is_ok_and(|(again, _)| *again == value), "read again {value} is {again:?}");
    let _ = schema::validate_create(row, &value);
    let _ = schema::validate_update(row, &value, &value);
    if let Some(custom) = &row.custom
        && let Some(of_version) = custom.apply_types.get(&row.kind.api_version())
        && let root = of_version.root()
        && let Ok(set) = everynode_managed::validate(root.schema, root.id, &value)
    {
        assert_eq!(FieldSet::from_json(&set.to_json()).as_ref(), Ok(&set), "{value}");
    }
    let key = format!("/registry/{}/default/a", row.storage);
    let (created, modified) = (Revision(1), Revision(2));
    let stored = KeyValue { key: key.into(), value: value.to_string().into(), created, modified };
    let _ = Item::new(row, stored).selectable();
    let _ = table(row, vec![value], Value::Null, IncludeObject::Metadata, true, Timestamp::UNIX_EPOCH);
}
