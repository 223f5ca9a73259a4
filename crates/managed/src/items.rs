//! How items of lists are told apart, and what is wrong with a value of a type.

use std::fmt;

use everynode_api::field::go_quote;
use serde_json::Value;

use crate::element::{Element, Path, Scalar, printed};
use crate::schema::{Key, List, Relation};

/// What is wrong with a value of a type: one or more faults with their paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedError {
    pub(crate) faults: Vec<(Path, String)>,
}

impl TypedError {
    pub(crate) fn at(path: &[Element], message: impl Into<String>) -> TypedError {
        TypedError { faults: vec![(path.to_vec(), message.into())] }
    }
}

impl fmt::Display for TypedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentence = |(path, message): &(Path, String)| match path.is_empty() {
            true => message.clone(),
            false => format!("{}: {message}", printed(path)),
        };
        match &self.faults[..] {
            [only] => f.write_str(&sentence(only)),
            several => {
                f.write_str("errors:")?;
                several.iter().try_for_each(|fault| write!(f, "\n  {}", sentence(fault)))
            }
        }
    }
}

impl std::error::Error for TypedError {}

/// The element of an item of a list that is no single value.
pub(crate) fn element_of(list: &List, item: &Value) -> Result<Element, String> {
    match &list.relation {
        Relation::Map(keys) => keyed(keys, item),
        Relation::Set => valued(item),
        Relation::Atomic => Err("an atomic list has no elements".into()),
    }
}

fn keyed(keys: &[Key], item: &Value) -> Result<Element, String> {
    let fields = match item {
        Value::Object(fields) => fields,
        Value::Null => return Err("associative list with keys may not have a null element".into()),
        _ => return Err("associative list with keys may not have non-map elements".into()),
    };
    let mut values = Vec::with_capacity(keys.len());
    for key in keys {
        let value = match fields.get(&*key.name) {
            Some(value) => Some(Scalar::of(value).ok_or_else(|| {
                format!("associative list with keys has an element whose key field {} has parts", go_quote(&key.name))
            })?),
            None => key.default.clone(),
        };
        values.extend(value.map(|value| (key.name.clone(), value)));
    }
    if values.is_empty() {
        let names: Vec<String> = keys.iter().map(|key| go_quote(&key.name)).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default \
             values for any key fields)",
            names.join(" ")
        ));
    }
    values.sort();
    Ok(Element::Key(values))
}

fn valued(item: &Value) -> Result<Element, String> {
    match item {
        Value::Object(_) => Err("associative list without keys has an element that's a map type".into()),
        Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
        Value::Null => Err("associative list without keys has an element that's an explicit null".into()),
        value => Scalar::of(value).map(Element::Value).ok_or_else(|| "an item is no number".into()),
    }
}
