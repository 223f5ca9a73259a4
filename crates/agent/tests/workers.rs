//! Workers on the fake runtime, in simulated time: what fails is tried again, and nothing hangs.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use everynode_agent::cri::FakeRuntime;
use everynode_agent::host::NoHost;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::json;
use support::fakes::{TokioClock, Workers, config, deleted, pod, wait};

struct World {
    runtime: Arc<FakeRuntime>,
    workers: Workers,
    _dir: tempfile::TempDir,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let clock = TokioClock::new();
    let runtime = Arc::new(FakeRuntime::new(clock.clone()));
    let config = Arc::new(config(dir.path(), "one"));
    let workers = Workers::with(config, runtime.clone(), Arc::new(NoHost), clock);
    World { runtime, workers, _dir: dir }
}

fn web() -> Pod {
    pod("web", json!({"containers": [{"name": "main", "image": "web:1"}]}))
}

fn is_ready(status: &PodStatus) -> bool {
    status.conditions.iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// How often the runtime was asked for this.
fn asked(world: &World, call: &str) -> usize {
    world.runtime.calls().iter().filter(|made| made.starts_with(call)).count()
}

/// DS-H23: every step fails twice.
#[tokio::test(start_paused = true)]
async fn failing_steps_are_tried_again() {
    let world = world();
    for step in ["RunPodSandbox", "CreateContainer", "StopPodSandbox", "StopContainer", "RemovePodSandbox"] {
        world.runtime.fail(step, "", 2, "no luck");
    }
    world.workers.replace(&[web()]).await;
    world.workers.wait_status("web-uid", "it is ready", is_ready).await;
    let record = &world.workers.record;
    assert!(record.has_event("FailedCreatePodSandBox Failed to create pod sandbox: no luck"), "{:#?}", record.events());
    assert!(record.has_event("Failed Error: no luck"), "{:#?}", record.events());
    world.workers.set(&deleted(&web(), 5)).await;
    world.workers.wait_gone("web-uid").await;
    assert!(world.runtime.sandboxes().is_empty() && world.runtime.containers().is_empty());
    assert_eq!((asked(&world, "RunPodSandbox"), asked(&world, "RemovePodSandbox")), (3, 3));
    world.workers.stop().await;
}

/// A pod that asks for so many CPUs.
fn asking(name: &str, cpu: &str) -> Pod {
    let resources = json!({"requests": {"cpu": cpu}});
    pod(name, json!({"containers": [{"name": "main", "image": "web:1", "resources": resources}]}))
}

fn has_failed(status: &PodStatus) -> bool {
    status.phase.as_deref() == Some("Failed")
}

/// DS-H09: in the words that were recorded from Kubernetes 1.36; on a node of 4 CPUs.
#[tokio::test(start_paused = true)]
async fn a_pod_that_does_not_fit_fails_and_takes_nothing() {
    let world = world();
    world.workers.replace(&[asking("web", "3")]).await;
    world.workers.wait_status("web-uid", "it is ready", is_ready).await;
    world.workers.set(&asking("huge", "500")).await;
    let status = world.workers.wait_status("huge-uid", "it is refused", has_failed).await;
    assert_eq!(status.reason.as_deref(), Some("OutOfcpu"));
    let words = "Node didn't have enough resource: cpu, requested: 500000, used: 3000, capacity: 4000";
    assert_eq!(status.message, Some(format!("Pod was rejected: {words}")));
    assert!(world.workers.record.has_event(&format!("OutOfcpu {words}")), "{:#?}", world.workers.record.events());
    assert_eq!(asked(&world, "RunPodSandbox"), 1, "nothing of it was started");
    // What was refused takes nothing: the last CPU is still there, once.
    world.workers.set(&asking("small", "1")).await;
    world.workers.wait_status("small-uid", "it is ready", is_ready).await;
    world.workers.set(&asking("late", "1")).await;
    world.workers.wait_status("late-uid", "it is refused", has_failed).await;
    // What is gone frees its part.
    world.workers.set(&deleted(&asking("small", "1"), 1)).await;
    wait("it is gone", || world.workers.record.was_deleted("small-uid").then_some(()), String::new).await;
    world.workers.set(&asking("next", "1")).await;
    world.workers.wait_status("next-uid", "it is ready", is_ready).await;
    world.workers.stop().await;
}

/// A node's labels and amounts change: before a pod is refused by what is known, the server is
/// asked.
#[tokio::test(start_paused = true)]
async fn a_pod_is_refused_by_the_nodes_newest_state_only() {
    let world = world();
    let select = |name: &str| {
        let mut pod = asking(name, "1");
        pod.spec.as_mut().unwrap().node_selector = Some([("disk".to_owned(), "ssd".to_owned())].into());
        pod
    };
    world.workers.replace(&[select("before")]).await;
    let status = world.workers.wait_status("before-uid", "it is refused", has_failed).await;
    assert_eq!(status.reason.as_deref(), Some("NodeAffinity"));
    let labelled = r#"{"metadata":{"labels":{"disk":"ssd"}},"status":{"allocatable":{"cpu":"4","pods":"110"}}}"#;
    *world.workers.node.now.lock().unwrap() = Some(serde_json::from_str(labelled).unwrap());
    world.workers.set(&select("after")).await;
    world.workers.wait_status("after-uid", "it is ready", is_ready).await;
    world.workers.stop().await;
}

/// After a restart of the agent, what runs keeps its part, whatever its age; of what is new the
/// older comes first.
#[tokio::test(start_paused = true)]
async fn what_runs_comes_before_what_is_new() {
    let world = world();
    let aged = |name: &str, cpu: &str, seconds: i64| {
        let mut pod = asking(name, cpu);
        let created = jiff::Timestamp::from_second(seconds).unwrap();
        pod.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(created));
        pod
    };
    world.workers.replace(&[aged("runs", "3", 9)]).await;
    world.workers.wait_status("runs-uid", "it is ready", is_ready).await;
    let World { runtime, workers, _dir } = world;
    let config = workers.config.clone();
    workers.stop().await;
    let workers = Workers::with(config, runtime, Arc::new(NoHost), TokioClock::new());
    workers.replace(&[aged("young", "1", 5), aged("old", "1", 4), aged("runs", "3", 9)]).await;
    workers.wait_status("old-uid", "it is ready", is_ready).await;
    workers.wait_status("young-uid", "it is refused", has_failed).await;
    workers.wait_status("runs-uid", "it runs on", is_ready).await;
    workers.stop().await;
}

