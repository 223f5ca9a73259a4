//! What other people's code may be in the build: licences, sources and double versions.
//!
//! Data of this file against Cargo.lock and the packages' own manifests. Known vulnerabilities are
//! not looked up: their database is not in the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

/// Licences that code of others may come under.
const LICENCES: [&str; 8] =
    ["Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-3-Clause", "ISC", "MIT", "Unicode-3.0", "Unlicense", "Zlib"];

/// Where code of others may come from.
const SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Packages that are there in more than one version, and why.
const DOUBLE: [(&str, &str); 8] = [
    ("base64", "kube is behind the others"),
    ("bit-vec", "proptest is ahead of the parser of cel"),
    ("getrandom", "ring is behind the others"),
    ("syn", "derive macros move to the newer one by and by"),
    ("synstructure", "asn1-rs is behind the Unicode tables of url"),
    ("thiserror", "cel is behind the others"),
    ("thiserror-impl", "cel is behind the others"),
    ("windows-sys", "not built for Linux"),
];

/// A package of Cargo.lock; one without a source is ours.
#[derive(Debug, PartialEq, Eq)]
struct Package<'a> {
    name: &'a str,
    version: &'a str,
    source: Option<&'a str>,
}

fn packages(lock: &str) -> Vec<Package<'_>> {
    let blocks = lock.split("[[package]]").skip(1);
    blocks
        .filter_map(|block| {
            let value = |name: &str| {
                let prefix = format!("{name} = \"");
                block.lines().find_map(|line| line.strip_prefix(&prefix)?.strip_suffix('"'))
            };
            Some(Package { name: value("name")?, version: value("version")?, source: value("source") })
        })
        .collect()
}

/// One sentence per package that comes from elsewhere, or is there twice without a reason, and per
/// reason that is not needed any more.
fn lock_violations(lock: &str) -> Vec<String> {
    let all = packages(lock);
    let elsewhere = all.iter().filter(|package| package.source.is_some_and(|source| source != SOURCE));
    let mut found: Vec<String> = elsewhere
        .map(|package| format!("{} comes from {}", package.name, package.source.unwrap_or_default()))
        .collect();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in &all {
        versions.entry(package.name).or_default().push(package.version);
    }
    let has_reason = |name: &str| DOUBLE.iter().any(|(double, _)| *double == name);
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        if !has_reason(name) {
            found.push(format!("{name} is there in versions {}", versions.join(" and ")));
        }
    }
    let is_double = |name: &str| versions.get(name).is_some_and(|versions| versions.len() > 1);
    let idle = DOUBLE.iter().filter(|(name, _)| !is_double(name));
    found.extend(idle.map(|(name, _)| format!("{name} is not there twice any more")));
    found
}

/// Whether a licence expression (SPDX, or the older form with a slash) leaves us an allowed one.
fn is_allowed(expression: &str) -> bool {
    let all = split(expression, " AND ");
    if all.len() > 1 {
        return all.into_iter().all(is_allowed);
    }
    let slashes = expression.replace(" / ", " OR ").replace('/', " OR ");
    let any = split(&slashes, " OR ");
    if any.len() > 1 {
        return any.into_iter().any(is_allowed);
    }
    match expression.trim().strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => is_allowed(inner),
        None => LICENCES.contains(&expression.trim()),
    }
}

/// The parts of an expression between a word that stands outside of parentheses.
fn split<'a>(expression: &'a str, word: &str) -> Vec<&'a str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (at, letter) in expression.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && at >= start && expression[at..].starts_with(word) => {
                parts.push(&expression[start..at]);
                start = at + word.len();
            }
            _ => {}
        }
    }
    parts.push(&expression[start..]);
    parts
}

/// The packages that are built here (Linux on x86-64), with their licences.
fn licences() -> anyhow::Result<Vec<(String, String)>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let target = ["--filter-platform", "x86_64-unknown-linux-gnu"];
    let output = Command::new(cargo)
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .args(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata prints no JSON")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    Ok(packages.map(|package| (text(&package["name"]), text(&package["license"]))).collect())
}

/// One sentence per package that may not be in the build as it is. Errors: Cargo.lock cannot be
/// read, or cargo cannot say what is in it.
pub(crate) fn violations(top: &Path) -> anyhow::Result<Vec<String>> {
    let lock = std::fs::read_to_string(top.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let mut found = lock_violations(&lock);
    let refused = licences()?.into_iter().filter(|(_, licence)| !is_allowed(licence));
    found.extend(refused.map(|(name, licence)| format!("{name} is under `{licence}`")));
    let fuzzers = std::fs::read_to_string(top.join("fuzz/Cargo.lock")).context("cannot read fuzz/Cargo.lock")?;
    found.extend(missing_in_fuzzers(&crate::deps::workspace()?, &fuzzers));
    Ok(found)
}

/// One sentence per package that the fuzzers need and that is not in their lock, which is not of
/// this workspace: `make fuzz` would refuse to build.
fn missing_in_fuzzers(workspace: &crate::deps::Packages, lock: &str) -> Vec<String> {
    let known: BTreeSet<&str> = packages(lock).iter().map(|package| package.name).collect();
    let (mut needed, mut next) = (BTreeSet::new(), vec!["everynode-fuzz"]);
    while let Some(name) = next.pop() {
        if needed.insert(name) {
            next.extend(workspace.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    let missing = needed.into_iter().filter(|name| !known.contains(name));
    missing.map(|name| format!("{name} is not in fuzz/Cargo.lock: cargo metadata in fuzz/ puts it there")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_keeps_to_the_lists() {
        assert_eq!(violations(&crate::requirements::top()).unwrap(), [""; 0]);
        assert!(licences().unwrap().len() > 100);
    }

    #[test]
    fn sources_and_double_versions_are_named() {
        let block = |name: &str, version: &str, source: &str| {
            format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n{source}\n")
        };
        let registry = format!("source = \"{SOURCE}\"");
        let known: String = DOUBLE.iter().map(|(name, _)| block(name, "1", "") + &block(name, "2", "")).collect();
        assert_eq!(lock_violations(&known), [""; 0]);
        let lock = known.clone()
            + &block("a", "1", &registry)
            + &block("a", "2", &registry)
            + &block("b", "1", "source = \"git+https://x\"")
            + &block("ours", "1", "");
        assert_eq!(lock_violations(&lock), ["b comes from git+https://x", "a is there in versions 1 and 2"]);
        let fewer = known.replace(&block("syn", "2", ""), "");
        assert_eq!(lock_violations(&fewer), ["syn is not there twice any more"]);
    }

    #[test]
    fn what_the_fuzzers_lack_is_named() {
        let uses = |name: &str, of: &str| (name.to_owned(), BTreeSet::from([of.to_owned()]));
        let workspace = [uses("everynode-fuzz", "ours"), uses("ours", "theirs"), uses("other", "more")].into();
        let block = |name: &str| format!("[[package]]\nname = \"{name}\"\nversion = \"1\"\n");
        let lock = block("everynode-fuzz") + &block("ours");
        let missing = missing_in_fuzzers(&workspace, &lock);
        assert_eq!(missing, ["theirs is not in fuzz/Cargo.lock: cargo metadata in fuzz/ puts it there"]);
        assert_eq!(missing_in_fuzzers(&workspace, &(lock + &block("theirs"))), [""; 0]);
    }

    #[test]
    fn licence_expressions_are_understood() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-2.0/MIT",
            "Apache-2.0 / MIT",
            "(MIT OR GPL-3.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(GPL-3.0 OR AGPL-3.0) AND MIT", "MITx"] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }
}
