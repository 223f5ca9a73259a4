//! What a machine's certificate request may say.
//!
//! Only its public key is signed; what the request says besides must be what the node gets, or it
//! is refused: whoever asks for more than that would otherwise think to have it.

use rcgen::{CertificateSigningRequestParams, DistinguishedName, DnType, DnValue, IsCa, SanType};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::sha256_hex;

/// A request with a large RSA key has 2 KiB.
const PEM_BYTES_MAX: usize = 16 << 10;

/// A request that was found to be for the node.
pub(crate) struct Request {
    pub(super) params: CertificateSigningRequestParams,
    /// SHA-256 of its public key.
    pub(crate) key: String,
}

impl Request {
    /// Reads a request (PEM), whose signature shows that the sender has the key. Errors are for the
    /// sender.
    pub(crate) fn read(pem: &str, node: &str) -> Result<Request, String> {
        if pem.len() > PEM_BYTES_MAX {
            return Err(format!("it is longer than {PEM_BYTES_MAX} bytes"));
        }
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|error| error.to_string())?;
        let params = CertificateSigningRequestParams::from_der(&der).map_err(|error| error.to_string())?;
        let (_, parsed) = X509CertificationRequest::from_der(&der).map_err(|error| error.to_string())?;
        let key = sha256_hex(parsed.certification_request_info.subject_pki.raw);
        check_subject(&params.params.distinguished_name, node)?;
        if let Some(name) = params.params.subject_alt_names.iter().find(|name| !is_name(name, node)) {
            return Err(format!("it asks for {name:?}; a node's certificate is for the node's name only"));
        }
        match params.params.is_ca {
            IsCa::Ca(_) => Err("it asks for an authority's certificate".to_owned()),
            _ => Ok(Request { params, key }),
        }
    }
}

fn is_name(name: &SanType, node: &str) -> bool {
    matches!(name, SanType::DnsName(name) if name.as_str() == node)
}

/// None, or the node's.
fn check_subject(subject: &DistinguishedName, node: &str) -> Result<(), String> {
    let user = format!("{}{node}", crate::auth::NODE_PREFIX);
    for (kind, value) in subject.iter() {
        let given = match value {
            DnValue::Utf8String(text) => text.as_str(),
            DnValue::PrintableString(text) => text.as_str(),
            DnValue::Ia5String(text) => text.as_str(),
            _ => "",
        };
        let wanted = match kind {
            DnType::CommonName => user.as_str(),
            DnType::OrganizationName => crate::auth::NODES,
            _ => "",
        };
        if given.is_empty() || given != wanted {
            return Err(format!(
                "its subject has {given:?}; a node's has CN {user:?} and O {:?} or nothing",
                crate::auth::NODES
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pem(change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::new(vec!["n1".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "system:node:n1");
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        change(&mut params);
        params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
    }

    fn refused(change: impl FnOnce(&mut CertificateParams)) -> bool {
        Request::read(&pem(change), "n1").is_err()
    }

    #[test]
    fn a_request_is_for_the_node_and_nothing_else() {
        assert!(!refused(|_| {}));
        assert!(!refused(|params| params.distinguished_name = DistinguishedName::new()));
        assert!(!refused(|params| params.subject_alt_names.clear()));
        let address = || SanType::IpAddress("127.0.0.1".parse().unwrap());
        assert!(refused(|params| params.subject_alt_names.push(address())));
        let name = || SanType::DnsName("kubernetes.default.svc".try_into().unwrap());
        assert!(refused(|params| params.subject_alt_names.push(name())));
        assert!(refused(|params| params.distinguished_name.push(DnType::CommonName, "system:node:n2")));
        assert!(refused(|params| params.distinguished_name.push(DnType::OrganizationName, "system:masters")));
        assert!(refused(|params| params.distinguished_name.push(DnType::CountryName, "XX")));
        assert!(refused(|params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained)));
    }

    #[test]
    fn a_request_is_bounded_and_signed_by_its_key() {
        assert!(Request::read(&"x".repeat(PEM_BYTES_MAX + 1), "n1").is_err_and(|error| error.contains("longer")));
        let good = pem(|_| {});
        let der = CertificateSigningRequestDer::from_pem_slice(good.as_bytes()).unwrap();
        let mut bytes = der.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        let text: Vec<String> = everynode_common::base64::encode(&bytes)
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        let forged =
            format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", text.join("\n"));
        assert!(Request::read(&forged, "n1").is_err());
    }
}