/// A server that is away delays what is told, not what runs.
#[tokio::test(start_paused = true)]
async fn statuses_and_deletions_are_written_again() {
    let world = world();
    world.workers.record.failures.store(3, Ordering::SeqCst);
    world.workers.replace(&[web()]).await;
    let runs = || world.runtime.containers().iter().any(|found| found.name == "main").then_some(());
    wait("it runs", runs, String::new).await;
    world.workers.wait_status("web-uid", "it is said", is_ready).await;
    world.workers.record.failures.store(3, Ordering::SeqCst);
    world.workers.set(&deleted(&web(), 5)).await;
    world.workers.wait_gone("web-uid").await;
    world.workers.stop().await;
}

/// DS-G06: pods of a node that was silent for long are marked as not ready; when it is back, they
/// are ready again.
#[tokio::test(start_paused = true)]
async fn conditions_that_others_wrote_are_written_again() {
    let world = world();
    world.workers.replace(&[web()]).await;
    world.workers.wait_status("web-uid", "it is ready", is_ready).await;
    let written_at = || world.workers.record.revision.load(Ordering::SeqCst);
    let marked = |revision: u64| {
        let mut status = world.workers.record.status("web-uid");
        let conditions = status.conditions.iter_mut().flatten();
        conditions.filter(|one| one.type_ == "Ready").for_each(|one| one.status = "False".into());
        let mut pod = web();
        (pod.metadata.resource_version, pod.status) = (Some(revision.to_string()), Some(status));
        pod
    };
    let write = |pod: &Pod| world.workers.record.put_status("web-uid", pod.status.clone().unwrap());
    // Older than what was written: an event that comes late changes nothing.
    let late = marked(written_at() - 1);
    world.workers.set(&late).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(is_ready(&world.workers.record.status("web-uid")));
    let newer = marked(written_at() + 1);
    write(&newer);
    world.workers.set(&newer).await;
    world.workers.wait_status("web-uid", "it is ready again", is_ready).await;
    world.workers.stop().await;
}

