//! What users, machines and bad luck do.

use everynode_api::kinds;
use everynode_api::meta::Key;
use everynode_api::time::rfc3339;
use serde_json::{Value, json};

use super::{HASH, World, node, template};

pub const NODES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

fn strategy(world: &mut World) -> Value {
    let rolling = |unavailable: Value, surge: Value| json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": unavailable, "maxSurge": surge } });
    match world.random.below(6) {
        0 => rolling(json!(0), json!(1)),
        1 => rolling(json!(0), json!("30%")),
        2 => rolling(json!(2), json!(0)),
        3 => rolling(json!("40%"), json!(0)),
        _ => rolling(json!(1), json!(0)),
    }
}

/// One thing that a user, a machine or bad luck does.
pub fn disturb(world: &mut World) {
    let set = world.set_key();
    let pods = world.keys(&kinds::POD);
    let pod = world.random.pick(&pods).cloned();
    let name = *world.random.pick(&NODES).unwrap();
    let at = Key::cluster(name);
    let what = world.random.below(19);
    world.log(format!("disturbance {what} at {name}, {pod:?}"));
    match (what, pod) {
        (0, _) => {
            world.create(&kinds::NODE, node(name));
        }
        (1, _) => world.remove(&kinds::NODE, &at),
        (2, Some(pod)) => world.delete(&kinds::POD, &pod),
        (3, Some(pod)) => world.remove(&kinds::POD, &pod),
        (4, Some(pod)) => world.change(&kinds::POD, &pod, |pod| pod["status"]["phase"] = "Failed".into()),
        (5, Some(pod)) => world.change(&kinds::POD, &pod, |pod| pod["status"]["phase"] = "Succeeded".into()),
        (6, Some(pod)) => world.change(&kinds::POD, &pod, |pod| pod["metadata"]["labels"] = json!({ "app": "other" })),
        (7, Some(pod)) => world.change(&kinds::POD, &pod, |pod| pod["metadata"]["ownerReferences"] = json!([])),
        (8, Some(pod)) => world.change(&kinds::POD, &pod, |pod| pod["metadata"]["labels"][HASH] = "odd".into()),
        (9, _) => taint(world, &at),
        (10, _) => {
            let labels = if world.random.percent(50) { json!({ "disk": "ssd" }) } else { json!({}) };
            world.change(&kinds::NODE, &at, |node| node["metadata"]["labels"] = labels);
        }
        (11 | 12, _) => silence(world, &at),
        (13 | 14, _) => update(world, &set),
        (15, _) => {
            let strategy = strategy(world);
            world.change(&kinds::DAEMON_SET, &set, |set| set["spec"]["updateStrategy"] = strategy);
        }
        (16, _) => cordon(world, &at),
        (17, _) => {
            let respects = world.random.percent(50);
            world.change(&kinds::DAEMON_SET, &set, |set| {
                set["metadata"]["annotations"]["everynode.dev/respect-cordon"] = respects.to_string().into();
            });
        }
        (18, _) => {
            let wait = world.random.below(8);
            world.change(&kinds::DAEMON_SET, &set, |set| set["spec"]["minReadySeconds"] = wait.into());
        }
        _ => {}
    }
}

fn cordon(world: &mut World, at: &Key) {
    let is = world.random.percent(50);
    let taint = json!([{ "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule" }]);
    world.change(&kinds::NODE, at, |node| {
        node["spec"] = json!({ "unschedulable": is, "taints": if is { taint } else { json!([]) } });
    });
}

fn taint(world: &mut World, at: &Key) {
    let effect = *world.random.pick(&["NoSchedule", "NoExecute", ""]).unwrap();
    let taints = if effect.is_empty() { json!([]) } else { json!([{ "key": "k", "effect": effect }]) };
    world.change(&kinds::NODE, at, |node| node["spec"]["taints"] = taints);
}

fn silence(world: &mut World, at: &Key) {
    let status = *world.random.pick(&["True", "Unknown", "False"]).unwrap();
    let now = rfc3339(world.now);
    world.change(&kinds::NODE, at, |node| {
        let ready = &mut node["status"]["conditions"][0];
        if ready["status"] != status {
            ready["status"] = status.into();
            ready["lastTransitionTime"] = now.into();
        }
    });
}

fn update(world: &mut World, set: &Key) {
    let image = format!("img:{}", world.random.below(5));
    if world.random.percent(30) {
        world.bad_images.push(image.clone());
    }
    let selects = world.random.percent(20);
    world.log(format!("template {image}, bad {:?}", world.bad_images));
    world.change(&kinds::DAEMON_SET, set, |set| {
        set["spec"]["template"] = template(&image);
        if selects {
            set["spec"]["template"]["spec"]["nodeSelector"] = json!({ "disk": "ssd" });
        }
        let generation = set["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        set["metadata"]["generation"] = generation.into();
    });
}
