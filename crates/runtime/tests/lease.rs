//! Leader election against the server in memory, in simulated time.

use std::sync::Arc;
use std::time::Duration;

use everynode_api::kinds;
use everynode_api::meta::Key;
use everynode_runtime::lease::{Election, End, Timing};
use everynode_runtime::testing::{Fault, MemoryApi, Trouble};
use everynode_runtime::{Env, Shutdown, Trigger};
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
    Election {
        api: Arc::new(api.clone()),
        env: env.clone(),
        namespace: "kube-system".into(),
        name: "everynode-controller".into(),
        identity: identity.into(),
        timing: Timing::default(),
    }
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
    // The first one is cut off: all that it asks gets lost. Nobody else asks yet.
    api.fault(Fault { verb: "", kind: Some(kinds::LEASE), times: usize::MAX, trouble: Trouble::Unreachable });
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
