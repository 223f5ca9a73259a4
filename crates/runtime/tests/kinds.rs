//! Kinds that come and go while the garbage collector and the namespace controller run, in
//! simulated time.

use std::sync::Arc;
use std::time::Duration;

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_controllers::garbage::Garbage;
use everynode_controllers::namespaces::Namespaces;
use everynode_runtime::testing::MemoryApi;
use everynode_runtime::{Env, Manager, Options, Shutdown, Trigger};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Longer than any round of discovery is away.
const LONG: Duration = Duration::from_secs(60);
const WIDGETS: &str = "/apis/example.com/v1";

struct Running {
    api: MemoryApi,
    env: Env,
    _trigger: Trigger,
    task: JoinHandle<()>,
}

fn widget() -> Kind {
    let (group, version) = ("example.com".into(), "v1".into());
    Kind { group, version, kind: "Widget".into(), plural: "widgets".into(), namespaced: true }
}

/// A server that serves some kinds.
fn server(env: &Env, more: &[Kind]) -> MemoryApi {
    let api = MemoryApi::new(env.clone());
    api.serve(&[kinds::NAMESPACE, kinds::POD, kinds::CONFIG_MAP, kinds::DAEMON_SET]);
    api.serve(more);
    api
}

fn env() -> Env {
    Env::simulated(1, "2026-01-01T00:00:00Z".parse().unwrap())
}

impl Running {
    async fn start(api: MemoryApi, env: Env) -> Running {
        let mut manager = Manager::new(Arc::new(api.clone()), env.clone());
        manager.discover(|_| true);
        manager.add(Garbage, Options::default());
        manager.add(Namespaces, Options::default());
        let (trigger, shutdown) = Shutdown::new();
        let task = tokio::spawn(manager.run(shutdown));
        let running = Running { api, env, _trigger: trigger, task };
        running.pass(Duration::from_secs(5)).await;
        running
    }

    /// Time passes, with bookmarks.
    async fn pass(&self, time: Duration) {
        for _ in 0..time.as_secs() {
            self.env.sleep(Duration::from_secs(1)).await;
            self.api.bookmark();
        }
        assert!(!self.task.is_finished(), "the manager ended by itself");
    }

    fn has_pod(&self, name: &str) -> bool {
        self.api.get(&kinds::POD, &Key::new("x", name)).is_some()
    }

    fn count(&self, prefix: &str) -> usize {
        self.api.requests().iter().filter(|line| line.starts_with(prefix)).count()
    }
}

fn object(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "x"}})
}

