//! A server whose answers take their time, as every real one's do: what is made anew at once would
//! be made for ever within one moment.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_api::ports::{Api, ApiError, BoxFuture, EventStream, Request, WatchRequest};

/// What a request takes.
pub(super) struct Slow {
    pub api: Arc<dyn Api>,
    pub latency: Duration,
}

impl Api for Slow {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Bytes, ApiError>> {
        Box::pin(async move {
            tokio::time::sleep(self.latency).await;
            self.api.call(request).await
        })
    }

    fn watch(&self, request: WatchRequest) -> BoxFuture<'_, Result<Box<dyn EventStream>, ApiError>> {
        self.api.watch(request)
    }
}
