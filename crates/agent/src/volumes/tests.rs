//! The volumes of whole pods, on a real file system in a mount namespace of their own.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use everynode_api::quantity::Quantity;
use serde_json::{Value, json};

use super::testkit::{Events, FakeApi, Scratch, TestClock, in_mount_namespace, read};
use super::*;
use crate::config::{Cgroups, ClusterDns, Directories, LogLimits};

struct Node {
    scratch: Scratch,
    api: Arc<FakeApi>,
    clock: Arc<TestClock>,
    events: Arc<Events>,
    volumes: PodVolumes,
}

impl Node {
    fn new(name: &str) -> Self {
        let (scratch, api, clock) = (Scratch::new(name), Arc::new(FakeApi::default()), TestClock::new());
        let events = Arc::new(Events::default());
        let volumes = volumes_of(&scratch, &api, &clock, &events);
        Node { scratch, api, clock, events, volumes }
    }

    /// The same directories and API server, nothing in memory.
    fn restart(&mut self) {
        self.volumes = volumes_of(&self.scratch, &self.api, &self.clock, &self.events);
    }

    fn place(&self, below: &str) -> PathBuf {
        self.scratch.path("kubelet/pods/u-1").join(below)
    }

    async fn set_up(&self, pod: &Arc<Pod>) -> Result<(), String> {
        self.volumes.set_up(pod).await.map_err(|error| error.message)
    }
}

fn volumes_of(scratch: &Scratch, api: &Arc<FakeApi>, clock: &Arc<TestClock>, events: &Arc<Events>) -> PodVolumes {
    let objects = Objects::new(api.clone());
    let allocatable = Allocatable::from([("memory".to_owned(), Quantity::parse("64Mi").unwrap())]);
    PodVolumes::new(Arc::new(config(scratch)), objects, allocatable, events.clone(), clock.clone())
}

fn config(scratch: &Scratch) -> AgentConfig {
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    AgentConfig {
        node_name: "n".into(),
        node_ips: vec![address.ip()],
        hostname: "n".into(),
        node_labels: BTreeMap::new(),
        dirs: Directories {
            root: scratch.path("kubelet"),
            pod_logs: scratch.path("logs"),
            container_logs: scratch.path("links"),
        },
        cgroups: Cgroups { mount: scratch.path("cgroup"), root: String::new() },
        dns: ClusterDns { servers: vec![], domain: "cluster.local".into(), resolv_conf: scratch.path("resolv") },
        extra_hosts: vec![],
        kubernetes_service: None,
        server_address: address,
        max_pods: 10,
        logs: LogLimits::default(),
        pod_max_pids: Some(4096),
        cni_conf_dir: None,
        parallel_pulls: 1,
        relist_interval: std::time::Duration::from_secs(1),
        status_interval: std::time::Duration::from_secs(10),
    }
}

fn pod(volumes: Value, mounts: Value) -> Arc<Pod> {
    pod_with(json!({"volumes": volumes, "containers": [{"name": "c", "volumeMounts": mounts}]}))
}