/// A pod that this owner has.
fn owned(name: &str, kind: &Kind, owner: &Value) -> Value {
    let (owner, uid) = (&owner["metadata"]["name"], &owner["metadata"]["uid"]);
    let owner = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "name": owner, "uid": uid});
    json!({"metadata": {"name": name, "namespace": "x", "ownerReferences": [owner]}})
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_dropped_and_comes_back_costs_no_owner_its_dependents() {
    // DS-C84
    let env = env();
    let api = server(&env, &[widget()]);
    let owner = api.put(&widget(), object("w"));
    api.put(&kinds::POD, owned("p", &widget(), &owner));
    let running = Running::start(api, env).await;
    assert!(running.has_pod("p"));
    running.api.drop_kind(&widget());
    running.pass(LONG).await;
    let before = running.count("list widgets");
    running.pass(LONG * 10).await;
    assert!(running.has_pod("p"), "what became of the owner is not known");
    assert_eq!(running.count("list widgets"), before, "nobody asks for the kind any more");
    running.api.serve(&[widget()]);
    running.pass(LONG).await;
    assert!(running.has_pod("p") && running.count("list widgets") > before);
    running.api.remove(&widget(), &Key::new("x", "w"));
    running.pass(Duration::from_secs(5)).await;
    assert!(!running.has_pod("p"));
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_went_with_its_kind_is_absent_once_the_kind_is_back() {
    let env = env();
    let api = server(&env, &[widget()]);
    let owner = api.put(&widget(), object("w"));
    api.put(&kinds::POD, owned("p", &widget(), &owner));
    let running = Running::start(api, env).await;
    running.api.drop_kind(&widget());
    running.api.remove(&widget(), &Key::new("x", "w"));
    running.pass(LONG).await;
    assert!(running.has_pod("p"));
    running.api.serve(&[widget()]);
    running.pass(LONG).await;
    assert!(!running.has_pod("p"));
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_appears_is_collected_from_then_on() {
    // DS-C80, DS-C84
    let env = env();
    let api = server(&env, &[]);
    let here = api.put(&widget(), object("here"));
    let gone = json!({"metadata": {"name": "gone", "uid": "gone"}});
    api.put(&kinds::POD, owned("kept", &widget(), &here));
    api.put(&kinds::POD, owned("left", &widget(), &gone));
    let running = Running::start(api, env).await;
    running.pass(LONG).await;
    assert!(running.has_pod("kept") && running.has_pod("left"), "nothing is known of the owners");
    running.api.serve(&[widget()]);
    running.pass(LONG).await;
    assert!(running.has_pod("kept") && !running.has_pod("left"));
}

#[tokio::test(start_paused = true)]
async fn a_broken_api_stops_nothing_else_and_its_objects_are_not_absent() {
    let env = env();
    let api = server(&env, &[widget()]);
    let owner = api.put(&widget(), object("w"));
    let set = api.put(&kinds::DAEMON_SET, object("set"));
    api.put(&kinds::POD, owned("widgets", &widget(), &owner));
    api.put(&kinds::POD, owned("sets", &kinds::DAEMON_SET, &set));
    let running = Running::start(api.clone(), env.clone()).await;
    api.set_broken(WIDGETS, true);
    running.pass(LONG).await;
    api.remove(&kinds::DAEMON_SET, &Key::new("x", "set"));
    running.pass(LONG).await;
    assert!(running.has_pod("widgets") && !running.has_pod("sets"));
    // Another process that never saw the kind knows as little.
    let second = Running::start(api.clone(), env).await;
    second.pass(LONG).await;
    assert!(second.has_pod("widgets"));
    api.set_broken(WIDGETS, false);
    second.pass(LONG).await;
    assert!(second.has_pod("widgets"));
    api.remove(&widget(), &Key::new("x", "w"));
    second.pass(Duration::from_secs(5)).await;
    assert!(!second.has_pod("widgets"));
}

#[tokio::test(start_paused = true)]
async fn a_whole_branch_of_discovery_may_fail() {
    let env = env();
    let api = server(&env, &[widget()]);
    let owner = api.put(&widget(), object("w"));
    api.put(&kinds::POD, owned("p", &widget(), &owner));
    let running = Running::start(api, env).await;
    for path in ["/apis", "/api"] {
        running.api.set_broken(path, true);
        running.pass(LONG).await;
        assert!(running.has_pod("p"));
        running.api.set_broken(path, false);
        running.pass(LONG).await;
        assert!(running.has_pod("p"));
    }
}

fn terminating() -> Value {
    json!({"metadata": {"name": "x", "deletionTimestamp": "2026-01-01T00:00:00Z"},
           "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Terminating"}})
}

fn is_finalized(api: &MemoryApi) -> bool {
    let namespace = api.get(&kinds::NAMESPACE, &Key::cluster("x")).unwrap();
    namespace["spec"]["finalizers"].as_array().is_some_and(Vec::is_empty)
}

#[tokio::test(start_paused = true)]
async fn a_namespace_is_emptied_of_kinds_that_appeared_just_before() {
    // DS-I26
    let env = env();
    let running = Running::start(server(&env, &[]), env).await;
    // No round of discovery is due for long; the namespace's end asks for one.
    running.api.serve(&[widget()]);
    running.api.put(&widget(), object("w"));
    running.api.put(&kinds::CONFIG_MAP, object("c"));
    running.api.put(&kinds::NAMESPACE, terminating());
    running.pass(Duration::from_secs(10)).await;
    let requests = running.api.requests();
    let place = |wanted: &str| requests.iter().position(|line| line == wanted);
    let (emptied, ended) = (place("delete widgets x/w"), place("patch namespaces/finalize x"));
    assert!(emptied.is_some() && emptied < ended, "{emptied:?} {ended:?}");
    assert!(is_finalized(&running.api) && running.api.list(&kinds::CONFIG_MAP).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_namespace_waits_for_what_cannot_be_discovered_and_says_so() {
    // DS-I26
    let env = env();
    let api = server(&env, &[widget()]);
    api.set_broken(WIDGETS, true);
    api.put(&widget(), object("w"));
    let running = Running::start(api, env).await;
    running.api.put(&kinds::NAMESPACE, terminating());
    running.pass(LONG).await;
    assert!(!is_finalized(&running.api));
    let namespace = running.api.get(&kinds::NAMESPACE, &Key::cluster("x")).unwrap();
    let conditions = namespace["status"]["conditions"].as_array().unwrap();
    let failure = conditions.iter().find(|one| one["type"] == "NamespaceDeletionDiscoveryFailure").unwrap();
    assert_eq!((&failure["status"], &failure["reason"]), (&json!("True"), &json!("DiscoveryFailed")));
    running.api.set_broken(WIDGETS, false);
    running.pass(LONG).await;
    assert!(is_finalized(&running.api) && running.api.list(&widget()).is_empty());
}
