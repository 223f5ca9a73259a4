//! A certificate in use that can be exchanged: connections that are made afterwards show the new
//! one, those that exist go on with what they have shown.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, SignatureScheme};

use super::{Credentials, Lifetime, PkiError, certificates, certified};

/// A certificate and its key, for TLS on either side.
#[derive(Debug)]
pub struct RotatingCertificate {
    current: RwLock<Arc<Material>>,
}

#[derive(Debug)]
struct Material {
    credentials: Credentials,
    certified: Arc<CertifiedKey>,
    lifetime: Lifetime,
}

impl Material {
    fn new(credentials: Credentials) -> Result<Material, PkiError> {
        let certified = certified(&credentials)?;
        Ok(Material { lifetime: Lifetime::of(&credentials.certificate)?, certified: Arc::new(certified), credentials })
    }
}

impl RotatingCertificate {
    /// # Errors
    /// The PEM cannot be read, or the key is another certificate's.
    pub fn new(credentials: Credentials) -> Result<Arc<RotatingCertificate>, PkiError> {
        let current = RwLock::new(Arc::new(Material::new(credentials)?));
        Ok(Arc::new(RotatingCertificate { current }))
    }

    /// Shows another certificate from now on.
    ///
    /// # Errors
    /// As of [`RotatingCertificate::new`]; then the old one stays.
    pub fn replace(&self, credentials: Credentials) -> Result<(), PkiError> {
        let material = Arc::new(Material::new(credentials)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = material;
        Ok(())
    }

    pub fn credentials(&self) -> Credentials {
        self.current().credentials.clone()
    }

    pub fn lifetime(&self) -> Lifetime {
        self.current().lifetime
    }

    fn current(&self) -> Arc<Material> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The TLS side of a server that shows this certificate, and lets clients in with one of `ca`'s
    /// or without any.
    ///
    /// # Errors
    /// `ca` (PEM) holds no certificate.
    pub fn server_config(self: &Arc<Self>, ca: &str) -> Result<rustls::ServerConfig, PkiError> {
        let failed = |error: &dyn std::fmt::Display| PkiError::Make(error.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots(ca)?, provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|error| failed(&error))?;
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?;
        Ok(config.with_client_cert_verifier(verifier).with_cert_resolver(self.clone()))
    }

    /// The TLS side of a client that shows this certificate, and trusts servers with one of `ca`'s.
    ///
    /// # Errors
    /// `ca` (PEM) holds no certificate.
    pub fn client_config(self: &Arc<Self>, ca: &str) -> Result<rustls::ClientConfig, PkiError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| PkiError::Make(error.to_string()))?;
        let mut config = config.with_root_certificates(roots(ca)?).with_client_cert_resolver(self.clone());
        // A session that is resumed is the old certificate's: after an exchange it must not come
        // back.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }
}

fn roots(ca: &str) -> Result<Arc<RootCertStore>, PkiError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(|error| PkiError::Make(error.to_string()))?;
    }
    Ok(Arc::new(roots))
}

impl ResolvesServerCert for RotatingCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current().certified.clone())
    }
}

impl ResolvesClientCert for RotatingCertificate {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current().certified.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
