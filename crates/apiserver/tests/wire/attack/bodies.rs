//! An ordinary object of each kind, and what subresources are sent.

use serde_json::{Value, json};

/// What is in every secret: a client that may not read it does not get to see it.
pub(crate) const PLANTED: &str = "planted-secret";
/// The name of what is created.
pub(crate) const NEW: &str = "fresh";

/// The certificate request of a user, in base64.
pub(crate) const REQUEST: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlHU01FWUNBUUF3RXpFUk1BOEdBMVVFQXd3SWMyOX\
    RaV0p2Wkhrd0tqQUZCZ01yWlhBRElRQ3JIcVNrOHpNSwowKys5M3VnVmU3MUhEVzFHOW4vQWJwTVQ3RjZFNUI2N3RL\
    QUFNQVVHQXl0bGNBTkJBSW1YeFZFMkpPaS9wQ0FkCkhmS2JwQmJXRC9McnYwN2R1elFkaFhmRU9EaWhxV09MT01idD\
    k5cFNkOWZxQ1ZMOHFwSEZzVUhLRE5qVTlTZzIKdlA0SFl3QT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0t\
    LS0tCg==";

/// An object of a kind: the stored one of the given name, or one to create.
pub(crate) fn object(resource: &str, name: &str) -> Value {
    let meta = json!({"name": name});
    let group = "rbac.authorization.k8s.io";
    match resource {
        "configmaps" => json!({"metadata": meta, "data": {"a": "1"}}),
        "secrets" => json!({"metadata": meta, "stringData": {"a": PLANTED}}),
        "serviceaccounts" | "namespaces" => json!({"metadata": meta}),
        "services" => json!({"metadata": meta, "spec": {"ports": [{"port": 80}]}}),
        "endpoints" => json!({"metadata": meta, "subsets": []}),
        "events" => {
            json!({"metadata": meta, "involvedObject": {"kind": "Pod", "name": "x"}, "reason": "R", "message": "m"})
        }
        "pods" => pod(name),
        "nodes" => node(name),
        "daemonsets.apps" => json!({"metadata": meta, "spec": {"selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "x:1"}]}}}}),
        "controllerrevisions.apps" => json!({"metadata": meta, "revision": 1, "data": {}}),
        "leases.coordination.k8s.io" => json!({"metadata": meta, "spec": {"holderIdentity": name}}),
        "poddisruptionbudgets.policy" => {
            json!({"metadata": meta, "spec": {"minAvailable": 0, "selector": {"matchLabels": {"app": "none"}}}})
        }
        "priorityclasses.scheduling.k8s.io" => json!({"metadata": meta, "value": 7}),
        "roles.rbac.authorization.k8s.io" | "clusterroles.rbac.authorization.k8s.io" => {
            json!({"metadata": meta, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]})
        }
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => {
            json!({"metadata": meta, "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "view"},
                   "subjects": [{"apiGroup": group, "kind": "User", "name": "somebody"}]})
        }
        "events.events.k8s.io" => {
            json!({"metadata": meta, "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Normal",
            "reason": "R", "note": "m", "action": "A", "reportingController": "x.y/z", "reportingInstance": "i",
            "regarding": {"kind": "Pod", "name": "x", "namespace": "team"}})
        }
        "customresourcedefinitions.apiextensions.k8s.io" => definition(name),
        other => of_others(other, &meta),
    }
}

/// Objects that others act on, or that bound what a namespace may have.
fn of_others(resource: &str, meta: &Value) -> Value {
    match resource {
        "limitranges" => json!({"metadata": meta, "spec": {"limits": [{"type": "x.test/none", "max": {"cpu": "1"}}]}}),
        "resourcequotas" => json!({"metadata": meta, "spec": {"hard": {"pods": "1000"}}}),
        "persistentvolumes" => {
            let spec =
                json!({"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}});
            json!({"metadata": meta, "spec": spec})
        }
        "persistentvolumeclaims" => {
            let resources = json!({"requests": {"storage": "1Gi"}});
            json!({"metadata": meta, "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources}})
        }
        "podtemplates" => {
            json!({"metadata": meta, "template": {"spec": {"containers": [{"name": "main", "image": "x:1"}]}}})
        }
        "endpointslices.discovery.k8s.io" => json!({"metadata": meta, "addressType": "IPv4", "endpoints": []}),
        "networkpolicies.networking.k8s.io" => json!({"metadata": meta, "spec": {"podSelector": {}}}),
        "ingressclasses.networking.k8s.io" => json!({"metadata": meta, "spec": {"controller": "x.test/c"}}),
        "runtimeclasses.node.k8s.io" => json!({"metadata": meta, "handler": "h"}),
        "csidrivers.storage.k8s.io" | "csinodes.storage.k8s.io" => json!({"metadata": meta, "spec": {"drivers": []}}),
        "certificatesigningrequests.certificates.k8s.io" => {
            json!({"metadata": meta, "spec": {"request": REQUEST, "signerName": "x.test/s", "usages": ["client auth"]}})
        }
        "deviceclasses.resource.k8s.io" => json!({"metadata": meta, "spec": {}}),
        "resourceclaims.resource.k8s.io" => json!({"metadata": meta, "spec": {"devices": {}}}),
        "resourceclaimtemplates.resource.k8s.io" => json!({"metadata": meta, "spec": {"spec": {"devices": {}}}}),
        "resourceslices.resource.k8s.io" => {
            let pool = json!({"name": "x", "generation": 1, "resourceSliceCount": 1});
            json!({"metadata": meta, "spec": {"driver": "x.test", "nodeName": "n2", "pool": pool}})
        }
        "csistoragecapacities.storage.k8s.io" => json!({"metadata": meta, "storageClassName": "x"}),
        "storageclasses.storage.k8s.io" => json!({"metadata": meta, "provisioner": "x.test"}),
        "volumeattachments.storage.k8s.io" => {
            let source = json!({"persistentVolumeName": "x"});
            json!({"metadata": meta, "spec": {"attacher": "x.test", "nodeName": "n2", "source": source}})
        }
        "volumeattributesclasses.storage.k8s.io" => {
            json!({"metadata": meta, "driverName": "x.test", "parameters": {"a": "b"}})
        }
        other => review(other),
    }
}

/// The definition of a kind that is named after it, and that is not served: the table has no block
/// for it.
fn definition(name: &str) -> Value {
    let name = name.split('.').next().unwrap_or_default();
    let kind = name.to_uppercase();
    json!({"metadata": {"name": format!("{name}.attack.test")}, "spec": {"group": "attack.test", "scope": "Cluster",
        "names": {"plural": name, "kind": kind},
        "versions": [{"name": "v1", "served": false, "storage": true,
                      "schema": {"openAPIV3Schema": {"type": "object"}}}]}})
}

fn review(resource: &str) -> Value {
    let asked = json!({"verb": "list", "resource": "pods", "namespace": "team"});
    match resource {
        "bindings" => json!({"metadata": {"name": "x"}, "target": {"kind": "Node", "name": "n2"}}),
        "selfsubjectreviews.authentication.k8s.io" => json!({}),
        "tokenreviews.authentication.k8s.io" => json!({"spec": {"token": "x"}}),
        "selfsubjectaccessreviews.authorization.k8s.io" => json!({"spec": {"resourceAttributes": asked}}),
        "selfsubjectrulesreviews.authorization.k8s.io" => json!({"spec": {"namespace": "team"}}),
        "subjectaccessreviews.authorization.k8s.io" | "localsubjectaccessreviews.authorization.k8s.io" => {
            json!({"spec": {"user": "somebody", "resourceAttributes": asked}})
        }
        other => panic!("a new kind {other:?}: it needs a body here, and a block in rights.txt"),
    }
}

/// A pod that refers to the account, secret and config map of its own name; a new one has the
/// default account.
fn pod(name: &str) -> Value {
    let account = if name == NEW { "default" } else { name };
    json!({"metadata": {"name": name}, "spec": {"serviceAccountName": account, "containers": [{"name": "main", "image": "x:1"}],
        "volumes": [{"name": "s", "secret": {"secretName": name}}, {"name": "c", "configMap": {"name": name}}]}})
}

/// What a node may create: a mirror pod, owned by its own Node.
pub(crate) fn mirror_pod(name: &str, node: &Value) -> Value {
    let node_name = &node["metadata"]["name"];
    let owner = json!({"apiVersion": "v1", "kind": "Node", "name": node_name, "uid": node["metadata"]["uid"], "controller": true});
    json!({"metadata": {"name": name, "annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": [owner]},
           "spec": {"nodeName": node_name, "containers": [{"name": "main", "image": "x:1"}], "automountServiceAccountToken": false}})
}

/// A node without an agent that answers.
fn node(name: &str) -> Value {
    json!({"metadata": {"name": name},
           "status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                      "daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}}})
}

/// What is posted to a subresource of an object.
pub(crate) fn posted(subresource: &str, object: &Value) -> Value {
    let meta = &object["metadata"];
    match subresource {
        "binding" => json!({"metadata": {"name": meta["name"]}, "target": {"kind": "Node", "name": "n2"}}),
        "eviction" => json!({"metadata": {"name": meta["name"], "namespace": meta["namespace"]}}),
        _ => json!({}),
    }
}

/// A request for a token of an account, bound to the pod that has it.
pub(crate) fn token_request(pod: &Value) -> Value {
    let reference =
        json!({"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]});
    json!({"spec": {"boundObjectRef": reference}})
}
