use std::time::Duration;

use super::*;

const GOOD: &str = r#"
duration: 10m
groups:
- {name: core, count: 900, zones: [a, b, c]}
- name: edge
  count: 100
  labels: {site: far}
  taints: ["edge:NoSchedule"]
  capacity: {cpu: "2"}
pods: {pull: 1s..3s, start: 200ms, ready: exp 2s}
failures:
  crash: {probability: 1%, after: 5s..60s}
  neverReady: 0.001
  flap: {rate: 0.1/h, for: 30s..2m}
steps:
- {at: 1m, join: 50, group: edge, over: 30s}
- at: 3m
  cutOff: 20
  for: 1m
"#;

#[test]
fn a_whole_file() {
    let options = Options::from_scenario(GOOD).unwrap();
    assert_eq!((options.duration, options.nodes_ever()), (Some(Duration::from_secs(600)), 1050));
    let edge = &options.groups[1];
    assert_eq!((edge.node_name.as_str(), edge.capacity["cpu"].as_str()), ("edge-{}", "2"));
    assert_eq!(edge.capacity["pods"], "110");
    assert_eq!(options.failures.crash.0, 0.01);
    assert_eq!(options.failures.never_ready.0, 0.001);
    assert_eq!(options.steps[0].event, StepEvent::Join);
    assert!(options.leases && matches!(options.steps[1].event, StepEvent::CutOff { .. }));
    assert!(!Options::from_scenario("profile: fast\ngroups: [{count: 1}]").unwrap().leases);
}

/// The error of `GOOD` with one piece replaced: line and field.
fn error(from: &str, to: &str) -> (u64, String, String) {
    assert!(GOOD.contains(from));
    let error = Options::from_scenario(&GOOD.replace(from, to)).unwrap_err();
    (error.line, error.field, error.message)
}

#[test]
fn errors_name_line_and_field() {
    let at = |from: &str, to: &str| {
        let (line, field, _) = error(from, to);
        (line, field)
    };
    assert_eq!(at("pull: 1s..3s", "pull: 1s..x"), (10, "pods.pull".into()));
    assert_eq!(at("start: 200ms", "start: soon"), (10, "pods.start".into()));
    assert_eq!(at("0.001", "7"), (13, "failures.neverReady".into()));
    assert_eq!(at("probability: 1%", "probability: 200%"), (12, "failures.crash.probability".into()));
    assert_eq!(at("join: 50, group: edge", "join: 50, group: moon"), (16, "steps[0].group".into()));
    assert_eq!(at("  cutOff: 20", "  leave: 20"), (19, "steps[1].for".into()));
    assert_eq!(at("{cpu: \"2\"}", "{cpu: \"two\"}"), (9, "groups[1].capacity.cpu".into()));
    assert_eq!(at("count: 900", "count: -1").0, 4);
    assert_eq!(at("  count: 100", "  counts: 100").0, 6);
    assert_eq!(at("edge:NoSchedule", "edge").0, 8);
    assert_eq!(at("duration: 10m", "duration: 10"), (2, "duration".into()));
    assert_eq!(at("duration: 10m", "inFlight: 0"), (2, "inFlight".into()));
    assert_eq!(at("duration: 10m", "mode: both"), (2, "mode".into()));
    assert_eq!(at("duration: 10m", "groups: []").0, 3);
    assert_eq!(at("rate: 0.1/h", "rate: often"), (14, "failures.flap.rate".into()));
    assert_eq!(at("join: 50, group: edge", "group: edge"), (16, "steps[0]".into()));
    assert_eq!(at("at: 1m", "at: noon"), (16, "steps.at".into()));
    assert_eq!(at("  for: 1m", "  when: 1m").0, 19);
    assert_eq!(at("name: edge", "name: core"), (4, "groups[0].name".into()));
    assert_eq!(at("zones: [a, b, c]", "zones: a").0, 4);
}

#[test]
fn messages_help() {
    assert!(error("200ms", "soon").2.contains("for example"), "{}", error("200ms", "soon").2);
    let (_, _, unknown) = error("  count: 100", "  counts: 100");
    assert!(unknown.contains("counts"), "{unknown}");
    let two = Options::from_scenario("groups: [{count: 1}]\nsteps:\n- {at: 1s, join: 1, leave: 1}").unwrap_err();
    assert_eq!((two.line, two.field.as_str()), (3, "steps[0]"));
    assert!(Options::from_scenario("{").is_err() && Options::from_scenario("- 1").is_err());
    assert!(Options::from_scenario("").unwrap_err().message.contains("must be"));
}
