//! Pods: admission, binding, graceful deletion, eviction, one daemon pod per place.

use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn pods_need_their_service_account() {
    let server = Server::start().await;
    let refused = server.post(PODS, &pod("a")).await.expect(403);
    let text = "error looking up service account default/default: serviceaccount \"default\" not found";
    assert!(refused["message"].as_str().unwrap().contains(text)); // DS-L05
    let server = server.with_default_account().await;
    let made = server.post(PODS, &pod("a")).await.expect(201);
    assert_eq!((&made["status"]["phase"], &made["status"]["qosClass"]), (&json!("Pending"), &json!("BestEffort")));
    let volume = &made["spec"]["volumes"][0];
    assert!(volume["name"].as_str().unwrap().starts_with("kube-api-access-")); // DS-H37
    assert_eq!(volume["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3607);
    let mount = &made["spec"]["containers"][0]["volumeMounts"][0];
    assert_eq!(mount["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");
    let tolerations = made["spec"]["tolerations"].as_array().unwrap();
    assert_eq!((tolerations.len(), &tolerations[0]["tolerationSeconds"]), (2, &json!(300))); // DS-B26
    assert_eq!((&made["spec"]["priority"], &made["spec"]["serviceAccountName"]), (&json!(0), &json!("default")));
    let mut without = pod("b");
    without["spec"]["automountServiceAccountToken"] = false.into();
    assert_eq!(server.post(PODS, &without).await.expect(201)["spec"]["volumes"], Value::Null);
}

/// A manifest knows nothing of the tolerations that the server has added: applied with one more, or
/// put again, it does not take them away.
#[tokio::test]
async fn default_tolerations_outlive_updates() {
    let server = Server::start().await.with_default_account().await;
    let made = server.post(PODS, &pod("a")).await.expect(201);
    let path = format!("{PODS}/a");
    let keys = |pod: &Value| {
        let keys =
            pod["spec"]["tolerations"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap().to_owned());
        let mut keys: Vec<String> = keys.collect();
        keys.sort();
        keys
    };
    let defaults = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
    let more = json!({"spec": {"tolerations": [{"key": "a", "operator": "Exists"}]}});
    let applied = server.patch(&path, "application/strategic-merge-patch+json", &more).await.expect(200);
    assert_eq!(keys(&applied), ["a", defaults[0], defaults[1]]);
    let mut put = made;
    put["metadata"]["resourceVersion"] = Value::Null;
    put["spec"]["tolerations"] = json!([{"key": "a", "operator": "Exists"}]);
    assert_eq!(keys(&server.put(&path, &put).await.expect(200)), ["a", defaults[0], defaults[1]]);
    put["spec"]["tolerations"] = Value::Null;
    let refused = server.put(&path, &put).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("existing toleration can not be modified"), "{refused}");
}

#[tokio::test]
async fn a_pod_is_bound_once() {
    let server = Server::start().await.with_default_account().await;
    server.post(PODS, &pod("a")).await.expect(201);
    let bind = |node: &str| json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "a"}, "target": {"kind": "Node", "name": node}});
    server.post(&format!("{PODS}/a/binding"), &bind("n1")).await.expect(201);
    let bound = server.get(&format!("{PODS}/a")).await.expect(200);
    assert_eq!(bound["spec"]["nodeName"], "n1"); // DS-B45
    assert_eq!(
        (&bound["status"]["conditions"][0]["type"], &bound["status"]["conditions"][0]["status"]),
        (&json!("PodScheduled"), &json!("True"))
    );
    let second = server.post(&format!("{PODS}/a/binding"), &bind("n2")).await.expect(409);
    assert!(second["message"].as_str().unwrap().contains("pod a is already assigned to node \"n1\""));
}

