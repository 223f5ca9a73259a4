//! The roles and bindings that exist from the start, as Kubernetes names them.

use serde_json::{Value, json};

const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];

fn role(name: &str, rules: Value) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
           "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
                        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}},
           "rules": rules})
}

fn binding(name: &str, subjects: Value) -> Value {
    bind(name, name, subjects)
}

fn bind(name: &str, role: &str, subjects: Value) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
           "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
                        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}},
           "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
           "subjects": subjects})
}

fn groups(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name})).collect()
}

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
}

fn paths(urls: &[&str]) -> Value {
    json!({"nonResourceURLs": urls, "verbs": ["get"]})
}

const CORE_READ: &[&str] = &[
    "configmaps",
    "endpoints",
    "events",
    "namespaces/status",
    "pods",
    "pods/log",
    "pods/status",
    "limitranges",
    "persistentvolumeclaims",
    "persistentvolumeclaims/status",
    "resourcequotas",
    "resourcequotas/status",
    "serviceaccounts",
    "services",
    "services/status",
];
// Not `endpoints`: their writer can send a Service's traffic anywhere (Kubernetes took them out in
// 1.22).
const CORE_WRITE: &[&str] = &[
    "configmaps",
    "events",
    "persistentvolumeclaims",
    "pods",
    "pods/attach",
    "pods/exec",
    "pods/portforward",
    "secrets",
    "serviceaccounts",
    "services",
];
const APPS: &[&str] = &["daemonsets", "daemonsets/status", "controllerrevisions"];
const BUDGETS: &[&str] = &["poddisruptionbudgets", "poddisruptionbudgets/status"];

fn view_rules() -> Vec<Value> {
    vec![
        rule(&[""], CORE_READ, &READ),
        rule(&[""], &["namespaces", "namespaces/status"], &READ),
        rule(&["apps"], APPS, &READ),
        rule(&["policy"], BUDGETS, &READ),
        rule(&["events.k8s.io"], &["events"], &READ),
        rule(&["discovery.k8s.io"], &["endpointslices"], &READ),
        rule(&["networking.k8s.io"], &["networkpolicies"], &READ),
        rule(&["resource.k8s.io"], &["resourceclaims", "resourceclaims/status", "resourceclaimtemplates"], &READ),
    ]
}

fn edit_rules() -> Vec<Value> {
    vec![
        rule(&[""], &["secrets", "pods/attach", "pods/exec", "pods/portforward"], &READ),
        rule(&[""], CORE_WRITE, &WRITE),
        rule(&[""], &["serviceaccounts"], &["impersonate"]),
        rule(&[""], &["serviceaccounts/token", "pods/eviction"], &["create"]),
        rule(&["apps"], &["daemonsets"], &WRITE),
        rule(&["policy"], &["poddisruptionbudgets"], &WRITE),
        rule(&["networking.k8s.io"], &["networkpolicies"], &WRITE),
        rule(&["resource.k8s.io"], &["resourceclaims", "resourceclaimtemplates"], &WRITE),
        rule(
            &["coordination.k8s.io"],
            &["leases"],
            &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        ),
    ]
}

fn admin_rules() -> Vec<Value> {
    vec![
        rule(&["rbac.authorization.k8s.io"], &["roles", "rolebindings"], &READ),
        rule(&["rbac.authorization.k8s.io"], &["roles", "rolebindings"], &WRITE),
        rule(&["authorization.k8s.io"], &["localsubjectaccessreviews"], &["create"]),
    ]
}

fn aggregate_to(role: &str) -> String {
    format!("rbac.authorization.k8s.io/aggregate-to-{role}")
}

