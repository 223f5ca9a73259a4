//! What a request is to do: read once, authorised and carried out as it stands.
//!
//! `http` makes an [`Operation`] of method, path and query, [`crate::inproc`] of a request of this
//! process. After that the text of the request counts no more: what was authorised is what is done
//! ([`execute`]).

pub(crate) mod budget;
pub(crate) mod connect;
pub(crate) mod execute;
pub(crate) mod options;

use everynode_api::kinds::NAMESPACE;
use everynode_api::selector::FieldSelector;
use everynode_api::status::Status;

use crate::auth::authorize::Attributes;
use crate::catalogue::Action;
use crate::hub::Filter;
use crate::registry::{ListOptions, Target, WatchParameters};
use connect::Connect;
use options::Options;

/// What is to be done with stored objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }
}

/// A verb on an object, a collection or a subresource.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// What RBAC is asked for; exec, attach and port-forward are `create` whatever the method
    /// (KEP-4006).
    pub(crate) verb: Verb,
    pub(crate) target: Target,
    /// What a list or watch is narrowed to.
    pub(crate) selected: Selected,
    /// What the query says besides. A query that cannot be understood is refused when the operation
    /// is carried out: a user that may not do it is told that first.
    pub(crate) options: Result<Options, Box<Status>>,
}

/// The one node or name that a field selector leaves; empty if it leaves more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selected {
    /// `spec.nodeName`
    pub(crate) node: String,
    /// `metadata.name`
    pub(crate) name: String,
}

impl Selected {
    /// What is no field selector selects nothing here, and is refused later.
    pub(crate) fn parse(field_selector: &str) -> Selected {
        let Ok(selector) = FieldSelector::parse(field_selector) else { return Selected::default() };
        let exact = |field: &str| selector.exact(field).unwrap_or("").to_owned();
        Selected { node: exact("spec.nodeName"), name: exact("metadata.name") }
    }

    fn by(filter: &Filter) -> Selected {
        Selected { node: filter.node().unwrap_or("").to_owned(), name: filter.name().unwrap_or("").to_owned() }
    }
}

impl Operation {
    /// An operation of a part of this process, whose parameters are typed from the start.
    pub(crate) fn internal(verb: Verb, target: Target, options: Options) -> Operation {
        let selected = match &options {
            Options::List(ListOptions { filter, .. }) | Options::Watch(WatchParameters { filter, .. }) => {
                Selected::by(filter)
            }
            _ => Selected::default(),
        };
        Operation { verb, target, selected, options: Ok(options) }
    }

    /// What it passes on to a node, if it does.
    pub(crate) fn connect(&self) -> Option<&Connect> {
        match &self.options {
            Ok(Options::Connect(connect)) => Some(connect),
            _ => None,
        }
    }

    /// Whether it is answered by a node.
    pub(crate) fn is_connect(&self) -> bool {
        self.target.info.action(self.target.subresource) == Some(Action::Connect)
    }

    /// What the authorisers are asked.
    pub(crate) fn attributes(&self) -> Attributes {
        let Target { info, namespace, name, subresource } = &self.target;
        let kind = &info.kind;
        let name = match self.connect() {
            Some(Connect::Proxy { named, .. }) => named,
            _ => name,
        };
        // A namespace lies in itself: rights that were given there hold for it, too.
        let namespace = if kind == &NAMESPACE { name } else { namespace };
        Attributes {
            verb: self.verb.as_str().into(),
            resource: kind.plural.to_string(),
            group: kind.group.to_string(),
            version: kind.version.to_string(),
            namespace: namespace.clone(),
            name: name.clone(),
            subresource: (*subresource).to_owned(),
            path: String::new(),
            selected_node: self.selected.node.clone(),
            selected_name: self.selected.name.clone(),
        }
    }
}
