//! From the parser's events to a JSON value.

use std::collections::BTreeMap;

use granit_parser::{Event, ScalarStyle};
use serde_json::{Map, Value};

use super::scalar::Scalar;
use super::{ALIASED_VALUES_MAX, DEPTH_MAX, Document, YamlError};

/// Most duplicate keys that are told of.
const DUPLICATES_MAX: usize = 100;

/// One document in the making.
#[derive(Default)]
pub(super) struct Builder {
    /// Lists and maps that are open, the outermost first.
    open: Vec<Open>,
    /// Values with an anchor, by the parser's number of it.
    anchors: BTreeMap<usize, Anchored>,
    aliased_values: usize,
    duplicates: Vec<String>,
    root: Value,
}

/// What an alias stands for: a value, and the scalar that it was, since a key reads it otherwise.
#[derive(Clone)]
struct Anchored {
    value: Value,
    scalar: Option<Scalar>,
}

struct Open {
    anchor: usize,
    collection: Collection,
}

enum Collection {
    List(Vec<Value>),
    Map { members: Map<String, Value>, key: Option<Key> },
}

enum Key {
    Name(String),
    Merge,
}

impl Builder {
    /// Takes the next event, which stands on the given line.
    pub(super) fn add(&mut self, event: Event<'_>, line: usize) -> Result<(), YamlError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = Scalar::read(&text, style == ScalarStyle::Plain, tag.as_deref());
                let scalar = scalar.map_err(|message| YamlError::Value { line, message })?;
                self.scalar(scalar, anchor, line)
            }
            Event::SequenceStart(_, anchor, _) => self.open(anchor, Collection::List(Vec::new()), line),
            Event::MappingStart(_, anchor, _) => {
                self.open(anchor, Collection::Map { members: Map::new(), key: None }, line)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(line),
            Event::Alias(anchor) => self.alias(anchor, line),
            _ => Ok(()),
        }
    }

    pub(super) fn finish(self) -> Document {
        Document { value: self.root, duplicates: self.duplicates }
    }

    fn scalar(&mut self, scalar: Scalar, anchor: usize, line: usize) -> Result<(), YamlError> {
        if anchor > 0 {
            // A value that JSON has not may still be a key.
            let value = scalar.clone().value().unwrap_or_default();
            self.anchors.insert(anchor, Anchored { value, scalar: Some(scalar.clone()) });
        }
        if !self.key_is_next() {
            let value = scalar.value().map_err(|message| YamlError::Value { line, message })?;
            return self.value(value, line);
        }
        let key = match scalar {
            Scalar::Merge => Key::Merge,
            scalar => Key::Name(scalar.key().map_err(|message| YamlError::Value { line, message })?),
        };
        if let Some(Open { collection: Collection::Map { members, key: next }, .. }) = self.open.last_mut() {
            if let Key::Name(name) = &key
                && members.contains_key(name)
                && self.duplicates.len() < DUPLICATES_MAX
            {
                let name = crate::field::go_quote(name);
                self.duplicates.push(format!("line {line}: key {name} already set in map"));
            }
            *next = Some(key);
        }
        Ok(())
    }

    fn key_is_next(&self) -> bool {
        matches!(self.open.last(), Some(Open { collection: Collection::Map { key: None, .. }, .. }))
    }

    fn open(&mut self, anchor: usize, collection: Collection, line: usize) -> Result<(), YamlError> {
        if self.key_is_next() {
            return Err(YamlError::Value { line, message: "invalid map key: a list or map cannot be one".into() });
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(YamlError::TooDeep { line });
        }
        self.open.push(Open { anchor, collection });
        Ok(())
    }

    fn close(&mut self, line: usize) -> Result<(), YamlError> {
        let Some(Open { anchor, collection }) = self.open.pop() else { return Ok(()) };
        let value = match collection {
            Collection::List(items) => Value::Array(items),
            Collection::Map { members, .. } => Value::Object(members),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, Anchored { value: value.clone(), scalar: None });
        }
        self.value(value, line)
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Result<(), YamlError> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            // The parser knows the anchor, so it is one that is still open.
            return Err(YamlError::Value { line, message: "an anchor's value contains itself".into() });
        };
        self.aliased_values += count(&anchored.value);
        if self.aliased_values > ALIASED_VALUES_MAX {
            return Err(YamlError::TooManyAliases { line });
        }
        match anchored.clone() {
            Anchored { scalar: Some(scalar), .. } => self.scalar(scalar, 0, line),
            _ if self.key_is_next() => {
                Err(YamlError::Value { line, message: "invalid map key: a list or map cannot be one".into() })
            }
            Anchored { value, scalar: None } => {
                if self.open.len() + depth(&value) > DEPTH_MAX {
                    return Err(YamlError::TooDeep { line });
                }
                self.value(value, line)
            }
        }
    }

    /// Puts a finished value where it belongs.
    fn value(&mut self, value: Value, line: usize) -> Result<(), YamlError> {
        match self.open.last_mut().map(|open| &mut open.collection) {
            None => self.root = value,
            Some(Collection::List(items)) => items.push(value),
            Some(Collection::Map { members, key }) => match key.take() {
                Some(Key::Name(name)) => drop(members.insert(name, value)),
                Some(Key::Merge) => merge(members, value).map_err(|message| YamlError::Value { line, message })?,
                // A value is a key's: `scalar` and `open` have seen to that.
                None => {}
            },
        }
        Ok(())
    }
}

/// Adds the members of a map, or of several of which the first counts. Whoever stands later in the
/// text wins over what is there, as in Go's library.
fn merge(members: &mut Map<String, Value>, value: Value) -> Result<(), String> {
    let sources = match value {
        Value::Object(source) => vec![Value::Object(source)],
        Value::Array(sources) => sources,
        _ => Vec::from([Value::Null]),
    };
    for source in sources.into_iter().rev() {
        let Value::Object(source) = source else {
            return Err("map merge requires map or sequence of maps as the value".into());
        };
        members.extend(source);
    }
    Ok(())
}

/// How many values there are in a value, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
