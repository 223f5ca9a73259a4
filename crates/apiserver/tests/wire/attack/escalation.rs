//! More rights than one has, by roles and bindings; what is seen of other namespaces by pages,
//! watches and selectors.

use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::bodies::{self, PLANTED};
use super::client::Client;
use super::world::World;
use crate::support::{JSON, MERGE, Who};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn binding(name: &str, kind: &str, role: &str) -> Value {
    json!({"metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
           "subjects": [{"kind": "ServiceAccount", "name": "owner", "namespace": "team"}]})
}

fn role(name: &str, group: &str, resource: &str, verb: &str) -> Value {
    json!({"metadata": {"name": name}, "rules": [{"apiGroups": [group], "resources": [resource], "verbs": [verb]}]})
}

#[tokio::test]
async fn an_owner_of_a_namespace_gives_no_user_more_than_it_has() {
    let world = World::make().await;
    let owner = Client::connect(&world.server, &world.who("owner")).await;
    let team = format!("{RBAC}/namespaces/team");
    let post = async |path: String, body: Value| owner.code(Method::POST, &path, JSON, body.to_string()).await;
    // What it has it may hand on.
    assert_eq!(post(format!("{team}/roles"), role("ok", "", "secrets", "get")).await, 201);
    assert_eq!(post(format!("{team}/rolebindings"), binding("ok", "ClusterRole", "edit")).await, 201);
    let wider = [
        role("a", "*", "*", "*"),
        role("b", "", "*", "get"),
        role("c", "", "secrets", "*"),
        role("d", "", "nodes", "get"),
        role("e", "", "pods/*", "create"),
        role("f", "*", "secrets", "get"),
        role("g", "", "nodes/proxy", "create"),
        role("h", "", "users", "impersonate"),
        role("i", "rbac.authorization.k8s.io", "roles", "escalate"),
        role("j", "rbac.authorization.k8s.io", "clusterroles", "bind"),
        json!({"metadata": {"name": "k"}, "rules": [{"nonResourceURLs": ["*"], "verbs": ["*"]}]}),
    ];
    for body in wider {
        let code = post(format!("{team}/roles"), body.clone()).await;
        assert!(matches!(code, 403 | 422), "{body}: {code}");
        // The same by a change of a role that is there.
        let rules = json!({"rules": body["rules"]}).to_string();
        let code = owner.code(Method::PATCH, &format!("{team}/roles/ok"), MERGE, rules).await;
        assert!(matches!(code, 403 | 422), "patch to {body}: {code}");
        // Nor is a dry run an oracle of anything else.
        let code = post(format!("{team}/roles?dryRun=All"), body.clone()).await;
        assert!(matches!(code, 403 | 422), "dry run of {body}: {code}");
    }
    for (index, name) in [
        "cluster-admin",
        "system:kubelet-api-admin",
        "system:controller:daemon-set-controller",
        "system:auth-delegator",
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(
            post(format!("{team}/rolebindings"), binding(&format!("x{index}"), "ClusterRole", name)).await,
            403,
            "{name}"
        );
    }
    assert_eq!(post(format!("{team}/rolebindings"), binding("y", "Role", "absent")).await, 404);
    assert_eq!(post(format!("{RBAC}/namespaces/other/rolebindings"), binding("z", "ClusterRole", "view")).await, 403);
    assert_eq!(post(format!("{RBAC}/clusterrolebindings"), binding("z", "ClusterRole", "view")).await, 403);
    let more =
        json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}});
    let code = owner.code(Method::PATCH, &format!("{team}/rolebindings/ok"), MERGE, more.to_string()).await;
    assert!(matches!(code, 403 | 422), "{code}");
    // A role whose name is bound first and filled later is filled with no more either.
    assert_eq!(post(format!("{team}/roles"), json!({"metadata": {"name": "later"}, "rules": []})).await, 201);
    assert_eq!(post(format!("{team}/rolebindings"), binding("later", "Role", "later")).await, 201);
    let filled = json!({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}).to_string();
    assert_eq!(owner.code(Method::PATCH, &format!("{team}/roles/later"), MERGE, filled).await, 403);
}

async fn text(client: &Client, path: &str) -> (u16, String) {
    let answer = client.open(Method::GET, path, JSON, String::new()).await;
    let code = answer.status().as_u16();
    (code, String::from_utf8_lossy(&answer.into_body().collect().await.unwrap().to_bytes()).into_owned())
}

/// A page, a version and a watch belong to whom they were given: of another place they show
/// nothing.
#[tokio::test]
async fn pages_versions_and_selectors_show_nothing_of_another_namespace() {
    let world = World::make().await;
    let maps = |namespace: &str| format!("/api/v1/namespaces/{namespace}/configmaps");
    for name in ["p1", "p2", "p3"] {
        for namespace in ["team", "other"] {
            let mut map = bodies::object("configmaps", name);
            map["data"] = json!({"a": format!("of-{namespace}")});
            world.admin.post(&maps(namespace), &map).await;
        }
    }
    let reader = Client::connect(&world.server, &world.who("reader")).await;
    let theirs = world.admin.get(&format!("{}?limit=1", maps("other"))).await;
    let everywhere = world.admin.get("/api/v1/configmaps?limit=1").await;
    let secrets = world.admin.get("/api/v1/secrets?limit=1").await;
    for list in [&theirs, &everywhere, &secrets] {
        let token = list["metadata"]["continue"].as_str().unwrap();
        let (code, body) = text(&reader, &format!("{}?limit=500&continue={token}", maps("team"))).await;
        assert!(matches!(code, 200 | 400 | 410), "{code}: {body}");
        assert!(!body.contains("of-other") && !body.contains(PLANTED), "{body}");
        let (code, _) = text(&reader, &format!("{}?limit=500&continue={token}", maps("other"))).await;
        assert_eq!(code, 403);
    }
    let version = theirs["metadata"]["resourceVersion"].as_str().unwrap();
    let (code, body) =
        text(&reader, &format!("{}?watch=1&resourceVersion={version}&timeoutSeconds=1", maps("team"))).await;
    assert!(code == 200 && !body.contains("of-other"), "{body}");
    for selector in
        ["fieldSelector=metadata.namespace%3Dother", "labelSelector=", "fieldSelector=metadata.name%3Dtheirs"]
    {
        let (_, body) = text(&reader, &format!("{}?{selector}", maps("team"))).await;
        assert!(!body.contains("of-other"), "{selector}: {body}");
        assert_eq!(text(&reader, &format!("/api/v1/configmaps?{selector}")).await.0, 403, "{selector}");
        assert_eq!(text(&reader, &format!("/api/v1/configmaps?watch=1&{selector}")).await.0, 403, "{selector}");
    }
    // A write of one's own is no way to read what one may not.
    let (code, body) = text(&reader, "/api/v1/namespaces/team/secrets/mine").await;
    assert!(code == 403 && !body.contains("cGxhbnRlZA"), "{body}");
}

/// The certificate that the server shows to its clients is none of a client.
#[tokio::test]
async fn the_servers_own_certificate_admits_no_client() {
    let world = World::make().await;
    let stolen = Who::Certificate(world.stolen("apiserver"));
    let connected = tokio::spawn(async move {
        let client = Client::connect(&world.server, &stolen).await;
        client.code(Method::GET, "/api", JSON, String::new()).await
    });
    // The handshake ends the connection: there is no client to answer.
    assert!(connected.await.is_err_and(|error| error.is_panic()));
}
