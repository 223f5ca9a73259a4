//! Cluster roles: those that are there from the start, and aggregation.

use http::Method;
use serde_json::{Value, json};

use crate::support::*;

const CLUSTER_ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const CLUSTER_BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";

#[tokio::test]
async fn the_users_roles_are_aggregated() {
    let server = Server::start().await;
    let get = async |name: &str| server.get(&format!("{CLUSTER_ROLES}/{name}")).await.expect(200);
    for (name, larger) in [("view", Some("edit")), ("edit", Some("admin")), ("admin", None)] {
        let role = get(name).await;
        let label = |of: &str| format!("rbac.authorization.k8s.io/aggregate-to-{of}");
        let selector = &role["aggregationRule"]["clusterRoleSelectors"][0]["matchLabels"];
        assert_eq!(selector[label(name)], "true", "{name}");
        if let Some(larger) = larger {
            assert_eq!(role["metadata"]["labels"][label(larger)], "true", "{name}");
        }
        // What the controller would make of it is there already.
        let part = get(&format!("system:aggregate-to-{name}")).await;
        assert_eq!(part["metadata"]["labels"][label(name)], "true", "{name}");
        let rules = role["rules"].as_array().unwrap();
        assert!(
            !rules.is_empty() && part["rules"].as_array().unwrap().iter().all(|rule| rules.contains(rule)),
            "{name}"
        );
    }
}

#[tokio::test]
async fn to_aggregate_takes_all_rights() {
    let server = Server::start().await.with_default_account().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let made = server.post(&format!("{accounts}/default/token"), &json!({"spec": {}})).await.expect(201);
    let who = Who::Token(made["status"]["token"].as_str().unwrap().to_owned());
    let verbs = json!(["get", "create", "update", "patch"]);
    let rules = json!([{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": verbs}]);
    server.post(CLUSTER_ROLES, &json!({"metadata": {"name": "maker"}, "rules": rules})).await.expect(201);
    let bound = json!({"metadata": {"name": "maker"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "maker"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]});
    server.post(CLUSTER_BINDINGS, &bound).await.expect(201);
    server.get(&format!("{CLUSTER_BINDINGS}?watch=1&timeoutSeconds=1")).await;
    let send = async |method: Method, path: &str, form: &str, body: Value| {
        server.send(&who, method, path, &[("content-type", form)], body.to_string()).await
    };
    let selectors =
        json!({"clusterRoleSelectors": [{"matchLabels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}]});
    let words = "must have cluster-admin privileges to use the aggregationRule";
    let greedy = json!({"metadata": {"name": "greedy"}, "aggregationRule": selectors, "rules": []});
    let refused = send(Method::POST, CLUSTER_ROLES, JSON, greedy).await.expect(403);
    assert!(refused["message"].as_str().unwrap().ends_with(words), "{refused}");
    send(Method::POST, CLUSTER_ROLES, JSON, json!({"metadata": {"name": "plain"}, "rules": []})).await.expect(201);
    let change = json!({"aggregationRule": selectors});
    send(Method::PATCH, &format!("{CLUSTER_ROLES}/plain"), MERGE, change).await.expect(403);
    server.patch(&format!("{CLUSTER_ROLES}/plain"), MERGE, &json!({"aggregationRule": selectors})).await.expect(200);
    send(Method::PATCH, &format!("{CLUSTER_ROLES}/plain"), MERGE, json!({"rules": rules})).await.expect(403);
}
