//! Bodies: what comes in is bounded, what goes out is whole or a stream.

use std::convert::Infallible;

use bytes::{Bytes, BytesMut};
use everynode_api::status::Status;
use http::HeaderMap;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use super::negotiate;
use crate::schema::Media;

/// DS-I46
pub(crate) const REQUEST_BYTES_MAX: usize = 3 << 20;

pub(crate) type OutBody = UnsyncBoxBody<Bytes, Infallible>;

pub(crate) fn whole(bytes: Bytes) -> OutBody {
    Full::new(bytes).boxed_unsync()
}

/// Of a body that is too large, this much more is read and forgotten: clients that send all before they listen (curl and
/// Go over HTTP/2) would see a broken stream instead of the answer.
const IGNORED_BYTES_MAX: usize = 4 * REQUEST_BYTES_MAX;

/// Reads a request's body; more than the limit is 413.
pub(crate) async fn read(mut body: Incoming) -> Result<Bytes, Status> {
    let (mut kept, mut length) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| Status::bad_request(format!("the body of the request could not be read: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        match length {
            0..=REQUEST_BYTES_MAX => kept.extend_from_slice(&data),
            _ if length <= IGNORED_BYTES_MAX => kept.clear(),
            _ => break,
        }
    }
    if length > REQUEST_BYTES_MAX { Err(Status::too_large(REQUEST_BYTES_MAX)) } else { Ok(kept.freeze()) }
}

/// Reads a request's object with its form; one in protobuf becomes JSON (DS-I06).
pub(crate) async fn read_object(headers: &HeaderMap, body: Incoming) -> Result<(Bytes, Media), Status> {
    if !negotiate::is_protobuf(headers) {
        let media = negotiate::media(headers)?;
        return Ok((read(body).await?, media));
    }
    let bytes = read(body).await?;
    if bytes.is_empty() {
        return Ok((bytes, Media::Json));
    }
    let object = crate::protobuf::to_json(&bytes).map_err(Status::bad_request)?;
    Ok((object.to_string().into(), Media::Json))
}
