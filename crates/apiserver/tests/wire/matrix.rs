//! What the schema gives to clients, with every kubectl that there is: the one on PATH, the
//! `kubectl.1.NN` beside the file it links to, and those named in `EVERYNODE_KUBECTLS` (separated
//! by colons; Debian's 1.20 is worth naming).

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::*;

fn kubectls() -> Vec<PathBuf> {
    let named = std::env::var_os("EVERYNODE_KUBECTLS").unwrap_or_default();
    let mut found: Vec<PathBuf> = std::env::split_paths(&named).filter(|file| file.is_file()).collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|directory| directory.join("kubectl")).find(|file| file.is_file());
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

struct Run<'s> {
    program: &'s PathBuf,
    server: &'s Server,
}

impl Run<'_> {
    /// Whether kubectl succeeded, and what it printed on both streams.
    async fn run(&self, arguments: &str, input: &str) -> (bool, String) {
        let directory = self.server.directory.path();
        let mut child = Command::new(self.program)
            .args(arguments.split_whitespace())
            .env("KUBECONFIG", directory.join("config"))
            .env("HOME", directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    async fn prints(&self, arguments: &str, input: &str, expected: &str) {
        let (done, text) = self.run(arguments, input).await;
        assert!(done && text.contains(expected), "{:?} {arguments}: {text}", self.program);
    }

    async fn refuses(&self, arguments: &str, input: &str, expected: &[&str]) {
        let (done, text) = self.run(arguments, input).await;
        let named = expected.iter().any(|expected| text.contains(expected));
        assert!(!done && named, "{:?} {arguments}: {text}", self.program);
    }
}

#[tokio::test]
async fn every_kubectl_understands_the_schema() {
    let programs = kubectls();
    if programs.is_empty() {
        return eprintln!("no kubectl: nothing tested");
    }
    let server = Server::start().await;
    let config = server.api.pki().kubeconfig(&format!("https://{}", server.address));
    everynode_apiserver::Pki::write_private(&server.directory.path().join("config"), &config).unwrap();
    for program in &programs {
        check(&Run { program, server: &server }).await;
    }
}

async fn check(kubectl: &Run<'_>) {
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
