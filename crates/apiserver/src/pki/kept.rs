//! A certificate that this process keeps: on disk, in use, renewed in time.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::issue::{Authority, Subject};
use super::{Credentials, PkiError, RotatingCertificate};

pub(super) struct Kept {
    /// The name of its files, without their ending.
    pub(super) file: String,
    subject: Subject,
    /// What TLS peers get after the certificate, PEM.
    chain: String,
    pub(super) certificate: Arc<RotatingCertificate>,
}

impl Kept {
    /// Reads it, or makes it.
    pub(super) fn open(
        authority: &Authority,
        directory: &Path,
        file: &str,
        subject: Subject,
        chain: &str,
        now: Timestamp,
    ) -> Result<Kept, PkiError> {
        let credentials = authority.credentials(directory, file, &subject, now)?;
        let certificate = RotatingCertificate::new(with_chain(credentials, chain))?;
        Ok(Kept { file: file.to_owned(), subject, chain: chain.to_owned(), certificate })
    }

    /// Makes another one if it is due, and uses it.
    pub(super) fn renew(&self, authority: &Authority, directory: &Path, now: Timestamp) -> Result<(), PkiError> {
        let credentials = authority.credentials(directory, &self.file, &self.subject, now)?;
        self.certificate.replace(with_chain(credentials, &self.chain))
    }

    /// Certificate (with its chain) and key.
    pub(super) fn credentials(&self) -> Credentials {
        self.certificate.credentials()
    }
}

fn with_chain(credentials: Credentials, chain: &str) -> Credentials {
    Credentials { certificate: credentials.certificate + chain, ..credentials }
}