/// A report is written without reading the pod's spec; whatever it says, the spec stays.
#[tokio::test]
async fn a_report_changes_the_status_and_nothing_else() {
    let server = Server::start().await.with_default_account().await;
    let mut bound = daemon_pod("a", "n1", "h1");
    bound["spec"]["containers"][0]["env"] = json!([{"name": "X", "value": "\"metadata\":{"}]);
    let made = server.post(PODS, &bound).await.expect(201);
    let path = format!("{PODS}/a/status");
    let running = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    let reports = [
        json!({"status": running}),
        json!({"status": running, "spec": {"nodeName": "n2", "containers": []}}),
        json!({"status": running, "metadata": {"uid": made["metadata"]["uid"]}}),
        json!({"metadata": {"labels": {"more": "1"}}}),
    ];
    for report in reports {
        for form in ["application/strategic-merge-patch+json", "application/merge-patch+json"] {
            let told = server.patch(&path, form, &report).await.expect(200);
            let read = server.get(&format!("{PODS}/a")).await.expect(200);
            assert_eq!((&told["spec"], &read), (&made["spec"], &told), "{form} {report}");
            assert_eq!(
                (&told["status"]["phase"], &told["status"]["qosClass"]),
                (&json!("Running"), &made["status"]["qosClass"])
            );
        }
    }
    let another = json!({"status": running, "metadata": {"uid": "another"}});
    server.patch(&path, "application/merge-patch+json", &another).await.expect(422);
    let wrong = json!({"status": {"podIPs": [{"ip": "x"}]}});
    server.patch(&path, "application/merge-patch+json", &wrong).await.expect(422);
    // An end gives its place on the node back.
    server.post(PODS, &daemon_pod("b", "n1", "h1")).await.expect(409);
    server.patch(&path, "application/merge-patch+json", &json!({"status": {"phase": "Failed"}})).await.expect(200);
    server.post(PODS, &daemon_pod("b", "n1", "h1")).await.expect(201);
}

#[tokio::test]
async fn a_pod_that_has_ended_stays_so_whatever_a_late_report_says() {
    let server = Server::start().await.with_default_account().await;
    server.post(PODS, &pod("a")).await.expect(201);
    let path = format!("{PODS}/a/status");
    let report = |phase: &str, message: &str| json!({"status": {"phase": phase, "message": message}});
    server.patch(&path, MERGE, &report("Running", "")).await.expect(200);
    server.patch(&path, MERGE, &report("Failed", "")).await.expect(200);
    let late = server.patch(&path, MERGE, &report("Running", "late")).await.expect(200);
    assert_eq!((&late["status"]["phase"], &late["status"]["message"]), (&json!("Failed"), &json!("late")));
    let mut put = late;
    put["status"]["phase"] = "Pending".into();
    assert_eq!(server.put(&path, &put).await.expect(200)["status"]["phase"], "Failed");
}

#[tokio::test]
async fn deletion_is_graceful_where_an_agent_may_run_the_pod() {
    let server = Server::start().await.with_default_account().await;
    server.post(PODS, &pod("unbound")).await.expect(201);
    server.delete(&format!("{PODS}/unbound"), &Value::Null).await.expect(200);
    server.get(&format!("{PODS}/unbound")).await.expect(404); // DS-H25
    let mut bound = pod("bound");
    bound["spec"]["nodeName"] = "n1".into();
    let path = format!("{PODS}/bound");
    server.post(PODS, &bound).await.expect(201);
    let marked = server.delete(&path, &Value::Null).await.expect(200);
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30); // DS-H24
    let shorter = server.delete(&path, &json!({"gracePeriodSeconds": 5})).await.expect(200);
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    let longer = server.delete(&path, &json!({"gracePeriodSeconds": 50})).await.expect(200);
    assert_eq!(longer["metadata"]["deletionGracePeriodSeconds"], 5);
    server.delete(&path, &json!({"gracePeriodSeconds": 0, "preconditions": {"uid": "x"}})).await.expect(409);
    server.delete(&path, &json!({"gracePeriodSeconds": 0})).await.expect(200); // DS-H26
    server.get(&path).await.expect(404);
}

