//! Certificate requests.

use std::collections::BTreeSet;

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use everynode_common::base64;
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::check::{Errors, int, invalid_each, list, required, text};

/// The shortest life that may be asked for.
const SECONDS_MIN: i64 = 600;
const SIGNER_BYTES_MAX: usize = 571;
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

pub(in crate::schema) fn request(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let bytes = base64::decode(text(spec, "request")).unwrap_or_default();
    if let Err(detail) = readable(&bytes) {
        errors.push(FieldError::invalid(&path.child("request"), text(spec, "request"), detail));
    }
    usages(&mut errors, spec, &path.child("usages"));
    signer(&mut errors, text(spec, "signerName"), &path.child("signerName"));
    if let Some(seconds) = int(spec, "expirationSeconds").filter(|seconds| *seconds < SECONDS_MIN) {
        let detail = format!("may not specify a duration less than {SECONDS_MIN} seconds");
        errors.push(FieldError::invalid(&path.child("expirationSeconds"), seconds, detail));
    }
    errors
}

fn readable(pem: &[u8]) -> Result<(), String> {
    let der = CertificateSigningRequestDer::from_pem_slice(pem);
    let der = der.map_err(|_| "PEM block type must be CERTIFICATE REQUEST".to_owned())?;
    X509CertificationRequest::from_der(&der).map(|_| ()).map_err(|error| error.to_string())
}

fn usages(errors: &mut Errors, spec: &Value, path: &Path) {
    let usages: Vec<&str> = list(spec, "usages").iter().filter_map(Value::as_str).collect();
    if usages.is_empty() {
        errors.push(FieldError::required(path, "usages must be specified"));
    }
    let mut seen = BTreeSet::new();
    for (index, usage) in usages.into_iter().enumerate() {
        if !USAGES.contains(&usage) {
            errors.push(FieldError::not_supported(&path.index(index), usage, &USAGES));
        }
        if !seen.insert(usage) {
            errors.push(FieldError::duplicate(&path.index(index), usage));
        }
    }
}

/// `example.com/name.of.signer`
fn signer(errors: &mut Errors, name: &str, path: &Path) {
    if name.is_empty() {
        return errors.push(FieldError::required(path, ""));
    }
    let Some((domain, rest)) = name.split_once('/').filter(|(_, rest)| !rest.contains('/')) else {
        let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return errors.push(FieldError::invalid(path, name, detail));
    };
    invalid_each(errors, path, domain, names::dns1123_subdomain(domain));
    if !domain.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path, domain, detail));
    }
    invalid_each(errors, path, rest, names::dns1123_subdomain(rest));
    if name.len() > SIGNER_BYTES_MAX {
        errors.push(FieldError::too_long(path, SIGNER_BYTES_MAX));
    }
}

/// What was decided stays, and nothing is both approved and denied.
pub(in crate::schema) fn status(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("status").child("conditions");
    let conditions = list(&new["status"], "conditions");
    let has = |conditions: &[Value], kind: &str| conditions.iter().any(|condition| condition["type"] == kind);
    let mut seen = BTreeSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let (path, kind) = (path.index(index), text(condition, "type"));
        required(&mut errors, condition, &path, "type");
        if ["Approved", "Denied", "Failed"].contains(&kind) && text(condition, "status") != "True" {
            let given = text(condition, "status");
            errors.push(FieldError::not_supported(&path.child("status"), given, &["True"]));
        }
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(&path.child("type"), kind));
        }
        let other = if kind == "Approved" { "Denied" } else { "Approved" };
        if ["Approved", "Denied"].contains(&kind) && has(&conditions[..index], other) {
            let detail = "Approved and Denied conditions are mutually exclusive";
            errors.push(FieldError::invalid(&path.child("type"), kind, detail));
        }
    }
    for kind in ["Approved", "Denied", "Failed"] {
        if has(list(&old["status"], "conditions"), kind) && !has(conditions, kind) {
            let detail = format!("updates may not remove a condition of type {kind:?}");
            errors.push(FieldError::forbidden(&path, detail));
        }
    }
    errors
}
