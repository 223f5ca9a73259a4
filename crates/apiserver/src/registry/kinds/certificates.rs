//! Certificate requests: who asks is written down by the server, who may approve a signer's
//! requests approves them, and signers of others sign. Nothing here signs them: machines join by
//! `/everynode.dev/v1/join`.

use everynode_api::kinds::CERTIFICATE_SIGNING_REQUEST;
use everynode_api::status::Status;
use everynode_common::base64;
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::auth::MASTERS;
use crate::auth::authorize::{Attributes, allowed};
use crate::catalogue::Row;
use crate::catalogue::row::Admission;
use crate::hub::FieldRules;
use crate::object::{items, text};
use crate::registry::admission::admit_ordinary;
use crate::registry::strategy::{Strategy, keep_all_but_status};
use crate::registry::{Caller, Registry, Target};
use crate::schema::Rules;
use crate::tables::Printer;

/// The signer whose certificates the server itself lets in.
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";
/// Conditions that only `approval` changes.
const DECISIONS: [&str; 2] = ["Approved", "Denied"];

struct Requests;

pub(crate) fn certificate_signing_request() -> Row {
    Row {
        strategy: &Requests,
        admission: Admission { create: admit_request, update: admit_change, ..Admission::ORDINARY },
        rules: Rules::CERTIFICATE_SIGNING_REQUEST,
        fields: FieldRules::certificate_requests(),
        printer: Printer::certificate_requests(),
        ..Row::ordinary(&CERTIFICATE_SIGNING_REQUEST)
    }
}

impl Strategy for Requests {
    fn prepare_create(&self, _: &Registry, value: &mut Value) -> Result<(), Status> {
        value["status"] = json!({});
        Ok(())
    }

    /// What was asked for stays as it was.
    fn prepare_update(&self, _: &Registry, new: &mut Value, old: &Value) -> Result<(), Status> {
        new["spec"] = old["spec"].clone();
        Ok(())
    }

    fn prepare_status(&self, new: &mut Value, old: &Value) {
        keep_all_but_status(new, old);
    }
}

/// Who asks is whoever sends it, whatever it says.
fn admit_request(registry: &Registry, caller: &Caller<'_>, target: &Target, request: &mut Value) -> Result<(), Status> {
    admit_ordinary(registry, caller, target, request)?;
    let user = caller.user;
    let spec = crate::object::object_mut(request, "spec");
    for name in ["username", "uid", "groups", "extra"] {
        spec.remove(name);
    }
    spec.insert("username".into(), user.name.as_str().into());
    spec.insert("groups".into(), user.groups.clone().into());
    if !user.uid.is_empty() {
        spec.insert("uid".into(), user.uid.as_str().into());
    }
    if !user.extra.is_empty() {
        spec.insert("extra".into(), json!(user.extra));
    }
    if text(request, &["spec", "signerName"]) == CLIENT_SIGNER && organizations(request).iter().any(|of| of == MASTERS)
    {
        let words = format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed");
        return Err(Status::forbidden(&target.info.kind, &target.name, &words));
    }
    Ok(())
}

/// The groups of whom the certificate would be for; none of a request that cannot be read, which
/// validation refuses.
fn organizations(request: &Value) -> Vec<String> {
    let der = text(request, &["spec", "request"]);
    let pem = base64::decode(der).unwrap_or_default();
    let Ok(der) = CertificateSigningRequestDer::from_pem_slice(&pem) else { return Vec::new() };
    let Ok((_, parsed)) = X509CertificationRequest::from_der(&der) else { return Vec::new() };
    let names = parsed.certification_request_info.subject.iter_organization();
    names.map(|name| String::from_utf8_lossy(name.as_slice()).into_owned()).collect()
}

/// Each part of a status has its own way and its own right.
fn admit_change(
    registry: &Registry,
    caller: &Caller<'_>,
    target: &Target,
    new: &mut Value,
    old: &Value,
) -> Result<(), Status> {
    let verb = match target.subresource {
        "approval" => {
            keep(new, old, "certificate");
            Some("approve")
        }
        "status" => (new["status"]["certificate"] != old["status"]["certificate"]).then_some("sign"),
        _ => return Ok(()),
    };
    conditions(registry, new, old, target.subresource == "approval");
    let Some(verb) = verb else { return Ok(()) };
    let signer = text(old, &["spec", "signerName"]);
    match may(registry, caller, verb, signer) {
        true => Ok(()),
        false => {
            let words = format!("user not permitted to {verb} requests with signerName {signer:?}");
            Err(Status::forbidden(&target.info.kind, &target.name, &words))
        }
    }
}

fn keep(new: &mut Value, old: &Value, member: &str) {
    let status = crate::object::object_mut(new, "status");
    match &old["status"][member] {
        Value::Null => drop(status.remove(member)),
        value => drop(status.insert(member.to_owned(), value.clone())),
    }
}

/// The conditions that the other way changes stay as they are; times that were not given are now.
fn conditions(registry: &Registry, new: &mut Value, old: &Value, decides: bool) {
    let is_decision = |condition: &&Value| DECISIONS.contains(&text(condition, &["type"]));
    let before = items(old, &["status", "conditions"]);
    let sent = items(new, &["status", "conditions"]).iter();
    let mut all: Vec<Value> = sent.filter(|condition| is_decision(condition) == decides).cloned().collect();
    all.extend(before.iter().filter(|condition| is_decision(condition) != decides).cloned());
    let now = registry.env.now_text();
    for condition in &mut all {
        let known = before.iter().find(|known| known["type"] == condition["type"]);
        if condition["lastUpdateTime"].is_null() {
            condition["lastUpdateTime"] = now.as_str().into();
        }
        if condition["lastTransitionTime"].is_null() {
            let same = known.filter(|known| known["status"] == condition["status"]);
            condition["lastTransitionTime"] =
                same.map_or_else(|| now.as_str().into(), |known| known["lastTransitionTime"].clone());
        }
    }
    let status = crate::object::object_mut(new, "status");
    match all.is_empty() {
        true => drop(status.remove("conditions")),
        false => drop(status.insert("conditions".into(), all.into())),
    }
}

/// By the signer's name, or by that of all signers of its domain.
fn may(registry: &Registry, caller: &Caller<'_>, verb: &str, signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    [signer.to_owned(), format!("{domain}/*")].into_iter().any(|name| {
        let attributes = Attributes {
            verb: verb.to_owned(),
            group: "certificates.k8s.io".into(),
            version: "*".into(),
            resource: "signers".into(),
            name,
            ..Attributes::default()
        };
        allowed(registry, caller.user, &attributes)
    })
}
