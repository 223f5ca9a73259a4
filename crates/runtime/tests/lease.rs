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

fn stand(api: &MemoryApi, env: &Env, identity: &str) -> Candidate {
    let election = Election {
        api: Arc::new(api.clone()),
        env: env.clone(),
        namespace: "kube-system".into(),
        name: "everynode-controller".into(),
        identity: identity.into(),
        timing: Timing::default(),
    };
    let (sender, leading) = watch::channel(false);
    let (trigger, shutdown) = Shutdown::new();
    let task = tokio::spawn(async move { election.run(&sender, &shutdown).await });
    Candidate { leading, trigger, task }
}

fn holder(api: &MemoryApi) -> String {
    let lease = api
        .get(&kinds::LEASE, &Key::new("kube-system", "everynode-controller"))
        .unwrap();
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
    api.fault(Fault {
        verb: "",
        kind: Some(kinds::LEASE),
        times: usize::MAX,
        trouble: Trouble::Unreachable,
    });
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