/// DS-H10, DS-H67: a container that ends is started again; nothing else is touched.
#[tokio::test(start_paused = true)]
async fn ended_containers_and_lost_sandboxes() {
    let world = world();
    world.workers.replace(&[web()]).await;
    world.workers.wait_status("web-uid", "it is ready", is_ready).await;
    let restarts = |status: &PodStatus| status.container_statuses.as_ref().map_or(0, |list| list[0].restart_count);
    world.runtime.exit("main", 1);
    world.workers.wait_status("web-uid", "it was restarted", |status| restarts(status) == 1 && is_ready(status)).await;
    assert_eq!(asked(&world, "RunPodSandbox"), 1);
    world.runtime.lose_sandbox(&world.runtime.sandboxes()[0].id);
    world.workers.wait_status("web-uid", "it is back", |status| restarts(status) == 2 && is_ready(status)).await;
    assert!(world.workers.record.has_event("SandboxChanged"));
    world.workers.stop().await;
}

/// DS-H26: what has no object any more is ended, and the API is not asked.
#[tokio::test(start_paused = true)]
async fn pods_without_an_object() {
    let world = world();
    world.workers.replace(&[web()]).await;
    world.workers.wait_status("web-uid", "it is ready", is_ready).await;
    world.workers.replace(&[]).await;
    wait("nothing is left", || world.workers.inspector.pods().is_empty().then_some(()), String::new).await;
    assert!(world.runtime.sandboxes().is_empty() && !world.workers.record.was_deleted("web-uid"));
    world.workers.stop().await;
}

/// DS-H11 to DS-H13
#[tokio::test(start_paused = true)]
async fn images() {
    let world = world();
    world.runtime.set_images(&[], &["web:1"]);
    world.workers.replace(&[web()]).await;
    world.workers.wait_status("web-uid", "it is ready", is_ready).await;
    let events = world.workers.record.events();
    let said = |text: &str| events.iter().any(|event| event.starts_with(text));
    assert!(
        said("Pulling Pulling image \"web:1\"") && said("Pulled Successfully pulled image \"web:1\" in "),
        "{events:#?}"
    );
    world.workers.stop().await;
}

/// One pod's trouble is its own: many pods, one of which never starts.
#[tokio::test(start_paused = true)]
async fn pods_do_not_wait_for_each_other() {
    let world = world();
    world.runtime.fail("RunPodSandbox", "bad", usize::MAX, "never");
    let container = json!({"containers": [{"name": "main", "image": "web:1"}]});
    let mut pods: Vec<Pod> = (0..50).map(|index| pod(&format!("web-{index}"), container.clone())).collect();
    pods.push(pod("bad", container));
    world.workers.replace(&pods).await;
    for index in 0..50 {
        world.workers.wait_status(&format!("web-{index}-uid"), "it is ready", is_ready).await;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.workers.record.status("bad-uid").phase.as_deref(), Some("Pending"));
    // 0.5 s, 1 s, 2 s … 10 s apart.
    assert!((5..14).contains(&asked(&world, "RunPodSandbox bad")), "{}", asked(&world, "RunPodSandbox bad"));
    world.workers.stop().await;
}
