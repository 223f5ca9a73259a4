//! Operations: what can be done at which path, with which parameters (DS-I05).

use super::custom;
use super::schema::PATCH;
use crate::discovery::resources::{Body, GroupVersion, Resource, Subresource};
use crate::schema::types::types;

const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const PATCH_TYPES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
/// Custom resources have no Go types, whose tags say how a strategic merge is to be done.
const PATCH_TYPES_OF_CUSTOM: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];

/// A query parameter: name, type, description.
pub(super) type Parameter = (&'static str, &'static str, &'static str);

const PRETTY: Parameter = ("pretty", "string", "If 'true', then the output is pretty printed.");
const LIST: &[Parameter] = &[
    ("allowWatchBookmarks", "boolean", "allowWatchBookmarks requests watch events with type \"BOOKMARK\"."),
    ("continue", "string", "The continue option should be set when retrieving more results from the server."),
    ("fieldSelector", "string", "A selector to restrict the list of returned objects by their fields."),
    ("labelSelector", "string", "A selector to restrict the list of returned objects by their labels."),
    ("limit", "integer", "limit is a maximum number of responses to return for a list call."),
    (
        "resourceVersion",
        "string",
        "resourceVersion sets a constraint on what resource versions a request may be served from.",
    ),
    ("resourceVersionMatch", "string", "resourceVersionMatch determines how resourceVersion is applied to list calls."),
    ("sendInitialEvents", "boolean", "`sendInitialEvents=true` may be set together with `watch=true`."),
    ("timeoutSeconds", "integer", "Timeout for the list/watch call."),
    (
        "watch",
        "boolean",
        "Watch for changes to the described resources and return them as a stream of add, update, and remove notifications.",
    ),
];
const DRY_RUN: Parameter = (
    "dryRun",
    "string",
    "When present, indicates that modifications should not be persisted. Valid values are: - All: all dry run stages will be processed",
);
const FIELD_MANAGER: Parameter = (
    "fieldManager",
    "string",
    "fieldManager is a name associated with the actor or entity that is making these changes.",
);
const FIELD_VALIDATION: Parameter = (
    "fieldValidation",
    "string",
    "fieldValidation instructs the server on how to handle objects in the request (POST/PUT/PATCH) containing unknown or duplicate fields. Valid values are: - Ignore, - Warn, - Strict.",
);
const FORCE: Parameter = ("force", "boolean", "Force is going to \"force\" Apply requests.");
const DELETE: &[Parameter] = &[
    DRY_RUN,
    ("gracePeriodSeconds", "integer", "The duration in seconds before the object should be deleted."),
    ("orphanDependents", "boolean", "Deprecated: please use the PropagationPolicy."),
    ("propagationPolicy", "string", "Whether and how garbage collection will be performed."),
];
const LOG: &[Parameter] = &[
    ("container", "string", "The container for which to stream logs."),
    ("follow", "boolean", "Follow the log stream of the pod."),
    ("limitBytes", "integer", "If set, the number of bytes to read from the server before terminating the log output."),
    ("previous", "boolean", "Return previous terminated container logs."),
    ("sinceSeconds", "integer", "A relative time in seconds before the current time from which to show logs."),
    ("tailLines", "integer", "If set, the number of lines from the end of the logs to show."),
    ("timestamps", "boolean", "If true, add an RFC3339 timestamp at the beginning of every line of log output."),
];
const STREAM: &[Parameter] = &[
    ("command", "string", "Command is the remote command to execute. argv array. Not executed within a shell."),
    ("container", "string", "Container in which to execute the command."),
    ("stderr", "boolean", "Redirect the standard error stream of the pod for this call."),
    ("stdin", "boolean", "Redirect the standard input stream of the pod for this call."),
    ("stdout", "boolean", "Redirect the standard output stream of the pod for this call."),
    ("tty", "boolean", "TTY if true indicates that a tty will be allocated for the exec call."),
];

/// One method at one path.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) path: String,
    pub(super) method: &'static str,
    /// `x-kubernetes-action`
    pub(super) action: &'static str,
    pub(super) id: String,
    pub(super) tag: String,
    pub(super) body: Body,
    /// Name of the request body's definition.
    pub(super) request: Option<String>,
    /// Name of the answer's definition; text if there is none.
    pub(super) response: Option<String>,
    pub(super) query: Vec<Parameter>,
    /// Of a resource that is no built-in one.
    is_custom: bool,
}

impl Operation {
    /// The media types of its request body.
    pub(super) fn consumes(&self) -> &'static [&'static str] {
        match (self.method, self.is_custom) {
            ("patch", false) => &PATCH_TYPES,
            ("patch", true) => &PATCH_TYPES_OF_CUSTOM,
            _ => &["*/*"],
        }
    }

    /// The definitions that the operation needs.
    pub(super) fn definitions(&self) -> impl Iterator<Item = String> {
        self.request.iter().chain(&self.response).cloned()
    }
}

/// Everything that can be done with a group and version.
pub(super) fn operations(version: &GroupVersion) -> Vec<Operation> {
    let mut found = Vec::new();
    for resource in &version.resources {
        let place = Place { version, resource };
        for verb in resource.verbs {
            found.extend(place.operation(verb));
        }
        if resource.namespaced && resource.verbs.contains(&"list") {
            found.push(place.list_all());
        }
        for sub in &resource.subresources {
            found.extend(sub.verbs.iter().filter_map(|verb| place.sub_operation(sub, verb)));
        }
    }
    found
}

