//! One row: everything about one kind at one version.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use everynode_api::kinds::{KINDS, Kind, Text};
use everynode_api::status::Status;
use everynode_store::Durability;
use serde_json::Value;

use crate::custom::rows::Custom;
use crate::hub::FieldRules;
use crate::registry::admission::admit_ordinary;
use crate::registry::strategy::{Ordinary, Strategy};
use crate::registry::{Caller, Registry, Target};
use crate::schema::Rules;
use crate::tables::Printer;

/// All verbs of an ordinary kind.
pub(crate) const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const CREATE: &[&str] = &["create"];
const PARTIAL: &[&str] = &["get", "patch", "update"];
const CONNECT: &[&str] = &["create", "get"];

/// Events that a topic keeps for watchers that resume, at most.
const HISTORY_EVENTS_MAX: usize = 32_768;

/// A kind at a version, and its rules.
pub(crate) struct Row {
    pub(crate) kind: Kind,
    pub(crate) singular: Text,
    pub(crate) list_kind: Text,
    pub(crate) short_names: Vec<Text>,
    pub(crate) categories: Vec<Text>,
    /// As discovery names them.
    pub(crate) verbs: &'static [&'static str],
    pub(crate) subresources: Vec<Subresource>,
    /// The path below `/registry/` under which kube-apiserver stores the kind.
    pub(crate) storage: Text,
    /// When a write to an object of this namespace is acknowledged.
    pub(crate) durability: fn(namespace: &str) -> Durability,
    /// Events kept for watchers that resume, at most.
    pub(crate) history_events_max: usize,
    /// Whether every acknowledged write survives a crash.
    pub(crate) is_durable: bool,
    pub(crate) strategy: &'static dyn Strategy,
    pub(crate) admission: Admission,
    pub(crate) rules: Rules,
    pub(crate) fields: FieldRules,
    pub(crate) printer: Printer,
    pub(crate) form: Form,
    /// What everyone who asks for the kind is warned of.
    pub(crate) deprecated: Option<Text>,
    /// Of a custom resource.
    pub(crate) custom: Option<Custom>,
}

/// How the objects that are shown differ from those that are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Not at all.
    Stored,
    /// `events.k8s.io/v1`, of what is stored as `v1`.
    EventsV1,
    /// A custom resource, whose versions differ in nothing but their name. An object may have been
    /// stored in a version that is gone.
    Version,
}

/// What the cluster adds to, or refuses in, well-formed requests about a kind.
#[derive(Clone, Copy)]
pub(crate) struct Admission {
    pub(crate) create: AdmitCreate,
    pub(crate) update: AdmitUpdate,
    pub(crate) delete: fn(&Target) -> Result<(), Status>,
}

/// Before an object is created.
pub(crate) type AdmitCreate = fn(&Registry, &Caller<'_>, &Target, &mut Value) -> Result<(), Status>;
/// Before an object or a part of it is replaced; the last parameter is the old state.
pub(crate) type AdmitUpdate = fn(&Registry, &Caller<'_>, &Target, &mut Value, &Value) -> Result<(), Status>;

/// A subresource of a kind.
#[derive(Clone, Debug)]
pub(crate) struct Subresource {
    pub(crate) name: &'static str,
    /// The kind of its bodies; `None`: the kind itself.
    pub(crate) body: Option<Kind>,
    /// As discovery names them; none: it is not listed.
    pub(crate) verbs: &'static [&'static str],
    pub(crate) action: Action,
}

/// What a subresource does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Shows and changes the status.
    Status,
    /// Shows and changes how many replicas are wanted.
    Scale,
    /// Changes the finalizers in `spec`.
    Finalize,
    /// Known, and refused when it is written: no agent acts on it.
    Unsupported,
    Bind,
    Evict,
    IssueToken,
    /// Passed on to the agent of a node.
    Connect,
}

const fn body(group: &'static str, kind: &'static str, plural: &'static str) -> Option<Kind> {
    Some(Kind::built_in(group, "v1", kind, plural, true))
}

