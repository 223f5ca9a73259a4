use serde_json::{Value, json};

use super::{check, check_update, ready};

#[test]
fn claims() {
    let request = json!({"name": "r", "exactly": {"deviceClassName": "gpu"}});
    let claim = json!({"metadata": {"name": "a", "namespace": "x"}, "spec": {"devices": {"requests": [request]}}});
    check("ResourceClaim", &claim, &[], &[]);
    let exactly = &ready("ResourceClaim", claim.clone())["spec"]["devices"]["requests"][0]["exactly"];
    assert_eq!((&exactly["allocationMode"], &exactly["count"]), (&json!("ExactCount"), &json!(1)));
    let cases: [(&str, Value, &str); 5] = [
        ("/spec/devices/requests/0/name", Value::Null, "spec.devices.requests[0].name: Required value"),
        (
            "/spec/devices/requests/0/exactly",
            Value::Null,
            "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required",
        ),
        (
            "/spec/devices/requests/0/exactly/deviceClassName",
            Value::Null,
            "spec.devices.requests[0].exactly.deviceClassName: Required value",
        ),
        (
            "/spec/devices/requests/0/exactly/count",
            json!(-1),
            "spec.devices.requests[0].exactly.count: Invalid value: -1: must be greater than zero",
        ),
        (
            "/spec/devices/constraints",
            json!([{"requests": ["other"], "matchAttribute": "x.test/a"}]),
            "spec.devices.constraints[0].requests[0]: Invalid value: \"other\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
        ),
    ];
    for (path, value, words) in cases {
        check("ResourceClaim", &claim, &[(path, value)], &[words]);
    }
    let frozen = "spec: Invalid value: {\"devices\":{}}: field is immutable";
    check_update("ResourceClaim", &claim, &[("/spec/devices", json!({}))], &[frozen]);
}

#[test]
fn classes_and_slices() {
    let class = json!({"metadata": {"name": "a"}, "spec": {"selectors": [{"cel": {"expression": "true"}}]}});
    check("DeviceClass", &class, &[], &[]);
    let none = "spec.selectors[0].cel: Required value";
    check("DeviceClass", &class, &[("/spec/selectors", json!([{}]))], &[none]);
    let pool = json!({"name": "p", "generation": 1, "resourceSliceCount": 1});
    let slice = json!({"metadata": {"name": "a"}, "spec": {"driver": "x.test", "nodeName": "n", "pool": pool,
        "devices": [{"name": "d"}]}});
    check("ResourceSlice", &slice, &[], &[]);
    let place = "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    check("ResourceSlice", &slice, &[("/spec/nodeName", Value::Null)], &[place]);
    let twice = "spec.devices[1].name: Duplicate value: \"d\"";
    check("ResourceSlice", &slice, &[("/spec/devices/-", json!({"name": "d"}))], &[twice]);
    let frozen = "spec.driver: Invalid value: \"y.test\": field is immutable";
    check_update("ResourceSlice", &slice, &[("/spec/driver", json!("y.test"))], &[frozen]);
}
