use serde_json::{Value, json};

use super::{check, check_update};

/// The certificate request of a user.
const REQUEST: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlHU01FWUNBUUF3RXpFUk1BOEdBMVVFQXd3SWMyOX\
    RaV0p2Wkhrd0tqQUZCZ01yWlhBRElRQ3JIcVNrOHpNSwowKys5M3VnVmU3MUhEVzFHOW4vQWJwTVQ3RjZFNUI2N3RL\
    QUFNQVVHQXl0bGNBTkJBSW1YeFZFMkpPaS9wQ0FkCkhmS2JwQmJXRC9McnYwN2R1elFkaFhmRU9EaWhxV09MT01idD\
    k5cFNkOWZxQ1ZMOHFwSEZzVUhLRE5qVTlTZzIKdlA0SFl3QT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0t\
    LS0tCg==";

#[test]
fn requests() {
    let spec = json!({"request": REQUEST, "signerName": "x.test/s", "usages": ["client auth"]});
    let request = json!({"metadata": {"name": "a"}, "spec": spec});
    check("CertificateSigningRequest", &request, &[], &[]);
    let cases: [(&str, Value, &str); 5] = [
        (
            "/spec/request",
            json!("eA=="),
            "spec.request: Invalid value: \"eA==\": PEM block type must be CERTIFICATE REQUEST",
        ),
        ("/spec/usages", json!([]), "spec.usages: Required value: usages must be specified"),
        ("/spec/usages", json!(["signing", "signing"]), "spec.usages[1]: Duplicate value: \"signing\""),
        (
            "/spec/signerName",
            json!("here"),
            "spec.signerName: Invalid value: \"here\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
        ),
        (
            "/spec/expirationSeconds",
            json!(5),
            "spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds",
        ),
    ];
    for (path, value, words) in cases {
        check("CertificateSigningRequest", &request, &[(path, value)], &[words]);
    }
    let condition = |kind: &str| json!({"type": kind, "status": "True"});
    let both = json!([condition("Approved"), condition("Denied")]);
    let words =
        "status.conditions[1].type: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive";
    check_update("CertificateSigningRequest", &request, &[("/status/conditions", both)], &[words]);
    let mut approved = request;
    approved["status"] = json!({"conditions": [condition("Approved")]});
    let words = "status.conditions: Forbidden: updates may not remove a condition of type \"Approved\"";
    check_update("CertificateSigningRequest", &approved, &[("/status/conditions", json!([]))], &[words]);
}
