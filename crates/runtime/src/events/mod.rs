//! Events: recorded without waiting, aggregated as the original does, written by one task.

mod correlate;
mod lru;

use std::sync::Arc;
use std::time::Duration;

use everynode_api::kinds;
use everynode_api::ports::{Api, ApiError, PatchType, Preconditions, Request, Target};
use everynode_api::reconcile::Event;
use everynode_api::time::rfc3339;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use self::correlate::{Correlator, Source, Written};
use crate::clock::Env;
use crate::metrics::{Counters, count};
use crate::shutdown::Shutdown;

/// Events that wait to be written: about 1 MB. More are dropped and counted; the correlator lets
/// through 25 per object at once anyway.
const QUEUE_MAX: usize = 1024;
/// Attempts per event where the server does not answer.
const ATTEMPTS_MAX: u32 = 4;
/// Pause before the second attempt; doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// How long the events that are left may take at shutdown.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// The way into the queue of events of one process. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<PendingEvent>,
    env: Env,
    counters: Arc<Counters>,
}

/// One component's voice. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    events: Events,
    source: Arc<Source>,
}

struct PendingEvent {
    source: Arc<Source>,
    event: Event,
    at: Timestamp,
}

impl Events {
    /// The queue and the task that empties it.
    pub fn new(api: Arc<dyn Api>, env: Env, counters: Arc<Counters>) -> (Events, EventWriter) {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let events = Events { queue: sender, env: env.clone(), counters: counters.clone() };
        (events, EventWriter { api, env, counters, queue: receiver, correlator: Correlator::new() })
    }

    /// The voice of `component` (`daemonset-controller`, `kubelet`) on `host` (empty for
    /// controllers).
    pub fn recorder(&self, component: &str, host: &str) -> Recorder {
        let source = Source { component: component.into(), host: host.into() };
        Recorder { events: self.clone(), source: Arc::new(source) }
    }
}

impl Recorder {
    /// Says `event`. Never waits: if the queue is full the event is dropped and counted.
    pub fn record(&self, event: Event) {
        let said = PendingEvent { source: self.source.clone(), event, at: self.events.env.now() };
        if self.events.queue.try_send(said).is_err() {
            count(&self.events.counters.events_dropped_total);
        }
    }
}

/// The task that aggregates events and writes them.
pub struct EventWriter {
    api: Arc<dyn Api>,
    env: Env,
    counters: Arc<Counters>,
    queue: mpsc::Receiver<PendingEvent>,
    correlator: Correlator,
}

impl EventWriter {
    /// Runs until shutdown, then writes what is left, for at most a second.
    pub async fn run(mut self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                biased;
                () = shutdown.wait() => break,
                said = self.queue.recv() => match said {
                    Some(said) => self.write(said, &shutdown).await,
                    None => return,
                },
            }
        }
        let env = self.env.clone();
        tokio::select! {
            biased;
            () = self.drain(&shutdown) => {}
            () = env.sleep(DRAIN_MAX) => {}
        }
    }

    async fn drain(&mut self, shutdown: &Shutdown) {
        while let Ok(said) = self.queue.try_recv() {
            self.write(said, shutdown).await;
        }
    }

    async fn write(&mut self, said: PendingEvent, shutdown: &Shutdown) {
        let Some(written) = self.correlator.correlate(&said.source, &said.event, said.at) else {
            return count(&self.counters.events_dropped_total);
        };
        match self.send(&said, &written, shutdown).await {
            Ok(()) => count(&self.counters.events_written_total),
            Err(error) => {
                count(&self.counters.events_dropped_total);
                tracing::debug!(event = %written.name, reason = %said.event.reason, %error, "cannot write an event");
            }
        }
    }

    async fn send(&self, said: &PendingEvent, written: &Written, shutdown: &Shutdown) -> Result<(), ApiError> {
        let mut pause = PAUSE_FIRST;
        for _ in 1..ATTEMPTS_MAX {
            match self.send_once(said, written).await {
                Err(ApiError::Unreachable(_) | ApiError::UnknownOutcome(_)) if !shutdown.is_fired() => {}
                other => return other,
            }
            tokio::select! {
                biased;
                () = shutdown.wait() => {}
                () = self.env.sleep(self.env.jitter(pause)) => {}
            }
            pause *= 2;
        }
        self.send_once(said, written).await
    }

    async fn send_once(&self, said: &PendingEvent, written: &Written) -> Result<(), ApiError> {
        let target = target(&said.event, written);
        if written.count > 1 {
            let body = json!({
                "count": written.count,
                "lastTimestamp": rfc3339(written.last),
                "message": written.message,
            });
            let (patch, preconditions) = (PatchType::Merge, Preconditions::default());
            match self.api.call(Request::Patch { target: target.clone(), patch, body, preconditions }).await {
                Err(error) if error.is_not_found() => {} // It has expired (DS-I44): say it anew.
                other => return other.map(drop),
            }
        }
        match self.api.call(Request::Create { target, body: body(said, written) }).await {
            Err(error) if error.is_already_exists() => Ok(()), // An attempt before was not lost.
            other => other.map(drop),
        }
    }
}

fn target(event: &Event, written: &Written) -> Target {
    Target::new(kinds::EVENT, namespace(event), &written.name)
}

/// Events about cluster-scoped objects live in `default`.
fn namespace(event: &Event) -> &str {
    match event.regarding.namespace.as_str() {
        "" => "default",
        namespace => namespace,
    }
}

/// The event as `v1 Event`, as client-go's recorder writes it.
fn body(said: &PendingEvent, written: &Written) -> Value {
    let Event { regarding, kind, reason, action, .. } = &said.event;
    let mut involved = json!({
        "kind": regarding.kind.kind,
        "name": regarding.name,
        "uid": regarding.uid,
        "apiVersion": regarding.kind.api_version(),
    });
    let mut source = json!({"component": said.source.component});
    let mut body = json!({
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {"name": written.name, "namespace": namespace(&said.event)},
        "reason": reason,
        "message": written.message,
        "firstTimestamp": rfc3339(written.first),
        "lastTimestamp": rfc3339(written.last),
        "count": written.count,
        "type": kind.as_str(),
        "reportingComponent": said.source.component,
        "reportingInstance": said.source.host,
    });
    set(&mut involved, "namespace", &regarding.namespace);
    set(&mut involved, "fieldPath", &regarding.field_path);
    set(&mut source, "host", &said.source.host);
    set(&mut body, "action", action);
    body["involvedObject"] = involved;
    body["source"] = source;
    body
}

/// Sets a member unless it is empty.
fn set(object: &mut Value, name: &str, value: &str) {
    if !value.is_empty() {
        object[name] = value.into();
    }
}
