//! Real helm 4 with its defaults, which apply on the server. It is the one on PATH, or the one
//! beside the files that `EVERYNODE_KUBECTLS` names (`scripts/kubectls.sh`). Without one there is
//! nothing to show, and the test says so.

use std::path::PathBuf;

use crate::programs::{Program, named_kubectls, on_path};
use crate::support::*;

const CHART: &[(&str, &str)] = &[
    ("Chart.yaml", "apiVersion: v2\nname: agent\nversion: 0.1.0\n"),
    ("values.yaml", "image: agent:1\nsize: 3\n"),
    (
        "crds/widgets.yaml",
        r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.x.test}
spec:
  group: x.test
  scope: Namespaced
  names: {plural: widgets, kind: Widget}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {size: {type: integer, maximum: 9}}}}
"#,
    ),
    (
        "templates/all.yaml",
        r#"
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: "{{ .Release.Name }}"}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: agent, image: "{{ .Values.image }}"}]}
---
apiVersion: x.test/v1
kind: Widget
metadata: {name: "{{ .Release.Name }}"}
spec: {size: {{ .Values.size }}}
"#,
    ),
];

fn helm() -> Option<PathBuf> {
    let mut beside = named_kubectls().into_iter().map(|kubectl| kubectl.with_file_name("helm"));
    beside.find(|file| file.is_file()).or_else(|| on_path("helm"))
}

struct Helm {
    file: PathBuf,
    server: Server,
}

impl Helm {
    async fn start() -> Option<Helm> {
        let Some(file) = helm() else {
            eprintln!("no helm: nothing tested");
            return None;
        };
        let server = Server::start().await.with_default_account().await;
        let directory = server.directory.path();
        for (name, text) in CHART {
            let file = directory.join("chart").join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        Some(Helm { file, server })
    }

    async fn run(&self, arguments: &str) -> (bool, String) {
        Program::new(&self.file, &self.server).run(arguments, "").await
    }

    async fn succeeds(&self, arguments: &str) {
        let (done, text) = self.run(arguments).await;
        assert!(done, "helm {arguments}: {text}");
    }

    /// The image of the set, the size of the widget, and the set's writers.
    async fn found(&self) -> (String, i64, Vec<String>) {
        let set = self.server.get("/apis/apps/v1/namespaces/default/daemonsets/web").await.expect(200);
        let widget = self.server.get("/apis/x.test/v1/namespaces/default/widgets/web").await.expect(200);
        let image = set["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
        let entries = set["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        let writers = entries.iter().map(|entry| {
            format!("{} {}", entry["manager"].as_str().unwrap_or(""), entry["operation"].as_str().unwrap_or(""))
        });
        (image, widget["spec"]["size"].as_i64().unwrap(), writers.collect())
    }
}

#[tokio::test]
async fn a_chart_with_a_definition_is_installed_upgraded_rolled_back_and_removed() {
    let Some(helm) = Helm::start().await else { return };
    let by_helm = vec!["helm Apply".to_owned()];
    helm.succeeds("install web chart").await;
    assert_eq!(helm.found().await, ("agent:1".to_owned(), 3, by_helm.clone()));
    helm.succeeds("upgrade web chart --set image=agent:2,size=5").await;
    assert_eq!(helm.found().await, ("agent:2".to_owned(), 5, by_helm.clone()));
    let (done, text) = helm.run("upgrade web chart --set size=10").await;
    assert!(!done && text.contains("spec.size"), "{text}");
    helm.succeeds("rollback web 1").await;
    assert_eq!(helm.found().await, ("agent:1".to_owned(), 3, by_helm));
    helm.succeeds("uninstall web").await;
    helm.server.get("/apis/apps/v1/namespaces/default/daemonsets/web").await.expect(404);
    helm.server.get("/apis/x.test/v1/namespaces/default/widgets/web").await.expect(404);
}
