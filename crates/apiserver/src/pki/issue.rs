//! Making certificates, and deciding whether those on disk still do.

use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{Credentials, Lifetime, PkiError, Request, certificates, certified, files, pair};

/// The name of the authority's files.
const CA: &str = "ca";
const DAY: SignedDuration = SignedDuration::from_hours(24);
const CA_VALIDITY: SignedDuration = SignedDuration::from_hours(24 * 3650);

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Client,
    Server,
    Both,
}

/// Whom a certificate is for.
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) groups: &'static [&'static str],
    /// DNS names and IP addresses.
    pub(super) names: Vec<String>,
    pub(super) purpose: Purpose,
}

/// An answered certificate request.
pub(crate) struct Signed {
    pub(crate) certificate: String,
    /// RFC 3339
    pub(crate) expires: String,
}

/// The cluster's certificate authority.
pub(super) struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
    /// How long what it signs is valid.
    validity: SignedDuration,
}

impl From<rcgen::Error> for PkiError {
    fn from(error: rcgen::Error) -> Self {
        PkiError::Make(error.to_string())
    }
}

impl Authority {
    /// Reads the CA, or makes one.
    pub(super) fn open(directory: &Path, validity: SignedDuration, now: Timestamp) -> Result<Authority, PkiError> {
        let (certificate_path, key_path) = (pair::certificate_path(directory, CA), pair::key_path(directory, CA));
        let found = pair::read(directory, CA)?;
        let credentials = match (found.certificate, found.key) {
            (Some(certificate), Some(key)) => Credentials { certificate, key },
            (None, None) => {
                let made = make_ca(now)?;
                pair::write(directory, CA, &made)?;
                made
            }
            // One without the other: making a new CA would silently lock out every node. No crash
            // leaves this behind.
            (None, Some(_)) => return Err(unusable(&certificate_path, "it is missing while ca.key is there")),
            (Some(_), None) => return Err(unusable(&key_path, "it is missing while ca.crt is there")),
        };
        let key = KeyPair::from_pem(&credentials.key).map_err(|error| unusable(&key_path, error))?;
        certified(&credentials).map_err(|_| unusable(&certificate_path, "it does not belong to ca.key"))?;
        let certificate = credentials.certificate;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key).map_err(|error| unusable(&certificate_path, error))?;
        Ok(Authority { certificate, issuer, validity })
    }

    pub(super) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// When the CA certificate ends.
    pub(super) fn end(&self) -> Option<Timestamp> {
        Lifetime::of(&self.certificate).ok().map(|life| life.until)
    }

    /// SHA-256 of the CA certificate (DER), lower-case hexadecimal.
    pub(super) fn fingerprint(&self) -> Result<String, PkiError> {
        let certificates = certificates(&self.certificate)?;
        let der = certificates.first().ok_or_else(|| PkiError::Make("ca.crt is empty".to_owned()))?;
        Ok(super::sha256_hex(der))
    }

    /// Reads a certificate and its key, or makes them if they are missing, near their end, or for
    /// other names.
    pub(super) fn credentials(
        &self,
        directory: &Path,
        name: &str,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<Credentials, PkiError> {
        let found = pair::read(directory, name)?;
        if let (Some(certificate), Some(key)) = (found.certificate, found.key) {
            let held = Credentials { certificate, key };
            if self.still_good(&held, subject, now) {
                return Ok(held);
            }
        }
        let key = KeyPair::generate()?;
        let certificate = params(subject, self.validity, now)?.signed_by(&key, &self.issuer)?.pem();
        let made = Credentials { certificate, key: key.serialize_pem() };
        pair::write(directory, name, &made)?;
        Ok(made)
    }

    fn still_good(&self, held: &Credentials, subject: &Subject, now: Timestamp) -> bool {
        let fits = || -> Option<bool> {
            let ders = certificates(&held.certificate).ok()?;
            let (_, parsed) = X509Certificate::from_der(ders.first()?).ok()?;
            let ca_ders = certificates(&self.certificate).ok()?;
            let (_, ca) = X509Certificate::from_der(ca_ders.first()?).ok()?;
            let ours = parsed.verify_signature(Some(ca.public_key())).is_ok() && certified(held).is_ok();
            let due = Lifetime::of_parsed(&parsed)?.is_due(now);
            let same = names_of(&parsed) == sorted(&subject.names) && is_subject(&parsed, subject);
            Some(ours && !due && same)
        };
        fits().unwrap_or(false)
    }

    /// Signs a request's public key for `subject`; nothing else in the request counts.
    pub(super) fn sign(&self, request: Request, subject: &Subject, now: Timestamp) -> Result<Signed, PkiError> {
        let mut request = request.params;
        request.params = params(subject, self.validity, now)?;
        let certificate = request.signed_by(&self.issuer)?.pem();
        Ok(Signed { certificate, expires: everynode_api::time::rfc3339(now + self.validity) })
    }
}