/// One resource of one version.
struct Place<'v> {
    version: &'v GroupVersion,
    resource: &'v Resource,
}

impl Place<'_> {
    fn collection(&self) -> String {
        let scope = if self.resource.namespaced { "/namespaces/{namespace}" } else { "" };
        format!("{}{scope}/{}", self.version.path(), self.resource.plural)
    }

    fn definition(&self) -> Option<String> {
        definition(&self.resource.body)
    }

    fn list_definition(&self) -> Option<String> {
        let kind = format!("{}List", self.resource.body.kind);
        match types().of_kind(&self.resource.body.api_version(), &kind) {
            Some(definition) => Some(definition.name.clone()),
            None => self.definition().map(|name| format!("{name}List")),
        }
    }

    /// An ordinary verb; `watch` is a parameter of `list`.
    fn operation(&self, verb: &str) -> Option<Operation> {
        let own = self.definition();
        let one = format!("{}/{{name}}", self.collection());
        let all = self.collection();
        let write = [PRETTY, DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
        let (path, method, action, request, response, query) = match verb {
            "list" => (all, "get", "list", None, self.list_definition(), [&[PRETTY], LIST].concat()),
            "create" => (all, "post", "post", own.clone(), own, write.to_vec()),
            "deletecollection" => {
                let query = [&[PRETTY], DELETE, &LIST[1..7]].concat();
                (all, "delete", "deletecollection", Some(DELETE_OPTIONS.into()), Some(STATUS.into()), query)
            }
            "get" => (one, "get", "get", None, own, vec![PRETTY]),
            "update" => (one, "put", "put", own.clone(), own, write.to_vec()),
            "patch" => (one, "patch", "patch", Some(PATCH.into()), own, [&write[..], &[FORCE]].concat()),
            "delete" => {
                let query = [&[PRETTY], DELETE].concat();
                (one, "delete", "delete", Some(DELETE_OPTIONS.into()), Some(STATUS.into()), query)
            }
            _ => return None,
        };
        Some(self.make(path, method, action, verb, "", self.resource.body.clone(), (request, response), query))
    }

    fn list_all(&self) -> Operation {
        let path = format!("{}/{}", self.version.path(), self.resource.plural);
        let query = [&[PRETTY], LIST].concat();
        let bodies = (None, self.list_definition());
        self.make(path, "get", "list", "list", "ForAllNamespaces", self.resource.body.clone(), bodies, query)
    }

    fn sub_operation(&self, sub: &Subresource, verb: &str) -> Option<Operation> {
        let path = format!("{}/{{name}}/{}", self.collection(), sub.name);
        let body = definition(&sub.body);
        let write = [PRETTY, DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
        let streams = matches!(sub.name, "exec" | "attach" | "portforward");
        let (method, action, request, response, query) = match verb {
            "get" if streams => ("get", "connect", None, None, STREAM.to_vec()),
            "create" if streams => ("post", "connect", None, None, STREAM.to_vec()),
            "get" if sub.name == "log" => ("get", "get", None, None, [&[PRETTY], LOG].concat()),
            "get" => ("get", "get", None, body, vec![PRETTY]),
            "create" => ("post", "post", body.clone(), body, write.to_vec()),
            "update" => ("put", "put", body.clone(), body, write.to_vec()),
            "patch" => ("patch", "patch", Some(PATCH.into()), body, [&write[..], &[FORCE]].concat()),
            _ => return None,
        };
        let suffix = capitalised(sub.name);
        Some(self.make(path, method, action, verb, &suffix, sub.body.clone(), (request, response), query))
    }

    #[expect(clippy::too_many_arguments, reason = "one constructor for the two callers above")]
    fn make(
        &self,
        path: String,
        method: &'static str,
        action: &'static str,
        verb: &str,
        suffix: &str,
        body: Body,
        (request, response): (Option<String>, Option<String>),
        query: Vec<Parameter>,
    ) -> Operation {
        let group = self.version.group.split('.').next().filter(|group| !group.is_empty()).unwrap_or("core");
        let version = capitalised(&self.version.version);
        let verb = match (action, verb) {
            ("connect", _) => format!("connect{}", capitalised(method)),
            (_, "get") => "read".into(),
            (_, "update") => "replace".into(),
            (_, "deletecollection") => "deleteCollection".into(),
            (_, verb) => verb.to_owned(),
        };
        let scope = if self.resource.namespaced && suffix != "ForAllNamespaces" { "Namespaced" } else { "" };
        let id = format!("{verb}{}{version}{scope}{}{suffix}", capitalised(group), self.resource.body.kind);
        let tag = format!("{group}_{}", self.version.version);
        let of_resource = &self.resource.body;
        let is_custom = types().of_kind(&of_resource.api_version(), &of_resource.kind).is_none();
        Operation { path, method, action, id, tag, body, request, response, query, is_custom }
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

fn definition(body: &Body) -> Option<String> {
    match types().of_kind(&body.api_version(), &body.kind) {
        Some(definition) => Some(definition.name.clone()),
        // Groups of custom resources are domains; bodies of built-in ones that have no type have no
        // domain.
        None => body.group.contains('.').then(|| custom::name(body)),
    }
}
