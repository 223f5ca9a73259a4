//! JSON patch (RFC 6902): a list of operations on paths, all or none (DS-I13).
//!
//! Beyond the RFC's rules three bounds hold: the number of operations, the bytes that `copy` may
//! add, and the depth of the result; without the last two a short patch could build a huge object
//! out of a small one.

#[cfg(test)]
mod tests;

use std::io::{self, Write};

use serde_json::Value;

use super::{DEPTH_MAX, PatchError, depth};

/// Most operations in one patch, as in Kubernetes.
pub const OPERATIONS_MAX: usize = 10_000;
/// Most bytes that all `copy` operations of one patch may add: the body limit (DS-I46).
pub const COPY_BYTES_MAX: usize = 3 << 20;

/// `document` with every operation of `patch` applied in order.
pub fn apply(document: &Value, patch: &Value) -> Result<Value, PatchError> {
    let operations =
        patch.as_array().ok_or_else(|| PatchError::malformed("a JSON patch must be a list of operations"))?;
    if operations.len() > OPERATIONS_MAX {
        let count = operations.len();
        let text = format!(
            "Request entity too large: The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {count}"
        );
        return Err(PatchError::TooLarge(text));
    }
    let mut work = Work { document: document.clone(), copied_bytes: 0 };
    for operation in operations {
        work.run(operation)?;
    }
    Ok(work.document)
}

struct Work {
    document: Value,
    copied_bytes: usize,
}

impl Work {
    fn run(&mut self, operation: &Value) -> Result<(), PatchError> {
        let path = Pointer::member(operation, "path")?;
        match operation.get("op").and_then(Value::as_str) {
            Some("add") => self.add("add", &path, member(operation, "value")?.clone()),
            Some("remove") => self.remove("remove", &path).map(drop),
            Some("replace") => self.replace(&path, member(operation, "value")?.clone()),
            Some("move") => {
                let value = self.remove("move", &Pointer::member(operation, "from")?)?;
                self.add("move", &path, value)
            }
            Some("copy") => self.copy(&Pointer::member(operation, "from")?, &path),
            Some("test") => self.test(&path, operation.get("value").unwrap_or(&Value::Null)),
            Some(other) => Err(PatchError::unprocessable(format!("Unexpected kind: {other}"))),
            None => Err(PatchError::unprocessable("Unexpected kind: unknown")),
        }
    }

    fn add(&mut self, operation: &str, path: &Pointer, value: Value) -> Result<(), PatchError> {
        if path.tokens.len() + depth(&value) > DEPTH_MAX {
            return Err(PatchError::unprocessable(format!(
                "the result would be nested deeper than {DEPTH_MAX} levels"
            )));
        }
        let Some((last, parents)) = path.tokens.split_last() else {
            self.document = value;
            return Ok(());
        };
        match find_mut(&mut self.document, parents) {
            Some(Value::Object(members)) => {
                members.insert(last.clone(), value);
            }
            Some(Value::Array(items)) => {
                let index = match last.as_str() {
                    "-" => items.len(),
                    token => index(token, items.len() + 1).ok_or_else(|| bad_index(token))?,
                };
                items.insert(index, value);
            }
            _ => return Err(missing(operation, "path", path)),
        }
        Ok(())
    }

    fn remove(&mut self, operation: &str, path: &Pointer) -> Result<Value, PatchError> {
        let role = if operation == "move" { "from path" } else { "path" };
        let Some((last, parents)) = path.tokens.split_last() else {
            return Ok(self.document.take());
        };
        let removed = match find_mut(&mut self.document, parents) {
            Some(Value::Object(members)) => members.remove(last),
            Some(Value::Array(items)) => index(last, items.len()).map(|index| items.remove(index)),
            _ => None,
        };
        removed.ok_or_else(|| missing(operation, role, path))
    }