fn unusable(path: &Path, reason: impl std::fmt::Display) -> PkiError {
    PkiError::Unusable { path: path.to_owned(), reason: reason.to_string() }
}

fn make_ca(now: Timestamp) -> Result<Credentials, PkiError> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "everynode");
    set_validity(&mut params, now, CA_VALIDITY);
    let key = KeyPair::generate()?;
    Ok(Credentials { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
}

fn params(subject: &Subject, validity: SignedDuration, now: Timestamp) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::new(subject.names.clone())?;
    params.distinguished_name = DistinguishedName::new();
    for group in subject.groups {
        params.distinguished_name.push(DnType::OrganizationName, *group);
    }
    params.distinguished_name.push(DnType::CommonName, subject.name.as_str());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match subject.purpose {
        Purpose::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Purpose::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Purpose::Both => vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth],
    };
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now, validity);
    Ok(params)
}

/// For so long from now; and from a day ago (less for short lives), for machines whose clocks are
/// behind.
fn set_validity(params: &mut CertificateParams, now: Timestamp, validity: SignedDuration) {
    // rcgen's own time type is made from dates only.
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = |time: Timestamp| Duration::from_secs(u64::try_from(time.as_second()).unwrap_or(0));
    params.not_before = epoch + since(now - DAY.min(validity / 4));
    params.not_after = epoch + since(now + validity);
}

fn sorted(names: &[String]) -> Vec<String> {
    let canonical = |name: &String| name.parse::<std::net::IpAddr>().map_or_else(|_| name.clone(), |ip| ip.to_string());
    let mut names: Vec<String> = names.iter().map(canonical).collect();
    names.sort();
    names.dedup();
    names
}

/// Whether it is this user's, in these groups.
fn is_subject(certificate: &X509Certificate<'_>, subject: &Subject) -> bool {
    let found = certificate.subject();
    let name = found.iter_common_name().next().and_then(|name| name.as_str().ok());
    let groups: Option<Vec<&str>> = found.iter_organization().map(|group| group.as_str().ok()).collect();
    name == Some(subject.name.as_str()) && groups.as_deref() == Some(subject.groups)
}

/// The DNS names and addresses in a certificate, sorted.
fn names_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension.iter().flat_map(|extension| &extension.value.general_names);
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    };
    sorted(&names.filter_map(text).collect::<Vec<_>>())
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).map(|octets| std::net::IpAddr::from(octets).to_string());
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(|octets| std::net::IpAddr::from(octets).to_string())).ok()
}

/// The key that signs service-account tokens: (private, public), PEM.
pub(super) fn account_key(directory: &Path) -> Result<(String, String), PkiError> {
    let path = directory.join("sa.key");
    let key = match files::read(&path)? {
        Some(text) => KeyPair::from_pem(&text).map_err(|error| unusable(&path, error))?,
        None => {
            let key = KeyPair::generate()?;
            files::write(&path, &key.serialize_pem(), files::PRIVATE)?;
            key
        }
    };
    let public = key.public_key_pem();
    files::write(&directory.join("sa.pub"), &public, files::PUBLIC)?;
    Ok((key.serialize_pem(), public))
}
