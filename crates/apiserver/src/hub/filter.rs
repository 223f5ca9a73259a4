//! Which objects a list or watch is about.

use everynode_api::selector::{FieldSelector, Selector};
use everynode_api::status::Status;
use everynode_store::Key;

use super::event::Item;
use crate::catalogue::Row;
use crate::keys;

/// Namespace, labels and fields that select objects of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) namespace: Option<String>,
    labels: Selector,
    fields: FieldSelector,
}

/// How a watcher can be found without asking it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Route {
    Everything,
    Namespace(Box<str>),
    /// By `metadata.name`, in any namespace.
    Name(Box<str>),
    /// By a pod's `spec.nodeName`.
    Node(Box<str>),
}

impl Filter {
    /// Selects every object.
    pub(crate) fn everything() -> Filter {
        Filter { namespace: None, labels: Selector::everything(), fields: FieldSelector::default() }
    }

    /// Parses the query parameters; what cannot be understood or selected by is a 400.
    pub(crate) fn parse(info: &Row, namespace: Option<String>, labels: &str, fields: &str) -> Result<Filter, Status> {
        let labels = match labels {
            "" => Selector::everything(),
            text => Selector::parse(text).map_err(|error| Status::bad_request(error.to_string()))?,
        };
        let fields = FieldSelector::parse(fields).map_err(Status::bad_request)?;
        let of_its_own = !info.fields.names.is_empty();
        fields.check_supported(&info.fields.all(), of_its_own).map_err(Status::bad_request)?;
        Ok(Filter { namespace, labels, fields })
    }

    /// Whether there is anything to select beyond the namespace.
    pub(crate) fn selects(&self) -> bool {
        !self.labels.is_everything() || !self.fields.is_everything()
    }

    pub(crate) fn matches(&self, item: &Item) -> bool {
        let (namespace, name) = item.namespace_and_name();
        self.namespace.as_deref().is_none_or(|wanted| wanted == namespace)
            && (self.labels.is_everything() || self.labels.matches(|key| item.selectable().labels.get(key)))
            && self.fields.matches(|field| match field {
                "metadata.name" => Some(name),
                "metadata.namespace" => Some(namespace),
                field => item.field(field),
            })
    }

    /// The most specific route that finds everything this filter can match.
    pub(crate) fn route(&self) -> Route {
        if let Some(node) = self.node() {
            return Route::Node(node.into());
        }
        if let Some(name) = self.name() {
            return Route::Name(name.into());
        }
        match self.namespace.as_deref().or(self.fields.exact("metadata.namespace")) {
            Some(namespace) => Route::Namespace(namespace.into()),
            None => Route::Everything,
        }
    }

    /// The one name that can match.
    pub(crate) fn name(&self) -> Option<&str> {
        self.fields.exact("metadata.name")
    }

    /// The one node that can match.
    pub(crate) fn node(&self) -> Option<&str> {
        self.fields.exact("spec.nodeName")
    }

    /// The one key that can match, if name and namespace are known.
    pub(crate) fn key(&self, info: &Row) -> Option<Key> {
        let namespace = self.namespace.as_deref().or(self.fields.exact("metadata.namespace"));
        match (self.name(), namespace, info.kind.namespaced) {
            (Some(name), Some(namespace), true) => Some(keys::object(info, namespace, name)),
            (Some(name), _, false) => Some(keys::object(info, "", name)),
            _ => None,
        }
    }

    /// The range of keys that can match.
    pub(crate) fn prefix(&self, info: &Row) -> String {
        keys::collection(info, self.namespace.as_deref())
    }
}
