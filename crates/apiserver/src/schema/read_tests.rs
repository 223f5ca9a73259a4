//! Decoding, end to end: what comes back for what was sent.

use everynode_api::kinds::Kind;
use serde_json::{Value, json};

use super::{FieldValidation, Media, decode, decode_delete_options, decode_value, semantic_eq};
use crate::catalogue::{Row, built_in};

fn info(api_version: &str, kind: &str) -> &'static Row {
    built_in::find_by_kind(api_version, kind).unwrap()
}

fn daemon_set() -> &'static Row {
    info("apps/v1", "DaemonSet")
}

fn read(info: &Row, value: Value) -> Value {
    decode_value(info, value, FieldValidation::Strict).unwrap().0
}

fn refusal(info: &Row, text: &str) -> String {
    let status = decode(info, text.as_bytes(), Media::Json, FieldValidation::Strict).unwrap_err();
    assert_eq!((status.code, status.reason.as_str()), (400, "BadRequest"));
    status.message
}

#[test]
fn a_daemon_set_reads_back_as_go_writes_it() {
    // DS-A45, DS-A46
    let sent = json!({
        "metadata": {"name": "web", "labels": null, "annotations": {}, "creationTimestamp": null},
        "spec": {
            "minReadySeconds": 0,
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}, "creationTimestamp": null},
                "spec": {
                    "hostNetwork": false,
                    "terminationGracePeriodSeconds": 0,
                    "serviceAccount": "x",
                    "containers": [{
                        "name": "c",
                        "env": [{"name": "CPU", "value": ""}],
                        "resources": {"limits": {"cpu": 1, "memory": "0.5Gi"}, "requests": {"cpu": "0.5"}},
                        "securityContext": {"privileged": false},
                        "args": []
                    }]
                }
            }
        }
    });
    let back = json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "web"},
        "spec": {
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "serviceAccount": "x",
                    "serviceAccountName": "x",
                    "containers": [{
                        "name": "c",
                        "env": [{"name": "CPU"}],
                        "resources": {"limits": {"cpu": "1", "memory": "512Mi"}, "requests": {"cpu": "500m"}},
                        "securityContext": {"privileged": false}
                    }]
                }
            },
            "updateStrategy": {}
        },
        "status": {"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0}
    });
    assert_eq!(read(daemon_set(), sent), back);
    assert_eq!(read(daemon_set(), back.clone()), back);
}

#[test]
fn zero_status() {
    // DS-A46
    let status =
        json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0});
    assert_eq!(read(daemon_set(), json!({"status": null}))["status"], status);
    assert_eq!(read(info("v1", "Pod"), json!({}))["status"], json!({}));
    assert_eq!(read(info("v1", "Service"), json!({}))["status"], json!({"loadBalancer": {}}));
    assert_eq!(read(info("v1", "ConfigMap"), json!({})).get("status"), None);
}

#[test]
fn times_are_canonical_and_zero_times_are_null() {
    let lease = json!({"spec": {"renewTime": "2026-01-02T04:04:05.100000+01:00", "leaseDurationSeconds": 0}});
    let spec = &read(info("coordination.k8s.io/v1", "Lease"), lease)["spec"];
    assert_eq!(*spec, json!({"renewTime": "2026-01-02T03:04:05.100000Z", "leaseDurationSeconds": 0}));
    let event = read(info("v1", "Event"), json!({"firstTimestamp": "2026-01-02T03:04:05.9Z", "involvedObject": {}}));
    assert_eq!((&event["firstTimestamp"], &event["eventTime"]), (&json!("2026-01-02T03:04:05Z"), &Value::Null));
    assert_eq!((&event["source"], &event["reportingComponent"]), (&json!({}), &json!("")));
    assert!(event.as_object().unwrap().contains_key("lastTimestamp"));
}

#[test]
fn exact_times_have_six_digits() {
    for (text, rest) in [("2026-01-02T03:04:05Z", "Z"), ("2026-01-02T03:04:05.1Z", ".1Z")] {
        let lease = json!({"spec": {"renewTime": text}}).to_string();
        assert_eq!(
            refusal(info("coordination.k8s.io/v1", "Lease"), &lease),
            format!(
                "Lease in version \"v1\" cannot be handled as a Lease: parsing time {text:?} as \
                 \"2006-01-02T15:04:05.000000Z07:00\": cannot parse {rest:?} as \".000000\""
            )
        );
    }
}

