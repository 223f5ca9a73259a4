//! Bodies as kubectl 1.32 sent them (`-v=10`), and broken ones.

use serde_json::json;

use super::to_json;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[track_caller]
fn check(hex: &str, expected: &serde_json::Value) {
    assert_eq!(to_json(&bytes(hex)).as_ref(), Ok(expected));
}

#[test]
fn what_kubectl_sends_is_read() {
    check(
        "6b3873000a0f0a0276311209436f6e6669674d6170121b0a110a017812001a0022002a0032003800420012060a0161120162\
         1a002200",
        &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "b"}}),
    );
    check(
        "6b3873000a0c0a0276311206536563726574121d0a110a017312001a0022002a0032003800420012060a01611201621a001a\
         002200",
        &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "Yg=="}}),
    );
    check(
        "6b3873000a280a1861757468656e7469636174696f6e2e6b38732e696f2f7631120c546f6b656e5265717565737412310a10\
         0a0012001a0022002a0032003800420012170a01781a0f0a03506f64120276311a017022017520901c1a040a0012001a0022\
         00",
        &json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": {"audiences": ["x"], "expirationSeconds": 3600,
            "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "u"}}}),
    );
    check(
        "6b3873000a2b0a1c726261632e617574686f72697a6174696f6e2e6b38732e696f2f7631120b526f6c6542696e64696e6712\
         7c0a120a02726212001a0022002a0032003800420012260a04557365721219726261632e617574686f72697a6174696f6e2e\
         6b38732e696f1a0175220012180a0e536572766963654163636f756e7412001a01622201611a240a19726261632e61757468\
         6f72697a6174696f6e2e6b38732e696f1204526f6c651a01721a002200",
        &json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "rb"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "u"},
                {"kind": "ServiceAccount", "name": "b", "namespace": "a"}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}}),
    );
    check(
        "6b3873000a250a147363686564756c696e672e6b38732e696f2f7631120d5072696f72697479436c61737312220a120a0270\
         6312001a0022002a00320038004200100518012201642a054e657665721a002200",
        &json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "pc"}, "value": 5, "globalDefault": true,
            "description": "d", "preemptionPolicy": "Never"}),
    );
    check(
        "6b3873000a0d0a027631120753657276696365126a0a1d0a02736e12001a0022002a003200380042005a090a036170701202\
         736e12450a200a0738302d6874747012035443501850220a080110001a046874747028b0ea0112090a036170701202736e1a\
         0022084e6f6465506f72743a00420052005a00600068001a020a001a002200",
        &json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "sn", "labels": {"app": "sn"}}, "spec": {"type": "NodePort",
            "selector": {"app": "sn"}, "ports": [{"name": "80-http", "protocol": "TCP", "port": 80, "targetPort": "http", "nodePort": 30000}]}}),
    );
    check(
        "6b3873000a320a17617574686f72697a6174696f6e2e6b38732e696f2f7631121753656c665375626a656374416363657373\
         52657669657712290a100a0012001a0022002a00320038004200120b12090a022f7812036765741a08080012001a0020001a\
         002200",
        &json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "metadata": {},
            "spec": {"nonResourceAttributes": {"path": "/x", "verb": "get"}}}),
    );
}

#[test]
fn pointers_keep_their_zeros_and_values_lose_them() {
    // Eviction, metadata {name p}, deleteOptions {gracePeriodSeconds 0}
    let eviction = "6b387300 0a15 0a09 706f6c6963792f7631 1208 4576696374696f6e 1209 0a03 0a0170 1202 0800";
    check(
        eviction,
        &json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}, "deleteOptions": {"gracePeriodSeconds": 0}}),
    );
}

/// A message of texts and messages, each shorter than 128 bytes and with a number below 32.
fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let tag = |number: u8| match number {
        0..16 => vec![number << 3 | 2],
        _ => vec![number << 3 | 2 | 0x80, number >> 4],
    };
    let field = |(number, content): &(u8, &[u8])| [&tag(*number), &[content.len() as u8][..], content].concat();
    fields.iter().flat_map(field).collect()
}

/// An object of this kind with this spec.
fn object(version: &[u8], kind: &[u8], spec: &[u8]) -> Vec<u8> {
    let object = message(&[(1, &message(&[(1, b"p")])), (2, spec)]);
    let meta = message(&[(1, version), (2, kind)]);
    [b"k8s\0".to_vec(), message(&[(1, &meta), (2, &object)])].concat()
}