impl Subresource {
    /// What is behind a name of the table of kinds.
    fn built_in(name: &'static str) -> Subresource {
        let (body, verbs, action) = match name {
            "status" | "approval" => (None, PARTIAL, Action::Status),
            "ephemeralcontainers" | "resize" => (None, PARTIAL, Action::Unsupported),
            "finalize" => (None, &["update"] as &[&str], Action::Finalize),
            "log" => (None, &["get"] as &[&str], Action::Connect),
            "exec" => (body("", "PodExecOptions", ""), CONNECT, Action::Connect),
            "attach" => (body("", "PodAttachOptions", ""), CONNECT, Action::Connect),
            "portforward" => (body("", "PodPortForwardOptions", ""), CONNECT, Action::Connect),
            "binding" => (body("", "Binding", "pods/binding"), CREATE, Action::Bind),
            "eviction" => (body("policy", "Eviction", "pods/eviction"), CREATE, Action::Evict),
            "token" => (body("authentication.k8s.io", "TokenRequest", "tokenrequests"), CREATE, Action::IssueToken),
            _ => (None, &[] as &[&str], Action::Connect),
        };
        Subresource { name, body, verbs, action }
    }
}

impl Row {
    /// A built-in kind without rules of its own.
    pub(crate) fn ordinary(kind: &Kind) -> Row {
        let info = KINDS.iter().find(|info| info.kind == *kind);
        let texts = |list: &'static [&'static str]| list.iter().map(|text| Text::Borrowed(text)).collect();
        Row {
            singular: kind.kind.to_ascii_lowercase().into(),
            list_kind: format!("{}List", kind.kind).into(),
            short_names: info.map(|info| texts(info.short_names)).unwrap_or_default(),
            categories: info.map(|info| texts(info.categories)).unwrap_or_default(),
            verbs: VERBS,
            subresources: info
                .map(|info| info.subresources.iter().map(|name| Subresource::built_in(name)).collect())
                .unwrap_or_default(),
            storage: info.map_or(kind.plural.clone(), |info| info.storage.into()),
            kind: kind.clone(),
            durability: |_| Durability::Fsync,
            history_events_max: HISTORY_EVENTS_MAX,
            is_durable: true,
            strategy: &Ordinary,
            admission: Admission::ORDINARY,
            rules: Rules::NONE,
            fields: FieldRules::default(),
            printer: Printer::default(),
            form: Form::Stored,
            deprecated: None,
            custom: None,
        }
    }

    /// Whether the row is of this kind, at any version.
    pub(crate) fn is(&self, kind: &Kind) -> bool {
        self.kind.plural == kind.plural && self.kind.group == kind.group
    }

    /// Whether new objects are stored in the form in which they are shown.
    pub(crate) fn is_stored_form(&self) -> bool {
        match self.form {
            Form::Stored => true,
            Form::EventsV1 => false,
            Form::Version => self.custom.as_ref().is_some_and(|custom| custom.is_stored_version(&self.kind)),
        }
    }

    /// Whether an object is shown as these stored bytes are.
    pub(crate) fn shows(&self, stored: &[u8]) -> bool {
        match (self.form, &self.custom) {
            (Form::Stored, _) => true,
            (Form::Version, Some(custom)) => stored.starts_with(custom.beginning.as_bytes()),
            (Form::Version | Form::EventsV1, _) => false,
        }
    }

    pub(crate) fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|known| known.name == name)
    }

    /// What a subresource does; `None`: it is the object itself, or not there.
    pub(crate) fn action(&self, subresource: &str) -> Option<Action> {
        if subresource.is_empty() {
            return None;
        }
        self.subresource(subresource).map(|known| known.action)
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Row({} {})", self.kind.api_version(), self.kind.plural)
    }
}

impl Admission {
    /// Of a kind that nothing is added to; agents are restricted in all of them.
    pub(crate) const ORDINARY: Admission =
        Admission { create: admit_ordinary, update: |_, _, _, _, _| Ok(()), delete: |_| Ok(()) };
}

/// A row that is served. Of a built-in kind, it costs no more than a pointer.
#[derive(Clone)]
pub(crate) enum RowRef {
    BuiltIn(&'static Row),
    /// Made at run time, of a custom resource definition.
    Defined(Arc<Row>),
}

impl Deref for RowRef {
    type Target = Row;

    fn deref(&self) -> &Row {
        match self {
            RowRef::BuiltIn(row) => row,
            RowRef::Defined(row) => row,
        }
    }
}

impl fmt::Debug for RowRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

impl RowRef {
    /// Whether it is the very same row.
    pub(crate) fn is_same(&self, other: &RowRef) -> bool {
        std::ptr::eq::<Row>(&**self, &**other)
    }
}

impl From<&'static LazyLock<Row>> for RowRef {
    fn from(row: &'static LazyLock<Row>) -> RowRef {
        RowRef::BuiltIn(row)
    }
}

impl From<&RowRef> for RowRef {
    fn from(row: &RowRef) -> RowRef {
        row.clone()
    }
}
