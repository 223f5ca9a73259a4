use super::*;

/// A pod and everything around it; time passes when told.
struct Stage {
    pod: RealPod,
    now: Timestamp,
    dice: Dice,
    times: PodTimes,
    failures: Failures,
    images: BTreeSet<u64>,
}

const PROBED: &str = r#"{"metadata":{"name":"a","namespace":"x","uid":"u","generation":1},
    "spec":{"nodeName":"n","terminationGracePeriodSeconds":30,
            "containers":[{"name":"c","image":"i:1","readinessProbe":{"httpGet":{"port":1}}}]}}"#;
const PLAIN: &str = r#"{"metadata":{"name":"a","namespace":"x","uid":"u","generation":1},
    "spec":{"nodeName":"n","containers":[{"name":"c","image":"i:1"}]}}"#;

fn stage(json: &str, times: PodTimes, failures: Failures, never_ready: bool) -> Stage {
    let pod = serde_json::from_str(json).unwrap();
    let pod = RealPod::new(pod, template::node_ip(0), 0, never_ready);
    Stage { pod, now: Timestamp::UNIX_EPOCH, dice: Dice::new(1), times, failures, images: BTreeSet::new() }
}

impl Stage {
    fn turn(&mut self) -> Turn {
        let Stage { pod, now, dice, times, failures, images } = self;
        pod.turn(&mut World { now: *now, dice, times, failures, images })
    }

    /// Writes each status at once, deletes when asked to, and wakes the pod when it wants to be, up
    /// to `until` seconds. Answers what a watcher would see.
    fn run(&mut self, until: i64) -> Vec<String> {
        let end = Timestamp::from_second(until).unwrap();
        let mut seen = Vec::new();
        loop {
            let turn = self.turn();
            if let Some(status) = turn.status {
                seen.push(format!("{}s {}", self.now.as_second(), in_short(&status)));
                self.pod.written(status);
                continue;
            }
            if turn.delete {
                seen.push(format!("{}s delete", self.now.as_second()));
                self.pod.deleted(self.now);
                // Only what the watch shows is believed.
                self.pod.gone();
                continue;
            }
            if turn.done {
                seen.push("done".into());
                return seen;
            }
            match turn.wake_at {
                Some(at) if at <= end => self.now = at,
                _ => return seen,
            }
        }
    }

    fn delete(&mut self, json: &str) {
        let json = json.replace(
            r#""generation":1"#,
            r#""generation":2,"deletionTimestamp":"2026-01-01T00:00:00Z","deletionGracePeriodSeconds":30"#,
        );
        assert!(self.pod.is_outdated(2, true, Some(30)));
        self.pod.heard(serde_json::from_str(&json).unwrap());
    }
}

fn in_short(status: &PodStatus) -> String {
    let container = &status.container_statuses.as_ref().unwrap()[0];
    let state = container.state.as_ref().unwrap();
    let waiting = state.waiting.as_ref().and_then(|waiting| waiting.reason.clone());
    let state = match (&state.running, &state.terminated) {
        (Some(_), _) => "running".to_owned(),
        (_, Some(ended)) => format!("exit {}", ended.exit_code),
        _ => waiting.unwrap_or_default(),
    };
    let ready = if running_and_ready(status).1 { "ready" } else { "unready" };
    format!("{} {state} restarts={} {ready}", status.phase.as_deref().unwrap(), container.restart_count)
}

fn seconds(text: &str) -> Delay {
    text.parse().unwrap()
}

#[test]
fn passes_through_the_real_states_with_delays() {
    let times = PodTimes {
        sandbox: seconds("1s"),
        pull: seconds("3s"),
        start: seconds("2s"),
        ready: seconds("5s"),
        stop: seconds("4s"),
    };
    let mut stage = stage(PROBED, times, Failures::default(), false);
    assert_eq!(
        stage.run(20),
        [
            "0s Pending ContainerCreating restarts=0 unready",
            "1s Pending ContainerCreating restarts=0 unready",
            "6s Running running restarts=0 unready",
            "11s Running running restarts=0 ready",
        ]
    );
    stage.delete(PROBED);
    let end = stage.run(60);
    assert_eq!(end[end.len() - 2..], ["15s delete", "done"], "{end:?}");
    assert!(end.contains(&"15s Succeeded exit 0 restarts=0 unready".into()), "{end:?}");
}

#[test]
fn without_delays_it_is_one_write() {
    let mut stage = stage(PLAIN, PodTimes::default(), Failures::default(), false);
    assert_eq!(stage.run(0), ["0s Running running restarts=0 ready"]);
}

#[test]
fn crashes_back_off_as_the_agent_does() {
    // DS-H10
    let failures = Failures { crash: crate::Probability(1.0), crash_after: seconds("1s"), ..Failures::default() };
    let mut stage = stage(PLAIN, PodTimes::default(), failures, false);
    let seen = stage.run(40);
    assert!(seen.iter().any(|line| line.contains("CrashLoopBackOff")), "{seen:?}");
    assert!(
        seen.contains(&"11s Running running restarts=1 ready".into())
            || seen.iter().any(|line| line.contains("restarts=2")),
        "{seen:?}"
    );
}

#[test]
fn never_ready_is_an_image_or_a_probe() {
    let probed = stage(PROBED, PodTimes::default(), Failures::default(), true).run(100);
    assert_eq!(probed.last().unwrap(), "0s Running running restarts=0 unready");
    let plain = stage(PLAIN, PodTimes::default(), Failures::default(), true).run(100);
    assert!(plain.iter().any(|line| line.contains("ErrImagePull")), "{plain:?}");
    assert!(plain.iter().any(|line| line.contains("ImagePullBackOff")), "{plain:?}");
}

#[test]
fn a_reboot_restarts_what_ran() {
    let mut stage = stage(PLAIN, PodTimes::default(), Failures::default(), false);
    stage.run(0);
    stage.now = Timestamp::from_second(100).unwrap();
    stage.pod.rebooted(stage.now);
    let seen = stage.run(200);
    assert!(seen.last().unwrap().ends_with("Running running restarts=1 ready"), "{seen:?}");
}

#[test]
fn a_pod_that_vanishes_leaves_nothing() {
    let mut stage = stage(PLAIN, PodTimes::default(), Failures::default(), false);
    stage.run(0);
    stage.pod.gone();
    assert_eq!(stage.run(100), ["done"]);
}