    fn replace(&mut self, path: &Pointer, value: Value) -> Result<(), PatchError> {
        if path.tokens.len() + depth(&value) > DEPTH_MAX {
            return Err(PatchError::unprocessable(format!(
                "the result would be nested deeper than {DEPTH_MAX} levels"
            )));
        }
        let Some((last, parents)) = path.tokens.split_last() else {
            self.document = value;
            return Ok(());
        };
        match find_mut(&mut self.document, parents) {
            // As in Kubernetes, and unlike the RFC, a member that is not there is made.
            Some(Value::Object(members)) => drop(members.insert(last.clone(), value)),
            Some(Value::Array(items)) => {
                let place = index(last, items.len()).and_then(|index| items.get_mut(index));
                *place.ok_or_else(|| missing("replace", "key", path))? = value;
            }
            _ => return Err(missing("replace", "path", path)),
        }
        Ok(())
    }

    fn copy(&mut self, from: &Pointer, path: &Pointer) -> Result<(), PatchError> {
        let value = find(&self.document, &from.tokens).ok_or_else(|| missing("copy", "from path", from))?.clone();
        self.copied_bytes += encoded_length(&value);
        if self.copied_bytes > COPY_BYTES_MAX {
            let bytes = self.copied_bytes;
            let text = format!(
                "Unable to complete the copy, the accumulated size increase of copy is {bytes}, \
                 exceeding the limit {COPY_BYTES_MAX}"
            );
            return Err(PatchError::TooLarge(text));
        }
        self.add("copy", path, value)
    }

    fn test(&self, path: &Pointer, expected: &Value) -> Result<(), PatchError> {
        let found = find(&self.document, &path.tokens);
        match found.map_or(expected.is_null(), |found| found == expected) {
            true => Ok(()),
            false => Err(PatchError::unprocessable(format!("testing value {} failed: test failed", path.text))),
        }
    }
}

fn member<'v>(operation: &'v Value, name: &str) -> Result<&'v Value, PatchError> {
    operation.get(name).ok_or_else(|| PatchError::unprocessable(format!("a JSON patch operation lacks its {name}")))
}

fn missing(operation: &str, role: &str, path: &Pointer) -> PatchError {
    let text = &path.text;
    PatchError::unprocessable(format!(
        "{operation} operation does not apply: doc is missing {role}: {text}: missing value"
    ))
}

fn bad_index(token: &str) -> PatchError {
    PatchError::unprocessable(format!("Unable to access invalid index: {token}: invalid index referenced"))
}

/// A JSON pointer (RFC 6901).
struct Pointer {
    text: String,
    tokens: Vec<String>,
}

impl Pointer {
    fn member(operation: &Value, name: &str) -> Result<Pointer, PatchError> {
        let text = member(operation, name)?.as_str().unwrap_or("?");
        match text.strip_prefix('/') {
            Some(rest) => Ok(Pointer { text: text.to_owned(), tokens: rest.split('/').map(unescape).collect() }),
            None if text.is_empty() => Ok(Pointer { text: String::new(), tokens: Vec::new() }),
            None => Err(PatchError::unprocessable(format!("a JSON pointer must start with '/': {text}"))),
        }
    }
}

fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

/// A list index below `limit`, written without leading zeros.
fn index(token: &str, limit: usize) -> Option<usize> {
    let plain = token == "0" || !token.starts_with(['0', '+']);
    token.parse().ok().filter(|index| plain && *index < limit)
}

fn find<'v>(document: &'v Value, tokens: &[String]) -> Option<&'v Value> {
    tokens.iter().try_fold(document, |value, token| match value {
        Value::Object(members) => members.get(token),
        Value::Array(items) => items.get(index(token, items.len())?),
        _ => None,
    })
}

fn find_mut<'v>(document: &'v mut Value, tokens: &[String]) -> Option<&'v mut Value> {
    tokens.iter().try_fold(document, |value, token| match value {
        Value::Object(members) => members.get_mut(token),
        Value::Array(items) => {
            let index = index(token, items.len())?;
            items.get_mut(index)
        }
        _ => None,
    })
}

/// How many bytes `value` takes as JSON.
fn encoded_length(value: &Value) -> usize {
    let mut counter = Counter(0);
    // Neither the counter nor a JSON value can fail.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
