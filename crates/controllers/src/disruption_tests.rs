use super::*;
use crate::testkit::{TestBed, at};

fn budget(spec: &str, status: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"keep","namespace":"x","uid":"b","generation":1,"resourceVersion":"7"}},
            "spec":{{"selector":{{"matchLabels":{{"app":"web"}}}},{spec}}},"status":{{{status}}}}}"#
    )
}

fn pod(name: &str, owner: &str, ready: &str, more: &str) -> String {
    let owner = match owner {
        "" => String::new(),
        uid => format!(r#","ownerReferences":[{{"apiVersion":"v1","kind":"K","uid":"{uid}","controller":true}}]"#),
    };
    format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"x","uid":"u-{name}","labels":{{"app":"web"}}{owner}{more}}},
            "status":{{"phase":"Running","conditions":[{{"type":"Ready","status":"{ready}"}}]}}}}"#
    )
}

fn set(desired: i64, misscheduled: i64) -> String {
    format!(
        r#"{{"metadata":{{"name":"web","namespace":"x","uid":"s"}},
            "status":{{"desiredNumberScheduled":{desired},"numberMisscheduled":{misscheduled}}}}}"#
    )
}

/// Three ready pods of a set that wants `desired`, and a budget.
fn bed(desired: i64, spec: &str) -> TestBed<Disruption> {
    let mut bed = TestBed::new(Disruption);
    bed.put(&kinds::DAEMON_SET, &set(desired, 0));
    for name in ["a", "b", "c"] {
        bed.put(&kinds::POD, &pod(name, "s", "True", ""));
    }
    bed.put(&kinds::POD_DISRUPTION_BUDGET, &budget(spec, ""));
    bed
}

/// `expected desired healthy allowed`, as written.
fn written(bed: &TestBed<Disruption>, index: usize) -> String {
    let body: Value = serde_json::from_str(&bed.last_body(index)).unwrap();
    let names = ["expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed"];
    names.map(|name| body["status"][name].to_string()).join(" ")
}

fn numbers_of(desired: i64, spec: &str) -> String {
    let mut bed = bed(desired, spec);
    assert_eq!(bed.run("x/keep", at(0)), ["patch poddisruptionbudgets/x/keep status"]);
    written(&bed, 0)
}

