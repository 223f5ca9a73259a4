//! Real kubectl, as it is on PATH. Without one these tests have nothing to show and say so.

use std::path::PathBuf;
use std::process::Output;

use serde_json::json;

use crate::custom_resources::{WIDGETS, until, version, widget, widgets};
use crate::programs::{Program, on_path};
use crate::support::*;

struct Kubectl {
    file: PathBuf,
    server: Server,
}

impl Kubectl {
    async fn start() -> Option<Kubectl> {
        let Some(file) = on_path("kubectl") else {
            eprintln!("no kubectl on PATH: nothing tested");
            return None;
        };
        Some(Kubectl { file, server: Server::start().await.with_default_account().await })
    }

    async fn output(&self, arguments: &str, input: &str) -> Output {
        Program::new(&self.file, &self.server).output(arguments, input).await
    }

    /// What kubectl prints when it succeeds.
    async fn run(&self, arguments: &str, input: &str) -> String {
        let output = self.output(arguments, input).await;
        assert!(output.status.success(), "kubectl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

#[tokio::test]
async fn server_side_apply() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let (manifest, changed) = (daemon_set("web").to_string(), daemon_set("web").to_string().replace("x:1", "x:2"));
    let applied = "daemonset.apps/web serverside-applied";
    assert_eq!(kubectl.run("apply --server-side -f -", &manifest).await, applied);
    let version = "get ds web -o jsonpath={.metadata.resourceVersion}";
    let before = kubectl.run(version, "").await;
    assert_eq!(kubectl.run("apply --server-side -f -", &manifest).await, applied);
    assert_eq!(kubectl.run(version, "").await, before, "what changes nothing writes nothing");
    let difference = kubectl.output("diff --server-side -f -", &changed).await;
    let text = String::from_utf8_lossy(&difference.stdout).into_owned();
    assert!(difference.status.code() == Some(1) && text.contains("image: x:2"), "{text}");
    let refused = kubectl.output("apply --server-side --field-manager=other -f -", &changed).await;
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("Apply failed with 1 conflict: conflict with \"kubectl\""), "{text}");
    let dry = "apply --server-side --dry-run=server --force-conflicts --field-manager=other -f -";
    assert_eq!(kubectl.run(dry, &changed).await, format!("{applied} (server dry run)"));
    assert_eq!(kubectl.run(version, "").await, before);
    kubectl.run("apply --server-side --force-conflicts --field-manager=other -f -", &changed).await;
    assert_eq!(kubectl.run("get ds web -o jsonpath={.spec.template.spec.containers[0].image}", "").await, "x:2");
    let shown = kubectl.run("get ds web -o yaml --show-managed-fields", "").await;
    assert!(shown.contains("manager: other") && shown.contains("operation: Apply"), "{shown}");
    assert!(!kubectl.run("get ds web -o yaml", "").await.contains("managedFields"));
}

#[tokio::test]
async fn from_client_side_to_server_side_apply() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let manifest = daemon_set("web").to_string();
    kubectl.run("apply -f -", &manifest).await;
    let changed = manifest.replace("x:1", "x:2");
    let applied = kubectl.run("apply --server-side -f -", &changed).await;
    assert_eq!(applied.lines().last(), Some("daemonset.apps/web serverside-applied"), "no conflict with itself");
    let managers = "get ds web --show-managed-fields -o jsonpath={.metadata.managedFields[*].manager}";
    let names = kubectl.run(managers, "").await;
    assert!(names.split(' ').any(|name| name == "kubectl"), "{names}");
    let back = kubectl.run("apply -f -", &manifest).await;
    assert_eq!(back.lines().last(), Some("daemonset.apps/web configured"));
}

#[tokio::test]
async fn apply_get_patch_delete() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let manifest = daemon_set("web").to_string();
    assert_eq!(kubectl.run("apply -f -", &manifest).await, "daemonset.apps/web created"); // DS-I20
    assert_eq!(kubectl.run("apply -f -", &manifest).await, "daemonset.apps/web unchanged");
    assert_eq!(kubectl.run("apply -f -", &manifest.replace("x:1", "x:2")).await, "daemonset.apps/web configured");
    assert_eq!(kubectl.run("get ds web -o jsonpath={.spec.template.spec.containers[0].image}", "").await, "x:2");
    assert_eq!(kubectl.run("get ds -o name", "").await, "daemonset.apps/web");
    assert_eq!(kubectl.run("label ds web a=b", "").await, "daemonset.apps/web labeled");
    assert_eq!(kubectl.run("set image ds/web main=x:3", "").await, "daemonset.apps/web image updated");
    assert!(kubectl.run("get ds -l a=b -o yaml", "").await.contains("image: x:3"));
    assert!(kubectl.run("describe ds web", "").await.contains("Desired Number of Nodes Scheduled: 0"));
    assert_eq!(kubectl.run("delete ds web", "").await, "daemonset.apps \"web\" deleted");
    let missing = kubectl.output("get ds web", "").await;
    assert_eq!(
        String::from_utf8_lossy(&missing.stderr).trim(),
        "Error from server (NotFound): daemonsets.apps \"web\" not found"
    );
}

#[tokio::test]
async fn a_changed_custom_object_is_applied_again() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let definition = widgets(vec![version("v1", true, json!({"color": {"type": "string"}}))]).to_string();
    kubectl.run("apply -f -", &definition).await;
    kubectl.run("wait --for=condition=Established crd/widgets.x.test", "").await;
    until(&kubectl.server, WIDGETS, 200).await;
    let object = |color: &str| widget("v1", "a", json!({"color": color})).to_string();
    assert_eq!(kubectl.run("apply -f -", &object("red")).await, "widget.x.test/a created");
    assert_eq!(kubectl.run("apply -f -", &object("blue")).await, "widget.x.test/a configured");
    let difference = kubectl.output("diff -f -", &object("green")).await;
    let text = String::from_utf8_lossy(&difference.stdout).into_owned();
    assert!(difference.status.code() == Some(1) && text.contains("color: green"), "{text}");
    assert_eq!(kubectl.run("get widget a -o jsonpath={.spec.color}", "").await, "blue");
}

#[tokio::test]
async fn create_and_ask() {
    let Some(kubectl) = Kubectl::start().await else { return };
    // Newer kubectls send these as protobuf.
    assert_eq!(kubectl.run("create configmap c --from-literal=a=b", "").await, "configmap/c created");
    assert_eq!(kubectl.run("create namespace n", "").await, "namespace/n created");
    assert_eq!(kubectl.run("create secret generic s --from-literal=a=b", "").await, "secret/s created");
    assert_eq!(kubectl.run("create serviceaccount robot", "").await, "serviceaccount/robot created");
    assert_eq!(kubectl.run("get secret s -o jsonpath={.data.a}", "").await, "Yg==");
    assert_eq!(kubectl.run("auth can-i delete pods", "").await, "yes");
    assert!(kubectl.run("create token robot", "").await.split('.').count() == 3);
    assert!(kubectl.run("version", "").await.contains("v1.36"));
    assert!(kubectl.run("get pods -A", "").await.is_empty());
}