/// `view`, `edit` and `admin`: made of `system:aggregate-to-…` and of each other, and of whatever
/// else is labelled so. They begin with what the controller will make of them.
fn user_roles() -> Vec<Value> {
    let parts =
        [("view", Some("edit"), view_rules()), ("edit", Some("admin"), edit_rules()), ("admin", None, admin_rules())];
    let mut roles = Vec::new();
    let mut so_far: Vec<Value> = Vec::new();
    for (name, larger, rules) in parts {
        let mut part = role(&format!("system:aggregate-to-{name}"), rules.clone().into());
        part["metadata"]["labels"][aggregate_to(name)] = "true".into();
        so_far.extend(rules);
        let mut whole = role(name, so_far.clone().into());
        whole["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {aggregate_to(name): "true"}}]});
        if let Some(larger) = larger {
            whole["metadata"]["labels"][aggregate_to(larger)] = "true".into();
        }
        roles.extend([part, whole]);
    }
    roles
}

const DISCOVERY: &[&str] = &[
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
    "/version/",
];
const ISSUER: &[&str] =
    &["/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks", "/openid/v1/jwks/"];
const PUBLIC: &[&str] = &["/healthz", "/livez", "/readyz", "/version", "/version/"];

/// What an agent may do, for those that read or bind the role: our agents are let in by the node
/// authoriser.
fn node_rules() -> Value {
    let one = |group: &str, resources: &[&str], verbs: &[&str]| rule(&[group], resources, verbs);
    json!([
        one("authentication.k8s.io", &["tokenreviews"], &["create"]),
        one("authorization.k8s.io", &["localsubjectaccessreviews", "subjectaccessreviews"], &["create"]),
        one("", &["services"], &READ),
        one("", &["nodes"], &["create", "get", "list", "watch"]),
        one("", &["nodes/status"], &["patch", "update"]),
        one("", &["nodes"], &["patch", "update"]),
        one("", &["events"], &["create", "patch", "update"]),
        one("", &["pods"], &READ),
        one("", &["pods"], &["create", "delete"]),
        one("", &["pods/status"], &["patch", "update"]),
        one("", &["pods/eviction"], &["create"]),
        one("", &["configmaps", "secrets"], &READ),
        one("", &["persistentvolumeclaims", "persistentvolumes"], &["get"]),
        one("", &["endpoints"], &["get"]),
        one("certificates.k8s.io", &["certificatesigningrequests"], &["create", "get", "list", "watch"]),
        one("coordination.k8s.io", &["leases"], &["create", "delete", "get", "patch", "update"]),
        one("storage.k8s.io", &["volumeattachments"], &["get"]),
        one("", &["serviceaccounts/token"], &["create"]),
        one("", &["persistentvolumeclaims/status"], &["get", "patch", "update"]),
        one("storage.k8s.io", &["csidrivers"], &READ),
        one("storage.k8s.io", &["csinodes"], &["create", "delete", "get", "patch", "update"]),
        one("node.k8s.io", &["runtimeclasses"], &READ),
    ])
}

/// Certificate requests, or what stands below them.
fn requests(below: &[&str], verbs: &[&str]) -> Value {
    let resources: Vec<String> = below.iter().map(|below| format!("certificatesigningrequests{below}")).collect();
    json!({"apiGroups": ["certificates.k8s.io"], "resources": resources, "verbs": verbs})
}

fn requests_role(name: &str) -> String {
    format!("system:certificates.k8s.io:certificatesigningrequests:{name}")
}

/// Those who may approve all requests for a signer of Kubernetes.
fn approvers() -> Vec<Value> {
    let signers = ["kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown"];
    let approver = |signer: &&str| {
        let signers = json!({"apiGroups": ["certificates.k8s.io"], "resources": ["signers"],
                             "resourceNames": [format!("kubernetes.io/{signer}")], "verbs": ["approve"]});
        role(&format!("system:certificates.k8s.io:{signer}-approver"), json!([signers]))
    };
    signers.iter().map(approver).collect()
}

/// What a scheduler of Kubernetes asks for.
fn scheduler_rules() -> Value {
    let own = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
                     "resourceNames": ["kube-scheduler"], "verbs": ["get", "list", "patch", "update", "watch"]});
    json!([
        rule(&["", "events.k8s.io"], &["events"], &["create", "patch", "update"]),
        rule(&["coordination.k8s.io"], &["leases"], &["create"]),
        own,
        rule(&[""], &["nodes"], &READ),
        rule(&[""], &["pods"], &["delete", "get", "list", "watch"]),
        rule(&[""], &["bindings", "pods/binding"], &["create"]),
        rule(&[""], &["pods/status"], &["patch", "update"]),
        rule(&[""], &["namespaces", "replicationcontrollers", "services"], &READ),
        rule(&["apps", "extensions"], &["replicasets"], &READ),
        rule(&["apps"], &["statefulsets"], &READ),
        rule(&["policy"], &["poddisruptionbudgets"], &READ),
        rule(&[""], &["persistentvolumeclaims", "persistentvolumes"], &READ),
        rule(&["authentication.k8s.io"], &["tokenreviews"], &["create"]),
        rule(&["authorization.k8s.io"], &["subjectaccessreviews"], &["create"]),
        rule(&["storage.k8s.io"], &["csidrivers", "csinodes", "csistoragecapacities", "storageclasses"], &READ),
        rule(&["storage.k8s.io"], &["volumeattachments"], &READ),
        rule(&["resource.k8s.io"], &["deviceclasses", "resourceslices"], &READ),
        rule(&["resource.k8s.io"], &["resourceclaims"], &["get", "list", "update", "watch"]),
        rule(&["resource.k8s.io"], &["resourceclaims/status"], &["patch", "update"]),
        rule(&[""], &["pods/finalizers"], &["update"]),
    ])
}

