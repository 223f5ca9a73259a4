use serde_json::{Value, json};

use super::{check, check_update, ready};

#[test]
fn ranges() {
    let range = |limit: Value| json!({"metadata": {"name": "a", "namespace": "x"}, "spec": {"limits": [limit]}});
    let good = json!({"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "2"}, "default": {"cpu": "1"}});
    check("LimitRange", &range(good.clone()), &[], &[]);
    let completed = ready("LimitRange", range(good));
    assert_eq!(completed["spec"]["limits"][0]["defaultRequest"], json!({"cpu": "1"}));
    let cases = [
        (
            json!({"type": "Box"}),
            "spec.limits[0].type: Invalid value: \"Box\": must be a standard limit type or fully qualified",
        ),
        (
            json!({"type": "Pod", "default": {"cpu": "1"}}),
            "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
        ),
        (
            json!({"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}}),
            "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
        ),
        (
            json!({"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}}),
            "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less than 1",
        ),
        (
            json!({"type": "PersistentVolumeClaim"}),
            "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
        ),
    ];
    for (limit, words) in cases {
        check("LimitRange", &range(limit), &[], &[words]);
    }
    let twice =
        json!({"metadata": {"name": "a", "namespace": "x"}, "spec": {"limits": [{"type": "Pod"}, {"type": "Pod"}]}});
    check("LimitRange", &twice, &[], &["spec.limits[1].type: Duplicate value: \"Pod\""]);
}

#[test]
fn quotas() {
    let quota = json!({"metadata": {"name": "a", "namespace": "x"}, "spec": {"hard": {"pods": "3", "count/widgets.x.test": "1"}}});
    check("ResourceQuota", &quota, &[], &[]);
    let cases: [(&str, Value, &str); 5] = [
        (
            "/spec/hard",
            json!({"pods": "-1"}),
            "spec.hard[pods]: Invalid value: \"-1\": must be greater than or equal to 0",
        ),
        ("/spec/hard", json!({"pods": "500m"}), "spec.hard[pods]: Invalid value: \"500m\": must be an integer"),
        (
            "/spec/hard",
            json!({"thing": "1"}),
            "spec.hard[thing]: Invalid value: \"thing\": must be a standard resource type or fully qualified",
        ),
        ("/spec/scopes", json!(["Odd"]), "spec.scopes: Invalid value: [\"Odd\"]: unsupported scope"),
        (
            "/spec/scopeSelector",
            json!({"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}),
            "spec.scopeSelector.matchExpressions[0].values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
        ),
    ];
    for (path, value, words) in cases {
        check("ResourceQuota", &quota, &[(path, value)], &[words]);
    }
    let both = [("/spec/hard", json!({"pods": "1"})), ("/spec/scopes", json!(["Terminating", "NotTerminating"]))];
    let words = "spec.scopes: Invalid value: [\"Terminating\",\"NotTerminating\"]: conflicting scopes";
    check("ResourceQuota", &quota, &both, &[words]);
    let bare = json!({"metadata": {"name": "a", "namespace": "x"}, "spec": {"hard": {"pods": "3"}}});
    let frozen = "spec.scopes: Invalid value: [\"BestEffort\"]: field is immutable";
    check_update("ResourceQuota", &bare, &[("/spec/scopes", json!(["BestEffort"]))], &[frozen]);
}
