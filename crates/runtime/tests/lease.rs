//! Leader election against the server in memory, in simulated time.

use std::sync::Arc;
use std::time::Duration;

use everynode_api::kinds;
use everynode_api::meta::Key;
use everynode_api::ports::{Request, Target};
use everynode_runtime::lease::{Election, End, LeaseCandidate, Timing};
use everynode_runtime::testing::{Fault, MemoryApi, RequestFault, Spread};
use everynode_runtime::{Env, Manager, Options, Shutdown, Trigger};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

struct Candidate {
    leading: watch::Receiver<bool>,
    trigger: Trigger,
    task: JoinHandle<End>,
}

fn env() -> Env {
    Env::simulated(1, "2026-01-01T00:00:00Z".parse().unwrap())
}

fn election(api: &MemoryApi, env: &Env, identity: &str) -> Election {
    let [namespace, name, identity] = ["kube-system", "everynode-controller", identity].map(str::to_owned);
    let lease = LeaseCandidate { namespace, name, identity };
    Election::new(Arc::new(api.clone()), env.clone(), lease, Timing::default()).unwrap()
}

fn stand(api: &MemoryApi, env: &Env, identity: &str) -> Candidate {
    let election = election(api, env, identity);
    let (sender, leading) = watch::channel(false);
    let (trigger, shutdown) = Shutdown::new();
    let task = tokio::spawn(async move { election.run(&sender, &shutdown).await });
    Candidate { leading, trigger, task }
}

