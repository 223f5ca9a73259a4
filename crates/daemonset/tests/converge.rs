//! Whatever happens, and whoever interferes: when changes stop, every eligible node has exactly one
//! ready pod of the newest revision, and the audit found nothing on the way (issue 3, "Proof").

mod world;

use everynode_api::kinds;
use everynode_api::meta::Key;
use everynode_api::time::rfc3339;
use everynode_api::view::{Effect, Pod};
use everynode_daemonset::Options;
use serde_json::json;
use world::trouble::{NODES, disturb};
use world::{HASH, World, node, set};

/// Everything heals, but what users decided stays.
fn settle(world: &mut World) {
    world.log("the world heals".into());
    world.bad_images.clear();
    for key in world.keys(&kinds::NODE) {
        world.change(&kinds::NODE, &key, |node| node["status"]["conditions"][0]["status"] = "True".into());
    }
    let mut quiet = 0;
    for _ in 0..1500 {
        let (_, plan) = world.pass(false);
        let idle = plan.actions.is_empty() && plan.status.is_none();
        world.live(60);
        quiet = if idle { quiet + 1 } else { 0 };
        if quiet > 30 {
            return;
        }
        if let Some(at) = plan.wake_at.filter(|at| idle && *at > world.now) {
            world.now = at;
        }
    }
    panic!("no end of changes: {}", world.story());
}

/// Exactly one ready pod of the newest revision on every eligible node; elsewhere only what may
/// stay (DS-B04).
fn assert_converged(world: &World) {
    let seen = world.gather();
    let selects = seen.set.spec.template.spec.node_selector.clone();
    for node in seen.nodes.values() {
        let on: Vec<&Pod> =
            seen.pods().map(|pod| &**pod).filter(|pod| pod.target_node() == Some(node.name())).collect();
        let on: Vec<&Pod> = on.into_iter().filter(|pod| pod.meta.controller().is_some()).collect();
        let effects: Vec<Effect> = node.spec.taints.iter().map(|taint| taint.effect).collect();
        let kept_off = node.spec.unschedulable && respects(&seen, world);
        let tainted =
            node.spec.taints.iter().any(|taint| taint.key.as_ref() == "k" && taint.effect == Effect::NoSchedule);
        let fits = selects.iter().all(|(key, value)| node.meta.labels.get(key) == Some(value));
        let story = || format!("node {}: {on:#?}\n{}", node.name(), world.story());
        match fits && !effects.contains(&Effect::NoExecute) {
            false => assert!(on.is_empty(), "{}", story()),
            true if tainted || kept_off => assert!(on.len() <= 1, "{}", story()),
            true => {
                let newest = newest_hash(&seen);
                let one = on.len() == 1 && on[0].is_ready() && on[0].meta.labels.get(HASH) == Some(&*newest);
                assert!(one, "{}", story());
            }
        }
    }
    let status = &seen.set.status;
    assert_eq!(status.number_available, status.desired_number_scheduled, "{}", world.story());
    assert_eq!(status.observed_generation, seen.set.meta.generation);
}

fn respects(seen: &everynode_daemonset::DaemonSetInput, world: &World) -> bool {
    let asks = seen.set.meta.annotations.get("everynode.dev/respect-cordon") == Some("true");
    asks && !world.controller.options.strict
}

fn newest_hash(seen: &everynode_daemonset::DaemonSetInput) -> String {
    let newest = seen.revisions.iter().max_by_key(|revision| revision.revision).expect("a revision");
    newest.meta.labels.get(HASH).unwrap_or_default().to_owned()
}

fn history(seed: u64, options: Options) {
    let mut world = World::new(seed, options, set(json!({ "type": "RollingUpdate" }), (seed % 3) as i64 * 4));
    for name in &NODES[..4] {
        world.create(&kinds::NODE, node(name));
    }
    for _ in 0..80 {
        if world.random.percent(25) {
            disturb(&mut world);
        }
        world.pass(true);
        world.live(50);
        let now = rfc3339(world.now);
        world.log(now);
    }
    settle(&mut world);
    assert_converged(&world);
}

/// Runs histories; `CONVERGE_SEEDS=5000` runs so many of each kind.
fn histories(first: u64, count: u64, options: Options) {
    #[allow(clippy::disallowed_methods, reason = "how many seeds is the caller's choice")]
    let asked = std::env::var("CONVERGE_SEEDS").ok().and_then(|text| text.parse().ok());
    (first..first + asked.unwrap_or(count)).for_each(|seed| history(seed, options.clone()));
}

#[test]
fn converges_after_any_history() {
    histories(0, 60, Options::default());
}

#[test]
fn the_original_behaviour_converges_too() {
    histories(1_000_000, 30, Options::strict());
}

/// Enough nodes for several blocks of sites: [`World::pass`] compares every plan with one that
/// judges all of them anew.
#[test]
fn many_nodes_are_judged_as_one_by_one() {
    let mut world = World::new(7, Options::default(), set(json!({ "type": "RollingUpdate" }), 4));
    world.change(&kinds::DAEMON_SET, &world.set_key(), |set| {
        set["spec"]["updateStrategy"]["rollingUpdate"] = json!({ "maxUnavailable": "20%" });
    });
    let name = |number: u64| format!("many-{number:03}");
    for number in 0..200 {
        world.create(&kinds::NODE, node(&name(number)));
    }
    for round in 0..60 {
        // Some come and some go, all over the place; what else happens to the first few is
        // `disturb`'s affair.
        let any = name(world.random.below(250));
        match round % 4 {
            0 => world.remove(&kinds::NODE, &Key::cluster(&any)),
            1 => drop(world.create(&kinds::NODE, node(&any))),
            _ => disturb(&mut world),
        }
        world.pass(true);
        world.live(if round % 10 == 0 { 50 } else { 3 });
    }
    assert!(world.gather().owned.len() > 100, "{}", world.story());
}

#[test]
fn small_bursts_converge() {
    histories(2_000_000, 20, Options { burst: 2, ..Options::default() });
}
