//! What was given to whom: roles, bindings, accounts.

use serde_json::Value;

use super::{Finding, Outcome, Seen, list, name};

/// Rights that are worth the cluster, or a good part of it.
struct Power {
    id: &'static str,
    title: &'static str,
    /// Resources (with subresource), any of which counts, with any of the verbs.
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    outcome: Outcome,
    advice: &'static str,
}

const POWERS: &[Power] = &[
    Power {
        id: "5.1.2",
        title: "nobody reads the secrets of all namespaces",
        resources: &["secrets"],
        verbs: &["get", "list", "watch"],
        outcome: Outcome::Fail,
        advice: "bind the role in the namespaces that need it, and name the secrets (resourceNames)",
    },
    Power {
        id: "5.1.4",
        title: "few may create pods in all namespaces",
        resources: &["pods", "daemonsets", "deployments", "statefulsets", "jobs", "pods/ephemeralcontainers"],
        verbs: &["create", "update", "patch"],
        outcome: Outcome::Warn,
        advice: "who may create pods may be root on nodes: give it to whom you trust with them",
    },
    Power {
        id: "5.1.8",
        title: "nobody may take on other identities, or give rights that they do not have",
        resources: &["users", "groups", "serviceaccounts", "roles", "clusterroles"],
        verbs: &["impersonate", "bind", "escalate"],
        outcome: Outcome::Fail,
        advice: "take `impersonate`, `bind` and `escalate` out of the role",
    },
    Power {
        id: "5.1.10",
        title: "nobody asks agents through the API, or runs commands in all namespaces",
        resources: &["nodes/proxy", "pods/exec", "pods/attach"],
        verbs: &["get", "create"],
        outcome: Outcome::Fail,
        advice: "take nodes/proxy out of the role; give pods/exec in single namespaces",
    },
    Power {
        id: "5.1.13",
        title: "nobody makes tokens for the accounts of all namespaces",
        resources: &["serviceaccounts/token"],
        verbs: &["create"],
        outcome: Outcome::Fail,
        advice: "take serviceaccounts/token out of the role, or name the accounts (resourceNames)",
    },
];

pub(super) fn audit(seen: &Seen) -> Vec<Finding> {
    let mut found = vec![anonymous(seen), cluster_admins(seen), wildcards(seen)];
    found.extend(POWERS.iter().map(|power| held(seen, power)));
    found.extend([default_accounts(seen), tokens_of_default_accounts(seen)]);
    found.sort_by_key(|finding| order(finding.id));
    found
}

