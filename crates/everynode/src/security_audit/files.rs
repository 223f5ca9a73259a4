//! Files of the data directory: their permissions, and which certificates end.

use jiff::{SignedDuration, Timestamp};

use super::{Finding, Outcome, Seen};

/// A certificate that ends within this is soon renewed, or was forgotten.
const SOON: SignedDuration = SignedDuration::from_hours(24 * 30);

/// A file or directory of the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileFact {
    /// Below the data directory.
    pub(crate) path: String,
    pub(crate) directory: bool,
    /// Permission bits.
    pub(crate) mode: u32,
    pub(crate) owner: u32,
}

/// A certificate among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateFact {
    pub(crate) path: String,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

/// What only the owner may read: keys, tokens, kubeconfigs, the store.
fn is_private(file: &FileFact) -> bool {
    let path = file.path.as_str();
    [".key", ".token", ".kubeconfig", ".pair"].iter().any(|ending| path.ends_with(ending))
        || path == "pki"
        || path == "store"
        || path.starts_with("store/")
}

pub(super) fn audit(seen: &Seen) -> Vec<Finding> {
    let (owners, modes) =
        ("keys, tokens and the store belong to root", "only root can read keys, tokens, kubeconfigs and the store");
    let Some(files) = &seen.files else {
        let evidence = || vec!["there is no data directory here that can be read".to_owned()];
        let advice = "run it on the server and on nodes, as root, with their --data-dir";
        let manual = |id, title| Finding { id, title, outcome: Outcome::Manual, evidence: evidence(), advice };
        return vec![manual("1.1.19", owners), manual("1.1.21", modes)];
    };
    let private = || files.iter().filter(|file| is_private(file));
    let foreign = private().filter(|file| file.owner != 0).map(|file| format!("{}: uid {}", file.path, file.owner));
    let open =
        private().filter(|file| file.mode & 0o077 != 0).map(|file| format!("{}: mode {:04o}", file.path, file.mode));
    let written = files.iter().filter(|file| file.mode & 0o022 != 0 && !is_link_like(file));
    let written = written.filter(|file| file.path.starts_with("pki") || file.path.is_empty());
    let written = written.map(|file| format!("{}: mode {:04o}", file.path, file.mode));
    vec![
        Finding::weighed("1.1.19", owners, Outcome::Fail, foreign.collect(), "chown root:root FILE"),
        Finding::weighed(
            "1.1.20",
            "nobody else can write certificates",
            Outcome::Fail,
            written.collect(),
            "chmod go-w FILE",
        ),
        Finding::weighed("1.1.21", modes, Outcome::Fail, open.collect(), "chmod go-rwx FILE"),
        certificates(seen),
    ]
}

/// Sticky directories are written by all on purpose.
fn is_link_like(file: &FileFact) -> bool {
    file.directory && file.mode & 0o1000 != 0
}

fn certificates(seen: &Seen) -> Finding {
    let over: Vec<String> = seen
        .certificates
        .iter()
        .filter(|found| found.until <= seen.now || found.from > seen.now)
        .map(|found| format!("{}: valid from {} until {}", found.path, found.from, found.until))
        .collect();
    let title = "certificates are valid, and not about to end";
    let advice =
        "certificates are renewed while everynode runs: look at its log; renew copies with `everynode kubeconfig`";
    if !over.is_empty() {
        return Finding::weighed("4.2.10", title, Outcome::Fail, over, advice);
    }
    // Short lives are chosen: what counts is that less is left than a renewal would leave.
    let soon = seen.certificates.iter().filter(|found| {
        let (left, whole) = (found.until.duration_since(seen.now), found.until.duration_since(found.from));
        left < SOON && left < whole / 4
    });
    let soon = soon.map(|found| format!("{}: until {}", found.path, found.until)).collect();
    Finding::weighed("4.2.10", title, Outcome::Warn, soon, advice)
}