#[tokio::test]
async fn eviction_asks_the_budget() {
    let server = Server::start().await.with_default_account().await;
    let mut running = pod("a");
    running["spec"]["nodeName"] = "n1".into();
    server.post(PODS, &running).await.expect(201);
    let status = json!({"status": {"phase": "Running"}});
    server.patch(&format!("{PODS}/a/status"), MERGE, &status).await.expect(200);
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget =
        json!({"metadata": {"name": "keep"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
    server.post(budgets, &budget).await.expect(201);
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}});
    let refused = server.post(&format!("{PODS}/a/eviction"), &eviction).await.expect(429); // DS-G21
    assert_eq!(refused["message"], "Cannot evict pod as it would violate the pod's disruption budget.");
    assert_eq!(refused["details"]["causes"][0]["reason"], "DisruptionBudget");
    server.delete(&format!("{budgets}/keep"), &Value::Null).await.expect(200);
    server.post(&format!("{PODS}/a/eviction"), &eviction).await.expect(201);
    let evicted = server.get(&format!("{PODS}/a")).await.expect(200);
    let condition = &evicted["status"]["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["reason"]),
        (&json!("DisruptionTarget"), &json!("EvictionByEvictionAPI"))
    ); // DS-G22
    assert!(evicted["metadata"]["deletionTimestamp"].is_string());
}

/// A ready pod `a` with label `app: web`.
async fn ready_pod(server: &Server) {
    let mut ready = pod("a");
    ready["metadata"]["labels"]["app"] = "web".into();
    server.post(PODS, &ready).await.expect(201);
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    server.patch(&format!("{PODS}/a/status"), MERGE, &status).await.expect(200);
}

/// A budget over `app: web` with this status, as the disruption controller would write it.
async fn budget(server: &Server, name: &str, status: &Value) {
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let spec = json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}});
    server.post(budgets, &json!({"metadata": {"name": name}, "spec": spec})).await.expect(201);
    server.patch(&format!("{budgets}/{name}/status"), MERGE, &json!({"status": status})).await.expect(200);
}

#[tokio::test]
async fn eviction_spends_what_the_budget_allows() {
    // DS-G21
    let server = Server::start().await.with_default_account().await;
    ready_pod(&server).await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}});
    let path = format!("{PODS}/a/eviction");
    let evict = || server.post(&path, &eviction);
    budget(&server, "keep", &json!({"observedGeneration": 1, "desiredHealthy": 1, "currentHealthy": 1})).await;
    let fresh = server.get("/apis/policy/v1/namespaces/default/poddisruptionbudgets/keep").await.expect(200);
    assert_eq!(fresh["status"]["disruptionsAllowed"], 0, "zeros are written");
    let refused = evict().await.expect(429);
    assert_eq!(refused["reason"], "TooManyRequests");
    let cause = &refused["details"]["causes"][0]["message"];
    assert_eq!(cause, "The disruption budget keep needs 1 healthy pods and has 1 currently");
    let kept = "/apis/policy/v1/namespaces/default/poddisruptionbudgets/keep";
    let one = json!({"status": {"disruptionsAllowed": 1, "currentHealthy": 2}});
    server.patch(&format!("{kept}/status"), MERGE, &one).await.expect(200);
    let dry = json!({"metadata": {"name": "a"}, "deleteOptions": {"dryRun": ["All"]}});
    server.post(&path, &dry).await.expect(201);
    assert_eq!(server.get(kept).await.expect(200)["status"]["disruptionsAllowed"], 1, "nothing was spent");
    evict().await.expect(201);
    let spent = server.get(kept).await.expect(200)["status"].clone();
    assert_eq!(spent["disruptionsAllowed"], 0);
    assert!(spent["disruptedPods"]["a"].is_string());
    assert_eq!(spent["conditions"][0]["reason"], "InsufficientPods");
}

