//! A certificate and its key in two files, `NAME.crt` and `NAME.key`, that always belong together.
//!
//! Two files cannot be renamed at once. So both are first written as one, `NAME.pair`; from the
//! moment at which that has its name the pair is the new one: whoever finds it, after a crash,
//! writes the two files from it, and removes it.

use std::path::{Path, PathBuf};

use super::files::{self, Step};
use super::{Credentials, PkiError};

/// What is on the disk.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
}

pub(super) fn certificate_path(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.crt"))
}

pub(super) fn key_path(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.key"))
}

/// Reads the two files, after finishing what a crash has left unfinished.
pub(super) fn read(directory: &Path, name: &str) -> Result<Found, PkiError> {
    let both = both_path(directory, name);
    if let Some(text) = files::read(&both)? {
        let credentials = split(&text).ok_or_else(|| {
            let reason = "it holds no key with a certificate".to_owned();
            PkiError::Unusable { path: both.clone(), reason }
        })?;
        finish(directory, name, &credentials).iter().try_for_each(Step::run)?;
    }
    Ok(Found {
        certificate: files::read(&certificate_path(directory, name))?,
        key: files::read(&key_path(directory, name))?,
    })
}

/// Replaces both.
pub(super) fn write(directory: &Path, name: &str, credentials: &Credentials) -> Result<(), PkiError> {
    replace(directory, name, credentials).iter().try_for_each(Step::run)
}

fn replace(directory: &Path, name: &str, credentials: &Credentials) -> Vec<Step> {
    let both = both_path(directory, name);
    let text = format!("{}{}", credentials.key, credentials.certificate);
    let mut steps = files::replace(&both, &text, files::PRIVATE).to_vec();
    steps.push(files::sync_of(&both));
    steps.extend(finish(directory, name, credentials));
    steps
}

/// From the file with both to the two files.
fn finish(directory: &Path, name: &str, credentials: &Credentials) -> Vec<Step> {
    let both = both_path(directory, name);
    let mut steps = Vec::new();
    steps.extend(files::replace(&key_path(directory, name), &credentials.key, files::PRIVATE));
    steps.extend(files::replace(&certificate_path(directory, name), &credentials.certificate, files::PUBLIC));
    steps.push(files::sync_of(&both));
    steps.push(Step::Remove(both.clone()));
    steps.push(files::sync_of(&both));
    steps
}

fn both_path(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.pair"))
}

fn split(text: &str) -> Option<Credentials> {
    let (key, certificate) = text.split_at(text.find("-----BEGIN CERTIFICATE-----")?);
    (!key.is_empty()).then(|| Credentials { certificate: certificate.to_owned(), key: key.to_owned() })
}

#[cfg(test)]
#[path = "pair_tests.rs"]
mod tests;
