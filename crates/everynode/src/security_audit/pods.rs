//! What pods ask of their nodes. Node services ask for much on purpose: theirs are to be looked at,
//! others' are failures.

use serde_json::Value;

use super::{Finding, Outcome, Seen, list, name};

/// One kind of what a pod may ask for.
struct Ask {
    id: &'static str,
    title: &'static str,
    /// What the pod asks for, in words; nothing if it does not.
    seen: fn(&Value) -> Vec<String>,
    advice: &'static str,
}

const ASKS: &[Ask] = &[
    Ask {
        id: "5.2.2",
        title: "no privileged containers",
        seen: |pod| containers(pod, |container| (container["securityContext"]["privileged"] == true).then(String::new)),
        advice: "a privileged container is root on the node: name the capabilities and devices instead",
    },
    Ask {
        id: "5.2.3",
        title: "no pods in the process namespace of the node",
        seen: |pod| flag(pod, "hostPID"),
        advice: "take out hostPID",
    },
    Ask {
        id: "5.2.4",
        title: "no pods in the IPC namespace of the node",
        seen: |pod| flag(pod, "hostIPC"),
        advice: "take out hostIPC",
    },
    Ask {
        id: "5.2.5",
        title: "no pods in the network of the node",
        seen: |pod| flag(pod, "hostNetwork"),
        advice: "take out hostNetwork; a hostPort does for most",
    },
    Ask {
        id: "5.2.6",
        title: "no containers that ask for privilege escalation",
        seen: |pod| {
            containers(pod, |container| {
                (container["securityContext"]["allowPrivilegeEscalation"] == true).then(String::new)
            })
        },
        advice: "set allowPrivilegeEscalation: false",
    },
    Ask {
        id: "5.2.9",
        title: "no capabilities beside the runtime's own",
        seen: |pod| containers(pod, added_capabilities),
        advice: "take out what is not needed",
    },
    Ask {
        id: "5.2.12",
        title: "no paths of the node are mounted",
        seen: host_paths,
        advice: "mount the smallest directory, and readOnly: true",
    },
    Ask {
        id: "5.2.13",
        title: "no ports of the node are taken",
        seen: |pod| containers(pod, host_ports),
        advice: "take out hostPort where a Service does",
    },
];

pub(super) fn audit(seen: &Seen) -> Vec<Finding> {
    let mut found: Vec<Finding> = ASKS.iter().map(|ask| judged(seen, ask)).collect();
    found.push(secrets_in_environment(seen));
    found
}

fn judged(seen: &Seen, ask: &Ask) -> Finding {
    let mut others = Vec::new();
    let mut services = Vec::new();
    for pod in &seen.pods {
        let place = if is_node_service(pod) { &mut services } else { &mut others };
        place.extend((ask.seen)(pod).into_iter().map(|what| format!("pod {}{what}", name(pod))));
    }
    let outcome = if others.is_empty() { Outcome::Warn } else { Outcome::Fail };
    others.extend(services.into_iter().map(|text| format!("{text} (a node service)")));
    Finding::weighed(ask.id, ask.title, outcome, others, ask.advice)
}

fn is_node_service(pod: &Value) -> bool {
    list(pod, &["metadata", "ownerReferences"]).any(|owner| owner["kind"] == "DaemonSet" && owner["controller"] == true)
}

fn flag(pod: &Value, member: &str) -> Vec<String> {
    Vec::from_iter((pod["spec"][member] == true).then(String::new))
}

/// What each container asks for: `, container NAME` and the words.
fn containers(pod: &Value, asks: impl Fn(&Value) -> Option<String>) -> Vec<String> {
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    let all = lists.iter().flat_map(|member| list(pod, &["spec", member]));
    let told = |container: &Value, what: String| {
        let colon = if what.is_empty() { "" } else { ": " };
        format!(", container {}{colon}{what}", container["name"].as_str().unwrap_or_default())
    };
    all.filter_map(|container| asks(container).map(|what| told(container, what))).collect()
}

fn added_capabilities(container: &Value) -> Option<String> {
    let added: Vec<&str> =
        list(container, &["securityContext", "capabilities", "add"]).filter_map(Value::as_str).collect();
    (!added.is_empty()).then(|| added.join(", "))
}

fn host_ports(container: &Value) -> Option<String> {
    let ports: Vec<String> =
        list(container, &["ports"]).filter_map(|port| port["hostPort"].as_u64()).map(|port| port.to_string()).collect();
    (!ports.is_empty()).then(|| ports.join(", "))
}

fn host_paths(pod: &Value) -> Vec<String> {
    let paths = list(pod, &["spec", "volumes"]).filter_map(|volume| volume["hostPath"]["path"].as_str());
    paths.map(|path| format!(": {path}")).collect()
}

fn secrets_in_environment(seen: &Seen) -> Finding {
    let from_secret = |container: &Value| {
        let one = list(container, &["env"]).any(|variable| variable["valueFrom"]["secretKeyRef"].is_object());
        let all = list(container, &["envFrom"]).any(|source| source["secretRef"].is_object());
        (one || all).then(String::new)
    };
    let evidence = seen.pods.iter().flat_map(|pod| {
        containers(pod, from_secret).into_iter().map(|what| format!("pod {}{what}", name(pod))).collect::<Vec<_>>()
    });
    let title = "secrets are files and no environment variables";
    let advice = "mount the secret: an environment is inherited, and shown in crash reports";
    Finding::weighed("5.4.1", title, Outcome::Warn, evidence.collect(), advice)
}
