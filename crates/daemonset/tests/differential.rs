//! The same random histories through the plan and through a plain, slow model of the rules.

mod model;
mod world;

use std::collections::BTreeSet;

use everynode_api::kinds;
use everynode_api::reconcile::Action;
use everynode_daemonset::{DaemonSetNote, Options, Plan};
use model::{Model, PassActions};
use serde_json::json;
use world::trouble::{NODES, disturb};
use world::{World, node, set};

fn pass_actions(plan: &Plan) -> PassActions {
    let mut pass_actions = PassActions::default();
    for action in &plan.actions {
        match action {
            Action::Create { target, body, .. } if target.kind == kinds::POD => {
                let pod: everynode_api::view::Pod = serde_json::from_value(body.clone()).unwrap();
                pass_actions.creates.insert(pod.target_node().unwrap_or_default().to_owned());
            }
            Action::Delete { target, .. } if target.kind == kinds::POD => {
                pass_actions.deletes.insert(target.name.clone());
            }
            _ => {}
        }
    }
    pass_actions
}

/// A plan that only puts labels or revisions right is not compared: the model knows nothing of
/// those.
fn is_preparing(plan: &Plan) -> bool {
    let waits_for_a_name = plan.notes.iter().any(|note| matches!(note, DaemonSetNote::NameTaken { .. }));
    waits_for_a_name
        || plan.actions.iter().any(|action| match action {
            Action::Create { target, .. } => target.kind == kinds::CONTROLLER_REVISION,
            Action::Patch { target, body, .. } => target.kind == kinds::POD && !body["metadata"]["labels"].is_null(),
            _ => false,
        })
}

fn compare(seed: u64, options: Options) {
    let mut model = Model::new(options.strict);
    let mut world = World::new(seed, options, set(json!({ "type": "RollingUpdate" }), (seed % 3) as i64 * 4));
    for name in &NODES[..5] {
        world.create(&kinds::NODE, node(name));
    }
    for _ in 0..100 {
        if world.random.percent(30) {
            disturb(&mut world);
        }
        let now = world.now;
        let (seen, plan) = world.pass(true);
        let expected = model.pass(&seen, now);
        if let (Some(expected), false) = (expected, is_preparing(&plan)) {
            assert_eq!(pass_actions(&plan), expected, "{}", world.story());
        }
        world.live(50);
        world.log(format!("now {}", world.now));
    }
}

fn all(first: u64, count: u64, options: Options) {
    #[allow(clippy::disallowed_methods, reason = "how many seeds is the caller's choice")]
    let asked = std::env::var("CONVERGE_SEEDS").ok().and_then(|text| text.parse().ok());
    (first..first + asked.unwrap_or(count)).for_each(|seed| compare(seed, options.clone()));
}

#[test]
fn the_plan_does_what_the_plain_rules_say() {
    all(10_000, 60, Options::default());
}

#[test]
fn the_original_behaviour_is_what_the_plain_rules_say() {
    let unbounded = Options { burst: 100, ..Options::strict() };
    all(20_000, 40, unbounded);
}

#[test]
fn names_of_pods_are_distinct() {
    let mut names = BTreeSet::new();
    let mut world = World::new(1, Options::default(), set(json!({ "type": "RollingUpdate" }), 0));
    (0..500).for_each(|number| {
        world.create(&kinds::NODE, node(&format!("node-{number}")));
    });
    for _ in 0..3 {
        world.pass(false);
    }
    world.keys(&kinds::POD).into_iter().for_each(|key| assert!(names.insert(key)));
    assert_eq!(names.len(), 500);
}
