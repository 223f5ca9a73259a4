//! Field paths and field errors: how Kubernetes says which part of an object is wrong.
//!
//! A validator walks an object with a [`Path`] and collects [`FieldError`]s. Each error becomes one
//! cause of a 422 `Invalid` status and one piece of its message, word for word as Kubernetes prints
//! it (DS-I42, DS-I43): clients rely on the reasons, scripts on the text.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// Where in an object a value sits, printed as `spec.template.spec.containers[0].image`.
///
/// Cheap to clone and to extend; extending never changes the original.
#[derive(Clone, Debug, Default)]
pub struct Path(Option<Arc<Segment>>);

#[derive(Debug)]
struct Segment {
    parent: Path,
    name: Name,
}

#[derive(Debug)]
enum Name {
    Field(Cow<'static, str>),
    Subscript(String),
}

impl Path {
    /// A path of one field below the object's root.
    pub fn new(field: impl Into<Cow<'static, str>>) -> Path {
        Path::nil().child(field)
    }

    /// The path of the object itself. It prints as `<nil>`, as Go's nil path does.
    pub fn nil() -> Path {
        Path(None)
    }

    /// The field `name` of what this path denotes.
    #[must_use]
    pub fn child(&self, name: impl Into<Cow<'static, str>>) -> Path {
        self.extend(Name::Field(name.into()))
    }

    /// The list element at `index`, counted from 0.
    #[must_use]
    pub fn index(&self, index: usize) -> Path {
        self.extend(Name::Subscript(index.to_string()))
    }

    /// The map entry under `key`.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Path {
        self.extend(Name::Subscript(key.into()))
    }

    fn extend(&self, name: Name) -> Path {
        Path(Some(Arc::new(Segment { parent: self.clone(), name })))
    }

    fn segments(&self) -> Vec<&Name> {
        let mut names = Vec::new();
        let mut next = self.0.as_deref();
        while let Some(segment) = next {
            names.push(&segment.name);
            next = segment.parent.0.as_deref();
        }
        names.reverse();
        names
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let segments = self.segments();
        if segments.is_empty() {
            return f.write_str("<nil>");
        }
        for (position, name) in segments.into_iter().enumerate() {
            match name {
                Name::Field(field) if position == 0 => f.write_str(field)?,
                Name::Field(field) => write!(f, ".{field}")?,
                Name::Subscript(key) => write!(f, "[{key}]")?,
            }
        }
        Ok(())
    }
}

/// What kind of mistake a [`FieldError`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    Required,
    Invalid,
    NotSupported,
    Forbidden,
    Duplicate,
    TooLong,
    TooMany,
    NotFound,
    TypeInvalid,
    InternalError,
}

impl ErrorKind {
    /// The machine-readable `reason` of the status cause.
    pub fn reason(self) -> &'static str {
        match self {
            ErrorKind::Required => "FieldValueRequired",
            ErrorKind::Invalid => "FieldValueInvalid",
            ErrorKind::NotSupported => "FieldValueNotSupported",
            ErrorKind::Forbidden => "FieldValueForbidden",
            ErrorKind::Duplicate => "FieldValueDuplicate",
            ErrorKind::TooLong => "FieldValueTooLong",
            ErrorKind::TooMany => "FieldValueTooMany",
            ErrorKind::NotFound => "FieldValueNotFound",
            ErrorKind::TypeInvalid => "FieldValueTypeInvalid",
            ErrorKind::InternalError => "InternalError",
        }
    }

    /// The words that open the message (DS-I43).
    fn words(self) -> &'static str {
        match self {
            ErrorKind::Required => "Required value",
            ErrorKind::Invalid | ErrorKind::TypeInvalid => "Invalid value",
            ErrorKind::NotSupported => "Unsupported value",
            ErrorKind::Forbidden => "Forbidden",
            ErrorKind::Duplicate => "Duplicate value",
            ErrorKind::TooLong => "Too long",
            ErrorKind::TooMany => "Too many",
            ErrorKind::NotFound => "Not found",
            ErrorKind::InternalError => "Internal error",
        }
    }
}

