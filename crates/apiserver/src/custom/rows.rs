//! From a definition to the rows that it makes.

use std::sync::{Arc, OnceLock};

use everynode_api::field::{FieldError, Path};
use everynode_api::kinds::{Kind, Text};
use everynode_api::status::Status;
use serde_json::Value;

use super::apply_type::{ApplyType, ApplyTypes};
use super::check::check;
use super::definition::condition_is_true;
use super::path::JsonPath;
use super::rules::RuleTree;
use super::scale::{SCALE, Scale};
use super::schema::{Parser, Schema};
use crate::catalogue::row::{Admission, Form};
use crate::catalogue::{Action, Row, RowRef, Subresource};
use crate::hub::FieldRules;
use crate::object::{self, items, text};
use crate::registry::admission::admit_ordinary;
use crate::registry::strategy::{Strategy, keep_all_but_status};
use crate::registry::{Caller, Registry, Target};
use crate::tables::Printer;

/// What a row of a custom resource has besides what every row has.
pub(crate) struct Custom {
    pub(crate) schema: Schema,
    /// The rules in CEL, compiled when the first object is checked.
    rules: OnceLock<Option<RuleTree>>,
    /// By API version.
    pub(crate) apply_types: Arc<ApplyTypes>,
    /// The schema as it was written, for OpenAPI.
    pub(crate) document: Value,
    /// The API version that objects are stored in.
    pub(crate) stored_api_version: String,
    pub(crate) scale: Option<Scale>,
    /// How the stored bytes of an object of this version begin.
    pub(crate) beginning: String,
    /// The kind has this version only.
    pub(crate) is_only_version: bool,
    /// The definition is being deleted.
    pub(crate) is_terminating: bool,
}

/// The rows of one definition.
#[derive(Clone)]
pub(crate) struct Defined {
    pub(crate) served: Vec<RowRef>,
    /// That of the stored version, which may not be served.
    pub(crate) stored: RowRef,
}

/// As discovery of the original names them for custom resources.
const VERBS: &[&str] = &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
const OF_SUBRESOURCES: &[&str] = &["get", "patch", "update"];

/// The rows of a definition whose names were accepted.
pub(crate) fn rows(definition: &Value) -> Option<Defined> {
    if !condition_is_true(definition, "Established") {
        return None;
    }
    let versions = items(definition, &["spec", "versions"]);
    let stored = versions.iter().find(|version| version["storage"] == true)?;
    let group = text(definition, &["spec", "group"]);
    let stored_api_version = format!("{group}/{}", text(stored, &["name"]));
    let apply_type = |version: &Value| {
        let api_version = format!("{group}/{}", text(version, &["name"]));
        (api_version, ApplyType::parse(&version["schema"]["openAPIV3Schema"]))
    };
    let apply_types: Arc<ApplyTypes> =
        Arc::new(versions.iter().filter(|version| version["served"] == true).map(apply_type).collect());
    let mut parser = Parser::default();
    let mut make = |version: &Value| {
        let schema = parser.schema(&version["schema"]["openAPIV3Schema"]);
        RowRef::Defined(Arc::new(row(definition, version, (schema, &apply_types), &stored_api_version)))
    };
    let stored_row = make(stored);
    let served = versions.iter().filter(|version| version["served"] == true);
    let served = served.map(|version| match version["name"] == stored["name"] {
        true => stored_row.clone(),
        false => make(version),
    });
    Some(Defined { served: served.collect(), stored: stored_row })
}

fn row(
    definition: &Value,
    version: &Value,
    (schema, apply_types): (Schema, &Arc<ApplyTypes>),
    stored_api_version: &str,
) -> Row {
    let (spec, names) = (&definition["spec"], &definition["status"]["acceptedNames"]);
    let own = |value: &Value, path: &[&str]| Text::Owned(text(value, path).to_owned());
    let texts = |name: &str| -> Vec<Text> {
        items(names, &[name]).iter().filter_map(Value::as_str).map(|text| Text::Owned(text.to_owned())).collect()
    };
    let kind = Kind {
        group: own(spec, &["group"]),
        version: own(version, &["name"]),
        kind: own(names, &["kind"]),
        plural: own(names, &["plural"]),
        namespaced: spec["scope"] == "Namespaced",
    };
    let has_status = version["subresources"]["status"].is_object();
    let scale = Scale::parse(&version["subresources"]["scale"]);
    let subresource = |name, body, action| Subresource { name, body, verbs: OF_SUBRESOURCES, action };
    let mut subresources = Vec::new();
    subresources.extend(has_status.then(|| subresource("status", None, Action::Status)));
    subresources.extend(scale.as_ref().map(|_| subresource("scale", Some(SCALE.clone()), Action::Scale)));
    let deprecated = (version["deprecated"] == true).then(|| {
        let standard = || format!("{} {} is deprecated", kind.api_version(), kind.kind);
        Text::Owned(version["deprecationWarning"].as_str().map_or_else(standard, str::to_owned))
    });
    let document = version["schema"]["openAPIV3Schema"].clone();
    Row {
        singular: own(names, &["singular"]),
        list_kind: own(names, &["listKind"]),
        short_names: texts("shortNames"),
        categories: texts("categories"),
        verbs: VERBS,
        subresources,
        storage: format!("{}/{}", kind.group, kind.plural).into(),
        strategy: if has_status { &WITH_STATUS } else { &WITHOUT_STATUS },
        admission: Admission { create: admit_create, ..Admission::ORDINARY },
        deprecated,
        fields: selectable_fields(version),
        printer: Printer::custom(columns(version)),
        form: Form::Version,
        custom: Some(Custom {
            schema,
            rules: OnceLock::new(),
            apply_types: apply_types.clone(),
            document,
            stored_api_version: stored_api_version.to_owned(),
            scale,
            beginning: format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", kind.kind, kind.api_version()),
            is_only_version: items(spec, &["versions"]).len() == 1,
            is_terminating: object::is_terminating(definition),
        }),
        ..Row::ordinary(&kind)
    }
}

