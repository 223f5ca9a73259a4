//! The API as a leader uses it: every write carries the fence of the leadership that it is made
//! under.
//!
//! Reads pass at any time. A write passes only while we lead for certain; once the server has
//! refused one because another candidate leads, none is sent any more, and whoever waits for
//! [`Fenced::lost`] ends.

use std::sync::Arc;

use bytes::Bytes;
use everynode_api::fence::Fence;
use everynode_api::ports::{Api, ApiError, BoxFuture, EventStream, Request, WatchRequest};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::clock::Env;

#[derive(Clone, Debug)]
enum LeadershipState {
    /// Ends in `Leading`.
    Following,
    /// Not certain beyond `until`, which each renewal puts off. Ends in `Over` or `Lost`.
    Leading { fence: Arc<Fence>, until: Timestamp },
    /// Given up, or not renewed in time.
    Over,
    /// The server refused a write.
    Lost,
}

pub(crate) struct Fenced {
    api: Arc<dyn Api>,
    env: Env,
    state: watch::Sender<LeadershipState>,
}

impl Fenced {
    pub fn new(api: Arc<dyn Api>, env: Env) -> Fenced {
        let (state, _) = watch::channel(LeadershipState::Following);
        Fenced { api, env, state }
    }

    /// Leadership was won or renewed. The fence stays that of the first time: a lease that was lost
    /// and taken back in between is another leadership.
    pub fn lead(&self, new: Fence, certain_until: Timestamp) {
        self.state.send_modify(|state| match state {
            LeadershipState::Following => {
                *state = LeadershipState::Leading { fence: Arc::new(new), until: certain_until }
            }
            LeadershipState::Leading { until, .. } => *until = certain_until,
            LeadershipState::Over | LeadershipState::Lost => {}
        });
    }

    /// Leadership has ended: nothing is written any more.
    pub fn end(&self) {
        self.state.send_modify(|state| {
            if !matches!(state, LeadershipState::Lost) {
                *state = LeadershipState::Over;
            }
        });
    }

    /// Returns when a write was refused because another process leads. Cancel-safe.
    pub async fn lost(&self) {
        // The sender lives in `self`.
        let _ = self.state.subscribe().wait_for(|state| matches!(state, LeadershipState::Lost)).await;
    }

    /// The fence, if we lead for certain.
    fn fence(&self) -> Result<Arc<Fence>, ApiError> {
        match &*self.state.borrow() {
            LeadershipState::Leading { fence, until } if self.env.now() < *until => Ok(fence.clone()),
            LeadershipState::Leading { .. } => Err(unsent("the leader lease was not renewed in time")),
            LeadershipState::Following => Err(unsent("this process does not lead yet")),
            LeadershipState::Over | LeadershipState::Lost => Err(unsent("this process does not lead any more")),
        }
    }

    async fn write(&self, request: Request) -> Result<Bytes, ApiError> {
        let fence = self.fence()?;
        let answer = self.api.call(Request::Fenced { fence, request: Box::new(request) }).await;
        if let Err(error) = &answer
            && error.is_lease_lost()
        {
            tracing::error!(%error, "another process leads");
            self.state.send_replace(LeadershipState::Lost);
        }
        answer
    }
}

fn unsent(why: &str) -> ApiError {
    ApiError::Unreachable(format!("not sent: {why}"))
}

impl Api for Fenced {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Bytes, ApiError>> {
        match request.is_write() {
            true => Box::pin(self.write(request)),
            false => self.api.call(request),
        }
    }

    fn watch(&self, request: WatchRequest) -> BoxFuture<'_, Result<Box<dyn EventStream>, ApiError>> {
        self.api.watch(request)
    }
}
