//! Watches over HTTP: a stream of JSON lines (DS-I32), or of frames in protobuf.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use everynode_api::status::Status;
use everynode_store::Revision;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::answer::{Answer, partial};
use super::negotiate::{Accepted, Encoding, Shape};
use super::serve::{Shared, stopped};
use super::slot::Slot;
use crate::catalogue::{RowRef, row};
use crate::hub::{self, Delivery, EventKind, Form, Shown, Watcher};
use crate::object;
use crate::operation::execute::Authorized;
use crate::registry::read;
use crate::tables::{self, IncludeObject};

/// The annotation of the bookmark that ends the initial events (DS-I35).
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf;stream=watch";

/// What is answered to those who accept no form that can be streamed.
const STREAMED: &str = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";

/// A watch that does not say how long it shall last ends after that, or up to twice as late.
const TIMEOUT_MIN: Duration = Duration::from_secs(1800);

pub(crate) async fn serve(
    shared: &Arc<Shared>,
    mut operation: Authorized,
    accepted: Accepted,
    include: IncludeObject,
    slot: Slot,
) -> Result<Answer, Status> {
    if accepted.encoding == Encoding::Yaml {
        return Err(Status::not_acceptable(STREAMED));
    }
    let registry = &shared.server.registry;
    // Between half an hour and an hour, so that clients do not all come back at once.
    let own = TIMEOUT_MIN + Duration::from_secs(registry.env.below(TIMEOUT_MIN.as_secs()));
    operation.end_watch_after(own);
    let info = operation.target().info.clone();
    let watcher = shared.server.open_watch(operation).await?;
    let shown = match accepted.shape {
        Shape::Table => Shown::Table(include),
        Shape::Metadata => Shown::Metadata,
        Shape::Whole if info.form == row::Form::EventsV1 => Shown::EventsV1,
        Shape::Whole => Shown::Whole,
    };
    let form = Form { shown, is_protobuf: accepted.encoding == Encoding::Protobuf };
    let writer = Writer { shared: shared.clone(), info, form, columns_sent: false, _slot: slot };
    let stopping = shared.stopping.subscribe();
    let stream = WatchBody { state: State::Idle(Box::new((watcher, stopping))), writer };
    let mut response = Response::new(stream.boxed_unsync());
    let content_type = if form.is_protobuf { PROTOBUF } else { "application/json" };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

type Source = Box<(Watcher, watch::Receiver<bool>)>;
type Waiting = Pin<Box<dyn Future<Output = (Source, Option<Delivery>)> + Send>>;

/// Waiting for the next delivery, or not.
enum State {
    Idle(Source),
    Waiting(Waiting),
    Ended,
}

/// The body of a watch's answer.
struct WatchBody {
    state: State,
    writer: Writer,
}

async fn wait(mut source: Source) -> (Source, Option<Delivery>) {
    let (watcher, stopping) = &mut *source;
    let delivery = tokio::select! {
        delivery = watcher.next() => delivery,
        () = stopped(stopping) => None,
    };
    (source, delivery)
}

impl Body for WatchBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        loop {
            let delivery = match std::mem::replace(&mut this.state, State::Ended) {
                State::Ended => return Poll::Ready(None),
                State::Idle(mut source) => match source.0.poll() {
                    // What is there needs no waiting, and no future is made for it.
                    Some(delivery) => {
                        this.state = State::Idle(source);
                        delivery
                    }
                    None => {
                        this.state = State::Waiting(Box::pin(wait(source)));
                        continue;
                    }
                },
                State::Waiting(mut future) => match future.as_mut().poll(context) {
                    Poll::Pending => {
                        this.state = State::Waiting(future);
                        return Poll::Pending;
                    }
                    Poll::Ready((_, None)) => return Poll::Ready(None),
                    Poll::Ready((source, Some(delivery))) => {
                        this.state = State::Idle(source);
                        delivery
                    }
                },
            };
            if let Some(line) = this.writer.line(delivery) {
                return Poll::Ready(Some(Ok(Frame::data(line))));
            }
        }
    }
}

