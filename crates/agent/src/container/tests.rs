//! From a pod to the runtime's configuration.

use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{ContainerInputs, container_config, hosts_file, pod_limits, sandbox_config};
use crate::config::{AgentConfig, Cgroups, ClusterDns, Directories, LogLimits};
use crate::cri::{Image, v1};
use crate::ports::{EnvVar, PodRef};

pub(crate) fn config() -> AgentConfig {
    AgentConfig {
        node_name: "node-1".into(),
        node_ips: vec!["192.0.2.1".parse().unwrap()],
        hostname: "host".into(),
        node_labels: Default::default(),
        dirs: Directories {
            root: "/var/lib/kubelet".into(),
            pod_logs: "/var/log/pods".into(),
            container_logs: "/var/log/containers".into(),
        },
        cgroups: Cgroups { mount: "/nonexistent".into(), root: "/everynode-1/".into() },
        dns: ClusterDns { servers: Vec::new(), domain: "cluster.local".into(), resolv_conf: "/etc/resolv.conf".into() },
        extra_hosts: vec![("127.0.0.7".parse().unwrap(), vec!["kubernetes.default.svc".into(), "kubernetes".into()])],
        kubernetes_service: None,
        server_address: "127.0.0.1:0".parse().unwrap(),
        max_pods: 110,
        logs: LogLimits::default(),
        pod_max_pids: Some(4096),
        cni_conf_dir: None,
        parallel_pulls: 1,
        relist_interval: std::time::Duration::from_secs(1),
        status_interval: std::time::Duration::from_secs(10),
    }
}

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"app": "web"}, "annotations": {"a": "b"}},
        "spec": spec,
    }))
    .unwrap()
}

/// The configuration of the pod's first container.
fn container(spec: Value, image: &Image) -> Result<v1::ContainerConfig, String> {
    let (pod, config) = (pod(spec), config());
    let env = [EnvVar { name: "A".into(), value: "1".into() }];
    let inputs = ContainerInputs {
        config: &config,
        pod: &pod,
        container: &pod.spec.as_ref().unwrap().containers[0],
        attempt: 2,
        image_ref: "sha256:1",
        image,
        env: &env,
        mounts: Vec::new(),
        message_file: Path::new("/m"),
        memory_capacity: 8 << 30,
    };
    container_config(inputs).map_err(|error| error.message)
}

fn linux(spec: Value) -> v1::LinuxContainerConfig {
    container(spec, &Image::default()).unwrap().linux.unwrap()
}

fn security(context: Value) -> v1::LinuxContainerSecurityContext {
    linux(json!({"containers": [{"name": "c", "securityContext": context}]})).security_context.unwrap()
}

/// DS-H42, DS-H50
#[test]
fn command_labels_and_log() {
    let spec =
        json!({"containers": [{"name": "c", "image": "i:1", "command": ["sh", "$(A)"], "args": ["$(B)", "$$(A)"]}]});
    let made = container(spec, &Image::default()).unwrap();
    assert_eq!((made.command, made.args), (vec!["sh".to_owned(), "1".into()], vec!["$(B)".to_owned(), "$(A)".into()]));
    assert_eq!((made.log_path.as_str(), made.image.unwrap().image.as_str()), ("c/2.log", "sha256:1"));
    assert_eq!(made.labels["io.kubernetes.pod.uid"], "u");
    assert_eq!(made.labels["everynode.dev/node"], "node-1");
    assert_eq!(made.annotations["everynode.dev/log-file"], "/var/log/pods/n_p_u/c/2.log");
}