#[tokio::test]
async fn eviction_refuses_two_budgets_and_spares_none_for_the_unready() {
    // DS-G21
    let server = Server::start().await.with_default_account().await;
    ready_pod(&server).await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}});
    let path = format!("{PODS}/a/eviction");
    let evict = || server.post(&path, &eviction);
    budget(&server, "one", &json!({"observedGeneration": 1, "desiredHealthy": 1, "currentHealthy": 1})).await;
    budget(&server, "two", &json!({"observedGeneration": 1})).await;
    let refused = evict().await.expect(500);
    let text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    assert_eq!(refused["message"], text);
    server.delete("/apis/policy/v1/namespaces/default/poddisruptionbudgets/two", &Value::Null).await.expect(200);
    evict().await.expect(429);
    let unready = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    server.patch(&format!("{PODS}/a/status"), MERGE, &unready).await.expect(200);
    evict().await.expect(201);
}

fn daemon_pod(name: &str, node: &str, revision: &str) -> Value {
    let mut made = pod(name);
    made["metadata"]["labels"]["controller-revision-hash"] = revision.into();
    made["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "uid": "u1", "controller": true, "blockOwnerDeletion": true}]);
    let term = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]});
    made["spec"]["affinity"] =
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}});
    made
}

#[tokio::test]
async fn one_live_daemon_pod_per_set_node_and_revision() {
    let server = Server::start().await.with_default_account().await;
    server.post(PODS, &daemon_pod("a", "n1", "r1")).await.expect(201);
    let refused = server.post(PODS, &daemon_pod("b", "n1", "r1")).await.expect(409);
    assert_eq!(
        (&refused["reason"], &refused["details"]["causes"][0]["reason"]),
        (&json!("AlreadyExists"), &json!("ClaimHeld"))
    );
    assert!(refused["details"]["causes"][0]["message"].as_str().unwrap().starts_with("default/a/"));
    // Other nodes and other revisions are other places.
    server.post(PODS, &daemon_pod("c", "n2", "r1")).await.expect(201);
    server.post(PODS, &daemon_pod("d", "n1", "r2")).await.expect(201);
    // A terminal pod is no longer live.
    server.patch(&format!("{PODS}/a/status"), MERGE, &json!({"status": {"phase": "Failed"}})).await.expect(200);
    server.post(PODS, &daemon_pod("b", "n1", "r1")).await.expect(201);
    // A pod that is gone holds nothing.
    server.delete(&format!("{PODS}/b"), &json!({"gracePeriodSeconds": 0})).await.expect(200);
    server.post(PODS, &daemon_pod("e", "n1", "r1")).await.expect(201);
}

#[tokio::test]
async fn many_creates_at_once_make_one_daemon_pod() {
    let server = std::sync::Arc::new(Server::start().await.with_default_account().await);
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..16 {
        let server = server.clone();
        tasks.spawn(async move { server.post(PODS, &daemon_pod(&format!("p{index}"), "n1", "r1")).await.code });
    }
    let codes = tasks.join_all().await;
    assert_eq!(codes.iter().filter(|code| **code == 201).count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 409).count(), 15, "{codes:?}");
}

#[tokio::test]
async fn what_only_a_runtime_class_gives_is_refused() {
    let server = Server::start().await.with_default_account().await;
    let mut made = pod("p");
    made["spec"]["runtimeClassName"] = "nope".into();
    let refused = server.post(PODS, &made).await.expect(403);
    assert_eq!(refused["message"], "pods \"p\" is forbidden: pod rejected: RuntimeClass \"nope\" not found");
    let mut made = pod("p");
    made["spec"]["overhead"] = json!({"cpu": "1"});
    let refused = server.post(PODS, &made).await.expect(403);
    let words = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
    assert!(refused["message"].as_str().unwrap().ends_with(words), "{refused}");
}

#[tokio::test]
async fn the_systems_priority_classes_stay() {
    let server = Server::start().await;
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    for name in ["system-node-critical", "system-cluster-critical"] {
        let refused = server.delete(&format!("{classes}/{name}"), &Value::Null).await.expect(403);
        let words = "this is a system priority class and cannot be deleted";
        assert!(refused["message"].as_str().unwrap().ends_with(words), "{refused}");
    }
}