fn pod_with(spec: Value) -> Arc<Pod> {
    let pod = json!({"metadata": {"name": "p", "namespace": "x", "uid": "u-1", "labels": {"a": "1"}}, "spec": spec});
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

fn names(dir: &Path) -> usize {
    fs::read_dir(dir).map_or(0, Iterator::count)
}

#[test]
fn what_is_missing_or_unsupported_is_named() {
    run(async {
        let node = Node::new("missing");
        for (volume, words) in [
            (json!({"configMap": {"name": "c"}}), "configmap \"c\" not found"), // DS-L06
            (
                json!({"hostPath": {"path": "/nowhere", "type": "Directory"}}),
                "hostPath type check failed: /nowhere is not a directory", // DS-H30
            ),
            (
                json!({"persistentVolumeClaim": {"claimName": "c"}}),
                "volumes of kind persistentVolumeClaim are not supported by this agent",
            ),
            (json!({"csi": {"driver": "d"}}), "volumes of kind csi are not supported by this agent"),
            (
                json!({"projected": {"sources": [{"configMap": {"name": "a"}}, {"secret": {"name": "b"}}]}}),
                "[configmap \"a\" not found, secret \"b\" not found]",
            ),
            (
                json!({"projected": {"sources": [{"clusterTrustBundle": {"name": "a", "path": "p"}}]}}),
                "projected clusterTrustBundle sources are not supported by this agent",
            ),
        ] {
            let mut volume = volume;
            volume["name"] = json!("v");
            let error = node.set_up(&pod(json!([volume]), json!([]))).await.unwrap_err();
            assert_eq!(error, format!("MountVolume.SetUp failed for volume \"v\" : {words}"));
        }
    });
}

#[test]
fn a_config_map_appears_changes_and_is_deleted() {
    in_mount_namespace(module_path!(), "a_config_map_appears_changes_and_is_deleted", || {
        run(async {
            let mut node = Node::new("config-map");
            let volume = json!([{"name": "v", "configMap": {"name": "c", "defaultMode": 0o600}}]);
            let pod = pod(volume, json!([{"name": "v", "mountPath": "/etc/c"}]));
            assert!(node.set_up(&pod).await.is_err());
            // DS-L06: it recovers by itself.
            let path = "/api/v1/namespaces/x/configmaps/c";
            node.api.put(path, json!({"data": {"k": "1"}, "binaryData": {"b": "AAE="}}));
            node.set_up(&pod).await.unwrap();
            let place = node.place("volumes/kubernetes.io~configmap/v");
            assert_eq!(read(&place.join("k")), "1");
            assert_eq!(fs::read(place.join("b")).unwrap(), [0, 1]);
            assert_eq!(fs::metadata(place.join("k")).unwrap().mode() & 0o777, 0o600);
            let mounts = node.volumes.mounts(&pod, &pod.spec.as_ref().unwrap().containers[0], &[]).await.unwrap();
            assert_eq!((mounts[0].host_path.as_str(), mounts[0].readonly), (place.to_str().unwrap(), true));

            // DS-H34: the refresh is the same work.
            node.api.put(path, json!({"data": {"k": "2"}, "immutable": true}));
            let (mut settled, mut told) = (BTreeSet::new(), BTreeMap::new());
            node.volumes.shared.refresh_pod(&pod, &mut settled, &mut told).await;
            assert_eq!(read(&place.join("k")), "2");
            assert!(!place.join("b").exists());
            let asked = node.api.calls().len();
            node.volumes.shared.refresh_pod(&pod, &mut settled, &mut told).await;
            assert_eq!(node.api.calls().len(), asked, "an immutable object is not asked for again");

            node.restart();
            node.volumes.tear_down("u-1").await.unwrap();
            assert_eq!(names(&node.place("")), 0, "everything is gone after a restart too");
            node.volumes.tear_down("u-1").await.unwrap();
        });
    });
}

/// As MetalLB's speaker does it: the runtime cannot make a directory in a volume that it mounts
/// read-only.
#[test]
fn something_is_mounted_below_each_kind_of_files() {
    in_mount_namespace(module_path!(), "something_is_mounted_below_each_kind_of_files", || {
        run(async {
            let node = Node::new("nested");
            node.api.put("/api/v1/namespaces/x/configmaps/c", json!({"data": {"k": "1"}}));
            node.api.put("/api/v1/namespaces/x/secrets/s", json!({"data": {"k": "MQ=="}}));
            let fields = json!({"items": [{"path": "k", "fieldRef": {"fieldPath": "metadata.name"}}]});
            let kinds = [
                ("configmap", json!({"configMap": {"name": "c"}})),
                ("secret", json!({"secret": {"secretName": "s"}})),
                ("downward-api", json!({"downwardAPI": fields})),
                ("projected", json!({"projected": {"sources": [{"configMap": {"name": "c"}}]}})),
            ];
            let mut volumes = vec![json!({"name": "inner", "emptyDir": {}})];
            let mut mounts = Vec::new();
            for (kind, source) in kinds.clone() {
                let mut volume = source;
                volume["name"] = json!(kind);
                volumes.push(volume);
                mounts.push(json!({"name": kind, "mountPath": format!("/etc/{kind}")}));
                mounts.push(json!({"name": "inner", "mountPath": format!("/etc/{kind}/inner/deep")}));
            }
            let pod = pod(json!(volumes), json!(mounts));
            for _ in 0..2 {
                node.set_up(&pod).await.unwrap();
                for (kind, _) in &kinds {
                    let place = node.place(&format!("volumes/kubernetes.io~{kind}/{kind}"));
                    assert!(place.join("inner/deep").is_dir() && place.join("k").is_file(), "{kind}");
                }
            }
        });
    });
}

#[test]
fn a_failed_refresh_keeps_the_files_and_is_reported_once() {
    in_mount_namespace(module_path!(), "a_failed_refresh_keeps_the_files_and_is_reported_once", || {
        run(async {
            let node = Node::new("refresh");
            let pod = pod(
                json!([{"name": "v", "secret": {"secretName": "s", "items": [{"key": "k", "path": "p"}]}}]),
                json!([]),
            );
            node.api.put("/api/v1/namespaces/x/secrets/s", json!({"data": {"k": "MQ=="}}));
            node.set_up(&pod).await.unwrap();
            node.api.put("/api/v1/namespaces/x/secrets/s", json!({"data": {}}));
            let (mut settled, mut told) = (BTreeSet::new(), BTreeMap::new());
            for _ in 0..2 {
                node.volumes.shared.refresh_pod(&pod, &mut settled, &mut told).await;
            }
            let place = node.place("volumes/kubernetes.io~secret/v");
            assert_eq!(read(&place.join("p")), "1");
            assert!(system::is_mount_root(&place).unwrap(), "secrets never reach the disk"); // DS-H33
            let events = node.events.0.lock().unwrap();
            assert_eq!(events.len(), 1);
            assert_eq!(
                (events[0].reason, events[0].message.as_str()),
                ("FailedMount", "MountVolume.SetUp failed for volume \"v\" : references non-existent secret key: k")
            );
        });
    });
}

fn service_account_pod() -> Arc<Pod> {
    // DS-H37
    pod_with(json!({
        "serviceAccountName": "reader",
        "securityContext": {"runAsUser": 1000, "fsGroup": 2000},
        "containers": [{"name": "c"}],
        "volumes": [{"name": "kube-api-access-abcde", "projected": {"defaultMode": 0o644, "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}},
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            ]}},
        ]}}],
    }))
}

