//! `/containerLogs`: a container's log, whole or followed.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Frame;
use jiff::SignedDuration;
use tokio::sync::mpsc;

use super::request::LogRoute;
use super::{Answer, Service, text};
use crate::container::LOG_FILE_ANNOTATION;
use crate::cri::{Container, ContainerState};
use crate::logs::{LogOptions, LogReader};
use crate::worker::Inspector;

/// How often a followed log is looked at.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);
/// Chunks that wait for a slow reader: about 512 KiB.
const CHUNKS_MAX: usize = 8;

/// A failure as status and text.
type Refusal = (StatusCode, String);

pub(super) async fn answer(service: &Service, route: LogRoute) -> Answer {
    let found = match find(service, &route) {
        Ok(found) => found,
        Err((status, message)) => return text(status, &message),
    };
    let mut options = route.options.clone();
    if let Some(seconds) = route.since_seconds {
        options.since = service.context.clock.now().checked_sub(SignedDuration::from_secs(seconds)).ok();
    }
    let path = found.annotations.get(LOG_FILE_ANNOTATION).map(PathBuf::from).unwrap_or_default();
    let (opened_path, opened_options) = (path.clone(), options.clone());
    let opened = tokio::task::spawn_blocking(move || LogReader::open(&opened_path, opened_options)).await;
    match opened.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(reader) => streamed(reader, &options, service.inspector.clone(), found.id),
        Err(error) => {
            text(StatusCode::INTERNAL_SERVER_ERROR, &format!("failed to open log file {:?}: {error}", path.display()))
        }
    }
}

/// The container whose log is meant (DS-H52).
fn find(service: &Service, route: &LogRoute) -> Result<Container, Refusal> {
    let LogRoute { pod, container, previous, .. } = route;
    let name = &pod.name;
    let not_found = || (StatusCode::NOT_FOUND, format!("pod \"{name}_{}\" not found", pod.namespace));
    let snapshot = service.find(pod).ok_or_else(not_found)?;
    let spec = snapshot.pod.spec.clone().unwrap_or_default();
    if crate::sync::container_named(&spec, container).is_none() {
        let message = format!("container {container:?} not found in pod {name:?}");
        return Err((StatusCode::BAD_REQUEST, message));
    }
    let latest = snapshot.observed.latest(container);
    let waiting = || {
        let reason = waiting_reason(&snapshot.pod, container).unwrap_or_else(|| "ContainerCreating".to_owned());
        (StatusCode::BAD_REQUEST, format!("container {container:?} in pod {name:?} is waiting to start: {reason}"))
    };
    if !*previous {
        return latest.cloned().ok_or_else(waiting);
    }
    // While a container backs off its last run is the previous one.
    let backing_off = waiting_reason(&snapshot.pod, container).is_some();
    let before = latest.and_then(|latest| match latest.state {
        ContainerState::Exited if backing_off => Some(latest),
        _ => snapshot.observed.previous(latest),
    });
    let message = format!("previous terminated container {container:?} in pod {name:?} not found");
    before.cloned().ok_or((StatusCode::BAD_REQUEST, message))
}

fn waiting_reason(pod: &k8s_openapi::api::core::v1::Pod, container: &str) -> Option<String> {
    let status = pod.status.as_ref()?;
    let lists = [&status.init_container_statuses, &status.container_statuses];
    let found = lists.into_iter().flatten().flatten().find(|found| found.name == container)?;
    found.state.as_ref()?.waiting.as_ref()?.reason.clone()
}

/// Reads in a task of its own, as fast as the client takes it.
fn streamed(reader: LogReader, options: &LogOptions, inspector: Inspector, id: String) -> Answer {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    tokio::spawn(read(reader, options.follow, inspector, id, sender));
    let mut answer = Response::new(Channel(receiver).boxed());
    answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    answer
}

/// Ends at the end of the log; when following, after the container has ended and the rest was read.
async fn read(
    reader: LogReader,
    follow: bool,
    inspector: Inspector,
    id: String,
    out: mpsc::Sender<std::io::Result<Bytes>>,
) {
    let mut kept = Some(reader);
    while let Some(mut reader) = kept.take() {
        let running = follow && is_running(&inspector, &id);
        loop {
            // Pods write these files: a look may take long.
            let looked = tokio::task::spawn_blocking(move || (reader.next(), reader)).await;
            let Ok((next, back)) = looked else { return };
            reader = back;
            match next {
                Ok(Some(chunk)) if chunk.is_empty() && !out.is_closed() => {}
                Ok(Some(chunk)) => {
                    if out.send(Ok(chunk)).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    let _ = out.send(Err(error)).await;
                    return;
                }
            }
        }
        if !running || reader.is_exhausted() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
            () = out.closed() => return,
        }
        kept = Some(reader);
    }
}

fn is_running(inspector: &Inspector, id: &str) -> bool {
    inspector
        .container(id)
        .is_some_and(|found| matches!(found.state, ContainerState::Running | ContainerState::Created))
}

/// A body that comes through a channel.
struct Channel(mpsc::Receiver<std::io::Result<Bytes>>);

impl hyper::body::Body for Channel {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}
