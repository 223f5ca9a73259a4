//! The types of Kubernetes' API as data: loaded on first use from a file that `xtask` generates.
//!
//! The file's notation is explained in `crates/xtask/src/bin/schema/main.rs`. Loading takes well
//! under a millisecond in an optimised build and happens with the first object that is decoded.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use everynode_api::kinds::Kind;
use serde_json::Value;

const TEXT: &str = include_str!("v1_36.types.json");

/// Everything known about types.
#[derive(Debug)]
pub(crate) struct Types {
    /// Sorted by name.
    definitions: Vec<Definition>,
    by_kind: BTreeMap<(String, String), usize>,
}

/// A struct type.
#[derive(Debug)]
pub(crate) struct Definition {
    /// `io.k8s.api.core.v1.Container`
    pub(crate) name: String,
    /// Sorted by name.
    pub(crate) fields: Vec<Field>,
    /// The API versions under which it is a kind of its own.
    pub(crate) api_versions: Vec<String>,
    /// Server-side apply treats it as one value.
    pub(crate) atomic: bool,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: Type,
    pub(crate) emission: Emission,
    pub(crate) required: bool,
    pub(crate) merge_key: Option<String>,
    pub(crate) retain_keys: bool,
    pub(crate) list: ListType,
    /// The name of the Go type, where it has one of its own.
    go_name: Option<String>,
}

/// When Go writes a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Emission {
    /// Unless it is the zero value.
    OmitEmpty,
    /// If it was set, zero included.
    Pointer,
    /// Always; the zero value where nothing was set.
    Always,
}

/// How server-side apply merges a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListType {
    Unspecified,
    Atomic,
    Set,
    Map(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    String,
    Bool,
    Int32,
    Int64,
    Double,
    /// Base64 in JSON.
    Bytes,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    /// Any JSON, kept as it is.
    Any,
    /// Index of a definition.
    Object(usize),
    /// The same, or any JSON that is no object.
    ObjectOr(usize),
    List(Box<Type>),
    Map(Box<Type>),
}

/// The one instance.
pub(crate) fn types() -> &'static Types {
    static TYPES: OnceLock<Types> = OnceLock::new();
    TYPES.get_or_init(|| Types::load(TEXT).expect("the generated file is well-formed: a test loads it"))
}

impl Types {
    fn load(text: &str) -> Result<Types, LoadError> {
        let raw: BTreeMap<String, Value> = serde_json::from_str(text).map_err(|error| LoadError(error.to_string()))?;
        let names: Vec<&str> = raw.keys().map(String::as_str).collect();
        let definitions =
            raw.iter().map(|(name, entry)| Definition::load(name, entry, &names)).collect::<Result<Vec<_>, _>>()?;
        let mut by_kind = BTreeMap::new();
        for (index, definition) in definitions.iter().enumerate() {
            for version in &definition.api_versions {
                let version = version.trim_start_matches('/').to_owned();
                by_kind.insert((version, definition.short_name().to_owned()), index);
            }
        }
        Ok(Types { definitions, by_kind })
    }

    pub(crate) fn get(&self, index: usize) -> &Definition {
        &self.definitions[index]
    }

    /// Whether a struct goes by this name, without its package.
    pub(crate) fn is_struct(&self, short_name: &str) -> bool {
        self.definitions.iter().any(|definition| definition.short_name() == short_name)
    }

    /// How many definitions there are.
    pub(crate) fn len(&self) -> usize {
        self.definitions.len()
    }

    /// The index of a kind's definition.
    pub(crate) fn index_of(&self, kind: &Kind) -> Option<usize> {
        self.by_kind.get(&(kind.api_version(), kind.kind.to_string())).copied()
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Definition> {
        let index = self.definitions.binary_search_by(|definition| definition.name.as_str().cmp(name)).ok()?;
        self.definitions.get(index)
    }

    /// The type of a kind, by API version (`apps/v1`) and kind name.
    pub(crate) fn of_kind(&self, api_version: &str, kind: &str) -> Option<&Definition> {
        self.by_kind.get(&(api_version.to_owned(), kind.to_owned())).map(|index| self.get(*index))
    }

    /// Whether any kind is of this API version.
    pub(crate) fn has_version(&self, api_version: &str) -> bool {
        let from = (api_version.to_owned(), String::new());
        self.by_kind.range(from..).next().is_some_and(|((version, _), _)| version == api_version)
    }

    pub(crate) fn of(&self, kind: &Kind) -> Option<&Definition> {
        self.of_kind(&kind.api_version(), &kind.kind)
    }
}

impl Definition {
    fn load(name: &str, entry: &Value, names: &[&str]) -> Result<Definition, LoadError> {
        let broken = || LoadError(name.to_owned());
        let mut fields = Vec::new();
        for (field, text) in entry["fields"].as_object().ok_or_else(broken)? {
            fields.push(Field::load(field, text.as_str().ok_or_else(broken)?, names)?);
        }
        let versions = entry["gvk"].as_array().into_iter().flatten();
        Ok(Definition {
            name: name.to_owned(),
            fields,
            api_versions: versions.filter_map(Value::as_str).map(str::to_owned).collect(),
            atomic: entry["atomic"] == true,
        })
    }