#[test]
fn a_service_account_token_is_bound_kept_and_renewed() {
    in_mount_namespace(module_path!(), "a_service_account_token_is_bound_kept_and_renewed", || {
        run(async {
            let node = Node::new("token");
            let pod = service_account_pod();
            node.api.put("/api/v1/namespaces/x/configmaps/kube-root-ca.crt", json!({"data": {"ca.crt": "PEM"}}));
            node.set_up(&pod).await.unwrap();
            let place = node.place("volumes/kubernetes.io~projected/kube-api-access-abcde");
            let file = |name: &str| read(&place.join(name));
            assert_eq!(
                (file("token"), file("ca.crt"), file("namespace")),
                ("token-1".into(), "PEM".into(), "x".into())
            );
            assert_eq!(file("labels"), "a=\"1\"");
            let token = fs::metadata(place.join("token")).unwrap();
            assert_eq!((token.mode() & 0o777, token.uid(), token.gid()), (0o640, 1000, 2000)); // DS-H36
            let asked = node.api.calls();
            let (path, body) = asked.iter().find(|(path, _)| path.ends_with("/token")).unwrap();
            assert_eq!(path, "/api/v1/namespaces/x/serviceaccounts/reader/token");
            let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "u-1"});
            assert_eq!(body["spec"], json!({"audiences": [], "expirationSeconds": 3600, "boundObjectRef": bound}));

            // Fresh until 80 % of its hour; while no new one can be had, the old one serves.
            for (seconds, no_tokens, token) in
                [(2879, false, "token-1"), (1, true, "token-1"), (1, false, "token-3"), (1000, true, "token-3")]
            {
                node.clock.advance(seconds);
                *node.api.no_tokens.lock().unwrap() = no_tokens;
                let outcome = node.set_up(&pod).await;
                let expired = seconds == 1000;
                assert_eq!(outcome.is_err(), expired, "{outcome:?}");
                assert_eq!(file("token"), token);
            }
        });
    });
}

