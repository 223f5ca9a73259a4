use everynode_api::kinds;
use everynode_api::meta::Key;
use everynode_api::ports::{Api, Request, Target};
use everynode_runtime::testing::{Fault, MemoryApi, RequestFault};
use everynode_runtime::{Env, Shutdown};
use serde_json::{Value, json};

use super::*;
use crate::{Mode, OneApi, Options, Progress, Report, Step, StepEvent};

/// An API server in memory and nodes against it; time passes only while all of them wait.
struct Cluster {
    api: MemoryApi,
    env: Env,
}

impl Cluster {
    fn new() -> Cluster {
        let env = Env::simulated(1, "2026-01-01T00:00:00Z".parse().unwrap());
        Cluster { api: MemoryApi::new(env.clone()), env }
    }

    /// Runs for as long as the options say; `script` gets each moment's progress.
    async fn run(&self, options: Options, script: impl FnMut(&Progress) + Send) -> Report {
        let (_trigger, shutdown) = Shutdown::new();
        let apis = Arc::new(OneApi(Arc::new(self.api.clone())));
        crate::run_with(options, apis, shutdown, self.env.clone(), crate::Orders::none(), script).await.unwrap()
    }

    fn bind(&self, name: &str, node: &str) {
        self.api.put(&kinds::POD, pod(name, Some(node)));
    }

    fn pod(&self, name: &str) -> Option<Value> {
        self.api.get(&kinds::POD, &Key::new("x", name))
    }

    fn count(&self, request: &str) -> usize {
        self.api.requests().iter().filter(|one| one.starts_with(request)).count()
    }
}

fn pod(name: &str, node: Option<&str>) -> Value {
    let spec = json!({ "nodeName": node, "terminationGracePeriodSeconds": 30, "containers": [{ "name": "c", "image": "i:1" }] });
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "x" }, "spec": spec })
}