    /// `Container`
    pub(crate) fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        let index = self.fields.binary_search_by(|field| field.name.as_str().cmp(name)).ok()?;
        self.fields.get(index)
    }
}

impl Field {
    fn load(name: &str, text: &str, names: &[&str]) -> Result<Field, LoadError> {
        let mut words = text.split(' ');
        let kind = Type::load(words.next().unwrap_or_default(), names)?;
        let mut field = Field {
            name: name.to_owned(),
            kind,
            emission: Emission::OmitEmpty,
            required: false,
            merge_key: None,
            retain_keys: false,
            list: ListType::Unspecified,
            go_name: None,
        };
        for word in words {
            field.apply(word)?;
        }
        Ok(field)
    }

    fn apply(&mut self, word: &str) -> Result<(), LoadError> {
        match word.split_once(':').unwrap_or((word, "")) {
            ("!", _) => self.required = true,
            ("=", _) => self.emission = Emission::Always,
            ("*", _) => self.emission = Emission::Pointer,
            ("merge", key) => self.merge_key = Some(key.to_owned()),
            ("retain", _) => self.retain_keys = true,
            ("set", _) => self.list = ListType::Set,
            ("atomic", _) => self.list = ListType::Atomic,
            ("keys", keys) => self.list = ListType::Map(keys.split(',').map(str::to_owned).collect()),
            ("go", name) => self.go_name = Some(name.to_owned()),
            _ => return Err(LoadError(word.to_owned())),
        }
        Ok(())
    }

    /// The Go type as decoding errors print it.
    pub(crate) fn go_type(&self, types: &Types) -> String {
        match &self.go_name {
            Some(name) => name.clone(),
            None => self.kind.go_type(types),
        }
    }
}

impl Type {
    fn load(text: &str, names: &[&str]) -> Result<Type, LoadError> {
        if let Some(item) = text.strip_prefix("[]") {
            return Ok(Type::List(Box::new(Type::load(item, names)?)));
        }
        if let Some(item) = text.strip_prefix("{}") {
            return Ok(Type::Map(Box::new(Type::load(item, names)?)));
        }
        let index = |name: &str| names.binary_search(&name).map_err(|_| LoadError(name.to_owned()));
        if let Some(name) = text.strip_prefix("?@") {
            return index(name).map(Type::ObjectOr);
        }
        if let Some(name) = text.strip_prefix('@') {
            return index(name).map(Type::Object);
        }
        Ok(match text {
            "string" => Type::String,
            "bool" => Type::Bool,
            "i32" => Type::Int32,
            "i64" => Type::Int64,
            "double" => Type::Double,
            "bytes" => Type::Bytes,
            "time" => Type::Time,
            "microtime" => Type::MicroTime,
            "quantity" => Type::Quantity,
            "intstr" => Type::IntOrString,
            "any" => Type::Any,
            other => return Err(LoadError(other.to_owned())),
        })
    }

    /// The Go type as decoding errors print it.
    pub(crate) fn go_type(&self, types: &Types) -> String {
        match self {
            Type::String => "string".into(),
            Type::Bool => "bool".into(),
            Type::Int32 => "int32".into(),
            Type::Int64 => "int64".into(),
            Type::Double => "float64".into(),
            Type::Bytes => "[]uint8".into(),
            Type::Time => "v1.Time".into(),
            Type::MicroTime => "v1.MicroTime".into(),
            Type::Quantity => "resource.Quantity".into(),
            Type::IntOrString => "intstr.IntOrString".into(),
            Type::Any => "runtime.RawExtension".into(),
            Type::Object(index) | Type::ObjectOr(index) => format!("v1.{}", types.get(*index).short_name()),
            Type::List(item) => format!("[]{}", item.go_type(types)),
            Type::Map(item) => format!("map[string]{}", item.go_type(types)),
        }
    }

    /// What Go writes for a value that was never set.
    pub(crate) fn zero(&self) -> Value {
        match self {
            Type::String | Type::Bytes => "".into(),
            Type::Bool => false.into(),
            Type::Int32 | Type::Int64 | Type::IntOrString => 0.into(),
            Type::Double => 0.0.into(),
            Type::Quantity => "0".into(),
            Type::Object(_) => Value::Object(serde_json::Map::new()),
            Type::Time | Type::MicroTime | Type::Any | Type::ObjectOr(_) | Type::List(_) | Type::Map(_) => Value::Null,
        }
    }
}

/// Where the generated file is malformed.
#[derive(Debug)]
struct LoadError(String);

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "schema data: {}", self.0)
    }
}

#[cfg(test)]
#[path = "types_tests.rs"]
mod tests;