/// `5.1.10` after `5.1.9`.
fn order(id: &str) -> Vec<u32> {
    id.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

/// Made by the server at its start.
fn is_built_in(object: &Value) -> bool {
    object["metadata"]["labels"]["kubernetes.io/bootstrapping"] == "rbac-defaults"
}

fn all_bindings(seen: &Seen) -> impl Iterator<Item = &Value> {
    seen.cluster_role_bindings.iter().chain(&seen.role_bindings)
}

fn subject(subject: &Value) -> String {
    let text = |member: &str| subject[member].as_str().unwrap_or_default();
    match text("namespace") {
        "" => format!("{} {}", text("kind"), text("name")),
        namespace => format!("{} {namespace}/{}", text("kind"), text("name")),
    }
}

/// `BINDING gives ROLE to SUBJECT`
fn described(binding: &Value, who: &Value) -> String {
    format!("{} gives {} to {}", name(binding), binding["roleRef"]["name"].as_str().unwrap_or_default(), subject(who))
}

fn anonymous(seen: &Seen) -> Finding {
    let nobody = |who: &&Value| matches!(who["name"].as_str(), Some("system:anonymous" | "system:unauthenticated"));
    let harmless = |binding: &Value| is_built_in(binding) && binding["roleRef"]["name"] == "system:public-info-viewer";
    let evidence = all_bindings(seen)
        .filter(|binding| !harmless(binding))
        .flat_map(|binding| list(binding, &["subjects"]).filter(nobody).map(move |who| described(binding, who)));
    let title = "who is not authenticated has no rights beyond health and version";
    Finding::weighed("1.2.1", title, Outcome::Fail, evidence.collect(), "delete the binding")
}

fn cluster_admins(seen: &Seen) -> Finding {
    let masters = |who: &Value| who["kind"] == "Group" && who["name"] == "system:masters";
    let gives = |binding: &&Value| binding["roleRef"]["name"] == "cluster-admin";
    let evidence = all_bindings(seen).filter(gives).flat_map(|binding| {
        list(binding, &["subjects"])
            .filter(move |who| !(is_built_in(binding) && masters(who)))
            .map(move |who| described(binding, who))
    });
    let title = "cluster-admin is given to nobody beside system:masters";
    let advice = "bind a role with what is needed";
    Finding::weighed("5.1.1", title, Outcome::Fail, evidence.collect(), advice)
}

fn wildcards(seen: &Seen) -> Finding {
    let mut evidence = Vec::new();
    for role in seen.cluster_roles.iter().chain(&seen.roles).filter(|role| !is_built_in(role)) {
        for member in ["apiGroups", "resources", "verbs", "nonResourceURLs"] {
            let wild = list(role, &["rules"]).any(|rule| list(rule, &[member]).any(|value| value == "*"));
            evidence.extend(wild.then(|| format!("{}: {member} has *", name(role))));
        }
    }
    let advice = "name what is needed: with * comes what is added later";
    Finding::weighed("5.1.3", "no role of your own has wildcards", Outcome::Fail, evidence, advice)
}

/// Whom cluster-wide bindings, other than the built-in ones, give a power.
fn held(seen: &Seen, power: &Power) -> Finding {
    let mut evidence = Vec::new();
    for binding in seen.cluster_role_bindings.iter().filter(|binding| !is_built_in(binding)) {
        let role = seen.cluster_roles.iter().find(|role| role["metadata"]["name"] == binding["roleRef"]["name"]);
        let gives = role.is_some_and(|role| list(role, &["rules"]).any(|rule| grants(rule, power)));
        if gives {
            evidence.extend(list(binding, &["subjects"]).map(|who| described(binding, who)));
        }
    }
    Finding::weighed(power.id, power.title, power.outcome, evidence, power.advice)
}

fn grants(rule: &Value, power: &Power) -> bool {
    let has = |member: &str, wanted: &[&str]| {
        list(rule, &[member]).filter_map(Value::as_str).any(|value| value == "*" || wanted.contains(&value))
    };
    // Rights on named objects are what the benchmark asks for.
    list(rule, &["resourceNames"]).next().is_none() && has("resources", power.resources) && has("verbs", power.verbs)
}

fn default_accounts(seen: &Seen) -> Finding {
    let is_default = |who: &&Value| who["kind"] == "ServiceAccount" && who["name"] == "default";
    let evidence = all_bindings(seen)
        .flat_map(|binding| list(binding, &["subjects"]).filter(is_default).map(move |who| described(binding, who)));
    let title = "default accounts have no rights";
    let advice = "make an account for the program and bind that: every pod that names none has the default one";
    Finding::weighed("5.1.5", title, Outcome::Fail, evidence.collect(), advice)
}

/// Pods that carry the token of an account that they did not choose.
fn tokens_of_default_accounts(seen: &Seen) -> Finding {
    let refuses = |pod: &Value| {
        let account = seen.accounts.iter().find(|account| {
            account["metadata"]["namespace"] == pod["metadata"]["namespace"] && account["metadata"]["name"] == "default"
        });
        let said = &pod["spec"]["automountServiceAccountToken"];
        let said =
            if said.is_null() { account.map(|account| &account["automountServiceAccountToken"]) } else { Some(said) };
        said.is_some_and(|said| *said == false)
    };
    let by_default = |pod: &&Value| matches!(pod["spec"]["serviceAccountName"].as_str(), None | Some("" | "default"));
    let evidence =
        seen.pods.iter().filter(by_default).filter(|pod| !refuses(pod)).map(|pod| format!("pod {}", name(pod)));
    let title = "tokens are mounted only where a program asks the API";
    let advice = "set automountServiceAccountToken: false in the account default, or in the pod";
    Finding::weighed("5.1.6", title, Outcome::Warn, evidence.collect(), advice)
}