/// Turns deliveries into lines of the form asked for.
struct Writer {
    shared: Arc<Shared>,
    info: RowRef,
    form: Form,
    columns_sent: bool,
    /// Held as long as the watch runs.
    _slot: Slot,
}

impl Writer {
    fn line(&mut self, delivery: Delivery) -> Option<Bytes> {
        self.shared.server.metrics.watch_event();
        match delivery {
            Delivery::Initial(item) => self.object(EventKind::Added, &item.kv.value, item.kv.modified),
            Delivery::InitialEnd(revision) => Some(self.bookmark(revision, true)),
            Delivery::Bookmark(revision) => Some(self.bookmark(revision, false)),
            Delivery::Event(kind, event) => {
                let (value, revision) = event.object(kind)?;
                // The first frame of a table has columns and is not shared, nor are the versions of
                // a custom resource.
                let is_first = matches!(self.form.shown, Shown::Table(_)) && !self.columns_sent;
                if is_first || !self.is_shared(value) {
                    return self.object(kind, value, revision);
                }
                Some(event.frame(self.form, kind, || self.frame(kind, value, revision).unwrap_or_default()))
            }
            Delivery::Expired(status) => serde_json::to_vec(&status).ok().map(|json| self.of_type("ERROR", &json)),
        }
    }

    /// Whether watchers of all versions of the kind are shown the same.
    fn is_shared(&self, value: &[u8]) -> bool {
        match &self.info.custom {
            Some(custom) => {
                let is_whole = matches!(self.form.shown, Shown::Whole);
                self.info.shows(value) && (is_whole || custom.is_only_version)
            }
            None => true,
        }
    }

    fn object(&mut self, kind: EventKind, value: &[u8], revision: Revision) -> Option<Bytes> {
        let frame = self.frame(kind, value, revision);
        self.columns_sent = true;
        frame
    }

    fn frame(&self, kind: EventKind, value: &[u8], revision: Revision) -> Option<Bytes> {
        let shown = match self.form.shown {
            Shown::Whole if !self.form.is_protobuf && self.info.shows(value) => {
                return Some(hub::json_frame(kind, value, revision));
            }
            Shown::Whole | Shown::EventsV1 => {
                let json = read::external(&self.info, value, revision).ok()?;
                return Some(self.of_type(kind.as_str(), &json));
            }
            Shown::Metadata => partial(self.external(value, revision)?),
            Shown::Table(include) => {
                let value = self.external(value, revision)?;
                let meta = json!({"resourceVersion": object::meta(&value, "resourceVersion")});
                let now = self.shared.server.registry.env.now();
                tables::table(&self.info, vec![value], meta, include, !self.columns_sent, now)
            }
        };
        serde_json::to_vec(&shown).ok().map(|json| self.of_type(kind.as_str(), &json))
    }

    /// A frame around an object. One that has no form in protobuf is an error that the client sees:
    /// without it, it would not know that something changed.
    fn of_type(&self, kind: &str, json: &[u8]) -> Bytes {
        if !self.form.is_protobuf {
            return hub::frame_of_type(kind, json);
        }
        hub::protobuf_frame(kind, json).unwrap_or_else(|error| {
            tracing::error!(%error, "an event of a watch was not encoded");
            let status = serde_json::to_vec(&Status::internal(error)).unwrap_or_default();
            hub::protobuf_frame("ERROR", &status).unwrap_or_default()
        })
    }

    fn external(&self, value: &[u8], revision: Revision) -> Option<Value> {
        let json = read::external(&self.info, value, revision).ok()?;
        serde_json::from_slice(&json).ok()
    }

    fn bookmark(&self, revision: u64, ends_initial: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if ends_initial {
            metadata["annotations"] = json!({INITIAL_EVENTS_END: "true"});
        }
        let object = match self.form.shown {
            Shown::Whole | Shown::EventsV1 => {
                json!({"kind": self.info.kind.kind, "apiVersion": self.info.kind.api_version(), "metadata": metadata})
            }
            Shown::Metadata => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
            }
            Shown::Table(_) => {
                json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": [], "rows": []})
            }
        };
        self.of_type("BOOKMARK", object.to_string().as_bytes())
    }
}
