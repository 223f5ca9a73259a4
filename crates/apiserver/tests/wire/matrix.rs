//! What the schema gives to clients, with every kubectl that there is: the one on PATH, the
//! `kubectl.1.NN` beside the file it links to, and those named in `EVERYNODE_KUBECTLS` (separated
//! by colons; Debian's 1.20 is worth naming).

use std::path::PathBuf;

use crate::programs::{Program, named_kubectls, on_path};
use crate::support::*;

fn kubectls() -> Vec<PathBuf> {
    let mut found = named_kubectls();
    let on_path = on_path("kubectl");
    let linked = on_path.as_ref().and_then(|file| file.canonicalize().ok());
    if let Some(directory) = linked.as_ref().and_then(|file| file.parent()) {
        let beside = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        found.extend(
            beside.filter(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kubectl.1."))),
        );
    }
    found.extend(on_path);
    found
}

impl Program<'_> {
    async fn prints(&self, arguments: &str, input: &str, expected: &str) {
        let (done, text) = self.run(arguments, input).await;
        assert!(done && text.contains(expected), "{:?} {arguments}: {text}", self.file);
    }

    async fn refuses(&self, arguments: &str, input: &str, expected: &[&str]) {
        let (done, text) = self.run(arguments, input).await;
        let named = expected.iter().any(|expected| text.contains(expected));
        assert!(!done && named, "{:?} {arguments}: {text}", self.file);
    }
}

#[tokio::test]
async fn every_kubectl_understands_the_schema() {
    let programs = kubectls();
    if programs.is_empty() {
        return eprintln!("no kubectl: nothing tested");
    }
    let server = Server::start().await;
    for program in &programs {
        check(&Program::new(program, &server)).await;
    }
}

async fn check(kubectl: &Program<'_>) {
    let good = daemon_set("web").to_string();
    let mut bad = daemon_set("bad");
    bad["spec"]["foo"] = 1.into();
    let bad = bad.to_string();
    // DS-I04, and DS-I05: 1.26 and older ask for the protobuf encoding of version 2
    kubectl.prints("explain ds.spec.updateStrategy", "", "Rolling update config params").await;
    kubectl.prints("explain pods.spec.containers.resources", "", "Compute Resources required by this container").await;
    // DS-I03
    kubectl.prints("api-resources", "", "daemonsets").await;
    kubectl.prints("apply --dry-run=server -f -", &good, "created (server dry run)").await;
    kubectl.prints("apply -f -", &good, "daemonset.apps/web created").await;
    kubectl.prints("apply -f -", &good, "daemonset.apps/web unchanged").await;
    // DS-A50
    kubectl.prints("get ds -o wide", "", "UP-TO-DATE").await;
    // DS-I40: the server says it, or with older ones kubectl itself
    let words = [
        "strict decoding error: unknown field \"spec.foo\"",
        "unknown field \"foo\" in io.k8s.api.apps.v1.DaemonSetSpec",
    ];
    kubectl.refuses("create -f -", &bad, &words).await;
    kubectl.prints("create --validate=false -f -", &bad, "daemonset.apps/bad created").await;
    kubectl.prints("delete ds web bad", "", "deleted").await;
}
