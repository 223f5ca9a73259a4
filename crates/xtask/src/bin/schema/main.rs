//! Writes the schema data of the API server from the JSON schemas that `k8s-openapi` carries.
//!
//! Two files, one line per type: `v1_36.types.json` holds what decoding needs (types, what Go
//! writes, how lists merge), `v1_36.docs.json` the descriptions, which only OpenAPI needs. Run it
//! from the workspace's root: `cargo run -p xtask --features schema --bin schema`. A field reads
//! `TYPE FLAG… WORD:VALUE…`:
//!
//! - TYPE: `string` `bool` `i32` `i64` `double` `bytes` `time` `microtime` `quantity` `intstr`
//!   `any`, `@DEFINITION`, `?@DEFINITION` (that, or any JSON that is no object), `[]TYPE`,
//!   `{}TYPE`.
//! - FLAG: `!` required; `=` always written; `*` a pointer, so zero is kept; neither: dropped when
//!   zero.
//! - WORD: `merge` (key; `retain` beside it), `keys` (of a list map), `set`, `atomic`, `go` (type
//!   name).

mod facts;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::{
    admissionregistration, apps, authentication, authorization, autoscaling, certificates, coordination, core,
    discovery, events, flowcontrol, networking, node, policy, rbac, resource, scheduling, storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration;
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

const TYPES: &str = "crates/apiserver/src/schema/v1_36.types.json";
const DOCS: &str = "crates/apiserver/src/schema/v1_36.docs.json";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const EXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";
const AGGREGATION: &str = "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1";

macro_rules! roots {
    ($generator:ident: $($group:literal $module:ident { $($list:ident)* ; $($single:ident)* })*) => {
        vec![$(
            $({ $generator.subschema_for::<$module::v1::$list>(); root($group, stringify!($module), stringify!($list), true) },)*
            $({ $generator.subschema_for::<$module::v1::$single>(); root($group, stringify!($module), stringify!($single), false) },)*
        )*]
    };
}

/// A type that appears as a whole request or answer.
struct Root {
    group: &'static str,
    definition: String,
    kind: &'static str,
    listed: bool,
}

fn root(group: &'static str, module: &str, kind: &'static str, listed: bool) -> Root {
    let definition = match module {
        "meta" => format!("{META}.{kind}"),
        "apiextensions" => format!("{EXTENSIONS}.{kind}"),
        "apiregistration" => format!("{AGGREGATION}.{kind}"),
        module => format!("io.k8s.api.{module}.v1.{kind}"),
    };
    Root { group, definition, kind, listed }
}

fn main() -> Result<()> {
    let mut generator = SchemaGenerator::default();
    let roots = roots! { generator:
        "" core { Namespace Node Pod ConfigMap Secret ServiceAccount Service Endpoints Event LimitRange
            ResourceQuota PersistentVolume PersistentVolumeClaim PodTemplate ComponentStatus; Binding }
        "apps" apps { DaemonSet ControllerRevision; }
        "autoscaling" autoscaling { ; Scale }
        "coordination.k8s.io" coordination { Lease; }
        "events.k8s.io" events { Event; }
        "policy" policy { PodDisruptionBudget; Eviction }
        "scheduling.k8s.io" scheduling { PriorityClass; }
        "rbac.authorization.k8s.io" rbac { Role RoleBinding ClusterRole ClusterRoleBinding; }
        "authentication.k8s.io" authentication { ; TokenRequest TokenReview SelfSubjectReview }
        "authorization.k8s.io" authorization { ; SubjectAccessReview SelfSubjectAccessReview
            LocalSubjectAccessReview SelfSubjectRulesReview }
        "apiextensions.k8s.io" apiextensions { CustomResourceDefinition; }
        "admissionregistration.k8s.io" admissionregistration { ValidatingWebhookConfiguration
            MutatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding
            MutatingAdmissionPolicy MutatingAdmissionPolicyBinding; }
        "apiregistration.k8s.io" apiregistration { APIService; }
        "certificates.k8s.io" certificates { CertificateSigningRequest; }
        "discovery.k8s.io" discovery { EndpointSlice; }
        "flowcontrol.apiserver.k8s.io" flowcontrol { FlowSchema PriorityLevelConfiguration; }
        "networking.k8s.io" networking { NetworkPolicy IngressClass ServiceCIDR IPAddress; }
        "node.k8s.io" node { RuntimeClass; }
        "resource.k8s.io" resource { DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice; }
        "storage.k8s.io" storage { StorageClass CSIDriver CSINode VolumeAttachment CSIStorageCapacity
            VolumeAttributesClass; }
        "" meta { ; DeleteOptions Status ListMeta }
    };
    let mut output = Output::default();
    for (name, schema) in generator.take_definitions(true) {
        output.definition(&name, &schema).with_context(|| name.clone())?;
    }
    for root in &roots {
        output.root(root);
    }
    write(TYPES, &output.types)?;
    write(DOCS, &output.docs)
}

/// One entry per line, so that a change of version can be read as a diff.
fn write(path: &str, entries: &BTreeMap<String, Value>) -> Result<()> {
    let mut text = String::from("{\n");
    for (position, (name, value)) in entries.iter().enumerate() {
        let comma = if position + 1 < entries.len() { "," } else { "" };
        writeln!(text, "{}:{value}{comma}", Value::from(name.as_str()))?;
    }
    text.push_str("}\n");
    std::fs::write(path, text).with_context(|| format!("writing {path}"))
}

#[derive(Default)]
struct Output {
    types: BTreeMap<String, Value>,
    docs: BTreeMap<String, Value>,
}

impl Output {
    fn definition(&mut self, name: &str, schema: &Value) -> Result<()> {
        let mut docs = Map::new();
        note(&mut docs, "", schema);
        let Some(properties) = schema["properties"].as_object() else {
            self.docs.insert(name.to_owned(), docs.into());
            return Ok(());
        };
        let mut fields = Map::new();
        for (field, value) in properties {
            note(&mut docs, field, value);
            fields.insert(field.clone(), self.field(name, field, value, schema)?.into());
        }
        let mut entry = json!({ "fields": fields });
        if facts::ATOMIC_TYPES.split(' ').any(|atomic| facts::names(name, atomic)) {
            entry["atomic"] = true.into();
        }
        self.types.insert(name.to_owned(), entry);
        self.docs.insert(name.to_owned(), docs.into());
        Ok(())
    }

