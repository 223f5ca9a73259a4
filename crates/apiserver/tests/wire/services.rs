//! What of a service changes with its type.

use serde_json::{Value, json};

use crate::support::*;

const SERVICES: &str = "/api/v1/namespaces/default/services";

fn service(spec: Value) -> Value {
    json!({"metadata": {"name": "s"}, "spec": spec})
}

#[tokio::test]
async fn a_type_changes_back_and_forth() {
    let server = Server::start().await;
    let path = format!("{SERVICES}/s");
    let made = server.post(SERVICES, &service(json!({"ports": [{"port": 80}]}))).await.expect(201);
    let address = &made["spec"]["clusterIP"];
    let change =
        async |spec: Value| server.patch(&path, MERGE, &json!({ "spec": spec })).await.expect(200)["spec"].clone();
    let ported = change(json!({"type": "NodePort"})).await;
    assert!(ported["ports"][0]["nodePort"].as_u64().unwrap() >= 30_000);
    assert_eq!((&ported["clusterIP"], &ported["externalTrafficPolicy"]), (address, &json!("Cluster")));
    let back = change(json!({"type": "ClusterIP"})).await;
    assert_eq!(back, made["spec"]);
    let external = change(json!({"type": "ExternalName", "externalName": "a.test"})).await;
    let kept = json!({"type": "ExternalName", "externalName": "a.test", "sessionAffinity": "None",
                      "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]});
    assert_eq!(external, kept);
    let again = change(json!({"type": "ClusterIP", "externalName": null})).await;
    assert!(again["clusterIP"].as_str().unwrap().starts_with("10."), "{again}");
    assert_eq!(again["clusterIPs"], json!([again["clusterIP"]]));
    let gone = server.delete(&path, &Value::Null).await.expect(200);
    assert_eq!(gone["kind"], "Service");
}

#[tokio::test]
async fn an_address_stays_and_cannot_be_changed() {
    let server = Server::start().await;
    let path = format!("{SERVICES}/s");
    let made = server.post(SERVICES, &service(json!({"ports": [{"port": 80}]}))).await.expect(201);
    let put = server.put(&path, &service(json!({"ports": [{"port": 81}]}))).await.expect(200);
    assert_eq!(put["spec"]["clusterIP"], made["spec"]["clusterIP"]);
    for address in ["10.96.0.250", "None"] {
        let refused = server.patch(&path, MERGE, &json!({"spec": {"clusterIP": address}})).await.expect(422);
        let text = format!(
            "Service \"s\" is invalid: spec.clusterIPs[0]: Invalid value: [\"{address}\"]: may not change once set"
        );
        assert_eq!(refused["message"], text);
    }
    let none = server.patch(&path, MERGE, &json!({"spec": {"ports": null}})).await.expect(422);
    assert_eq!(none["message"], "Service \"s\" is invalid: spec.ports: Required value");
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}});
    let refused = server.patch(&format!("{path}/status"), MERGE, &status).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("may only be used when `spec.type` is 'LoadBalancer'"));
}
