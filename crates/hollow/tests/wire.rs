//! Nodes against a server that misbehaves, over real connections: one that throttles, one that dies
//! and comes back, one that refuses.

mod server;

use std::sync::Arc;
use std::time::Duration;

use everynode_hollow::{KubeconfigApis, Options, Orders, Progress, Report, run_with};
use everynode_runtime::{Env, Shutdown};

use crate::server::{Manners, Server};

/// Runs one node until `done`; it is asked about ten times a second.
async fn run_until(server: &Server, mut done: impl FnMut(&Progress) -> bool + Send) -> Report {
    let (trigger, shutdown) = Shutdown::new();
    let apis = Arc::new(KubeconfigApis::new(vec![server.kubeconfig()], None));
    let options = Options { leases: false, ..Options::nodes(1) };
    let mut trigger = Some(trigger);
    let told = |progress: &Progress| {
        if done(progress)
            && let Some(trigger) = trigger.take()
        {
            trigger.fire();
        }
    };
    run_with(options, apis, shutdown, Env::real(), Orders::none(), told).await.unwrap()
}

fn is_well(progress: &Progress) -> bool {
    progress.nodes_up == 1 && progress.watches == 1
}

#[tokio::test]
async fn a_server_that_throttles_is_obeyed() {
    let server = Server::start(Manners::default()).await;
    server.manners(|manners| manners.throttle_times = 1);
    let report = run_until(&server, is_well).await;
    let requests = server.requests();
    for what in ["POST /api/v1/nodes", "GET /api/v1/pods list", "GET /api/v1/pods watch"] {
        let [refused, repeated] = requests.iter().filter(|one| one.what == what).collect::<Vec<_>>()[..] else {
            panic!("{what}: {requests:?}")
        };
        let pause = repeated.at.duration_since(refused.at);
        assert!((refused.code, repeated.code / 100) == (429, 2), "{what}: {requests:?}");
        assert!(pause >= Duration::from_secs(server::RETRY_AFTER_SECONDS), "{what}: {pause:?}");
    }
    // The status of the pod that the watch brings is a fourth.
    assert!((3..=4).contains(&report.trouble.throttled), "{:?}", report.trouble);
}

#[tokio::test]
async fn a_server_that_dies_is_waited_for_and_the_watch_continues() {
    let server = Server::start(Manners::default()).await;
    let mut stage = 0;
    let report = run_until(&server, |progress| {
        match stage {
            // In the middle of an event.
            0 if is_well(progress) && progress.pods == 1 => server.die(),
            // It is tried again and again, in vain.
            1 if progress.reconnects >= 3 => {
                assert_eq!((progress.watches, progress.nodes_up), (0, 1));
                server.revive();
            }
            2 if progress.watches == 1 => return true,
            _ => return false,
        }
        stage += 1;
        false
    })
    .await;
    let trouble = &report.trouble;
    assert!(trouble.reconnects >= 3 && trouble.relists == 0, "{trouble:?}");
    assert!(trouble.failures["unreachable"].count >= 2, "{trouble:?}");
    let watches: Vec<String> =
        server.requests().iter().filter(|one| one.what.ends_with("watch")).map(|one| one.version.clone()).collect();
    // The list's revision, then that of the pod.
    assert_eq!(watches, ["5", "7"]);
    assert_eq!(server.requests().iter().filter(|one| one.what.ends_with("list")).count(), 1);
}

#[tokio::test]
async fn a_server_that_refuses_is_reported_and_asked_again() {
    for (code, kind) in [(401, "401 Unauthorized"), (403, "403 Forbidden")] {
        let server = Server::start(Manners { refuse: Some(code), ..Manners::default() }).await;
        let report = run_until(&server, |progress| {
            if progress.retries >= 2 && progress.reconnects >= 2 {
                let told = progress.failure.as_deref().unwrap_or_default();
                assert!(told.contains(kind), "{told}");
                server.manners(|manners| manners.refuse = None);
            }
            is_well(progress)
        })
        .await;
        assert!(report.trouble.failures[kind].count >= 4, "{:?}", report.trouble);
        assert_eq!(report.nodes.up, 1);
    }
}