    fn field(&self, name: &str, field: &str, value: &Value, schema: &Value) -> Result<String> {
        let listed = schema["required"].as_array().is_some_and(|list| list.iter().any(|item| item == field));
        // k8s-openapi calls every metadata required; Kubernetes does not.
        let required = listed && field != "metadata";
        let kind = type_of(value).with_context(|| field.to_owned())?;
        let mut text = kind.clone();
        if required {
            text.push_str(" !");
        }
        text.push_str(emission(name, field, &kind, required));
        if let Some(key) = facts::look_up(facts::MERGE_KEYS, name, field) {
            write!(text, " merge:{}", key.trim_end_matches('!'))?;
            text.push_str(if key.ends_with('!') { " retain" } else { "" });
        }
        match facts::look_up(facts::LIST_KEYS, name, field) {
            Some("") => text.push_str(" set"),
            Some(keys) => write!(text, " keys:{keys}")?,
            None if facts::look_up(facts::ATOMIC, name, field).is_some() => text.push_str(" atomic"),
            None => {}
        }
        if let Some(go) = facts::look_up(facts::GO_NAMES, name, field) {
            write!(text, " go:{go}")?;
        }
        Ok(text)
    }

    fn root(&mut self, root: &Root) {
        let kinds = match root.kind {
            "DeleteOptions" => json!([
                "/v1",
                "apps/v1",
                "coordination.k8s.io/v1",
                "events.k8s.io/v1",
                "policy/v1",
                "scheduling.k8s.io/v1",
                "rbac.authorization.k8s.io/v1",
                "apiextensions.k8s.io/v1",
                "admissionregistration.k8s.io/v1",
                "apiregistration.k8s.io/v1",
                "certificates.k8s.io/v1",
                "discovery.k8s.io/v1",
                "flowcontrol.apiserver.k8s.io/v1",
                "networking.k8s.io/v1",
                "node.k8s.io/v1",
                "resource.k8s.io/v1",
                "storage.k8s.io/v1"
            ]),
            _ => json!([format!("{}/v1", root.group)]),
        };
        if root.kind != "ListMeta"
            && let Some(entry) = self.types.get_mut(&root.definition)
        {
            entry["gvk"] = kinds.clone();
        }
        if !root.listed {
            return;
        }
        let list = format!("{}List", root.definition);
        let fields = json!({
            "apiVersion": "string",
            "kind": "string",
            "items": format!("[]@{} ! =", root.definition),
            "metadata": format!("@{META}.ListMeta ="),
        });
        self.types.insert(list.clone(), json!({ "fields": fields, "gvk": kinds }));
        self.docs.insert(list, json!({ "": format!("{0}List is a list of {0} objects.", root.kind) }));
    }
}

fn note(docs: &mut Map<String, Value>, field: &str, value: &Value) {
    if let Some(text) = value["description"].as_str() {
        docs.insert(field.to_owned(), text.into());
    }
}

fn type_of(value: &Value) -> Result<String> {
    if let Some(reference) = value["$ref"].as_str() {
        return Ok(reference_type(reference.trim_start_matches("#/$defs/")));
    }
    Ok(match (value["type"].as_str(), value["format"].as_str()) {
        (Some("string"), Some("byte")) => "bytes".into(),
        (Some("string"), _) => "string".into(),
        (Some("boolean"), _) => "bool".into(),
        (Some("integer"), Some("int32")) => "i32".into(),
        (Some("integer"), _) => "i64".into(),
        (Some("number"), _) => "double".into(),
        (Some("array"), _) => format!("[]{}", type_of(&value["items"])?),
        (Some("object"), _) if value["additionalProperties"].is_object() => {
            format!("{{}}{}", type_of(&value["additionalProperties"])?)
        }
        (Some("object") | None, _) => "any".into(),
        other => bail!("no type for {other:?}"),
    })
}

fn reference_type(definition: &str) -> String {
    match definition.rsplit('.').next().unwrap_or_default() {
        "IntOrString" => "intstr".into(),
        "Quantity" => "quantity".into(),
        "Time" => "time".into(),
        "MicroTime" => "microtime".into(),
        "RawExtension" | "FieldsV1" | "JSON" | "CustomResourceSubresourceStatus" => "any".into(),
        "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray" => {
            format!("?@{EXTENSIONS}.JSONSchemaProps")
        }
        _ => format!("@{definition}"),
    }
}

/// How Go writes the field: ` =` always, ` *` when it was set, nothing when it is not zero.
fn emission(name: &str, field: &str, kind: &str, required: bool) -> &'static str {
    if facts::look_up(facts::REQUIRED_POINTERS, name, field).is_some() {
        return " *";
    }
    let metadata = field == "metadata" && kind.starts_with('@');
    if required || metadata || facts::look_up(facts::ALWAYS, name, field).is_some() {
        return " =";
    }
    let pointer_kind =
        kind.starts_with(['@', '?']) || matches!(kind, "time" | "microtime" | "quantity" | "intstr" | "any");
    match pointer_kind || facts::look_up(facts::POINTERS, name, field).is_some() {
        true => " *",
        false => "",
    }
}
