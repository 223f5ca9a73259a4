//! A health probe as a machine's supervisor would make it: a new connection each time, without
//! credentials.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::endpoint::Endpoint;

const EVERY: Duration = Duration::from_millis(100);

/// A probe that runs.
pub(super) struct Probe {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Probed>,
}

/// What it found.
#[derive(Debug, Default)]
pub(super) struct Probed {
    /// How long each answer took, connecting included.
    pub(super) milliseconds: Vec<f64>,
    /// Not answered, or not by 200.
    pub(super) failed: usize,
}

impl Probed {
    pub(super) fn asked(&self) -> usize {
        self.milliseconds.len()
    }
}

impl Probe {
    pub(super) fn start(endpoint: Endpoint) -> Probe {
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut probed = Probed::default();
            let mut ticks = tokio::time::interval(EVERY);
            // After a late answer the next question is asked at once, and then as usual.
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = &mut stopped => return probed,
                    _ = ticks.tick() => {}
                }
                let began = Instant::now();
                let answer = endpoint.ask("GET", "/readyz", "", String::new()).await;
                probed.milliseconds.push(began.elapsed().as_secs_f64() * 1000.0);
                probed.failed += usize::from(!matches!(answer, Ok((200, _))));
            }
        });
        Probe { stop, task }
    }

    /// Ends it; an answer that is under way is waited for.
    pub(super) async fn stop(self) -> Probed {
        let _ = self.stop.send(());
        self.task.await.unwrap_or_default()
    }
}
