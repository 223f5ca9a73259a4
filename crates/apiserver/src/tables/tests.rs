use jiff::Timestamp;
use serde_json::{Value, json};

use super::{IncludeObject, table};
use crate::catalogue::built_in;

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

fn print(kind: &str, mut object: Value, wide: bool) -> String {
    object["metadata"]["creationTimestamp"] = "2026-01-01T00:55:00Z".into();
    object["metadata"]["name"] = "a".into();
    let info = built_in::all().into_iter().find(|info| info.kind.kind == kind).unwrap();
    let table = table(info, vec![object], json!({}), IncludeObject::None, true, now());
    let columns = table["columnDefinitions"].as_array().unwrap();
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(columns.len(), cells.len());
    let shown = columns.iter().zip(cells).filter(|(column, _)| wide || column["priority"] == 0);
    let text = |(column, cell): (&Value, &Value)| match cell {
        Value::String(text) => format!("{}={text}", column["name"].as_str().unwrap()),
        other => format!("{}={other}", column["name"].as_str().unwrap()),
    };
    shown.map(text).collect::<Vec<_>>().join(" | ")
}

fn pod(status: Value) -> String {
    let spec = json!({
        "containers": [{"name": "c"}, {"name": "d"}],
        "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]
    });
    print("Pod", json!({"spec": spec, "status": status}), false)
}

#[test]
fn pods() {
    // DS-H27, DS-I39
    let ran = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
    let init_done =
        json!([{"name": "i", "state": ran}, {"name": "s", "started": true, "ready": true, "state": {"running": {}}}]);
    let before = json!({"terminated": {"finishedAt": "2026-01-01T00:57:00Z", "exitCode": 1}});
    let cases = [
        (json!({"phase": "Pending"}), "Ready=0/3 | Status=Pending | Restarts=0"),
        (
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
            "Ready=0/3 | Status=Init:0/2 | Restarts=0",
        ),
        (
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
            "Ready=0/3 | Status=Init:CrashLoopBackOff | Restarts=2",
        ),
        (
            json!({"phase": "Running", "initContainerStatuses": init_done, "containerStatuses": [
                {"ready": true, "restartCount": 3, "state": {"running": {}}, "lastState": before},
                {"ready": true, "state": {"running": {}}}
            ]}),
            "Ready=3/3 | Status=Running | Restarts=3 (3m ago)",
        ),
        (
            json!({"phase": "Running", "initContainerStatuses": init_done, "containerStatuses": [
                {"state": {"waiting": {"reason": "ImagePullBackOff"}}}, {"ready": true, "state": {"running": {}}}
            ]}),
            "Ready=2/3 | Status=ImagePullBackOff | Restarts=0",
        ),
        (
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [
                {"state": ran}, {"ready": true, "state": {"running": {}}}
            ]}),
            "Ready=1/3 | Status=NotReady | Restarts=0",
        ),
        (
            json!({"phase": "Running", "containerStatuses": [{"state": {"terminated": {"exitCode": 137, "signal": 9}}}]}),
            "Ready=0/3 | Status=Signal:9 | Restarts=0",
        ),
        (json!({"phase": "Failed", "reason": "Evicted"}), "Ready=0/3 | Status=Evicted | Restarts=0"),
    ];
    for (status, expected) in cases {
        assert_eq!(pod(status), format!("Name=a | {expected} | Age=5m"));
    }
    let gone = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:59:00Z"}, "status": {"phase": "Running", "podIP": "10.0.0.1"}});
    assert_eq!(
        print("Pod", gone, true),
        "Name=a | Ready=0/0 | Status=Terminating | Restarts=0 | Age=5m | IP=10.0.0.1 | Node=<none> | Nominated Node=<none> | Readiness Gates=<none>"
    );
}

#[test]
fn daemon_sets_and_revisions() {
    // DS-A50, DS-A51, DS-A52
    let set = json!({
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"spec": {
                "nodeSelector": {"b": "2", "a": "1"},
                "containers": [{"name": "c", "image": "x"}, {"name": "d", "image": "y"}]
            }}
        },
        "status": {"desiredNumberScheduled": 5, "currentNumberScheduled": 4, "numberReady": 3, "updatedNumberScheduled": 2, "numberAvailable": 1}
    });
    assert_eq!(
        print("DaemonSet", set, true),
        "Name=a | Desired=5 | Current=4 | Ready=3 | Up-to-date=2 | Available=1 | Node Selector=a=1,b=2 | Age=5m | Containers=c,d | Images=x,y | Selector=app=web"
    );
    let owner = json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "controller": true}]);
    let revision = json!({"metadata": {"ownerReferences": owner}, "revision": 3});
    assert_eq!(
        print("ControllerRevision", revision, false),
        "Name=a | Controller=daemonset.apps/web | Revision=3 | Age=5m"
    );
    assert_eq!(print("ControllerRevision", json!({}), false), "Name=a | Controller=<none> | Revision=0 | Age=5m");
}

