//! The objects that users write.

use serde_json::{Value, json};

use super::{SPACE, TAINT};
use crate::scenario::{Amount, Strategy};

/// How much pods ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// All of them fit on a machine together.
    Small,
    /// Two of them fit on a machine, and of the sets' pods only one: these hold a host port.
    Large,
}

/// What the pods of sets hold where pods are large.
const HOST_PORT: u16 = 9100;

pub(super) fn daemon_set(name: &str, strategy: Strategy, min_ready_seconds: u64, size: Size) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name, "namespace": SPACE},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "minReadySeconds": min_ready_seconds,
            "revisionHistoryLimit": 2,
            "updateStrategy": update(strategy),
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod_spec("img:0", false, false, size)},
        },
    })
}

pub(super) fn update(strategy: Strategy) -> Value {
    let rolling = |unavailable: Value, surge: Value| json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}});
    match strategy {
        Strategy::Unavailable(amount) => rolling(number(amount), json!(0)),
        Strategy::Surge(amount) => rolling(json!(0), number(amount)),
        Strategy::OnDelete => json!({"type": "OnDelete", "rollingUpdate": null}),
    }
}

fn number(amount: Amount) -> Value {
    match amount {
        Amount::Number(number) => json!(number),
        Amount::Percent(number) => json!(format!("{number}%")),
    }
}

pub(super) fn pod_spec(image: &str, select: bool, tolerate: bool, size: Size) -> Value {
    let mut container = json!({"name": "main", "image": image, "resources": {"requests": {"cpu": "100m"}}});
    if size == Size::Large {
        container["resources"]["requests"]["cpu"] = "1500m".into();
        container["ports"] = json!([{"containerPort": 80, "hostPort": HOST_PORT}]);
    }
    json!({
        "terminationGracePeriodSeconds": 5,
        "containers": [container],
        "nodeSelector": if select { json!({"disk": "ssd"}) } else { Value::Null },
        "tolerations": if tolerate { json!([{"key": TAINT, "operator": "Exists"}]) } else { Value::Null },
    })
}

pub(super) fn plain_pod(number: u64, size: Size) -> Value {
    let metadata = json!({"name": format!("plain-{number}"), "namespace": SPACE, "labels": {"app": "plain"}});
    let mut spec = pod_spec("plain:1", false, false, size);
    spec["containers"][0]["ports"] = Value::Null;
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

/// A budget over the pods of an app, by the app's name.
pub(super) fn disruption_budget(app: &str, min_available: bool, amount: Amount) -> Value {
    let field = if min_available { "minAvailable" } else { "maxUnavailable" };
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": app, "namespace": SPACE},
        "spec": {"selector": {"matchLabels": {"app": app}}, field: number(amount)},
    })
}