fn lasting(options: Options, seconds: u64) -> Options {
    Options { duration: Some(Duration::from_secs(seconds)), ..options }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

#[tokio::test(start_paused = true)]
async fn nodes_register_and_renew_their_leases() {
    let cluster = Cluster::new();
    let report = cluster.run(lasting(Options::nodes(20), 65), |_| {}).await;
    let nodes = cluster.api.list(&kinds::NODE);
    assert_eq!((nodes.len(), report.nodes.up), (20, 20));
    assert_eq!(nodes[0]["status"]["conditions"][3]["status"], "True");
    let leases = cluster.api.list(&kinds::LEASE);
    assert_eq!(leases.len(), 20);
    assert_eq!(leases[0]["metadata"]["ownerReferences"][0]["uid"], nodes[0]["metadata"]["uid"]);
    // Every 10 s with a little jitter: 6 or 7 in 65 s, at a random phase.
    let renewals = cluster.count("patch leases");
    assert!((20 * 5..=20 * 7).contains(&renewals), "{renewals}");
    assert!(report.trouble.failures.is_empty(), "{:?}", report.trouble);
}

#[tokio::test(start_paused = true)]
async fn pods_come_up_and_go_down_in_both_profiles_and_modes() {
    for (options, mode) in [
        (Options::nodes(3), Mode::SharedWatch),
        (Options::nodes(3), Mode::WatchPerNode),
        (Options::fast(3), Mode::SharedWatch),
    ] {
        let cluster = Cluster::new();
        cluster.bind("early", "hollow-1");
        let mut step = 0;
        let report = cluster
            .run(lasting(Options { mode, ..options }, 20), |progress| match (step, progress.ready) {
                (0, 1) => {
                    step = 1;
                    cluster.bind("late", "hollow-2");
                    cluster.bind("foreign", "another-node");
                }
                (1, 2) => {
                    step = 2;
                    assert!(is_ready(&cluster.pod("late").unwrap()));
                    let delete = Request::Delete {
                        target: Target::new(kinds::POD, "x", "late"),
                        preconditions: Default::default(),
                        grace_period_seconds: None,
                        propagation: None,
                    };
                    let api = cluster.api.clone();
                    tokio::spawn(async move { api.call(delete).await.unwrap() });
                }
                _ => {}
            })
            .await;
        assert_eq!((step, report.pods.ready, report.pods.ended), (2, 1, 1), "{mode:?} {report:?}");
        assert!(cluster.pod("late").is_none());
        assert!(cluster.pod("foreign").unwrap()["status"]["phase"] != "Running");
        assert_eq!(report.pod_latency_ms.ready.count, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn the_fast_profile_is_one_write_per_pod_and_no_leases() {
    let cluster = Cluster::new();
    (0..3).for_each(|index| cluster.bind(&format!("p{index}"), &format!("hollow-{index}")));
    cluster.run(lasting(Options::fast(3), 60), |_| {}).await;
    assert_eq!((cluster.count("patch pods/status"), cluster.count("create leases")), (3, 0));
    assert_eq!(cluster.pod("p1").unwrap()["status"]["containerStatuses"][0]["ready"], true);
}

#[tokio::test(start_paused = true)]
async fn failures_are_waited_out_and_reported() {
    let cluster = Cluster::new();
    let fault = |verb, times, trouble| Fault { verb, kind: None, times, trouble };
    let mut busy = everynode_api::status::Status::failure(429, "TooManyRequests", "later");
    busy.details.get_or_insert_default().retry_after_seconds = 3;
    cluster.api.fault(fault("create", 2, RequestFault::Refuse(Box::new(busy))));
    cluster.api.fault(fault("create", 1, RequestFault::LoseAnswer));
    cluster.api.fault(fault("list", 2, RequestFault::Unreachable));
    cluster.bind("a", "hollow-0");
    let mut dropped = false;
    let report = cluster
        .run(lasting(Options::nodes(4), 60), |progress| {
            if progress.ready == 1 && !std::mem::replace(&mut dropped, true) {
                cluster.api.fault(fault("patch", 3, RequestFault::LoseRequest));
                cluster.api.drop_watches();
                cluster.api.compact();
                cluster.bind("b", "hollow-1");
            }
        })
        .await;
    assert_eq!((report.nodes.up, report.pods.ready), (4, 2), "{report:?}");
    assert!(report.trouble.throttled == 2 && report.trouble.reconnects >= 2, "{:?}", report.trouble);
    assert!(report.trouble.failures.contains_key("unreachable"), "{:?}", report.trouble);
    assert!(report.trouble.retries >= 3);
}

/// Neither credentials that are wrong nor missing rights are worth a storm.
#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_is_asked_less_and_less_often() {
    for (code, reason) in [(401, "Unauthorized"), (403, "Forbidden")] {
        let cluster = Cluster::new();
        let refused = everynode_api::status::Status::failure(code, reason, "no");
        for verb in ["create", "list"] {
            let trouble = RequestFault::Refuse(Box::new(refused.clone()));
            cluster.api.fault(Fault { verb, kind: None, times: 1000, trouble });
        }
        let report = cluster.run(lasting(Options::nodes(1), 300), |_| {}).await;
        assert_eq!(report.nodes.up, 0);
        let failure = &report.trouble.failures[&format!("{code} {reason}")];
        assert!(failure.count == report.trouble.retries + report.trouble.reconnects, "{:?}", report.trouble);
        // Registrations about every 7 s in the end, lists about every 20 s.
        let (creates, lists) = (cluster.count("create nodes"), cluster.count("list pods"));
        assert!((30..=70).contains(&creates) && (10..=35).contains(&lists), "{creates} {lists}");
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_join_leave_die_flap_and_are_cut_off() {
    let at = |at: u64, count: usize, event: StepEvent| Step {
        at: Duration::from_secs(at),
        over: Duration::from_secs(1),
        count,
        group: None,
        event,
    };
    let forty = crate::Delay::Fixed(Duration::from_secs(40));
    let steps = vec![
        at(5, 5, StepEvent::Join),
        at(10, 2, StepEvent::Leave),
        at(20, 1, StepEvent::Die),
        at(30, 1, StepEvent::Flap { down_for: forty }),
        at(30, 1, StepEvent::CutOff { cut_off_for: forty }),
    ];
    let cluster = Cluster::new();
    let mut low = u64::MAX;
    let report = cluster
        .run(lasting(Options { steps, ..Options::nodes(5) }, 120), |progress| {
            if progress.since_start > Duration::from_secs(40) {
                low = low.min(progress.nodes_up);
            }
        })
        .await;
    assert_eq!(cluster.api.list(&kinds::NODE).len(), 8);
    assert_eq!((report.nodes.up, low), (7, 5));
    let nodes = report.nodes;
    assert_eq!((nodes.left, nodes.died, nodes.flapped, nodes.cut_off), (2, 1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_cut_off_node_runs_on_and_catches_up() {
    let steps = vec![Step {
        at: Duration::from_secs(10),
        over: Duration::ZERO,
        count: 1,
        group: None,
        event: StepEvent::CutOff { cut_off_for: crate::Delay::Fixed(Duration::from_secs(30)) },
    }];
    let cluster = Cluster::new();
    let mut bound = false;
    let report = cluster
        .run(lasting(Options { steps, ..Options::nodes(1) }, 60), |progress| {
            let seconds = progress.since_start.as_secs();
            if seconds == 20 && !std::mem::replace(&mut bound, true) {
                cluster.bind("a", "hollow-0");
            }
            if (21..39).contains(&seconds) {
                assert_eq!(progress.ready, 0);
            }
        })
        .await;
    assert_eq!(report.pods.ready, 1);
}

#[tokio::test(start_paused = true)]
async fn clean_up_leaves_nothing() {
    let cluster = Cluster::new();
    let options = Options { clean_up: true, ..lasting(Options::nodes(3), 15) };
    cluster.run(options, |_| {}).await;
    assert!(cluster.api.list(&kinds::NODE).is_empty() && cluster.api.list(&kinds::LEASE).is_empty());
}

/// A conflict does not mean that the pod is gone: a pod that is never removed would hold up its set
/// for ever.
#[tokio::test(start_paused = true)]
async fn conflicts_are_tried_again() {
    for options in [Options::fast(1), Options::nodes(1)] {
        let cluster = Cluster::new();
        cluster.bind("a", "hollow-0");
        let mut deleted = false;
        let report = cluster
            .run(lasting(options, 60), |progress| {
                if progress.ready == 1 && !std::mem::replace(&mut deleted, true) {
                    let conflict = everynode_api::status::Status::modified(&kinds::POD, "a");
                    let trouble = RequestFault::Refuse(Box::new(conflict));
                    let delete = Request::Delete {
                        target: Target::new(kinds::POD, "x", "a"),
                        preconditions: Default::default(),
                        grace_period_seconds: None,
                        propagation: None,
                    };
                    let api = cluster.api.clone();
                    tokio::spawn(async move {
                        api.call(delete).await.unwrap();
                        api.fault(Fault { verb: "delete", kind: Some(kinds::POD), times: 1, trouble });
                    });
                }
            })
            .await;
        assert!(cluster.pod("a").is_none(), "{report:?}");
        assert_eq!((report.trouble.retries, report.pods.there), (1, 0), "{report:?}");
    }
}
