use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;

fn outcome(seen: &Seen, id: &str) -> (Outcome, Vec<String>) {
    let found: Vec<Finding> = audit(seen).into_iter().filter(|finding| finding.id == id).collect();
    assert_eq!(found.len(), 1, "{id}");
    (found[0].outcome, found[0].evidence.clone())
}

fn role(name: &str, rules: &Value) -> Value {
    json!({"metadata": {"name": name}, "rules": rules})
}

fn binding(name: &str, role: &str, subject: &Value) -> Value {
    json!({"metadata": {"name": name}, "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": [subject]})
}

fn built_in(mut object: Value) -> Value {
    object["metadata"]["labels"] = json!({"kubernetes.io/bootstrapping": "rbac-defaults"});
    object
}

fn user(name: &str) -> Value {
    json!({"kind": "User", "name": name})
}

fn pod(name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "x"}, "spec": spec})
}

/// A cluster as it is at its start has nothing that fails.
#[test]
fn what_the_server_makes_itself_passes() {
    let everything = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let group = |name: &str| json!({"kind": "Group", "name": name});
    let seen = Seen {
        cluster_roles: vec![built_in(role("cluster-admin", &everything))],
        cluster_role_bindings: vec![
            built_in(binding("cluster-admin", "cluster-admin", &group("system:masters"))),
            built_in(binding("info", "system:public-info-viewer", &group("system:unauthenticated"))),
        ],
        files: Some(Vec::new()),
        ..Seen::default()
    };
    assert!(audit(&seen).iter().all(|finding| matches!(finding.outcome, Outcome::Pass | Outcome::Manual)));
    let mut ids: Vec<&str> = audit(&seen).iter().map(|finding| finding.id).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), count > 20), (count, true), "every item once");
}

#[test]
fn rights_that_are_worth_the_cluster_are_named_with_their_holders() {
    let rules = |resource: &str, verb: &str| json!([{"apiGroups": [""], "resources": [resource], "verbs": [verb]}]);
    let given = |resource: &str, verb: &str| Seen {
        cluster_roles: vec![role("r", &rules(resource, verb))],
        cluster_role_bindings: vec![binding("b", "r", &user("jane"))],
        ..Seen::default()
    };
    let held = vec!["b gives r to User jane".to_owned()];
    for (id, resource, verb, expected) in [
        ("5.1.2", "secrets", "list", Outcome::Fail),
        ("5.1.2", "*", "get", Outcome::Fail),
        ("5.1.4", "pods", "create", Outcome::Warn),
        ("5.1.8", "groups", "impersonate", Outcome::Fail),
        ("5.1.8", "clusterroles", "bind", Outcome::Fail),
        ("5.1.10", "nodes/proxy", "get", Outcome::Fail),
        ("5.1.10", "pods/exec", "create", Outcome::Fail),
        ("5.1.13", "serviceaccounts/token", "create", Outcome::Fail),
    ] {
        assert_eq!(outcome(&given(resource, verb), id), (expected, held.clone()), "{id} {resource} {verb}");
    }
    for (id, resource, verb) in
        [("5.1.2", "configmaps", "list"), ("5.1.2", "secrets", "create"), ("5.1.4", "pods", "list")]
    {
        assert_eq!(outcome(&given(resource, verb), id).0, Outcome::Pass, "{id} {resource} {verb}");
    }
    // What is named is what the benchmark asks for; and a role without subjects gives nothing.
    let mut named = given("secrets", "get");
    named.cluster_roles[0]["rules"][0]["resourceNames"] = json!(["one"]);
    assert_eq!(outcome(&named, "5.1.2").0, Outcome::Pass);
    let unbound = Seen { cluster_role_bindings: Vec::new(), ..given("secrets", "get") };
    assert_eq!(outcome(&unbound, "5.1.2").0, Outcome::Pass);
    assert_eq!(outcome(&given("*", "get"), "5.1.3"), (Outcome::Fail, vec!["r: resources has *".to_owned()]));
}

#[test]
fn administrators_anonymous_and_default_accounts_are_seen_in_every_binding() {
    let account = json!({"kind": "ServiceAccount", "name": "default", "namespace": "x"});
    let seen = |role: &str, subject: &Value| Seen {
        cluster_role_bindings: vec![binding("b", role, subject)],
        ..Seen::default()
    };
    let told = |role: &str, who: &str| vec![format!("b gives {role} to {who}")];
    assert_eq!(
        outcome(&seen("cluster-admin", &user("jane")), "5.1.1"),
        (Outcome::Fail, told("cluster-admin", "User jane"))
    );
    assert_eq!(outcome(&seen("view", &user("system:anonymous")), "1.2.1").0, Outcome::Fail);
    assert_eq!(outcome(&seen("view", &account), "5.1.5"), (Outcome::Fail, told("view", "ServiceAccount x/default")));
    let mut namespaced = binding("b", "view", &account);
    namespaced["metadata"]["namespace"] = "x".into();
    let namespaced = Seen { role_bindings: vec![namespaced], ..Seen::default() };
    assert_eq!(outcome(&namespaced, "5.1.5").1, ["x/b gives view to ServiceAccount x/default"]);
}

