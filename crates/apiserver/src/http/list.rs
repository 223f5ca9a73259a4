//! Large lists, encoded piece by piece while they are sent.
//!
//! 25,000 pods are 60 MB as text. What is held while a slow client reads is a list of references to
//! objects that exist anyway, and one piece.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};

use super::answer::Answer;
use crate::catalogue::RowRef;
use crate::operation::budget::Share;
use crate::registry::{ListPage, read};

/// A piece is sent when it has at least so many bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Answers with a list in pieces.
pub(crate) fn streamed(info: RowRef, page: ListPage, share: Share) -> Answer {
    let mut answer = Response::new(Pieces { info, page, next: 0, ended: false, _share: share }.boxed_unsync());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

struct Pieces {
    info: RowRef,
    page: ListPage,
    /// The index of the next item.
    next: usize,
    ended: bool,
    /// Held until the list has been sent.
    _share: Share,
}

impl Pieces {
    /// The next piece; an item that cannot be decoded ends the list early, which the client sees as
    /// broken JSON.
    fn piece(&mut self) -> Vec<u8> {
        let mut out = match self.next {
            0 => read::list_head(&self.info, &self.page),
            _ => Vec::new(),
        };
        out.reserve(PIECE_BYTES + (8 << 10));
        while out.len() < PIECE_BYTES {
            let Some(item) = self.page.items.get(self.next) else {
                self.ended = true;
                out.extend_from_slice(read::LIST_END);
                break;
            };
            if let Err(status) = read::push_item(&mut out, &self.info, item, self.next) {
                tracing::error!(%status, "a list broke off");
                self.ended = true;
                break;
            }
            self.next += 1;
        }
        out
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(self.piece().into()))))
    }
}