#[test]
fn nodes() {
    // DS-I39
    let node = json!({
        "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "edge"}},
        "spec": {"unschedulable": true},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1", "osImage": "Debian", "kernelVersion": "6", "containerRuntimeVersion": ""}
        }
    });
    assert_eq!(
        print("Node", node, true),
        "Name=a | Status=Ready,SchedulingDisabled | Roles=edge,worker | Age=5m | Version=v1 | Internal-IP=10.0.0.1 | External-IP=<none> | OS-Image=Debian | Kernel-Version=6 | Container-Runtime=<unknown>"
    );
}

#[test]
fn the_others() {
    let cases = [
        (
            "Service",
            json!({"spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1", "ports": [{"port": 80, "protocol": "TCP"}, {"port": 1, "nodePort": 30001, "protocol": "UDP"}]}}),
            "Name=a | Type=ClusterIP | Cluster-IP=10.0.0.1 | External-IP=<none> | Port(s)=80/TCP,1:30001/UDP | Age=5m | Selector=<none>",
        ),
        (
            "Endpoints",
            json!({"subsets": [{"addresses": [{"ip": "1.1.1.1"}, {"ip": "::1"}], "ports": [{"port": 1}, {"port": 2}]}]}),
            "Name=a | Endpoints=1.1.1.1:1,[::1]:1,1.1.1.1:2 + 1 more... | Age=5m",
        ),
        ("ConfigMap", json!({"data": {"a": ""}, "binaryData": {"b": ""}}), "Name=a | Data=2 | Age=5m"),
        ("Secret", json!({"type": "Opaque", "data": {"a": ""}}), "Name=a | Type=Opaque | Data=1 | Age=5m"),
        ("Namespace", json!({"status": {"phase": "Active"}}), "Name=a | Status=Active | Age=5m"),
        ("Lease", json!({"spec": {"holderIdentity": "h"}}), "Name=a | Holder=h | Age=5m"),
        (
            "PriorityClass",
            json!({"value": 5, "preemptionPolicy": "Never"}),
            "Name=a | Value=5 | Global-Default=false | Age=5m | PreemptionPolicy=Never",
        ),
        (
            "PodDisruptionBudget",
            json!({"spec": {"minAvailable": "50%"}}),
            "Name=a | Min Available=50% | Max Unavailable=N/A | Allowed Disruptions=0 | Age=5m",
        ),
        ("ClusterRole", json!({}), "Name=a | Created At=2026-01-01T00:55:00Z"),
        (
            "RoleBinding",
            json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "namespace": "n", "name": "s"}]}),
            "Name=a | Role=Role/r | Age=5m | Users= | Groups= | ServiceAccounts=n/s",
        ),
        (
            "Event",
            json!({
                "firstTimestamp": "2026-01-01T00:58:00Z", "lastTimestamp": null, "count": 2, "type": "Normal", "reason": "R",
                "involvedObject": {"kind": "DaemonSet", "name": "web"}, "message": "m ", "source": {"component": "c"}
            }),
            "Last Seen=2m | Type=Normal | Reason=R | Object=daemonset/web | Subobject= | Source=c | Message=m | First Seen=2m | Count=2 | Name=a",
        ),
    ];
    for (kind, object, expected) in cases {
        assert_eq!(print(kind, object, true), expected);
    }
}

#[test]
fn rows_carry_what_was_asked_for() {
    // DS-I38
    let info = &built_in::POD;
    let item = json!({"kind": "Pod", "metadata": {"name": "a"}, "status": {"phase": "Succeeded"}});
    let make =
        |include, columns| table(info, vec![item.clone()], json!({"resourceVersion": "5"}), include, columns, now());
    let first = make(IncludeObject::Metadata, true);
    assert_eq!((&first["kind"], &first["metadata"]["resourceVersion"]), (&json!("Table"), &json!("5")));
    let partial = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "a"}});
    assert_eq!(first["rows"][0]["object"], partial);
    assert_eq!(first["rows"][0]["conditions"][0]["reason"], "Succeeded");
    assert_eq!(first["columnDefinitions"][0]["format"], "name");
    assert_eq!(make(IncludeObject::Object, false)["rows"][0]["object"], item);
    assert_eq!(make(IncludeObject::None, false)["columnDefinitions"], Value::Null);
}