/// DS-H48, DS-H49
#[test]
fn resources() {
    let of = |resources: Value| {
        let made = linux(json!({"containers": [{"name": "c", "resources": resources}]})).resources.unwrap();
        [made.cpu_shares, made.cpu_quota, made.cpu_period, made.memory_limit_in_bytes, made.oom_score_adj]
    };
    assert_eq!(of(json!({})), [2, 0, 0, 0, 1000]);
    let guaranteed =
        json!({"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "0.5", "memory": "1024Mi"}});
    assert_eq!(of(guaranteed), [512, 50_000, 100_000, 1 << 30, -997]);
    assert_eq!(of(json!({"requests": {"cpu": "1m", "memory": "4Gi"}})), [2, 0, 0, 0, 500]);
    assert_eq!(of(json!({"requests": {"memory": "1Ki"}})), [2, 0, 0, 0, 999]);
    assert_eq!(of(json!({"limits": {"cpu": "1m"}}))[..3], [2, 1000, 100_000]);
    let critical = json!({"priority": 2_000_001_000, "containers": [{"name": "c"}]});
    assert_eq!(linux(critical).resources.unwrap().oom_score_adj, -997);
}

/// DS-H48: sums of what runs together; limits only where all have them.
#[test]
fn pod_cgroup() {
    let limits = |spec: Value| pod_limits(&pod(spec).spec.unwrap());
    let both = limits(json!({"containers": [
        {"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}},
        {"name": "b", "resources": {"limits": {"cpu": "250m", "memory": "1Gi"}}}]}));
    assert_eq!((both.cpu_shares, both.cpu_quota, both.memory), (1280, Some(125_000), Some(2 << 30)));
    let one = limits(json!({"containers": [{"name": "a", "resources": {"limits": {"cpu": "1"}}}, {"name": "b"}]}));
    assert_eq!((one.cpu_shares, one.cpu_quota, one.memory), (1024, None, None));
    let init = limits(json!({"initContainers": [{"name": "i", "resources": {"limits": {"cpu": "3"}}}],
        "containers": [{"name": "a", "resources": {"limits": {"cpu": "1"}}}]}));
    assert_eq!((init.cpu_shares, init.cpu_quota), (3072, Some(300_000)));
    let parent = |spec: Value| super::cgroup_parent(&config(), &pod(spec).spec.unwrap(), "u");
    assert_eq!(parent(json!({"containers": [{"name": "a"}]})), "/everynode-1/kubepods/besteffort/podu");
    let guaranteed = json!({"containers": [{"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1"}}}]});
    assert_eq!(parent(guaranteed), "/everynode-1/kubepods/podu");
}

/// DS-H47
#[test]
fn security_context() {
    let plain = security(json!({}));
    assert!(!plain.privileged && !plain.no_new_privs && !plain.readonly_rootfs);
    assert!(plain.masked_paths.contains(&"/proc/kcore".to_owned()) && !plain.readonly_paths.is_empty());
    assert_eq!(plain.run_as_user, Some(v1::Int64Value { value: 0 }));
    let set = security(json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsUser": 5, "runAsGroup": 6,
        "procMount": "Unmasked", "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
        "seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"},
    }));
    assert!(set.no_new_privs && set.readonly_rootfs && set.masked_paths.is_empty());
    assert_eq!((set.run_as_user.unwrap().value, set.run_as_group.unwrap().value), (5, 6));
    assert_eq!(set.seccomp.unwrap().localhost_ref, "/var/lib/kubelet/seccomp/a.json");
    let privileged = security(json!({"privileged": true, "seccompProfile": {"type": "RuntimeDefault"}}));
    assert_eq!(privileged.seccomp.unwrap().profile_type, v1::security_profile::ProfileType::Unconfined as i32);
}

/// DS-H47: what cannot be known not to be root is refused.
#[test]
fn run_as_non_root() {
    let result = |context: Value, uid: Option<i64>, username: &str| {
        let image = Image { uid, username: username.into(), ..Image::default() };
        let spec = json!({"securityContext": {"runAsNonRoot": true}, "containers": [{"name": "c", "securityContext": context}]});
        container(spec, &image).map(|_| ()).map_err(|message| message.split(" (").next().unwrap().to_owned())
    };
    assert_eq!(result(json!({"runAsUser": 7}), None, ""), Ok(()));
    assert_eq!(result(json!({}), Some(7), ""), Ok(()));
    let root = "container has runAsNonRoot and image will run as root";
    assert_eq!(result(json!({}), None, ""), Err(root.into()));
    assert_eq!(result(json!({}), Some(0), ""), Err(root.into()));
    assert_eq!(
        result(json!({"runAsUser": 0}), Some(7), ""),
        Err("container's runAsUser breaks non-root policy".into())
    );
    assert_eq!(result(json!({}), None, "www"), Err("container has runAsNonRoot and image has non-numeric user".into()));
    assert_eq!(result(json!({"runAsNonRoot": false}), None, ""), Ok(()));
}

/// DS-H46, and host ports.
#[test]
fn sandboxes() {
    let host = json!({"hostNetwork": true, "hostPID": true, "containers": [{"name": "c",
        "ports": [{"containerPort": 80, "hostPort": 80}]}]});
    let made = sandbox_config(&config(), &pod(host), 1, "nameserver 192.0.2.9\n").unwrap();
    assert_eq!((made.hostname.as_str(), made.port_mappings.len()), ("", 0));
    let metadata = made.metadata.unwrap();
    assert_eq!((metadata.name.as_str(), metadata.attempt), ("p", 1));
    assert_eq!((made.labels["app"].as_str(), made.annotations["a"].as_str()), ("web", "b"));
    assert_eq!(made.log_directory, "/var/log/pods/n_p_u");
    assert_eq!(made.dns_config.unwrap().servers, ["192.0.2.9"]);
    let namespaces = made.linux.unwrap().security_context.unwrap().namespace_options.unwrap();
    let node = v1::NamespaceMode::Node as i32;
    assert_eq!((namespaces.network, namespaces.pid), (node, node));
    assert_eq!(namespaces.ipc, v1::NamespaceMode::Pod as i32);

    let own = json!({"hostname": "web", "shareProcessNamespace": true,
        "securityContext": {"sysctls": [{"name": "net.a", "value": "1"}], "fsGroup": 9, "supplementalGroups": [8]},
        "containers": [{"name": "c", "ports": [{"containerPort": 53, "hostPort": 5353, "protocol": "UDP", "hostIP": "127.0.0.1"}]}]});
    let made = sandbox_config(&config(), &pod(own), 0, "").unwrap();
    assert_eq!(made.hostname, "web");
    let expected = v1::PortMapping {
        protocol: v1::Protocol::Udp as i32,
        container_port: 53,
        host_port: 5353,
        host_ip: "127.0.0.1".into(),
    };
    assert_eq!(made.port_mappings, [expected]);
    let linux = made.linux.unwrap();
    assert_eq!(linux.sysctls["net.a"], "1");
    let security = linux.security_context.unwrap();
    assert_eq!(security.supplemental_groups, [8, 9]);
    assert_eq!(security.namespace_options.unwrap().pid, v1::NamespaceMode::Pod as i32);
}