#[test]
fn changed_labels_reach_the_files() {
    in_mount_namespace(module_path!(), "changed_labels_reach_the_files", || {
        run(async {
            let node = Node::new("labels");
            let items = json!([{"path": "l", "fieldRef": {"fieldPath": "metadata.labels['a']"}}]);
            let pod = pod(json!([{"name": "v", "downwardAPI": {"items": items}}]), json!([]));
            node.set_up(&pod).await.unwrap();
            let file = node.place("volumes/kubernetes.io~downward-api/v/l");
            assert_eq!(read(&file), "1");
            let mut changed = Pod::clone(&pod);
            changed.metadata.labels = Some(BTreeMap::from([("a".into(), "2".into())]));
            node.volumes.pod_changed(&Arc::new(changed));
            // The refreshing task is woken; nothing else can change the file.
            let fresh = async {
                while read(&file) != "2" {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(std::time::Duration::from_secs(30), fresh).await.expect("the change arrives");
        });
    });
}

#[test]
fn empty_directories_survive_a_restart_and_end_with_the_pod() {
    in_mount_namespace(module_path!(), "empty_directories_survive_a_restart_and_end_with_the_pod", || {
        run(async {
            // DS-H36
            let mut node = Node::new("empty-dir");
            let pod = pod_with(json!({
                "securityContext": {"fsGroup": 2000},
                "containers": [{"name": "c"}],
                "volumes": [{"name": "d", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}],
            }));
            node.set_up(&pod).await.unwrap();
            let (disk, memory) =
                (node.place("volumes/kubernetes.io~empty-dir/d"), node.place("volumes/kubernetes.io~empty-dir/m"));
            assert!(system::is_mount_root(&memory).unwrap() && !system::is_mount_root(&disk).unwrap());
            let size = rustix::fs::statvfs(&memory).unwrap();
            assert_eq!(size.f_blocks * size.f_frsize, 1 << 20);
            for dir in [&disk, &memory] {
                let metadata = fs::metadata(dir).unwrap();
                assert_eq!((metadata.gid(), metadata.mode() & 0o2777), (2000, 0o2777), "{}", dir.display());
                fs::write(dir.join("f"), "kept").unwrap();
            }
            node.restart();
            node.set_up(&pod).await.unwrap();
            assert_eq!((read(&disk.join("f")), read(&memory.join("f"))), ("kept".into(), "kept".into()));
            node.volumes.tear_down("u-1").await.unwrap();
            assert_eq!(names(&node.place("")), 0);
        });
    });
}

#[test]
fn tearing_down_never_reaches_the_host() {
    in_mount_namespace(module_path!(), "tearing_down_never_reaches_the_host", || {
        run(async {
            let node = Node::new("host");
            let host = node.scratch.path("host");
            fs::create_dir_all(host.join("dir")).unwrap();
            fs::write(host.join("dir/precious"), "kept").unwrap();
            let volumes = json!([{"name": "h", "hostPath": {"path": host}}, {"name": "e", "emptyDir": {}}]);
            let mounts = json!([
                {"name": "h", "mountPath": "/h", "mountPropagation": "HostToContainer"},
                {"name": "h", "mountPath": "/s", "subPath": "dir", "readOnly": true},
                {"name": "e", "mountPath": "/e", "subPathExpr": "logs/$(POD)"},
            ]);
            let pod = pod(volumes, mounts);
            node.set_up(&pod).await.unwrap();
            let container = &pod.spec.as_ref().unwrap().containers[0];
            let env = [EnvVar { name: "POD".into(), value: "p".into() }];
            let mounts = node.volumes.mounts(&pod, container, &env).await.unwrap();
            assert_eq!((mounts[0].host_path.as_str(), mounts[0].propagation), (host.to_str().unwrap(), 1));
            assert_eq!(read(&Path::new(&mounts[1].host_path).join("precious")), "kept");
            assert!(mounts[1].host_path.ends_with("/pods/u-1/volume-subpaths/h/c/1"));
            assert!(node.place("volumes/kubernetes.io~empty-dir/e/logs/p").is_dir()); // DS-H35
            // A second container start replaces the binds of the first.
            node.volumes.mounts(&pod, container, &env).await.unwrap();
            // What a container left in its own directory: a link out, and something it mounted.
            let own = node.place("volumes/kubernetes.io~empty-dir/e");
            symlink(&host, own.join("link")).unwrap();
            fs::create_dir(own.join("mounted")).unwrap();
            rustix::mount::mount_bind(&host, own.join("mounted")).unwrap();
            node.volumes.tear_down("u-1").await.unwrap();
            assert_eq!(names(&node.place("")), 0);
            assert_eq!(read(&host.join("dir/precious")), "kept");
        });
    });
}

#[test]
fn a_mount_inside_stops_the_removal() {
    in_mount_namespace(module_path!(), "a_mount_inside_stops_the_removal", || {
        let scratch = Scratch::new("remove");
        let (host, tree) = (scratch.path("host"), scratch.path("tree"));
        fs::create_dir_all(&host).unwrap();
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(host.join("precious"), "kept").unwrap();
        // The same file system: only the mount tells them apart.
        rustix::mount::mount_bind(&host, tree.join("a/b")).unwrap();
        assert!(remove::tree(&tree).is_err());
        assert_eq!(read(&host.join("precious")), "kept");
        system::unmount_below(&tree).unwrap();
        remove::tree(&tree).unwrap();
        assert!(!tree.exists());
        remove::tree(&tree).unwrap();
    });
}

#[test]
fn deep_and_wide_trees_go() {
    let scratch = Scratch::new("deep");
    let tree = scratch.path("tree");
    let deep = (0..200).fold(tree.clone(), |path, _| path.join("d"));
    fs::create_dir_all(&deep).unwrap();
    for number in 0..1500 {
        fs::write(tree.join(number.to_string()), "").unwrap();
    }
    fs::write(deep.join("f"), "").unwrap();
    remove::tree(&tree).unwrap();
    assert!(!tree.exists());
}

#[test]
fn the_root_becomes_shared() {
    in_mount_namespace(module_path!(), "the_root_becomes_shared", || {
        // DS-H32: the namespace is private, as a plain container is.
        let scratch = Scratch::new("shared");
        let own = scratch.path("own");
        fs::create_dir(&own).unwrap();
        system::mount_tmpfs(&own, None).unwrap();
        let changed = make_root_shared(&own).unwrap();
        assert_eq!(changed, [Path::new("/"), own.as_path()]);
        assert_eq!(make_root_shared(&own).unwrap(), Vec::<PathBuf>::new());
    });
}

#[test]
fn a_uid_is_never_a_path() {
    run(async {
        let node = Node::new("uid");
        for uid in ["", "..", "a/b", "."] {
            assert!(node.volumes.tear_down(uid).await.is_err(), "{uid}");
        }
    });
}
