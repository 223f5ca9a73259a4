//! Bodies: what comes in is bounded, what goes out is whole or a stream.

use std::convert::Infallible;

use bytes::Bytes;
use everynode_api::status::Status;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;

/// DS-I46
pub(crate) const REQUEST_BYTES_MAX: usize = 3 << 20;

pub(crate) type OutBody = UnsyncBoxBody<Bytes, Infallible>;

pub(crate) fn whole(bytes: Bytes) -> OutBody {
    Full::new(bytes).boxed_unsync()
}

/// Reads a request's body; more than the limit is 413.
pub(crate) async fn read(body: Incoming) -> Result<Bytes, Status> {
    match Limited::new(body, REQUEST_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Status::too_large(REQUEST_BYTES_MAX)),
        Err(error) => Err(Status::bad_request(format!("the body of the request could not be read: {error}"))),
    }
}
