//! Hearing that a container has ended, from containerd's own event service: CRI's is not there in
//! the containerd of Debian 12. It is a hint to look sooner; nothing depends on it.

use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use prost::Message as _;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

/// A runtime that does not have the service, or is away, is asked again after this.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);
const SUBSCRIBE: &str = "/containerd.services.events.v1.Events/Subscribe";

/// `containerd.services.events.v1.SubscribeRequest`
#[derive(Clone, PartialEq, prost::Message)]
struct Subscription {
    #[prost(string, repeated, tag = "1")]
    filters: Vec<String>,
}

/// `containerd.services.events.v1.Envelope`, as far as it matters.
#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(message, optional, tag = "4")]
    event: Option<Any>,
}

/// `google.protobuf.Any`
#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `containerd.events.TaskExit`
#[derive(Clone, PartialEq, prost::Message)]
struct TaskExit {
    #[prost(string, tag = "1")]
    container_id: String,
    /// The process: the container's own has the container's id.
    #[prost(string, tag = "2")]
    id: String,
}

impl Envelope {
    /// Whether a container's own process ended, and not a command that ran in it: probes run one
    /// every few seconds.
    fn ends_container(&self) -> bool {
        let exit = self.event.as_ref().and_then(|event| TaskExit::decode(event.value.as_slice()).ok());
        exit.is_none_or(|exit| exit.id == exit.container_id)
    }
}

/// The ends of containers.
#[derive(Clone)]
pub(super) struct Exits {
    channel: Channel,
    state: Arc<Mutex<State>>,
}

struct State {
    stream: Option<Streaming<Envelope>>,
    /// Not opened again before.
    retry_at: Instant,
}

impl Exits {
    pub fn new(channel: Channel) -> Self {
        Exits { channel, state: Arc::new(Mutex::new(State { stream: None, retry_at: Instant::now() })) }
    }

    /// Waits for the end of a container, for ever if the runtime cannot tell. Cancel-safe.
    pub async fn next(&self) {
        let mut state = self.state.lock().await;
        loop {
            let Some(stream) = &mut state.stream else {
                tokio::time::sleep_until(state.retry_at).await;
                state.retry_at = Instant::now() + RETRY_INTERVAL;
                match self.subscribe().await {
                    Ok(stream) => state.stream = Some(stream),
                    Err(error) => tracing::debug!(%error, "no events from the container runtime"),
                }
                continue;
            };
            match stream.message().await {
                Ok(Some(event)) if event.ends_container() => return,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => state.stream = None,
            }
        }
    }

    async fn subscribe(&self) -> Result<Streaming<Envelope>, Status> {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let request = Subscription { filters: vec!["namespace==k8s.io,topic==\"/tasks/exit\"".into()] };
        let path = PathAndQuery::from_static(SUBSCRIBE);
        let codec: ProstCodec<Subscription, Envelope> = ProstCodec::default();
        Ok(client.server_streaming(Request::new(request), path, codec).await?.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_in_a_container_do_not_end_it() {
        let envelope = |id: &str| {
            let exit = TaskExit { container_id: "c".into(), id: id.into() };
            Envelope { event: Some(Any { value: exit.encode_to_vec() }) }
        };
        assert!(envelope("c").ends_container() && !envelope("exec").ends_container());
    }
}