/// The offending value, as it is printed after the kind's words.
#[derive(Clone, Debug, PartialEq)]
pub enum BadValue {
    /// Nothing is printed.
    Omitted,
    /// Printed without quotes; for values with a text form of their own, such as quantities.
    Raw(String),
    /// Strings are quoted as Go's `%q` does, everything else is compact JSON.
    Json(Value),
}

impl BadValue {
    /// `null`, the print of an absent pointer (DS-L02).
    pub const NULL: BadValue = BadValue::Json(Value::Null);
}

impl<T: Into<Value>> From<T> for BadValue {
    fn from(value: T) -> BadValue {
        BadValue::Json(value.into())
    }
}

/// One mistake in one field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    pub kind: ErrorKind,
    /// The printed path; `<nil>` for the object itself.
    pub field: String,
    pub bad_value: BadValue,
    /// Free text after the value; may be empty.
    pub detail: String,
}

impl std::error::Error for FieldError {}

impl FieldError {
    fn make(kind: ErrorKind, path: &Path, bad_value: BadValue, detail: impl Into<String>) -> FieldError {
        FieldError { kind, field: path.to_string(), bad_value, detail: detail.into() }
    }

    /// A value that must be given is absent or empty.
    pub fn required(path: &Path, detail: impl Into<String>) -> FieldError {
        Self::make(ErrorKind::Required, path, BadValue::Omitted, detail)
    }

    /// A malformed or out-of-range value.
    pub fn invalid(path: &Path, value: impl Into<BadValue>, detail: impl Into<String>) -> FieldError {
        Self::make(ErrorKind::Invalid, path, value.into(), detail)
    }

    /// A value of the wrong JSON type.
    pub fn type_invalid(path: &Path, value: impl Into<BadValue>, detail: impl Into<String>) -> FieldError {
        Self::make(ErrorKind::TypeInvalid, path, value.into(), detail)
    }

    /// A value outside an enumeration; `supported` is printed in the order given, which Kubernetes
    /// sorts.
    pub fn not_supported<S: AsRef<str>>(path: &Path, value: impl Into<BadValue>, supported: &[S]) -> FieldError {
        let quoted: Vec<String> = supported.iter().map(|s| go_quote(s.as_ref())).collect();
        let detail = match quoted.is_empty() {
            true => String::new(),
            false => format!("supported values: {}", quoted.join(", ")),
        };
        Self::make(ErrorKind::NotSupported, path, value.into(), detail)
    }

    /// A well-formed value that is not permitted under the circumstances.
    pub fn forbidden(path: &Path, detail: impl Into<String>) -> FieldError {
        Self::make(ErrorKind::Forbidden, path, BadValue::Omitted, detail)
    }

    /// A second use of a value that must be unique.
    pub fn duplicate(path: &Path, value: impl Into<BadValue>) -> FieldError {
        Self::make(ErrorKind::Duplicate, path, value.into(), "")
    }

    /// A value longer than `bytes_max` bytes; the value itself is not repeated.
    pub fn too_long(path: &Path, bytes_max: usize) -> FieldError {
        let detail = format!("may not be more than {bytes_max} bytes");
        Self::make(ErrorKind::TooLong, path, BadValue::Omitted, detail)
    }

    /// A list of `actual` items where at most `items_max` are allowed.
    pub fn too_many(path: &Path, actual: usize, items_max: usize) -> FieldError {
        let detail = format!("must have at most {items_max} items");
        Self::make(ErrorKind::TooMany, path, actual.into(), detail)
    }

    /// A reference to something that does not exist.
    pub fn not_found(path: &Path, value: impl Into<BadValue>) -> FieldError {
        Self::make(ErrorKind::NotFound, path, value.into(), "")
    }

    /// Our own failure while checking, not the user's mistake.
    pub fn internal(path: &Path, detail: impl Into<String>) -> FieldError {
        Self::make(ErrorKind::InternalError, path, BadValue::Omitted, detail)
    }

