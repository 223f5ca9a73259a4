//! Who may depend on whom: the table of ARCHITECTURE.md, checked against the manifests.
//!
//! Development dependencies are free: tests may put anything together.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

/// Dependencies of each package: names of crates, ours and others'.
pub(crate) type Packages = BTreeMap<String, BTreeSet<String>>;

/// A row of the table.
struct Row {
    name: &'static str,
    /// Our crates that it may use.
    ours: &'static [&'static str],
    /// Outside crates that it may use; `None`: any.
    others: Option<&'static [&'static str]>,
}

const PURE: Option<&[&str]> = Some(&["bytes", "jiff", "k8s-openapi", "serde", "serde_json", "thiserror"]);

const TABLE: &[Row] = &[
    Row { name: "everynode-common", ours: &[], others: Some(&[]) },
    Row {
        name: "everynode-api",
        ours: &[],
        others: Some(&["bytes", "granit-parser", "jiff", "k8s-openapi", "serde", "serde_json", "thiserror"]),
    },
    Row { name: "everynode-managed", ours: &["api"], others: PURE },
    Row { name: "everynode-protobuf", ours: &["common"], others: PURE },
    Row { name: "everynode-rules", ours: &[], others: Some(&["kube-cel", "regex", "serde_json", "thiserror"]) },
    Row { name: "everynode-placement", ours: &["api"], others: PURE },
    Row { name: "everynode-daemonset", ours: &["common", "api", "placement"], others: PURE },
    Row { name: "everynode-controllers", ours: &["api", "placement"], others: PURE },
    Row { name: "everynode-store", ours: &[], others: Some(&["bytes", "rusqlite", "thiserror", "tokio", "tracing"]) },
    Row { name: "everynode-listen", ours: &[], others: Some(&["rustix", "tokio", "tracing"]) },
    Row { name: "everynode-runtime", ours: &["common", "api"], others: None },
    Row {
        name: "everynode-apiserver",
        ours: &["common", "api", "listen", "managed", "placement", "protobuf", "rules", "store"],
        others: None,
    },
    Row { name: "everynode-agent", ours: &["common", "api", "listen", "placement", "runtime"], others: None },
    Row { name: "everynode-hollow", ours: &["common", "api", "agent", "runtime"], others: None },
    Row {
        name: "everynode",
        ours: &[
            "common",
            "api",
            "placement",
            "daemonset",
            "controllers",
            "store",
            "runtime",
            "apiserver",
            "agent",
            "hollow",
        ],
        others: None,
    },
    Row {
        name: "everynode-sim",
        ours: &[
            "common",
            "api",
            "placement",
            "daemonset",
            "controllers",
            "store",
            "runtime",
            "apiserver",
            "agent",
            "hollow",
        ],
        others: None,
    },
    Row {
        name: "everynode-fuzz",
        ours: &["common", "api", "managed", "protobuf", "store", "runtime", "apiserver", "agent"],
        others: Some(&["serde_json"]),
    },
    Row { name: "everynode-testtool", ours: &[], others: Some(&[]) },
    Row { name: "xtask", ours: &[], others: None },
];

/// Reads the manifests through cargo.
pub(crate) fn workspace() -> anyhow::Result<Packages> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--offline", "--no-deps", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata prints no JSON")?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    Ok(packages.map(|package| (text(&package["name"]), dependencies(package))).collect())
}

fn dependencies(package: &Value) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().into_iter().flatten();
    all.filter(|dependency| dependency["kind"].is_null()).map(|dependency| text(&dependency["name"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// One sentence per dependency that the table does not allow, and per crate that it does not know.
pub(crate) fn violations(packages: &Packages) -> Vec<String> {
    let mut found = Vec::new();
    for (name, dependencies) in packages {
        let Some(row) = TABLE.iter().find(|row| row.name == name) else {
            found.push(format!("{name} is not in the dependency table (crates/xtask/src/deps.rs, ARCHITECTURE.md)"));
            continue;
        };
        let forbidden = dependencies.iter().filter(|dependency| !row.allows(dependency));
        found.extend(forbidden.map(|dependency| format!("{name} may not depend on {dependency}")));
    }
    found
}

impl Row {
    fn allows(&self, dependency: &str) -> bool {
        match dependency.strip_prefix("everynode-") {
            Some(role) => self.ours.contains(&role),
            None => self.others.is_none_or(|others| others.contains(&dependency)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_keeps_to_the_table() {
        let packages = workspace().unwrap();
        assert!(packages.len() >= TABLE.len(), "cargo metadata lists only {packages:?}");
        assert_eq!(violations(&packages), Vec::<String>::new());
    }

    #[test]
    fn a_forbidden_direction_is_named() {
        let uses =
            |name: &str, dependency: &str| Packages::from([(name.to_owned(), BTreeSet::from([dependency.to_owned()]))]);
        assert_eq!(
            violations(&uses("everynode-agent", "everynode-store")),
            ["everynode-agent may not depend on everynode-store"]
        );
        assert_eq!(violations(&uses("everynode-daemonset", "tokio")), ["everynode-daemonset may not depend on tokio"]);
        assert_eq!(violations(&uses("everynode-daemonset", "everynode-placement")), Vec::<String>::new());
        assert_eq!(violations(&uses("new", "x")).len(), 1);
    }
}
