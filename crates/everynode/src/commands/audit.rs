//! `everynode audit`: gathers what the security audit judges, and shows the findings. Reads only.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use everynode_api::kinds;
use everynode_api::ports::Api;
use everynode_apiserver::Lifetime;
use jiff::Timestamp;
use serde_json::json;

use super::status::list;
use crate::args::{AuditArgs, Output};
use crate::client::Client;
use crate::exit::{Exit, coded};
use crate::security_audit::{CertificateFact, FileFact, Finding, Outcome, Seen, audit};

/// Directories of the data directory that are looked into; others hold containers' files.
const DIRECTORIES: [&str; 3] = ["", "pki", "store"];
/// A certificate file is a few kilobytes.
const CERTIFICATE_BYTES_MAX: u64 = 1 << 20;

pub(crate) async fn run(args: AuditArgs) -> anyhow::Result<()> {
    let client = Client::connect(&args.client).await?;
    let mut seen = objects(client.api().as_ref()).await?;
    seen.files = files(&args.client.data_dir);
    seen.certificates = certificates(&args.client.data_dir, seen.files.as_deref().unwrap_or_default());
    seen.now = Timestamp::now();
    let findings = audit(&seen);
    let failed = count(&findings, Outcome::Fail);
    match args.output {
        Output::Json => println!("{}", json!({"findings": findings, "failed": failed})),
        Output::Text => print!("{}", text(&findings)),
    }
    match failed {
        0 => Ok(()),
        failed => Err(coded(Exit::Findings, format!("{failed} items failed"))),
    }
}

async fn objects(api: &dyn Api) -> anyhow::Result<Seen> {
    Ok(Seen {
        roles: list(api, kinds::ROLE, None).await?,
        cluster_roles: list(api, kinds::CLUSTER_ROLE, None).await?,
        role_bindings: list(api, kinds::ROLE_BINDING, None).await?,
        cluster_role_bindings: list(api, kinds::CLUSTER_ROLE_BINDING, None).await?,
        accounts: list(api, kinds::SERVICE_ACCOUNT, None).await?,
        pods: list(api, kinds::POD, None).await?,
        ..Seen::default()
    })
}

/// `None`: there is no such directory, or it cannot be read.
fn files(data_dir: &Path) -> Option<Vec<FileFact>> {
    let mut found = Vec::new();
    for directory in DIRECTORIES {
        let entries = match std::fs::read_dir(data_dir.join(directory)) {
            Ok(entries) => entries,
            // An agent's has no keys of the server.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !directory.is_empty() => continue,
            Err(_) => return None,
        };
        for entry in entries {
            let entry = entry.ok()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            let metadata = entry.metadata().ok()?;
            if metadata.is_file() || metadata.is_dir() {
                let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
                found.push(FileFact { path, directory: metadata.is_dir(), mode, owner });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Some(found)
}

fn certificates(data_dir: &Path, files: &[FileFact]) -> Vec<CertificateFact> {
    let read = |file: &FileFact| {
        let path = data_dir.join(&file.path);
        let small = std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() <= CERTIFICATE_BYTES_MAX);
        let text = small.then(|| std::fs::read_to_string(&path).ok()).flatten()?;
        let life = Lifetime::of(&text).ok()?;
        Some(CertificateFact { path: file.path.clone(), from: life.from, until: life.until })
    };
    files.iter().filter(|file| file.path.ends_with(".crt")).filter_map(read).collect()
}

fn count(findings: &[Finding], outcome: Outcome) -> usize {
    findings.iter().filter(|finding| finding.outcome == outcome).count()
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Warn => "warn",
        Outcome::Fail => "FAIL",
        Outcome::Manual => "manual",
    }
}

/// A line for each item; below those that did not pass the evidence and what to do.
fn text(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let _ = writeln!(out, "{:7} {:7} {}", finding.id, word(finding.outcome), finding.title);
        if finding.outcome != Outcome::Pass {
            for line in &finding.evidence {
                let _ = writeln!(out, "                  {line}");
            }
            let _ = writeln!(out, "                → {}", finding.advice);
        }
    }
    let counts: Vec<String> = [Outcome::Fail, Outcome::Warn, Outcome::Manual, Outcome::Pass]
        .map(|outcome| format!("{} {}", count(findings, outcome), word(outcome).to_lowercase()))
        .into();
    let _ = writeln!(out, "\n{} (CIS Kubernetes benchmark)", counts.join(", "));
    out
}