#[test]
fn tokens_of_default_accounts_are_refused_by_pod_or_account() {
    let account = |mount: Value| json!({"metadata": {"name": "default", "namespace": "x"}, "automountServiceAccountToken": mount});
    let seen = |spec: Value, mount: Value| Seen {
        pods: vec![pod("p", spec)],
        accounts: vec![account(mount)],
        ..Seen::default()
    };
    assert_eq!(outcome(&seen(json!({}), Value::Null), "5.1.6"), (Outcome::Warn, vec!["pod x/p".to_owned()]));
    assert_eq!(outcome(&seen(json!({}), json!(false)), "5.1.6").0, Outcome::Pass);
    let wanted = json!({"automountServiceAccountToken": true, "serviceAccountName": "default"});
    assert_eq!(outcome(&seen(wanted, json!(false)), "5.1.6").0, Outcome::Warn);
    assert_eq!(outcome(&seen(json!({"serviceAccountName": "own"}), Value::Null), "5.1.6").0, Outcome::Pass);
}

#[test]
fn what_pods_ask_of_nodes_fails_unless_they_are_node_services() {
    let container = |extra: Value| {
        let mut container = json!({"name": "c"});
        container.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"containers": [container]})
    };
    let cases = [
        ("5.2.2", container(json!({"securityContext": {"privileged": true}})), "pod x/p, container c"),
        ("5.2.3", json!({"hostPID": true}), "pod x/p"),
        ("5.2.4", json!({"hostIPC": true}), "pod x/p"),
        ("5.2.5", json!({"hostNetwork": true}), "pod x/p"),
        ("5.2.6", container(json!({"securityContext": {"allowPrivilegeEscalation": true}})), "pod x/p, container c"),
        (
            "5.2.9",
            container(json!({"securityContext": {"capabilities": {"add": ["SYS_ADMIN", "BPF"]}}})),
            "pod x/p, container c: SYS_ADMIN, BPF",
        ),
        ("5.2.12", json!({"volumes": [{"name": "v", "hostPath": {"path": "/var/run"}}]}), "pod x/p: /var/run"),
        ("5.2.13", container(json!({"ports": [{"hostPort": 80}]})), "pod x/p, container c: 80"),
    ];
    for (id, spec, told) in cases {
        let plain = Seen { pods: vec![pod("p", spec.clone())], ..Seen::default() };
        assert_eq!(outcome(&plain, id), (Outcome::Fail, vec![told.to_owned()]), "{id}");
        let mut service = plain.clone();
        service.pods[0]["metadata"]["ownerReferences"] =
            json!([{"kind": "DaemonSet", "name": "d", "controller": true}]);
        assert_eq!(outcome(&service, id), (Outcome::Warn, vec![format!("{told} (a node service)")]), "{id}");
        let none = Seen { pods: vec![pod("p", json!({"containers": [{"name": "c"}]}))], ..Seen::default() };
        assert_eq!(outcome(&none, id).0, Outcome::Pass, "{id}");
    }
    let env = json!({"containers": [{"name": "c", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}]});
    let seen = Seen { pods: vec![pod("p", env)], ..Seen::default() };
    assert_eq!(outcome(&seen, "5.4.1"), (Outcome::Warn, vec!["pod x/p, container c".to_owned()]));
}

#[test]
fn files_are_roots_and_private() {
    let file = |path: &str, mode: u32, owner: u32| FileFact { path: path.into(), directory: false, mode, owner };
    let seen = |file: FileFact| Seen { files: Some(vec![file]), ..Seen::default() };
    for path in ["pki/ca.key", "pki/join.token", "admin.kubeconfig", "store/store.db", "pki/apiserver.pair"] {
        assert_eq!(outcome(&seen(file(path, 0o600, 0)), "1.1.21").0, Outcome::Pass, "{path}");
        for mode in [0o640, 0o604, 0o620, 0o777] {
            let (outcome, evidence) = outcome(&seen(file(path, mode, 0)), "1.1.21");
            assert_eq!((outcome, evidence), (Outcome::Fail, vec![format!("{path}: mode {mode:04o}")]));
        }
        assert_eq!(outcome(&seen(file(path, 0o600, 7)), "1.1.19"), (Outcome::Fail, vec![format!("{path}: uid 7")]));
    }
    assert_eq!(outcome(&seen(file("pki/ca.crt", 0o644, 0)), "1.1.20").0, Outcome::Pass);
    assert_eq!(outcome(&seen(file("pki/ca.crt", 0o664, 0)), "1.1.20").0, Outcome::Fail);
    assert_eq!(outcome(&Seen::default(), "1.1.21").0, Outcome::Manual);
}

#[test]
fn certificates_that_ended_or_were_not_renewed_are_reported() {
    let now = Timestamp::from_second(2_000_000_000).unwrap();
    let seen = |before: i64, after: i64| {
        let hours = SignedDuration::from_hours;
        let found = CertificateFact { path: "a.crt".into(), from: now - hours(before), until: now + hours(after) };
        Seen { now, files: Some(Vec::new()), certificates: vec![found], ..Seen::default() }
    };
    assert_eq!(outcome(&seen(24 * 100, 24 * 265), "4.2.10").0, Outcome::Pass);
    assert_eq!(outcome(&seen(24 * 350, 24 * 15), "4.2.10").0, Outcome::Warn);
    assert_eq!(outcome(&seen(24 * 365, 0), "4.2.10").0, Outcome::Fail);
    assert_eq!(outcome(&seen(-1, 24), "4.2.10").0, Outcome::Fail);
    // A short life that was chosen is no neglect.
    assert_eq!(outcome(&seen(1, 2), "4.2.10").0, Outcome::Pass);
}

#[test]
fn evidence_is_bounded() {
    let pods = (0..100).map(|index| pod(&format!("p{index}"), json!({"hostPID": true}))).collect();
    let (_, evidence) = outcome(&Seen { pods, ..Seen::default() }, "5.2.3");
    assert_eq!((evidence.len(), evidence.last().unwrap().as_str()), (EVIDENCE_MAX + 1, "and 80 more"));
}
