//! Large lists in protobuf, encoded piece by piece while they are sent.
//!
//! The length of all items stands before the first one. Holding them all encoded would be what
//! [`super::list`] avoids, so they are encoded twice: once to measure them, once to send them. The
//! objects cannot change in between, for the page holds them.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use everynode_api::status::Status;
use everynode_protobuf::{Kind, MEDIA_TYPE, list_head, list_metadata, push_item};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};

use super::answer::{Answer, not_encoded};
use crate::catalogue::RowRef;
use crate::operation::budget::Share;
use crate::registry::{ListPage, read};

/// A piece is sent when it has at least so many bytes.
const PIECE_BYTES: usize = 64 << 10;
/// So many items are measured at a time; then other tasks have their turn.
const MEASURED_ITEMS: usize = 100;

/// Answers with a list in pieces.
pub(crate) fn streamed(info: RowRef, page: ListPage, share: Share) -> Result<Answer, Status> {
    let (version, name) = (info.kind.api_version(), info.list_kind.to_string());
    let unknown =
        || not_encoded(everynode_protobuf::EncodeError::UnknownKind { version: version.clone(), kind: name.clone() });
    let list = everynode_protobuf::kind(&version, &name).ok_or_else(unknown)?;
    let item = list.item().ok_or_else(unknown)?;
    let metadata = list_metadata(list, read::list_meta(&page).to_string().as_bytes()).map_err(not_encoded)?;
    let encoder = Encoder { info, page, item, next: 0, json: Vec::new() };
    let pieces = Pieces { stage: Stage::Measure { bytes: 0, out: Vec::new() }, metadata, encoder, _share: share };
    let mut answer = Response::new(pieces.boxed_unsync());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    Ok(answer)
}

/// The items of a page, one after the other.
struct Encoder {
    info: RowRef,
    page: ListPage,
    item: Kind,
    /// The index of the next item.
    next: usize,
    /// The text of an item.
    json: Vec<u8>,
}

impl Encoder {
    /// Appends the next item; `None` after the last one.
    fn push(&mut self, out: &mut Vec<u8>) -> Option<Result<(), Status>> {
        let item = self.page.items.get(self.next)?;
        self.next += 1;
        self.json.clear();
        let shown = read::push_item(&mut self.json, &self.info, item, 0);
        Some(shown.and_then(|()| push_item(out, self.item, &self.json).map_err(not_encoded)))
    }
}

enum Stage {
    /// How many bytes the items so far take, and where they are encoded to.
    Measure {
        bytes: usize,
        out: Vec<u8>,
    },
    /// The head is to be sent with the first piece.
    Send {
        head: Vec<u8>,
    },
    Ended,
}

struct Pieces {
    stage: Stage,
    /// The list's metadata in protobuf.
    metadata: Vec<u8>,
    encoder: Encoder,
    /// Held until the list has been sent.
    _share: Share,
}

impl Pieces {
    /// An item that cannot be encoded ends the list early, which the client sees: the length is not
    /// reached.
    fn broke_off(status: &Status) -> Stage {
        tracing::error!(%status, "a list broke off");
        Stage::Ended
    }

    /// Measures some more items.
    fn measure(&mut self, mut bytes: usize, mut out: Vec<u8>) -> Stage {
        for _ in 0..MEASURED_ITEMS {
            out.clear();
            match self.encoder.push(&mut out) {
                Some(Ok(())) => bytes += out.len(),
                Some(Err(status)) => return Pieces::broke_off(&status),
                None => {
                    self.encoder.next = 0;
                    let (version, name) = (self.encoder.info.kind.api_version(), &self.encoder.info.list_kind);
                    return Stage::Send { head: list_head(&version, name, &self.metadata, bytes) };
                }
            }
        }
        Stage::Measure { bytes, out }
    }

    fn piece(&mut self, mut out: Vec<u8>) -> (Vec<u8>, Stage) {
        out.reserve(PIECE_BYTES + (8 << 10));
        while out.len() < PIECE_BYTES {
            match self.encoder.push(&mut out) {
                Some(Ok(())) => {}
                Some(Err(status)) => return (out, Pieces::broke_off(&status)),
                None => return (out, Stage::Ended),
            }
        }
        (out, Stage::Send { head: Vec::new() })
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Measure { bytes, out } => {
                self.stage = self.measure(bytes, out);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Stage::Send { head } => {
                let (piece, next) = self.piece(head);
                self.stage = next;
                match piece.is_empty() {
                    true => Poll::Ready(None),
                    false => Poll::Ready(Some(Ok(Frame::data(piece.into())))),
                }
            }
            Stage::Ended => Poll::Ready(None),
        }
    }
}