#[test]
fn counts_in_every_form() {
    // DS-G21, DS-G23: minAvailable as a number, and what the original cannot do for daemon pods
    let cases = [
        ("minAvailable as a number", 3, r#""minAvailable":2"#, "3 2 3 1"),
        ("a number counts pods, not wishes", 9, r#""minAvailable":3"#, "3 3 3 0"),
        ("minAvailable in percent, rounded up", 4, r#""minAvailable":"30%""#, "4 2 3 1"),
        ("maxUnavailable", 3, r#""maxUnavailable":1"#, "3 2 3 1"),
        ("pods that are missing are unavailable", 4, r#""maxUnavailable":1"#, "4 3 3 0"),
        ("maxUnavailable in percent, rounded up", 3, r#""maxUnavailable":"10%""#, "3 2 3 1"),
        ("everything may go", 3, r#""maxUnavailable":"100%""#, "3 0 3 3"),
        ("nothing is expected, nothing is allowed", 0, r#""maxUnavailable":1"#, "0 0 3 0"),
    ];
    for (what, desired, spec, expected) in cases {
        assert_eq!(numbers_of(desired, spec), expected, "{what}");
    }
}

#[test]
fn misscheduled_pods_are_counted_on_both_sides() {
    // DS-K01: a pod that stays on a tainted node is one more that can be lost
    let mut bed = bed(2, r#""maxUnavailable":1"#);
    bed.put(&kinds::DAEMON_SET, &set(2, 1));
    bed.run("x/keep", at(0));
    assert_eq!(written(&bed, 0), "3 2 3 1");
}

#[test]
fn only_ready_pods_that_stay_are_healthy() {
    let mut bed = bed(3, r#""minAvailable":1"#);
    bed.put(&kinds::POD, &pod("b", "s", "False", ""));
    bed.put(&kinds::POD, &pod("c", "s", "True", r#","deletionTimestamp":"2026-01-01T00:00:00Z""#));
    bed.run("x/keep", at(0));
    assert_eq!(written(&bed, 0), "3 1 1 0");
    assert_eq!(bed.notes(), ["budget x/keep allows no disruption: it needs 1 healthy pods and has 1"]);
}

#[test]
fn the_condition_tells_and_nothing_is_written_twice() {
    let mut bed = bed(3, r#""minAvailable":2"#);
    bed.run("x/keep", at(0));
    let body: Value = serde_json::from_str(&bed.last_body(0)).unwrap();
    let condition = &body["status"]["conditions"][0];
    assert_eq!((&condition["reason"], &condition["status"]), (&json!("SufficientPods"), &json!("True")));
    assert_eq!(body["status"]["observedGeneration"], 1);
    let mut status = body["status"].clone();
    status["disruptedPods"] = Value::Null;
    let status = status.to_string();
    bed.put(&kinds::POD_DISRUPTION_BUDGET, &budget(r#""minAvailable":2"#, &status[1..status.len() - 1]));
    assert!(bed.run("x/keep", at(5)).is_empty());
    bed.put(&kinds::POD, &pod("a", "s", "False", ""));
    bed.run("x/keep", at(9));
    let body = bed.last_body(0);
    assert!(body.contains("InsufficientPods") && body.contains("2026-01-01T00:00:09Z"), "{body}");
}

#[test]
fn a_granted_eviction_counts_until_it_shows_or_expires() {
    // DS-G21
    let mut bed = bed(3, r#""minAvailable":1"#);
    let granted =
        r#""disruptedPods":{"a":"2026-01-01T00:00:00Z","gone":"2026-01-01T00:00:00Z"},"disruptionsAllowed":1"#;
    bed.put(&kinds::POD_DISRUPTION_BUDGET, &budget(r#""minAvailable":1"#, granted));
    bed.run("x/keep", at(60));
    assert_eq!(written(&bed, 0), "3 1 2 1");
    assert!(bed.last_body(0).contains(r#""disruptedPods":{"a":"2026-01-01T00:00:00Z","gone":null}"#));
    assert_eq!(bed.wake_at(), Some(at(120)));
    assert_eq!(bed.run("x/keep", at(120)), ["emit NotDeleted", "patch poddisruptionbudgets/x/keep status"]);
    assert_eq!(bed.last_body(0), "Pod was expected by PDB x/keep to be deleted but it wasn't");
    assert_eq!(written(&bed, 1), "3 1 3 2");
}

#[test]
fn an_unknown_controller_allows_nothing() {
    let mut bed = bed(3, r#""maxUnavailable":1"#);
    bed.put(&kinds::POD, &pod("d", "other", "True", ""));
    let said = bed.run("x/keep", at(0));
    assert_eq!(said, ["patch poddisruptionbudgets/x/keep status", "emit CalculateExpectedPodCountFailed"]);
    let body = bed.last_body(0);
    assert!(body.contains("SyncFailed") && body.contains(r#""disruptionsAllowed":0"#), "{body}");
    let told = bed.last_body(1);
    assert_eq!(told, r#"Failed to calculate the number of expected pods: found no controllers for pod "d""#);
}

#[test]
fn wakes_for_what_matters_to_it() {
    let mut bed = bed(3, r#""minAvailable":1"#);
    assert_eq!(bed.woken(&kinds::POD, &pod("a", "s", "False", "")), ["x/keep"]);
    assert!(bed.woken(&kinds::POD, &pod("a", "s", "False", r#","resourceVersion":"9""#)).is_empty());
    let other = pod("z", "", "True", "").replace(r#""app":"web""#, r#""app":"db""#);
    assert!(bed.woken(&kinds::POD, &other).is_empty());
    let relabelled = pod("a", "s", "False", "").replace(r#""app":"web""#, r#""app":"db""#);
    assert_eq!(bed.woken(&kinds::POD, &relabelled), ["x/keep"], "it no longer counts");
    assert!(bed.woken(&kinds::DAEMON_SET, &set(3, 0)).is_empty());
    assert_eq!(bed.woken(&kinds::DAEMON_SET, &set(4, 0)), ["x/keep"]);
}

#[test]
fn a_budget_without_pods_says_so() {
    let mut bed = TestBed::new(Disruption);
    bed.put(&kinds::POD_DISRUPTION_BUDGET, &budget(r#""minAvailable":1"#, ""));
    assert_eq!(bed.run("x/keep", at(0)), ["patch poddisruptionbudgets/x/keep status", "emit NoPods"]);
    assert_eq!(written(&bed, 0), "0 1 0 0");
}

#[test]
fn a_zero_that_the_server_leaves_out_is_a_zero() {
    let mut bed = TestBed::new(Disruption);
    bed.put(&kinds::POD_DISRUPTION_BUDGET, &budget(r#""minAvailable":1"#, ""));
    bed.run("x/keep", at(0));
    let mut body: Value = serde_json::from_str(&bed.last_body(0)).unwrap();
    let status = body["status"].as_object_mut().unwrap();
    status.retain(|_, value| *value != 0);
    let status = Value::Object(status.clone()).to_string();
    bed.put(&kinds::POD_DISRUPTION_BUDGET, &budget(r#""minAvailable":1"#, &status[1..status.len() - 1]));
    assert!(bed.run("x/keep", at(1)).is_empty());
}