#[test]
fn secrets_and_aliases_are_converted() {
    let secret = json!({"data": {"a": "YQ=="}, "stringData": {"b": "x", "a": "y"}});
    assert_eq!(read(info("v1", "Secret"), secret)["data"], json!({"a": "eQ==", "b": "eA=="}));
    let pod = read(info("v1", "Pod"), json!({"spec": {"containers": []}, "status": {"podIP": "10.0.0.1"}}));
    assert_eq!(pod["status"], json!({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}));
    let node = read(info("v1", "Node"), json!({"spec": {"podCIDR": "10.0.0.0/24"}}));
    assert_eq!(node["spec"]["podCIDRs"], json!(["10.0.0.0/24"]));
    assert_eq!(node["status"]["daemonEndpoints"], json!({"kubeletEndpoint": {"Port": 0}}));
}

#[test]
fn unknown_and_duplicate_fields() {
    // DS-I40
    let text = r#"{"spec":{"foo":1,"template":{"spec":{"containers":[{"name":"a","name":"b","Image":"x"}]}}}}"#;
    let found = [
        r#"unknown field "spec.foo""#,
        r#"duplicate field "spec.template.spec.containers[0].name""#,
        r#"unknown field "spec.template.spec.containers[0].Image""#,
    ];
    let run = |mode| decode(&daemon_set().kind, text.as_bytes(), Media::Json, mode);
    assert_eq!(run(FieldValidation::Ignore).unwrap().1, Vec::<String>::new());
    let (value, warnings) = run(FieldValidation::Warn).unwrap();
    assert_eq!(warnings, found);
    assert_eq!(value["spec"].get("foo"), None);
    let frame = "DaemonSet in version \"v1\" cannot be handled as a DaemonSet: strict decoding error: ";
    assert_eq!(run(FieldValidation::Strict).unwrap_err().message, format!("{frame}{}", found.join(", ")));
}