fn holder(api: &MemoryApi) -> String {
    let lease = api.get(&kinds::LEASE, &Key::new("kube-system", "everynode-controller")).unwrap();
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_hands_over_when_it_stops() {
    // DS-F19
    let env = env();
    let api = MemoryApi::new(env.clone());
    let first = stand(&api, &env, "first");
    env.sleep(Duration::from_secs(1)).await;
    let second = stand(&api, &env, "second");
    env.sleep(Duration::from_secs(60)).await;
    assert!(*first.leading.borrow() && !*second.leading.borrow());
    first.trigger.fire();
    assert_eq!(first.task.await.unwrap(), End::Released);
    env.sleep(Duration::from_secs(5)).await;
    assert!(*second.leading.borrow());
    assert_eq!(holder(&api), "second");
    second.trigger.fire();
    assert_eq!(second.task.await.unwrap(), End::Released);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_gives_up_before_another_takes_over() {
    // DS-F19
    let env = env();
    let api = MemoryApi::new(env.clone());
    let first = stand(&api, &env, "first");
    env.sleep(Duration::from_secs(5)).await;
    assert!(*first.leading.borrow());
    // The first one is cut off: all that it asks gets lost. No other candidate asks yet.
    api.fault(Fault { verb: "", kind: Some(kinds::LEASE), times: usize::MAX, trouble: RequestFault::Unreachable });
    let cut_off = env.now();
    assert_eq!(first.task.await.unwrap(), End::Lost);
    let seconds = env.now().duration_since(cut_off).as_secs();
    assert!((8..=12).contains(&seconds), "gave up after {seconds} s");
    assert!(!*first.leading.borrow());
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_lease_was_taken_notices() {
    let env = env();
    let api = MemoryApi::new(env.clone());
    let first = stand(&api, &env, "first");
    env.sleep(Duration::from_secs(5)).await;
    let key = Key::new("kube-system", "everynode-controller");
    let mut lease = api.get(&kinds::LEASE, &key).unwrap();
    lease["spec"]["holderIdentity"] = "thief".into();
    api.put(&kinds::LEASE, lease);
    assert_eq!(first.task.await.unwrap(), End::Lost);
    assert_eq!(holder(&api), "thief");
}

#[tokio::test(start_paused = true)]
async fn the_leaders_work_stops_with_its_leadership() {
    // DS-F19
    let env = env();
    let api = MemoryApi::new(env.clone());
    let mut running = Vec::new();
    for identity in ["first", "second"] {
        let (election, shutdown) = (election(&api, &env, identity), Shutdown::new());
        let (working, stop) = (watch::channel(false), shutdown.1.clone());
        let (sender, works) = working;
        let task = tokio::spawn(async move {
            let work = async |stop: Shutdown| {
                sender.send_replace(true);
                stop.wait().await;
                sender.send_replace(false);
            };
            election.lead(&stop, work).await
        });
        running.push((works, shutdown.0, task));
        env.sleep(Duration::from_secs(1)).await;
    }
    env.sleep(Duration::from_secs(30)).await;
    let works: Vec<bool> = running.iter().map(|(works, ..)| *works.borrow()).collect();
    assert_eq!(works, [true, false]);
    let (first, trigger, task) = running.remove(0);
    trigger.fire();
    assert_eq!(task.await.unwrap(), End::Released);
    assert!(!*first.borrow());
    env.sleep(Duration::from_secs(5)).await;
    assert!(*running[0].0.borrow());
}

/// Takes the lease over, as another process does that has waited for it to run out.
fn take_over(api: &MemoryApi) {
    let key = Key::new("kube-system", "everynode-controller");
    let mut lease = api.get(&kinds::LEASE, &key).unwrap();
    lease["spec"]["holderIdentity"] = "second".into();
    lease["spec"]["leaseTransitions"] = 1.into();
    api.put(&kinds::LEASE, lease);
}

fn node(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

/// A controller that leads, and what it ends with.
async fn controller(api: &MemoryApi, env: &Env) -> (Trigger, JoinHandle<End>) {
    let election = election(api, env, "first");
    let mut manager = Manager::new(election.leaders_api(), env.clone());
    manager.add(Spread::default(), Options::default());
    let (trigger, shutdown) = Shutdown::new();
    let task = tokio::spawn(async move { election.lead(&shutdown, |stop| manager.run(stop)).await });
    env.sleep(Duration::from_secs(5)).await;
    (trigger, task)
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_is_fenced_out_stops() {
    // DS-F19
    let env = env();
    let api = MemoryApi::new(env.clone());
    api.put(&kinds::DAEMON_SET, json!({"metadata": {"name": "web", "namespace": "x"}}));
    api.put(&kinds::NODE, node("n0"));
    let (_trigger, task) = controller(&api, &env).await;
    assert_eq!(api.list(&kinds::POD).len(), 1, "a leader's writes are taken");
    // It does not hear of its end: nothing that it asks about the lease is answered.
    api.fault(Fault { verb: "", kind: Some(kinds::LEASE), times: usize::MAX, trouble: RequestFault::Unreachable });
    take_over(&api);
    let begun = env.now();
    (1..9).for_each(|index| drop(api.put(&kinds::NODE, node(&format!("n{index}")))));
    assert_eq!(task.await.unwrap(), End::Lost);
    assert!(env.now().duration_since(begun).as_secs() < 2, "the refused write ended it, not the deadline");
    assert_eq!(api.list(&kinds::POD).len(), 1, "and none was taken any more");
    let creates = api.requests().iter().filter(|line| line.starts_with("create pods")).count();
    assert_eq!(creates, 2, "one was refused, and no other was sent");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_asked_to_stop_finishes_before_it_gives_the_lease_up() {
    let env = env();
    let api = MemoryApi::new(env.clone());
    api.put(&kinds::DAEMON_SET, json!({"metadata": {"name": "web", "namespace": "x"}}));
    let (trigger, task) = controller(&api, &env).await;
    let trouble = RequestFault::Delay(Duration::from_secs(20));
    api.fault(Fault { verb: "create", kind: Some(kinds::POD), times: 1, trouble });
    api.put(&kinds::NODE, node("n0"));
    env.sleep(Duration::from_secs(1)).await;
    trigger.fire();
    env.sleep(Duration::from_secs(15)).await;
    assert_eq!(holder(&api), "first", "a write is still on its way");
    assert_eq!(task.await.unwrap(), End::Released);
    assert_eq!((holder(&api).as_str(), api.list(&kinds::POD).len()), ("", 1));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_once_leadership_is_uncertain() {
    let env = env();
    let api = MemoryApi::new(env.clone());
    let candidate = election(&api, &env, "first");
    let leaders = candidate.leaders_api();
    let create = || {
        let target = Target::new(kinds::CONFIG_MAP, "x", "a");
        leaders.call(Request::Create { target, body: json!({"metadata": {"name": "a"}}) })
    };
    let early = create().await.unwrap_err();
    assert_eq!(early.to_string(), "cannot reach the API server: not sent: this process does not lead yet");
    let (sender, shutdown) = (watch::channel(false).0, Shutdown::new());
    let task = tokio::spawn(async move { candidate.run(&sender, &shutdown.1).await });
    env.sleep(Duration::from_secs(1)).await;
    create().await.unwrap();
    // The process stands still for a while: its clock has gone on, its timers have not.
    env.jump(10_500);
    let late = create().await.unwrap_err();
    assert_eq!(late.to_string(), "cannot reach the API server: not sent: the leader lease was not renewed in time");
    task.abort();
}