/// What a scheduler that binds volumes asks for besides.
fn volume_scheduler_rules() -> Value {
    let verbs = ["get", "list", "patch", "update", "watch"];
    json!([
        rule(&[""], &["persistentvolumes"], &verbs),
        rule(&["storage.k8s.io"], &["storageclasses"], &READ),
        rule(&[""], &["persistentvolumeclaims"], &verbs),
    ])
}

/// The ClusterRoles that exist from the start.
pub(crate) fn cluster_roles() -> Vec<Value> {
    let everything =
        json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]}]);
    let reviews =
        rule(&["authorization.k8s.io"], &["selfsubjectaccessreviews", "selfsubjectrulesreviews"], &["create"]);
    let whoami = rule(&["authentication.k8s.io"], &["selfsubjectreviews"], &["create"]);
    let mut roles = user_roles();
    roles.extend([
        role("cluster-admin", everything),
        role("system:discovery", json!([paths(DISCOVERY)])),
        role("system:public-info-viewer", json!([paths(PUBLIC)])),
        role("system:service-account-issuer-discovery", json!([paths(ISSUER)])),
        role("system:basic-user", json!([reviews, whoami])),
        role("system:monitoring", json!([paths(&["/metrics", "/livez", "/readyz", "/healthz"])])),
        role(
            "system:auth-delegator",
            json!([
                rule(&["authentication.k8s.io"], &["tokenreviews"], &["create"]),
                rule(&["authorization.k8s.io"], &["subjectaccessreviews"], &["create"])
            ]),
        ),
        role("system:node", node_rules()),
        role("system:node-bootstrapper", json!([requests(&[""], &["create", "get", "list", "watch"])])),
        role(&requests_role("nodeclient"), json!([requests(&["/nodeclient"], &["create"])])),
        role(&requests_role("selfnodeclient"), json!([requests(&["/selfnodeclient"], &["create"])])),
        role("system:kube-scheduler", scheduler_rules()),
        role("system:volume-scheduler", volume_scheduler_rules()),
        // Stock agents ask us whether we may ask them.
        role(
            "system:kubelet-api-admin",
            json!([
                rule(&[""], &["nodes"], &["get", "list", "watch", "proxy"]),
                rule(&[""], &["nodes/log", "nodes/metrics", "nodes/proxy", "nodes/stats"], &["*"]),
                rule(&[""], &["nodes/configz", "nodes/healthz", "nodes/pods"], &["get", "list", "watch"]),
            ]),
        ),
        role(
            "system:controller:daemon-set-controller",
            json!([
                rule(&["apps"], &["daemonsets"], &READ),
                rule(&["apps"], &["daemonsets/status"], &["update", "patch"]),
                rule(&["apps"], &["daemonsets/finalizers"], &["update"]),
                rule(&[""], &["nodes"], &["list", "watch", "get"]),
                rule(&[""], &["pods"], &["create", "delete", "get", "list", "patch", "watch"]),
                rule(&[""], &["pods/binding"], &["create"]),
                rule(
                    &["apps"],
                    &["controllerrevisions"],
                    &["create", "delete", "get", "list", "patch", "update", "watch"]
                ),
                rule(&["", "events.k8s.io"], &["events"], &["create", "patch", "update"])
            ]),
        ),
    ]);
    roles.extend(approvers());
    roles
}

fn scheduler() -> Value {
    json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:kube-scheduler"}])
}

/// The ClusterRoleBindings that exist from the start.
pub(crate) fn cluster_role_bindings() -> Vec<Value> {
    let everybody = groups(&["system:authenticated", "system:unauthenticated"]);
    let controller = "system:controller:daemon-set-controller";
    vec![
        binding("cluster-admin", groups(&["system:masters"])),
        binding("system:discovery", groups(&["system:authenticated"])),
        binding("system:basic-user", groups(&["system:authenticated"])),
        binding("system:public-info-viewer", everybody),
        binding("system:service-account-issuer-discovery", groups(&["system:serviceaccounts"])),
        binding("system:monitoring", groups(&["system:monitoring"])),
        binding("system:kube-scheduler", scheduler()),
        binding("system:volume-scheduler", scheduler()),
        bind(
            "system:kube-apiserver-kubelet-client",
            "system:kubelet-api-admin",
            json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": super::AGENT_CLIENT}]),
        ),
        bind(
            controller,
            controller,
            json!([{"kind": "ServiceAccount", "name": "daemon-set-controller", "namespace": "kube-system"}]),
        ),
    ]
}
