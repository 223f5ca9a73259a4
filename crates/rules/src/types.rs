//! Types of expressions, with the sizes that a schema allows: the worst cost follows from them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// No object is larger than the request that brings it, in bytes.
pub const REQUEST_BYTES_MAX: u64 = 3 << 20;

/// What an expression evaluates to. Sizes are at most: characters of a text, bytes, items, members.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// Known only when it is there: checked by evaluation.
    Any,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text {
        size_max: u64,
    },
    Bytes {
        size_max: u64,
    },
    Timestamp,
    Duration,
    List {
        item: Arc<Type>,
        size_max: u64,
    },
    Map {
        key: Arc<Type>,
        value: Arc<Type>,
        size_max: u64,
    },
    Object(Arc<Object>),
    Optional(Arc<Type>),
    /// One that only functions make and take: a URL, a quantity.
    Library(&'static str),
    /// A type as a value: what `type(x)` gives.
    TypeName,
}

/// The members of an object that its schema names.
#[derive(Debug, Default, PartialEq)]
pub struct Object {
    /// By their names in expressions, see [`escaped`].
    pub fields: BTreeMap<String, Field>,
}

/// A member of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name in JSON.
    pub name: String,
    pub of: Type,
}

impl Object {
    /// Of pairs of a JSON name and a type. A name that no expression can say is left out.
    pub fn new(fields: impl IntoIterator<Item = (String, Type)>) -> Object {
        let field = |(name, of): (String, Type)| Some((escaped(&name)?, Field { name, of }));
        Object { fields: fields.into_iter().filter_map(field).collect() }
    }
}

impl Type {
    /// A text of at most `length_max` characters, or as long as a request can be. Sizes are counted
    /// in bytes, of which a character has up to four.
    pub fn text(length_max: Option<u64>) -> Type {
        Type::Text { size_max: length_max.map_or(REQUEST_BYTES_MAX - 2, |max| max.saturating_mul(4)) }
    }

    /// A list of at most `length_max` items, or as many as a request can hold of items that take
    /// `item_bytes_min` each.
    pub fn list(item: Type, length_max: Option<u64>, item_bytes_min: u64) -> Type {
        let size_max = length_max.unwrap_or((REQUEST_BYTES_MAX - 2) / item_bytes_min.saturating_add(1));
        Type::List { item: Arc::new(item), size_max }
    }

    /// A map from text, bounded likewise; a member's key, quotes and separators take 6 bytes more.
    pub fn map(value: Type, length_max: Option<u64>, value_bytes_min: u64) -> Type {
        let most = (REQUEST_BYTES_MAX - 2) / value_bytes_min.saturating_add(6) + 1;
        let key = Arc::new(Type::text(None));
        Type::Map { key, value: Arc::new(value), size_max: length_max.unwrap_or(most) }
    }

    /// How large a value can be: what a function that walks through it costs.
    pub fn size(&self) -> u64 {
        match self {
            Type::Any => REQUEST_BYTES_MAX,
            Type::Text { size_max }
            | Type::Bytes { size_max }
            | Type::List { size_max, .. }
            | Type::Map { size_max, .. } => *size_max,
            Type::Object(object) => object.fields.len() as u64,
            Type::Optional(of) => of.size(),
            _ => 1,
        }
    }

    pub(crate) fn with_size(self, size: u64) -> Type {
        match self {
            Type::Text { .. } => Type::Text { size_max: size },
            Type::Bytes { .. } => Type::Bytes { size_max: size },
            Type::List { item, .. } => Type::List { item, size_max: size },
            Type::Map { key, value, .. } => Type::Map { key, value, size_max: size },
            other => other,
        }
    }

    /// Whether a value of this type may stand where one of `other` is wanted, sizes aside.
    pub(crate) fn fits(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::Any, _) | (_, Type::Any) => true,
            (Type::Text { .. }, Type::Text { .. }) | (Type::Bytes { .. }, Type::Bytes { .. }) => true,
            (Type::List { item: a, .. }, Type::List { item: b, .. }) | (Type::Optional(a), Type::Optional(b)) => {
                a.fits(b)
            }
            (Type::Map { key: a, value: v, .. }, Type::Map { key: b, value: w, .. }) => a.fits(b) && v.fits(w),
            (Type::Object(_), Type::Map { .. }) | (Type::Map { .. }, Type::Object(_)) => true,
            // What can be absent can be compared with null.
            (Type::Null, of) | (of, Type::Null) => !of.is_plain(),
            (a, b) => a == b,
        }
    }

    fn is_plain(&self) -> bool {
        matches!(self, Type::Bool | Type::Int | Type::Uint | Type::Double | Type::Text { .. } | Type::Bytes { .. })
    }

    /// The type of what is either of two: the larger of both, or any.
    pub(crate) fn or(&self, other: &Type) -> Type {
        match (self, other) {
            (a, b) if a == b => a.clone(),
            (Type::List { item: a, size_max: m }, Type::List { item: b, size_max: n }) => {
                Type::List { item: Arc::new(a.or(b)), size_max: *m.max(n) }
            }
            (Type::Map { key: a, value: v, size_max: m }, Type::Map { key: b, value: w, size_max: n }) => {
                Type::Map { key: Arc::new(a.or(b)), value: Arc::new(v.or(w)), size_max: *m.max(n) }
            }
            (Type::Optional(a), Type::Optional(b)) => Type::Optional(Arc::new(a.or(b))),
            (Type::Text { .. }, Type::Text { .. }) | (Type::Bytes { .. }, Type::Bytes { .. }) => {
                self.clone().with_size(self.size().max(other.size()))
            }
            _ => Type::Any,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Any => formatter.write_str("dyn"),
            Type::Null => formatter.write_str("null"),
            Type::Bool => formatter.write_str("bool"),
            Type::Int => formatter.write_str("int"),
            Type::Uint => formatter.write_str("uint"),
            Type::Double => formatter.write_str("double"),
            Type::Text { .. } => formatter.write_str("string"),
            Type::Bytes { .. } => formatter.write_str("bytes"),
            Type::Timestamp => formatter.write_str("timestamp"),
            Type::Duration => formatter.write_str("duration"),
            Type::List { item, .. } => write!(formatter, "list({item})"),
            Type::Map { key, value, .. } => write!(formatter, "map({key}, {value})"),
            Type::Object(_) => formatter.write_str("object"),
            Type::Optional(of) => write!(formatter, "optional_type({of})"),
            Type::Library(name) => formatter.write_str(name),
            Type::TypeName => formatter.write_str("type"),
        }
    }
}

/// Words of the language; a member of this name is written with underscores around it.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// How expressions name a member of an object. `None`: no expression can.
///
/// Letters, digits and underscores are themselves; `.`, `-`, `/` and `__` have words of their own,
/// as reserved names have.
pub fn escaped(name: &str) -> Option<String> {
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let bytes = name.as_bytes();
    if bytes.first().is_none_or(u8::is_ascii_digit) {
        return None;
    }
    let mut text = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(character) = rest.chars().next() {
        let (word, length) = match character {
            '_' if rest.starts_with("__") => ("__underscores__", 2),
            '.' => ("__dot__", 1),
            '-' => ("__dash__", 1),
            '/' => ("__slash__", 1),
            c if c.is_ascii_alphanumeric() || c == '_' => (&rest[..1], 1),
            _ => return None,
        };
        text.push_str(word);
        rest = &rest[length..];
    }
    Some(text)
}