    /// The message without the field name, as a status cause carries it.
    pub fn body(&self) -> String {
        let mut text = self.kind.words().to_owned();
        if let Some(value) = self.printed_value() {
            text.push_str(": ");
            text.push_str(&value);
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }

    /// The parts of a status cause: (reason, message, field).
    pub fn cause(&self) -> (&'static str, String, String) {
        (self.kind.reason(), self.body(), self.field.clone())
    }

    fn printed_value(&self) -> Option<String> {
        use ErrorKind::{Forbidden, InternalError, Required, TooLong};
        if matches!(self.kind, Required | Forbidden | TooLong | InternalError) {
            return None;
        }
        match &self.bad_value {
            BadValue::Omitted => None,
            BadValue::Raw(text) => Some(text.clone()),
            BadValue::Json(Value::String(text)) => Some(go_quote(text)),
            BadValue::Json(value) => Some(value.to_string()),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// How many mistakes one answer reports, and about how many bytes of them. They can be more than
/// the body that they are in.
const REPORTED_MAX: usize = 1_000;
const REPORTED_BYTES_MAX: usize = 256 << 10;

/// What stands for the mistakes that are not reported; the words are Kubernetes'.
pub fn not_checked() -> FieldError {
    let detail = "some validation rules were not checked because the object was invalid; correct the existing errors \
                  to complete validation";
    FieldError::invalid(&Path::nil(), BadValue::NULL, detail)
}

/// As many of these mistakes as one answer has room for.
pub fn reported(errors: &[FieldError]) -> Cow<'_, [FieldError]> {
    let mut bytes_left = REPORTED_BYTES_MAX;
    let fits = |error: &&FieldError| {
        let has_room = bytes_left > 0;
        bytes_left = bytes_left.saturating_sub(error.field.len() + error.body().len());
        has_room
    };
    let count = errors.iter().take(REPORTED_MAX).take_while(fits).count();
    match count == errors.len() {
        true => Cow::Borrowed(errors),
        false => errors[..count].iter().cloned().chain([not_checked()]).collect(),
    }
}

/// The message of several errors together: nothing, the one, or `[a, b]` with repetitions left out
/// (DS-I42).
pub fn aggregate(errors: &[FieldError]) -> String {
    let mut seen = BTreeSet::new();
    let all = errors.iter().map(FieldError::to_string);
    let mut messages: Vec<String> = all.filter(|message| seen.insert(message.clone())).collect();
    match messages.len() {
        0 => String::new(),
        1 => messages.remove(0),
        _ => format!("[{}]", messages.join(", ")),
    }
}

/// Quotes like Go's `%q`: printable characters stay, the others are escaped.
pub fn go_quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        push_quoted(&mut quoted, c);
    }
    quoted.push('"');
    quoted
}

fn push_quoted(out: &mut String, c: char) {
    let escape = match c {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\u{7}' => "\\a",
        '\u{8}' => "\\b",
        '\u{c}' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\u{b}' => "\\v",
        _ if is_printable(c) => return out.push(c),
        _ if u32::from(c) < 0x80 => return out.push_str(&format!("\\x{:02x}", u32::from(c))),
        _ if u32::from(c) < 0x10000 => return out.push_str(&format!("\\u{:04x}", u32::from(c))),
        _ => return out.push_str(&format!("\\U{:08x}", u32::from(c))),
    };
    out.push_str(escape);
}

/// Go's `IsPrint` as far as the standard library tells: the only printable space is U+0020.
fn is_printable(c: char) -> bool {
    let invisible = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}');
    !c.is_control() && !invisible && (c == ' ' || !c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn image() -> Path {
        Path::new("spec").child("template").child("spec").child("containers").index(0).child("image")
    }

    #[test]
    fn an_answer_has_room_for_so_many_mistakes() {
        let error = |length: usize| FieldError::invalid(&Path::new("a"), "x".repeat(length), "odd");
        let few = vec![error(10); 10];
        assert_eq!(&*reported(&few), &few);
        let many = reported(&vec![error(1); 100_000]).into_owned();
        assert_eq!((many.len(), many.last()), (REPORTED_MAX + 1, Some(&not_checked())));
        let long = reported(&vec![error(100_000); 100]).into_owned();
        assert_eq!(long.len(), 4, "the last one may go beyond");
        assert_eq!(reported(&[error(1 << 20)]).len(), 1, "one is reported in any case");
    }

    #[test]
    fn paths_print_like_kubernetes() {
        assert_eq!(image().to_string(), "spec.template.spec.containers[0].image");
        assert_eq!(Path::new("metadata").child("labels").key("a/b").to_string(), "metadata.labels[a/b]");
        assert_eq!(Path::nil().to_string(), "<nil>");
        assert_eq!(Path::nil().index(2).child("x").to_string(), "[2].x");
    }

    #[test]
    fn extending_leaves_the_parent_alone() {
        let spec = Path::new("spec");
        let _ = spec.child("a");
        assert_eq!(spec.to_string(), "spec");
    }

    #[test]
    fn messages() {
        // DS-I43, DS-A22, DS-A25, DS-A26, DS-A27, DS-A34, DS-L02
        let p = Path::new("spec");
        let cases: Vec<(FieldError, &str)> = vec![
            (FieldError::required(&p, ""), "spec: Required value"),
            (FieldError::required(&p, "cannot be 0"), "spec: Required value: cannot be 0"),
            (FieldError::invalid(&p, "a\"b", "no"), r#"spec: Invalid value: "a\"b": no"#),
            (FieldError::invalid(&p, -1, "no"), "spec: Invalid value: -1: no"),
            (FieldError::invalid(&p, true, ""), "spec: Invalid value: true"),
            (FieldError::invalid(&p, BadValue::NULL, "no"), "spec: Invalid value: null: no"),
            (FieldError::invalid(&p, json!({"b": [1], "a": "x"}), ""), r#"spec: Invalid value: {"a":"x","b":[1]}"#),
            (FieldError::invalid(&p, BadValue::Raw("1500m".into()), "no"), "spec: Invalid value: 1500m: no"),
            (FieldError::type_invalid(&p, "x", "no"), r#"spec: Invalid value: "x": no"#),
            (
                FieldError::not_supported(&p, "Never", &["Always", "OnFailure"]),
                r#"spec: Unsupported value: "Never": supported values: "Always", "OnFailure""#,
            ),
            (FieldError::not_supported(&p, "x", &[] as &[&str]), r#"spec: Unsupported value: "x""#),
            (FieldError::forbidden(&p, "not now"), "spec: Forbidden: not now"),
            (FieldError::duplicate(&p, "a"), r#"spec: Duplicate value: "a""#),
            (FieldError::too_long(&p, 253), "spec: Too long: may not be more than 253 bytes"),
            (FieldError::too_many(&p, 9, 8), "spec: Too many: 9: must have at most 8 items"),
            (FieldError::not_found(&p, "v"), r#"spec: Not found: "v""#),
            (FieldError::internal(&p, "oops"), "spec: Internal error: oops"),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn causes_carry_reason_body_and_field() {
        let cause = FieldError::invalid(&image(), "", "no").cause();
        let field = "spec.template.spec.containers[0].image".to_owned();
        assert_eq!(cause, ("FieldValueInvalid", "Invalid value: \"\": no".to_owned(), field));
        assert_eq!(FieldError::internal(&image(), "x").cause().0, "InternalError");
    }

    #[test]
    fn aggregates() {
        // DS-I42
        let p = Path::new("a");
        let (one, two) = (FieldError::required(&p, ""), FieldError::forbidden(&p, "x"));
        assert_eq!(aggregate(&[]), "");
        assert_eq!(aggregate(&[one.clone(), one.clone()]), "a: Required value");
        assert_eq!(aggregate(&[one, two]), "[a: Required value, a: Forbidden: x]");
    }

    #[test]
    fn quoting() {
        let cases = [
            ("plain ü 語", r#""plain ü 語""#),
            ("a\nb\tc\\", r#""a\nb\tc\\""#),
            ("\u{1}\u{7f}", r#""\x01\x7f""#),
            ("\u{200b}", r#""\u200b""#),
        ];
        for (text, quoted) in cases {
            assert_eq!(go_quote(text), quoted);
        }
    }
}