#[test]
fn storage_and_networks() {
    let driver = json!({"spec": {"attachRequired": false, "tokenRequests": [{"audience": "x"}], "volumeLifecycleModes": ["Persistent"]}});
    let cases = [
        ("CSINode", json!({"spec": {"drivers": [{}, {}]}}), "Name=a | Drivers=2 | Age=5m"),
        (
            "CSIDriver",
            driver,
            "Name=a | AttachRequired=false | PodInfoOnMount=false | StorageCapacity=false | TokenRequests=x | \
             RequiresRepublish=false | Modes=Persistent | Age=5m",
        ),
        (
            "StorageClass",
            json!({"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "p",
                   "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
            "Name=a (default) | Provisioner=p | ReclaimPolicy=Delete | VolumeBindingMode=Immediate | \
             AllowVolumeExpansion=false | Age=5m",
        ),
        (
            "VolumeAttachment",
            json!({"spec": {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "p"}}}),
            "Name=a | Attacher=d | PV=p | Node=n | Attached=false | Age=5m",
        ),
        ("RuntimeClass", json!({"handler": "h"}), "Name=a | Handler=h | Age=5m"),
        (
            "EndpointSlice",
            json!({"addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [{"addresses": ["1", "2"]}, {"addresses": ["3", "4"]}]}),
            "Name=a | AddressType=IPv4 | Ports=80 | Endpoints=1,2,3 + 1 more... | Age=5m",
        ),
        (
            "EndpointSlice",
            json!({"addressType": "IPv4"}),
            "Name=a | AddressType=IPv4 | Ports=<unset> | Endpoints=<unset> | Age=5m",
        ),
        ("NetworkPolicy", json!({"spec": {"podSelector": {}}}), "Name=a | Pod-Selector=<none> | Age=5m"),
        (
            "IngressClass",
            json!({"spec": {"controller": "c", "parameters": {"apiGroup": "g", "kind": "K", "name": "n"}}}),
            "Name=a | Controller=c | Parameters=K.g/n | Age=5m",
        ),
    ];
    for (kind, object, expected) in cases {
        assert_eq!(print(kind, object, true), expected);
    }
}

#[test]
fn volumes_and_quotas() {
    let quota = json!({"status": {"hard": {"limits.cpu": "2", "pods": "3"}, "used": {"limits.cpu": "1", "pods": "2"}}});
    let volume = json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadOnlyMany", "ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": "x", "name": "c"}, "volumeMode": "Filesystem"},
        "status": {"phase": "Bound"}});
    let template = json!({"template": {"metadata": {"labels": {"k": "v"}}, "spec": {"containers": [{"name": "m", "image": "i"}]}}});
    let cases = [
        ("ResourceQuota", quota, "Name=a | Request=pods: 2/3 | Limit=limits.cpu: 1/2 | Age=5m"),
        ("LimitRange", json!({}), "Name=a | Created At=2026-01-01T00:55:00Z"),
        (
            "PersistentVolume",
            volume,
            "Name=a | Capacity=1Gi | Access Modes=RWO,ROX | Reclaim Policy=Retain | Status=Bound | Claim=x/c | \
             StorageClass= | VolumeAttributesClass=<unset> | Reason= | Age=5m | VolumeMode=Filesystem",
        ),
        (
            "PersistentVolumeClaim",
            json!({"spec": {"storageClassName": "s"}, "status": {"phase": "Pending", "capacity": {"storage": "1Gi"}}}),
            "Name=a | Status=Pending | Volume= | Capacity= | Access Modes= | StorageClass=s | \
             VolumeAttributesClass=<unset> | Age=5m | VolumeMode=<unset>",
        ),
        ("PodTemplate", template, "Name=a | Containers=m | Images=i | Pod Labels=k=v"),
    ];
    for (kind, object, expected) in cases {
        assert_eq!(print(kind, object, true), expected);
    }
}

#[test]
fn devices() {
    let claim = |status: Value| print("ResourceClaim", json!({ "status": status }), true);
    assert_eq!(claim(json!({})), "Name=a | State=pending | Age=5m");
    assert_eq!(claim(json!({"allocation": {}})), "Name=a | State=allocated | Age=5m");
    assert_eq!(claim(json!({"allocation": {}, "reservedFor": [{}]})), "Name=a | State=allocated,reserved | Age=5m");
    let slice = json!({"spec": {"driver": "d", "pool": {"name": "p"}}});
    assert_eq!(print("ResourceSlice", slice, true), "Name=a | Node=<unset> | Driver=d | Pool=p | Age=5m");
}

#[test]
fn certificate_requests() {
    let conditions = json!([{"type": "Approved"}, {"type": "Failed"}]);
    let request = json!({"spec": {"signerName": "s", "username": "u", "expirationSeconds": 3600},
        "status": {"conditions": conditions, "certificate": "eA=="}});
    let expected =
        "Name=a | Age=5m | SignerName=s | Requestor=u | RequestedDuration=60m | Condition=Approved,Failed,Issued";
    assert_eq!(print("CertificateSigningRequest", request, true), expected);
}
