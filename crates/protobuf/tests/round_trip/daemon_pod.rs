//! What a fleet has most of.

use serde_json::{Value, json};

/// A daemon's pod that runs, as the API server shows it.
pub(crate) fn daemon_pod(number: u32) -> Value {
    let condition = |name: &str| json!({"type": name, "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-11-28T12:00:01Z"});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("exporter-{number:05}"), "namespace": "monitoring", "generateName": "exporter-",
            "uid": "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed", "resourceVersion": number.to_string(), "generation": 1,
            "creationTimestamp": "2026-11-28T12:00:00Z",
            "labels": {"app": "exporter", "controller-revision-hash": "6d4f5c7b9", "pod-template-generation": "1"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "exporter",
                "uid": "7c9e6679-7425-40de-944b-e07fc1f90ae7", "controller": true, "blockOwnerDeletion": true}]},
        "spec": {
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [format!("node-{number:05}")]}]}]}}},
            "containers": [{"name": "exporter", "image": "quay.io/prometheus/node-exporter:v1.9.1", "imagePullPolicy": "IfNotPresent",
                "args": ["--path.rootfs=/host", "--web.listen-address=:9100"],
                "ports": [{"name": "metrics", "containerPort": 9100, "hostPort": 9100, "protocol": "TCP"}],
                "resources": {"limits": {"memory": "64Mi"}, "requests": {"cpu": "100m", "memory": "32Mi"}},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "volumeMounts": [{"mountPath": "/host", "name": "root", "readOnly": true},
                    {"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "name": "kube-api-access-x7k2p", "readOnly": true}]}],
            "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "hostNetwork": true, "nodeName": format!("node-{number:05}"),
            "preemptionPolicy": "PreemptLowerPriority", "priority": 0, "restartPolicy": "Always", "schedulerName": "default-scheduler",
            "securityContext": {}, "serviceAccount": "default", "serviceAccountName": "default", "terminationGracePeriodSeconds": 30,
            "tolerations": [
                {"effect": "NoExecute", "key": "node.kubernetes.io/not-ready", "operator": "Exists"},
                {"effect": "NoExecute", "key": "node.kubernetes.io/unreachable", "operator": "Exists"},
                {"effect": "NoSchedule", "key": "node.kubernetes.io/disk-pressure", "operator": "Exists"},
                {"effect": "NoSchedule", "key": "node.kubernetes.io/memory-pressure", "operator": "Exists"},
                {"effect": "NoSchedule", "key": "node.kubernetes.io/pid-pressure", "operator": "Exists"},
                {"effect": "NoSchedule", "key": "node.kubernetes.io/unschedulable", "operator": "Exists"}],
            "volumes": [{"name": "root", "hostPath": {"path": "/", "type": ""}},
                {"name": "kube-api-access-x7k2p", "projected": {"defaultMode": 420, "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}]}}]},
        "status": {"phase": "Running", "qosClass": "Burstable", "hostIP": "10.0.0.1", "podIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.1"}],
            "podIPs": [{"ip": "10.0.0.1"}], "startTime": "2026-11-28T12:00:00Z",
            "conditions": [condition("PodReadyToStartContainers"), condition("Initialized"), condition("Ready"),
                condition("ContainersReady"), condition("PodScheduled")],
            "containerStatuses": [{"name": "exporter", "ready": true, "started": true, "restartCount": 0,
                "image": "quay.io/prometheus/node-exporter:v1.9.1",
                "imageID": "quay.io/prometheus/node-exporter@sha256:d00a542e409ee618a4edc67da14dd48c5da66726bbd5537ab2af9c1dfc442c8a",
                "containerID": "containerd://0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9",
                "state": {"running": {"startedAt": "2026-11-28T12:00:01Z"}}, "lastState": {}}]},
    })
}
