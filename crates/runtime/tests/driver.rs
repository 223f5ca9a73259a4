//! The manager, its driver and its informers against the server in memory, in simulated time.

mod common;

use std::time::Duration;

use common::{Cluster, node};
use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::status::Status;
use everynode_runtime::testing::{Fault, RequestFault, Spread};
use everynode_runtime::{Options, manager};
use serde_json::json;

fn fault(verb: &'static str, kind: Kind, times: usize, trouble: RequestFault) -> Fault {
    Fault { verb, kind: Some(kind), times, trouble }
}

#[tokio::test(start_paused = true)]
async fn every_node_gets_its_pod_and_the_status_and_events_tell() {
    let cluster = Cluster::with_nodes(5).run(Spread::default(), Options::default()).await;
    cluster.settle().await;
    assert_eq!(cluster.pods(), ["web-n0", "web-n1", "web-n2", "web-n3", "web-n4"]);
    assert_eq!(cluster.set()["status"], json!({"numberReady": 5}));
    let events = cluster.api.list(&kinds::EVENT);
    assert_eq!(events.len(), 5);
    let messages: Vec<_> = events.iter().map(|event| event["message"].as_str().unwrap()).collect();
    assert!(messages.contains(&"Created pod: web-n3"), "{messages:?}"); // DS-C70
    assert_eq!(events[0]["source"], json!({"component": "daemonset-controller"}));
    assert_eq!(events[0]["reportingComponent"], "daemonset-controller");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn creates_start_slowly_and_stay_within_the_bound() {
    // DS-C52
    let cluster = Cluster::with_nodes(200);
    cluster.api.fault(fault("create", kinds::POD, usize::MAX, RequestFault::Delay(Duration::from_millis(100))));
    let cluster = cluster.run(Spread::default(), Options::default()).await;
    cluster.env.sleep(Duration::from_millis(350)).await; // batches of 1, 2 and 4 are through
    assert_eq!(cluster.count("create pods"), 1 + 2 + 4 + 8);
    cluster.settle().await;
    assert_eq!(cluster.pods().len(), 200);
    assert_eq!(cluster.count("create pods"), 200);
    let most = cluster.api.in_flight_max();
    assert!((33..=manager::WRITES_IN_FLIGHT + 4).contains(&most), "{most} requests in flight");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_create_stops_its_batches_and_is_tried_again_later() {
    // DS-C52, DS-C53, DS-C07
    let cluster = Cluster::with_nodes(8);
    let refused = Status::forbidden(&kinds::POD, "", "exceeded quota");
    cluster.api.fault(fault("create", kinds::POD, 3, RequestFault::Refuse(Box::new(refused))));
    let cluster = cluster.run(Spread::default(), Options::default()).await;
    cluster.env.sleep(Duration::from_millis(1)).await;
    assert_eq!(cluster.count("create pods"), 1, "the first one failed, no further ones were tried");
    cluster.settle().await;
    assert_eq!(cluster.pods().len(), 8);
    let events = cluster.api.list(&kinds::EVENT);
    let failed = events.iter().find(|event| event["reason"] == "FailedCreate").expect("an event tells of it");
    assert_eq!((&failed["count"], &failed["type"]), (&json!(3), &json!("Warning")));
    assert_eq!(failed["message"], "Error creating: pods is forbidden: exceeded quota");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_terminating_namespace_is_not_worth_a_word() {
    // DS-C54
    let cluster = Cluster::with_nodes(8);
    let refused = Status::forbidden(&kinds::POD, "", "the namespace is being terminated");
    let refused = refused.with_cause("NamespaceTerminating", "", "metadata.namespace");
    cluster.api.fault(fault("create", kinds::POD, usize::MAX, RequestFault::Refuse(Box::new(refused))));
    let cluster = cluster.run(Spread::default(), Options::default()).await;
    cluster.settle().await;
    assert_eq!(cluster.count("create pods"), 1);
    assert!(cluster.api.list(&kinds::EVENT).is_empty());
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn bursts_are_one_plan() {
    let cluster = Cluster::with_nodes(0).run(Spread::default(), Options::default()).await;
    cluster.settle().await;
    let before = cluster.plans();
    (0..100).for_each(|index| drop(cluster.api.put(&kinds::NODE, node(&format!("n{index}")))));
    cluster.settle().await;
    assert_eq!(cluster.pods().len(), 100);
    assert!(cluster.plans() - before < 20, "{} plans", cluster.plans() - before);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn everything_is_planned_again_now_and_then_whatever_woke_it_or_not() {
    // DS-F06, DS-F03: by two workers unless more are asked for
    let cluster = Cluster::with_nodes(1).run(Spread::default(), Options::default()).await;
    cluster.settle().await;
    let before = cluster.plans();
    cluster.env.sleep(Options::default().full_pass * 3).await;
    assert_eq!(cluster.plans() - before, 3);
    assert_eq!(Options::default().workers, 2);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn plans_wake_when_they_asked_to() {
    let spread = Spread { wake_after_ms: Some(1000), ..Spread::default() };
    let cluster = Cluster::with_nodes(0).run(spread, Options::default()).await;
    cluster.env.sleep(Duration::from_millis(500)).await;
    let before = cluster.plans();
    cluster.env.sleep(Duration::from_millis(10_000)).await;
    assert_eq!(cluster.plans() - before, 10);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stale_cache_never_doubles() {
    // DS-K14, DS-F17: nothing but the rule protects these pods, their names are the server's.
    let spread = Spread { generate_names: true, ..Spread::default() };
    let cluster = Cluster::with_nodes(3).run(spread, Options::default()).await;
    cluster.settle().await;
    cluster.api.hold_watches(&kinds::POD);
    cluster.api.put(&kinds::NODE, node("late"));
    cluster.env.sleep(Duration::from_millis(100)).await;
    assert_eq!(cluster.pods().len(), 4);
    // Woken again and again while the pod watch is silent.
    for index in 0..15 {
        cluster.api.put(&kinds::NODE, json!({"metadata": {"name": "n0", "labels": {"turn": index.to_string()}}}));
        cluster.env.sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(cluster.pods().len(), 4);
    assert!(cluster.manager_metrics().contains("everynode_stale_relists_total 0\n"));
    // After two seconds a list decides, and work goes on although the watch stays silent.
    cluster.api.put(&kinds::NODE, node("later"));
    cluster.settle().await;
    assert_eq!(cluster.pods().len(), 5);
    assert!(!cluster.manager_metrics().contains("everynode_stale_relists_total 0\n"));
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_makes_no_second_pod() {
    for trouble in [RequestFault::LoseAnswer, RequestFault::LoseRequest] {
        let cluster = Cluster::with_nodes(3);
        cluster.api.fault(fault("create", kinds::POD, 2, trouble.clone()));
        let cluster = cluster.run(Spread::default(), Options::default()).await;
        cluster.settle().await;
        assert_eq!(cluster.pods(), ["web-n0", "web-n1", "web-n2"], "{trouble:?}");
        cluster.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_a_nameless_create_waits_for_a_list() {
    let cluster = Cluster::with_nodes(3);
    cluster.api.fault(fault("create", kinds::POD, 1, RequestFault::LoseAnswer));
    cluster.api.hold_watches(&kinds::POD);
    let spread = Spread { generate_names: true, ..Spread::default() };
    let cluster = cluster.run(spread, Options::default()).await;
    cluster.settle().await;
    assert_eq!(cluster.pods().len(), 3);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_foreign_occupant_of_the_name_is_planned_around() {
    let cluster = Cluster::with_nodes(1);
    cluster.api.hold_watches(&kinds::POD);
    let cluster = cluster.run(Spread::default(), Options::default()).await;
    cluster.api.put(&kinds::POD, json!({"metadata": {"name": "web-n1", "namespace": "x"}}));
    cluster.api.put(&kinds::NODE, node("n1"));
    cluster.settle().await;
    assert_eq!(cluster.pods(), ["web-n0", "web-n1", "web-n1-2"]);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_controllers_with_stale_caches_collide_instead_of_doubling() {
    // DS-K14: equal views give equal names, and the live object decides.
    let cluster = Cluster::with_nodes(6);
    let (first, second) = (cluster.twin(), cluster);
    first.api.hold_watches(&kinds::POD);
    let first = first.run(Spread::default(), Options::default()).await;
    let second = second.run(Spread::default(), Options::default()).await;
    first.settle().await;
    assert_eq!(first.pods().len(), 6);
    assert!(first.count("create pods") > 6, "they did collide");
    first.api.release_watches(&kinds::POD);
    first.settle().await;
    assert_eq!(first.pods().len(), 6);
    assert_eq!(first.set()["status"]["numberReady"], 6);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_terminating_occupant_is_waited_for() {
    let cluster = Cluster::with_nodes(1).run(Spread::default(), Options::default()).await;
    cluster.settle().await;
    cluster.api.hold_watches(&kinds::POD);
    let leaving = json!({"metadata": {"name": "web-late", "namespace": "x",
        "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/y"]}});
    cluster.api.put(&kinds::POD, leaving);
    cluster.api.put(&kinds::NODE, node("late"));
    cluster.env.sleep(Duration::from_millis(100)).await;
    assert_eq!(cluster.count("create pods"), 2);
    cluster.api.remove(&kinds::POD, &Key::new("x", "web-late"));
    cluster.settle().await;
    assert_eq!(cluster.pods(), ["web-late", "web-n0"]);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn deletions_are_awaited_by_uid_and_a_missing_pod_is_success() {
    // DS-C55, DS-C71
    let cluster = Cluster::with_nodes(3).run(Spread::default(), Options::default()).await;
    cluster.settle().await;
    cluster.api.hold_watches(&kinds::POD);
    cluster.api.remove(&kinds::POD, &Key::new("x", "web-n2"));
    cluster.api.remove(&kinds::NODE, &Key::cluster("n1"));
    cluster.api.remove(&kinds::NODE, &Key::cluster("n2"));
    cluster.env.sleep(Duration::from_millis(100)).await;
    (0..5).for_each(|_| drop(cluster.api.put(&kinds::NODE, node("n0"))));
    cluster.env.sleep(Duration::from_millis(100)).await;
    assert_eq!(cluster.count("delete pods"), 2, "one per pod, although the cache still shows them");
    cluster.settle().await;
    assert_eq!(cluster.count("delete pods"), 2);
    let events = cluster.api.list(&kinds::EVENT);
    assert!(events.iter().any(|event| event["message"] == "Deleted pod: web-n1"));
    assert!(!events.iter().any(|event| event["message"] == "Deleted pod: web-n2"));
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_status_follows_a_set_that_another_client_changes() {
    let cluster = Cluster::with_nodes(2);
    cluster.api.hold_watches(&kinds::DAEMON_SET);
    let cluster = cluster.run(Spread::default(), Options::default()).await;
    cluster.env.sleep(Duration::from_millis(10)).await;
    // Another client labels the set and the controller does not see it.
    let mut set = cluster.set();
    set["metadata"]["labels"] = json!({"a": "b"});
    cluster.api.put(&kinds::DAEMON_SET, set);
    cluster.api.put(&kinds::NODE, node("more"));
    cluster.settle().await;
    assert_eq!(cluster.set()["status"]["numberReady"], 3);
    assert_eq!(cluster.set()["metadata"]["labels"], json!({"a": "b"}));
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_status_conflict_is_read_once_and_written_again() {
    // DS-E12: once; a second conflict makes the key wait for its turn
    for (conflicts, reads) in [(1, 1), (2, 1)] {
        let cluster = Cluster::with_nodes(2);
        let conflict = Status::modified(&kinds::DAEMON_SET, "web");
        cluster.api.fault(fault("patch", kinds::DAEMON_SET, conflicts, RequestFault::Refuse(Box::new(conflict))));
        let cluster = cluster.run(Spread::default(), Options::default()).await;
        cluster.settle().await;
        assert_eq!(cluster.set()["status"]["numberReady"], 2);
        assert_eq!(cluster.count("get daemonsets"), reads, "{conflicts} conflicts");
        assert!(cluster.count("patch daemonsets/status") > conflicts);
        cluster.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_fails_the_audit_is_not_carried_out() {
    let spread = Spread { suspicious: true, ..Spread::default() };
    let cluster = Cluster::with_nodes(2).run(spread, Options { audit: true, ..Options::default() }).await;
    cluster.env.sleep(Duration::from_millis(500)).await;
    assert!(cluster.pods().is_empty());
    assert!(cluster.plans() > 3, "it is planned again, ever more rarely");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn watches_resume_and_lists_follow_a_410() {
    let cluster = Cluster::with_nodes(2).run(Spread::default(), Options::default()).await;
    cluster.settle().await;
    cluster.api.drop_watches();
    cluster.api.put(&kinds::NODE, node("after-drop"));
    cluster.settle().await;
    assert_eq!(cluster.count("list nodes"), 1, "a dropped watch is resumed");
    cluster.api.hold_watches(&kinds::NODE);
    cluster.api.put(&kinds::NODE, node("lost"));
    cluster.api.remove(&kinds::NODE, &Key::cluster("n0"));
    cluster.api.compact();
    cluster.api.release_watches(&kinds::NODE);
    cluster.settle().await;
    assert_eq!(cluster.count("list nodes"), 2, "a lost history is listed");
    assert_eq!(cluster.pods(), ["web-after-drop", "web-lost", "web-n0", "web-n1"]);
    let leaving = cluster.api.get(&kinds::POD, &Key::new("x", "web-n0")).unwrap();
    assert!(leaving["metadata"]["deletionTimestamp"].is_string());
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_server_is_waited_for() {
    let cluster = Cluster::with_nodes(2);
    cluster.api.fault(Fault { verb: "", kind: None, times: 12, trouble: RequestFault::Unreachable });
    let cluster = cluster.run(Spread::default(), Options::default()).await;
    cluster.env.sleep(Duration::from_secs(60)).await;
    assert_eq!(cluster.pods().len(), 2);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_after_shutdown() {
    let cluster = Cluster::with_nodes(100);
    cluster.api.fault(fault("create", kinds::POD, usize::MAX, RequestFault::Delay(Duration::from_millis(100))));
    let cluster = cluster.run(Spread::default(), Options::default()).await;
    cluster.env.sleep(Duration::from_millis(350)).await;
    let api = cluster.api.clone();
    cluster.stop().await;
    assert_eq!(api.list(&kinds::POD).len(), 1 + 2 + 4 + 8, "what was in flight was waited for");
}

#[tokio::test(start_paused = true)]
async fn notes_and_memory_are_kept_per_key_and_forgotten_with_it() {
    let cluster = Cluster::with_nodes(0).run(Spread::default(), Options::default()).await;
    cluster.settle().await;
    cluster.api.hold_watches(&kinds::POD);
    cluster.api.put(&kinds::NODE, node("a"));
    cluster.env.sleep(Duration::from_millis(50)).await;
    assert_eq!(*cluster.notes().unwrap(), ["a had no pod"]);
    cluster.api.remove(&kinds::DAEMON_SET, &Key::new("x", "web"));
    cluster.settle().await;
    cluster.handle.wake(Key::new("x", "web"));
    cluster.settle().await;
    assert!(cluster.notes().is_none());
    cluster.stop().await;
}