/// What `kubectl create pdb b --selector=a=b --min-available=1` and `--max-unavailable=50%` send.
#[test]
fn a_disruption_budget_is_read() {
    let label = message(&[(1, b"a"), (2, b"b")]);
    let selector = message(&[(1, &label)]);
    let spec = [message(&[(1, &[0x08, 0, 0x10, 1, 0x1a, 0])]), message(&[(2, &selector)])].concat();
    let read = to_json(&object(b"policy/v1", b"PodDisruptionBudget", &spec)).unwrap();
    assert_eq!(read["spec"], json!({"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}));
    let percent = [&[0x08, 1, 0x10, 0, 0x1a, 3][..], b"50%"].concat();
    let read = to_json(&object(b"policy/v1", b"PodDisruptionBudget", &message(&[(3, &percent)]))).unwrap();
    assert_eq!(read["spec"], json!({"maxUnavailable": "50%"}));
}

/// `kubectl debug --copy-to` sends the pod back that the server has made, with the volume of its
/// token.
#[test]
fn what_the_server_adds_to_a_pod_comes_back() {
    let token = [&[0x10, 0x97, 0x1c][..], &message(&[(3, b"token")])].concat();
    let map = message(&[(1, &message(&[(1, b"kube-root-ca.crt")])), (2, &message(&[(1, b"ca.crt"), (2, b"ca.crt")]))]);
    let file = message(&[(1, b"namespace"), (2, &message(&[(1, b"v1"), (2, b"metadata.namespace")]))]);
    let projections = [(4, &token), (3, &map), (2, &message(&[(1, &file)]))];
    let one = |(number, content): &(u8, &Vec<u8>)| message(&[(1, &message(&[(*number, content)]))]);
    let projected: Vec<u8> = projections.iter().flat_map(one).collect();
    // Some are longer than the helper writes: two bytes of length each.
    let long = |tag: &[u8], content: &[u8]| {
        let length = content.len();
        [tag, &[(length & 0x7f) as u8 | 0x80, (length >> 7) as u8], content].concat()
    };
    let source = long(&[0xd2, 0x01], &projected);
    let volume = [message(&[(1, b"t")]), long(&[0x12], &source)].concat();
    let http = message(&[(1, b"/"), (2, &[0x08, 0, 0x10, 80])]);
    let probe = [message(&[(1, &message(&[(2, &http)]))]), vec![0x18, 1]].concat();
    let container = message(&[(1, b"c"), (10, &probe)]);
    let spec = [long(&[0x0a], &volume), message(&[(2, &container)])].concat();
    let body = long(&[0x12], &spec);
    let envelope = message(&[(1, &message(&[(1, b"v1"), (2, b"Pod")]))]);
    let read = to_json(&[b"k8s\0".to_vec(), envelope, long(&[0x12], &body)].concat()).unwrap();
    let sources = json!([
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]);
    assert_eq!(read["spec"]["volumes"], json!([{"name": "t", "projected": {"sources": sources}}]));
    let probe = json!({"httpGet": {"path": "/", "port": 80}, "timeoutSeconds": 1});
    assert_eq!(read["spec"]["containers"][0]["livenessProbe"], probe);
}

fn pod(container: &[(u8, &[u8])]) -> Vec<u8> {
    let host_path = message(&[(1, b"/"), (2, b"")]);
    let volume = message(&[(1, b"host"), (2, &message(&[(1, &host_path)]))]);
    let spec = message(&[(1, &volume), (2, &message(container))]);
    let object = message(&[(1, &message(&[(1, b"p")])), (2, &spec), (3, &message(&[(1, b"Pending")]))]);
    let meta = message(&[(1, b"v1"), (2, b"Pod")]);
    [b"k8s\0".to_vec(), message(&[(1, &meta), (2, &object)])].concat()
}

#[test]
fn volumes_are_inlined_and_what_is_not_known_is_refused() {
    let spec = json!({"volumes": [{"name": "host", "hostPath": {"path": "/"}}], "containers": [{"name": "c"}]});
    let expected = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec});
    assert_eq!(to_json(&pod(&[(1, b"c")])), Ok(expected.clone()));
    assert_eq!(to_json(&pod(&[(1, b"c"), (21, b"")])), Ok(expected), "says nothing");
    let refused = to_json(&pod(&[(1, b"c"), (21, &message(&[(1, b"x")]))])).unwrap_err();
    assert_eq!(refused, "spec: containers: field 21 is not served in the protobuf encoding; send JSON");
}

#[test]
fn broken_bodies_are_errors() {
    let config_map = bytes("6b387300 0a0f 0a02 7631 1209 436f6e6669674d6170 1205 0a03 0a0178");
    assert!(to_json(&config_map).is_ok());
    for length in 0..config_map.len() {
        let cut = to_json(&config_map[..length]);
        // Cut between two fields it is shorter, not broken; without its kind it is of none.
        assert!(cut.is_err() || cut.is_ok_and(|object| object["metadata"].is_null()), "{length}");
    }
    let unknown = to_json(&bytes("6b387300 0a09 0a02 7631 1203 466f6f")).unwrap_err();
    assert_eq!(unknown, "v1, Kind=Foo is not served in the protobuf encoding; send JSON");
    assert!(to_json(b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
    assert!(to_json(b"{}").is_err());
    let negative_length = bytes("6b387300 0affffffffffffffffff01");
    assert!(to_json(&negative_length).is_err());
}
