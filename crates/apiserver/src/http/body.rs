//! Bodies: what comes in is bounded in bytes and time, what goes out is whole or a stream.

use std::convert::Infallible;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use everynode_api::status::Status;
use http::HeaderMap;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame};
use tokio::time::{Instant, timeout_at};

use super::limits::Limits;
use super::negotiate;
use super::slot::Held;
use crate::schema::Media;

/// DS-I46
pub(crate) const REQUEST_BYTES_MAX: usize = 3 << 20;

/// What a body in protobuf may become: what a body of JSON may be. It is half as large mostly, and
/// of few fields with long names less.
const PROTOBUF_LIMITS: everynode_protobuf::Limits =
    everynode_protobuf::Limits { size_max: REQUEST_BYTES_MAX, depth_max: 100 };

pub(crate) type OutBody = UnsyncBoxBody<Bytes, Infallible>;

pub(crate) fn whole(bytes: Bytes) -> OutBody {
    Full::new(bytes).boxed_unsync()
}

/// Of a body that is too large, this much more is read and forgotten: clients that send all before
/// they listen (curl and Go over HTTP/2) would see a broken stream instead of the answer.
const IGNORED_BYTES_MAX: usize = 4 * REQUEST_BYTES_MAX;
/// What a request costs while its body comes, however small it is.
const COMING_BYTES: usize = 16 << 10;
/// What a request costs beside its body once it is there.
const WAITING_BYTES: usize = 1 << 10;

/// A request's body, which counts as held until this is dropped.
pub(crate) struct InBody {
    pub(crate) bytes: Bytes,
    _held: Held,
}

/// When so much of a body must have come.
fn time_for(limits: &Limits, length: usize) -> Duration {
    let rate = u32::try_from(limits.body_bytes_per_second).unwrap_or(u32::MAX).max(1);
    let seconds = f64::from(u32::try_from(length).unwrap_or(u32::MAX)) / f64::from(rate);
    limits.body_grace + Duration::from_secs_f64(seconds)
}

/// Of a body that an answer does not need, so much is read and forgotten before the answer is sent:
/// a client that sends all before it listens would see a closed connection instead of the answer.
const DRAINED_BYTES_MAX: usize = 2 * REQUEST_BYTES_MAX;

/// Reads what is left of a body, as long as it comes without a pause, and forgets it. Bounded in
/// bytes and time.
pub(crate) async fn drain<B>(mut body: B, limits: &Limits)
where
    B: Body<Data = Bytes> + Unpin,
{
    let deadline = Instant::now() + limits.body_grace;
    let mut length = 0;
    while length <= DRAINED_BYTES_MAX && !body.is_end_stream() {
        let pause = Instant::now() + limits.drain_pause;
        match timeout_at(deadline.min(pause), body.frame()).await {
            Ok(Some(Ok(frame))) => length += frame.data_ref().map_or(0, Bytes::len),
            _ => return,
        }
    }
}

/// Reads a request's body; more than the limit is 413, too slow is 408, more than the client's
/// share is 429.
pub(crate) async fn read<B>(mut body: B, mut held: Held) -> Result<InBody, Status>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let began = Instant::now();
    let (mut kept, mut length) = (BytesMut::new(), 0);
    held.grow(COMING_BYTES).map_err(|refused| held.refuse(refused))?;
    while let Some(frame) = timely(&mut body, began + time_for(held.limits(), length), &held).await? {
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        match length {
            0..=REQUEST_BYTES_MAX => {
                held.grow(length + WAITING_BYTES).map_err(|refused| held.refuse(refused))?;
                kept.extend_from_slice(&data);
            }
            _ if length <= IGNORED_BYTES_MAX => kept.clear(),
            _ => break,
        }
    }
    if length > REQUEST_BYTES_MAX {
        return Err(Status::too_large(REQUEST_BYTES_MAX));
    }
    held.shrink(length + WAITING_BYTES);
    Ok(InBody { bytes: kept.freeze(), _held: held })
}

/// The next frame, if it comes in time. (No timer is started for one that is there.)
async fn timely<B>(body: &mut B, deadline: Instant, held: &Held) -> Result<Option<Frame<Bytes>>, Status>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let frame = timeout_at(deadline, body.frame()).await.map_err(|_| held.timed_out())?;
    let unreadable = |error| Status::bad_request(format!("the body of the request could not be read: {error}"));
    frame.transpose().map_err(unreadable)
}

/// An object's bytes with their form; one in protobuf becomes JSON (DS-I06).
pub(crate) fn object(headers: &HeaderMap, body: &InBody) -> Result<(Bytes, Media), Status> {
    if !negotiate::is_protobuf(headers) {
        return Ok((body.bytes.clone(), negotiate::media(headers)?));
    }
    if body.bytes.is_empty() {
        return Ok((Bytes::new(), Media::Json));
    }
    let object =
        everynode_protobuf::to_json(&body.bytes, PROTOBUF_LIMITS).map_err(|error| match error.is_too_large() {
            true => Status::too_large(PROTOBUF_LIMITS.size_max),
            false => Status::bad_request(error.to_string()),
        })?;
    Ok((object.json.into(), Media::Json))
}