/// The host name that the kernel shows, and the names in the hosts file.
#[test]
fn host_names() {
    let names = |mut spec: Value| {
        spec["containers"] = json!([]);
        let pod = pod(spec);
        let sandbox = sandbox_config(&config(), &pod, 0, "").map_err(|error| error.message)?;
        let ips = ["10.0.0.5".parse().unwrap()];
        let hosts = hosts_file(&config(), pod.spec.as_ref().unwrap(), &PodRef::of(&pod), &ips, "");
        let line = hosts.lines().find_map(|line| line.strip_prefix("10.0.0.5\t")).unwrap().to_owned();
        Ok::<_, String>((sandbox.hostname, line))
    };
    let pair = |kernel: &str, hosts: &str| Ok((kernel.to_owned(), hosts.to_owned()));
    assert_eq!(names(json!({})), pair("p", "p"));
    assert_eq!(names(json!({"hostname": "h", "subdomain": "s"})), pair("h", "h.s.n.svc.cluster.local\th"));
    let full = json!({"hostname": "h", "subdomain": "s", "setHostnameAsFQDN": true});
    assert_eq!(names(full), pair("h.s.n.svc.cluster.local", "h.s.n.svc.cluster.local\th"));
    assert_eq!(names(json!({"setHostnameAsFQDN": true})), pair("p", "p"));
    let over = json!({"hostname": "h", "subdomain": "s", "hostnameOverride": "over.example"});
    assert_eq!(names(over), pair("over.example", "over.example"));
    let long = json!({"hostname": "h".repeat(50), "subdomain": "s", "setHostnameAsFQDN": true});
    assert!(names(long).unwrap_err().ends_with("is too long (64 characters is the max, 72 characters requested)"));
}

/// DS-H45
#[test]
fn hosts_files() {
    let text = |spec: Value| {
        let (pod, ips) = (pod(spec), ["10.0.0.5".parse().unwrap()]);
        hosts_file(
            &config(),
            pod.spec.as_ref().unwrap(),
            &PodRef::of(&pod),
            &ips,
            "127.0.0.1 localhost\n192.0.2.1 host\n",
        )
    };
    let own = text(json!({"containers": [], "hostname": "web", "subdomain": "sub",
        "hostAliases": [{"ip": "192.0.2.8", "hostnames": ["x", "y"]}]}));
    assert!(own.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"), "{own}");
    assert!(
        own.contains("10.0.0.5\tweb.sub.n.svc.cluster.local\tweb\n127.0.0.7\tkubernetes.default.svc\tkubernetes\n"),
        "{own}"
    );
    assert!(own.ends_with("\n# Entries added by HostAliases.\n192.0.2.8\tx\ty\n"), "{own}");
    let host = text(json!({"containers": [], "hostNetwork": true}));
    assert_eq!(
        host,
        "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n192.0.2.1 host\n127.0.0.7\tkubernetes.default.svc\tkubernetes\n"
    );
}

/// Nothing is ignored in silence.
#[test]
fn unsupported_fields_are_refused() {
    let refused = |fields: Value| {
        let mut container = json!({"name": "c"});
        container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self::container(json!({"containers": [container]}), &Image::default()).unwrap_err()
    };
    assert!(refused(json!({"volumeDevices": [{"name": "d", "devicePath": "/d"}]})).starts_with("volumeDevices "));
    assert!(refused(json!({"lifecycle": {"stopSignal": "SIGUSR1"}})).starts_with("lifecycle.stopSignal "));
    let in_pod = |spec: Value| super::unsupported(&pod(spec).spec.unwrap()).unwrap_or_default();
    assert!(in_pod(json!({"runtimeClassName": "gvisor", "containers": []})).starts_with("runtime class \"gvisor\" "));
    assert!(in_pod(json!({"hostUsers": false, "containers": []})).starts_with("hostUsers: false "));
    assert_eq!(in_pod(json!({"hostUsers": true, "containers": []})), "");
}

/// Names of 63 characters each: the link's name is as long as one may be.
#[test]
fn a_log_has_a_link_whatever_its_names() {
    let long = "a".repeat(63);
    let pod = PodRef { namespace: long.clone(), name: long.clone(), uid: "u".into() };
    let link = |container: &str| {
        let link = super::log_link(&config(), &pod, container, &"f".repeat(64));
        link.file_name().unwrap().to_str().unwrap().to_owned()
    };
    assert_eq!(link(&long).len(), 255);
    assert!(link(&long).ends_with("ff.log") && link("c").ends_with(&format!("_c-{}.log", "f".repeat(64))));
}