fn selectable_fields(version: &Value) -> FieldRules {
    let paths = items(version, &["selectableFields"]).iter().map(|field| text(field, &["jsonPath"]));
    let fields = paths.filter_map(|path| {
        let name = path.strip_prefix('.').unwrap_or(path).to_owned();
        Some((Text::Owned(name), JsonPath::parse(path)?))
    });
    FieldRules::custom(fields.collect())
}

/// A printer column of a definition.
pub(crate) struct CustomColumn {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) format: String,
    pub(crate) description: String,
    pub(crate) priority: i32,
    pub(crate) path: JsonPath,
}

fn columns(version: &Value) -> Vec<CustomColumn> {
    let own = |column: &Value, name: &str| text(column, &[name]).to_owned();
    let columns = items(version, &["additionalPrinterColumns"]).iter().map(|column| {
        Some(CustomColumn {
            name: own(column, "name"),
            kind: own(column, "type"),
            format: own(column, "format"),
            description: own(column, "description"),
            priority: column["priority"].as_i64().and_then(|number| i32::try_from(number).ok()).unwrap_or(0),
            path: JsonPath::parse(text(column, &["jsonPath"]))?,
        })
    });
    // As in the original, a version one of whose columns cannot be read has the columns of a
    // version that has none.
    columns.collect::<Option<Vec<_>>>().unwrap_or_default()
}

fn admit_create(registry: &Registry, caller: &Caller<'_>, target: &Target, value: &mut Value) -> Result<(), Status> {
    if target.info.custom.as_ref().is_some_and(|custom| custom.is_terminating) {
        let text = "create not allowed while custom resource definition is terminating";
        return Err(Status::failure(405, "MethodNotAllowed", text));
    }
    admit_ordinary(registry, caller, target, value)
}

impl Custom {
    pub(crate) fn is_stored_version(&self, kind: &Kind) -> bool {
        self.stored_api_version == kind.api_version()
    }

    /// Every mistake of an object by its schema.
    pub(crate) fn check(&self, kind: &Kind, value: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let found = text(value, &["kind"]);
        if found != kind.kind {
            errors.push(FieldError::invalid(&Path::new("kind"), found, format!("must be {}", kind.kind)));
        }
        errors.extend(check(&self.schema, value, None));
        errors.extend(self.scale.iter().flat_map(|scale| scale.check(value)));
        errors
    }

    /// Adds what the rules say of an object that was `old` before, and has these mistakes.
    pub(crate) fn check_rules(&self, value: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
        if let Some(rules) = self.rules.get_or_init(|| RuleTree::parse(&self.document)) {
            rules.check(value, old, errors);
        }
    }
}

/// Custom objects: everything but metadata, and status where it is a subresource, counts.
struct CustomObjects {
    has_status: bool,
}

static WITH_STATUS: CustomObjects = CustomObjects { has_status: true };
static WITHOUT_STATUS: CustomObjects = CustomObjects { has_status: false };

impl Strategy for CustomObjects {
    fn counts_generations(&self) -> bool {
        true
    }

    fn is_new_generation(&self, new: &Value, old: &Value) -> bool {
        let counts = |name: &str| name != "metadata" && !(self.has_status && name == "status");
        let members = |value: &Value| -> Vec<(String, Value)> {
            let members = value.as_object().into_iter().flatten().filter(|(name, _)| counts(name));
            members.map(|(name, member)| (name.clone(), member.clone())).collect()
        };
        members(new) != members(old)
    }

    fn prepare_create(&self, _: &Registry, value: &mut Value) -> Result<(), Status> {
        if self.has_status {
            object::remove(value, "status");
        }
        Ok(())
    }

    fn prepare_status(&self, new: &mut Value, old: &Value) {
        keep_all_but_status(new, old);
        // Of metadata too: that is the difference to built-in kinds.
        object::copy_member(new, old, "metadata");
        object::remove_meta(new, "resourceVersion");
    }

    fn updates_unconditionally(&self) -> bool {
        false
    }
}