#[test]
fn wrong_types_are_refused_in_the_words_of_go() {
    let frame = "DaemonSet in version \"v1\" cannot be handled as a DaemonSet: ";
    let field = "json: cannot unmarshal ";
    let cases = [
        (
            r#"{"spec":{"minReadySeconds":"a"}}"#,
            format!("{field}string into Go struct field DaemonSetSpec.spec.minReadySeconds of type int32"),
        ),
        (
            r#"{"spec":{"minReadySeconds":1.5}}"#,
            format!("{field}number 1.5 into Go struct field DaemonSetSpec.spec.minReadySeconds of type int32"),
        ),
        (
            r#"{"spec":{"minReadySeconds":3000000000}}"#,
            format!("{field}number 3000000000 into Go struct field DaemonSetSpec.spec.minReadySeconds of type int32"),
        ),
        (
            r#"{"metadata":{"labels":{"a":1}}}"#,
            format!("{field}number into Go struct field ObjectMeta.metadata.labels of type string"),
        ),
        (
            r#"{"spec":{"template":{"spec":{"containers":{"name":"a"}}}}}"#,
            format!("{field}object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container"),
        ),
        (
            r#"{"spec":{"template":{"spec":{"containers":[{"imagePullPolicy":1}]}}}}"#,
            format!(
                "{field}number into Go struct field Container.spec.template.spec.containers.imagePullPolicy of type v1.PullPolicy"
            ),
        ),
        (
            r#"{"spec":{"template":{"spec":{"containers":[{"resources":{"limits":{"cpu":"much"}}}]}}}}"#,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".into(),
        ),
        (
            r#"{"spec":{"updateStrategy":{"rollingUpdate":{"maxSurge":true}}}}"#,
            "json: cannot unmarshal bool into Go value of type int32".into(),
        ),
        (
            r#"{"metadata":{"creationTimestamp":"today"}}"#,
            r#"parsing time "today" as "2006-01-02T15:04:05Z07:00": cannot parse "today" as "2006""#.into(),
        ),
        // DS-A12
        (
            r#"{"metadata":{"annotations":{"deprecated.daemonset.template.generation":"x"}}}"#,
            r#"strconv.ParseInt: parsing "x": invalid syntax"#.into(),
        ),
    ];
    for (text, reason) in cases {
        assert_eq!(refusal(daemon_set(), text), format!("{frame}{reason}"), "{text}");
    }
    assert_eq!(
        refusal(info("v1", "Secret"), r#"{"data":{"a":"hello!"}}"#),
        "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 5"
    );
}

#[test]
fn bodies_of_another_kind() {
    assert_eq!(
        refusal(info("v1", "Pod"), r#"{"apiVersion":"v1","kind":"ConfigMap"}"#),
        "ConfigMap in version \"v1\" cannot be handled as a Pod: converting (v1.ConfigMap) to (core.Pod): unknown conversion"
    );
    assert_eq!(
        refusal(info("v1", "Pod"), r#"{"apiVersion":"apps/v1","kind":"DaemonSet"}"#),
        "DaemonSet in version \"v1\" cannot be handled as a Pod: converting (v1.DaemonSet) to (core.Pod): unknown conversion"
    );
    assert!(
        refusal(info("v1", "Pod"), r#"{"kind":"Nope"}"#).contains("no kind \"Nope\" is registered for version \"v1\"")
    );
    assert_eq!(
        refusal(info("v1", "Event"), r#"{"apiVersion":"events.k8s.io/v1","kind":"Event"}"#),
        "the API version in the data (events.k8s.io/v1) does not match the expected API version (v1)"
    );
    assert_eq!(
        refusal(daemon_set(), r#"{"apiVersion":"extensions/v1beta1","kind":"DaemonSet"}"#),
        "the API version in the data (extensions/v1beta1) does not match the expected API version (apps/v1)"
    );
}

#[test]
fn bodies_that_are_no_objects() {
    let frame = "the object provided is unrecognized (must be of type Pod): ";
    let unread = "couldn't get version/kind; json parse error: ";
    let cases = [
        (
            "[]",
            format!("{unread}json: cannot unmarshal array into Go value of type {}", super::read::GO_TYPE_META),
            "5b5d",
        ),
        ("", format!("{unread}unexpected end of JSON input"), "<empty>"),
        ("{", format!("{unread}unexpected end of JSON input"), "{"),
        ("{}x", format!("{unread}invalid character 'x' after top-level value"), "{}x"),
        (
            r#"{"apiVersion":"v1","kind":"Pod","spec":{}}{}"#,
            format!("{unread}invalid character '{{' after top-level value"),
            r#"{"apiVersion":"v1","kind":"Pod ..."#,
        ),
        (r#"{"apiVersion":"a/b/c"}"#, "unexpected GroupVersion string: a/b/c".into(), r#"{"apiVersion":"a/b/c"}"#),
    ];
    for (text, reason, shown) in cases {
        assert_eq!(refusal(info("v1", "Pod"), text), format!("{frame}{reason} ({shown})"), "{text}");
    }
    assert_eq!(read(info("v1", "Pod"), Value::Null)["kind"], "Pod");
}

#[test]
fn bodies_below_an_object_are_read_by_their_schema() {
    let token = Kind::built_in("authentication.k8s.io", "v1", "TokenRequest", "", true);
    let read = |kind: &Kind, text: &str| {
        decode(kind, text.as_bytes(), Media::Json, FieldValidation::Strict).map_err(|status| status.message)
    };
    let wrong = |value: &str, what: &str| {
        assert_eq!(
            read(&token, &format!(r#"{{"spec":{{"expirationSeconds":{value}}}}}"#)).unwrap_err(),
            format!(
                "TokenRequest in version \"v1\" cannot be handled as a TokenRequest: json: cannot unmarshal {what} into Go \
                 struct field TokenRequestSpec.spec.expirationSeconds of type int64"
            )
        );
    };
    wrong(r#""x""#, "string");
    wrong("600.5", "number 600.5");
    let eviction = Kind::built_in("policy", "v1", "Eviction", "", true);
    assert!(read(&eviction, r#"{"apiVersion":"policy/v1beta1","kind":"Eviction"}"#).is_ok());
    assert!(read(&eviction, r#"{"apiVersion":"v1","kind":"Eviction"}"#).unwrap_err().contains("no kind \"Eviction\""));
    assert!(read(&eviction, r#"{"deleteOptions":{"gracePeriodSeconds":"x"}}"#).unwrap_err().contains("type int64"));
    assert!(read(&eviction, r#"{"foo":1}"#).unwrap_err().contains("unknown field \"foo\""));
}

#[test]
fn options_of_a_deletion() {
    let read = |text: &str| {
        decode_delete_options(text.as_bytes(), Media::Json).map_err(|status| (status.code, status.message))
    };
    for version in ["v1", "meta.k8s.io/v1", "apps/v1"] {
        let text = format!(r#"{{"apiVersion":"{version}","kind":"DeleteOptions","foo":1,"dryRun":["All"]}}"#);
        assert_eq!(read(&text).unwrap()["dryRun"], json!(["All"]));
    }
    assert_eq!(read(""), Ok(Value::Null));
    let refused = |text: &str| read(text).unwrap_err();
    assert!(refused(r#"{"kind":"Pod","apiVersion":"v1"}"#).1.starts_with("no kind \"Pod\" is registered"));
    assert!(refused(r#"{"apiVersion":"x/v1"}"#).1.starts_with("no kind \"DeleteOptions\" is registered"));
    assert_eq!(refused("{").1, "couldn't get version/kind; json parse error: unexpected end of JSON input");
    let field = |name: &str, go: &str| format!("Go struct field DeleteOptions.{name} of type {go}");
    for (text, what, field) in [
        (r#"{"gracePeriodSeconds":"1"}"#, "string", field("gracePeriodSeconds", "int64")),
        (r#"{"dryRun":"All"}"#, "string", field("dryRun", "[]string")),
        (r#"{"propagationPolicy":1}"#, "number", field("propagationPolicy", "v1.DeletionPropagation")),
        (
            r#"{"preconditions":{"uid":1}}"#,
            "number",
            "Go struct field Preconditions.preconditions.uid of type types.UID".into(),
        ),
    ] {
        assert_eq!(refused(text), (400, format!("json: cannot unmarshal {what} into {field}")));
    }
}

#[test]
fn yaml_bodies() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  name: b\ndata:\n  k: |\n    v\n";
    let run = |mode| decode(&info("v1", "ConfigMap").kind, text.as_bytes(), Media::Yaml, mode);
    let (value, warnings) = run(FieldValidation::Warn).unwrap();
    assert_eq!((&value["metadata"]["name"], &value["data"]["k"]), (&json!("b"), &json!("v\n")));
    assert!(warnings.len() == 1 && warnings[0].contains("name"), "{warnings:?}");
    assert!(run(FieldValidation::Strict).unwrap_err().message.contains("strict decoding error: yaml: "));
    let broken = decode(&info("v1", "ConfigMap").kind, b"a: [", Media::Yaml, FieldValidation::Ignore).unwrap_err();
    assert!(broken.message.contains("error converting YAML to JSON: yaml: "), "{}", broken.message);
}

#[test]
fn yaml_is_read_as_kubernetes_reads_it() {
    let text = "spec:\n  volumes:\n  - name: v\n    secret: {secretName: s, defaultMode: 0640}\n";
    let (pod, _) = decode(&info("v1", "Pod").kind, text.as_bytes(), Media::Yaml, FieldValidation::Strict).unwrap();
    assert_eq!(pod["spec"]["volumes"][0]["secret"]["defaultMode"], 0o640);
    // Aliases that multiply: refused, not expanded.
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..10 {
        let inner = vec![format!("*a{}", level - 1); 10].join(",");
        bomb.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
    }
    let refused = decode(&info("v1", "Pod").kind, bomb.as_bytes(), Media::Yaml, FieldValidation::Ignore).unwrap_err();
    assert_eq!(refused.code, 400);
    let deep = "[".repeat(5000);
    for media in [Media::Json, Media::Yaml] {
        assert_eq!(
            decode(&info("v1", "Pod").kind, deep.as_bytes(), media, FieldValidation::Ignore).unwrap_err().code,
            400
        );
    }
}

#[test]
fn semantic_equality() {
    // DS-A15
    assert!(semantic_eq(&json!({"a": [], "b": 1}), &json!({"b": 1, "c": {}})));
    assert!(semantic_eq(&json!({"a": null}), &json!({})));
    assert!(!semantic_eq(&json!({"a": [1]}), &json!({})));
    assert!(!semantic_eq(&json!({"a": ""}), &json!({})));
    assert!(semantic_eq(&json!({"limits": {"memory": "1Gi"}}), &json!({"limits": {"memory": "1073741824"}})));
    assert!(!semantic_eq(&json!({"limits": {"memory": "1Gi"}}), &json!({"limits": {"memory": "1G"}})));
    assert!(!semantic_eq(&json!({"args": "1Gi"}), &json!({"args": "1073741824"})));
}
