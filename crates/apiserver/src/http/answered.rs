//! An answer on its way to its client: how long it waits to be taken, and how many bytes clients
//! let wait, are bounded.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use hyper::body::{Body, Frame, SizeHint};

use super::answer::{self, Answer};
use super::body::OutBody;
use super::progress::Pending;
use super::slot::{Asker, Held, Slots};

/// Smaller answers are not counted: those of all streams of a connection are less than its buffers.
const COUNTED_BYTES_MIN: u64 = 4 << 10;
/// What an answer in pieces has in memory at once.
const PIECE_BYTES: usize = 128 << 10;

/// The body of an answer.
pub(crate) struct Answered {
    body: OutBody,
    /// Until the last bytes have been handed over.
    pending: Option<Pending>,
    /// Ordinary answers must be taken in time. Watches and logs may wait: `kubectl logs -f | less`
    /// does.
    ordinary: bool,
    held: Option<Held>,
}

/// Bytes that count as held, and their request as one whose answer is not taken, until they are
/// written to the socket: HTTP/2 takes the last piece of a body and keeps it for a client that lets
/// none of it pass.
struct Counted {
    bytes: Bytes,
    _held: Held,
    _pending: Option<Pending>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Counts an answer: an ordinary one that is too much beside what its client has not taken yet is
/// refused.
pub(crate) fn counted(
    slots: &Arc<Slots>,
    asker: Option<Asker>,
    ordinary: bool,
    answer: Answer,
    mut pending: Pending,
) -> Response<Answered> {
    let (answer, held) = match asker.filter(|_| ordinary) {
        Some(asker) => hold(slots, asker, answer),
        None => (answer, None),
    };
    if ordinary {
        pending.offer();
    }
    answer.map(|body| Answered { body, pending: Some(pending), ordinary, held })
}

fn hold(slots: &Arc<Slots>, asker: Asker, answer: Answer) -> (Answer, Option<Held>) {
    let amount = match answer.body().size_hint().exact() {
        Some(length) if length < COUNTED_BYTES_MIN => return (answer, None),
        Some(length) => usize::try_from(length).unwrap_or(usize::MAX),
        None => PIECE_BYTES,
    };
    let mut held = slots.answer(asker);
    match held.grow_to_share(amount) {
        Ok(()) => (answer, Some(held)),
        Err(status) => (answer::failure(&status), None),
    }
}

impl Body for Answered {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(context);
        if let Some(pending) = this.pending.as_mut().filter(|_| this.ordinary) {
            match &polled {
                Poll::Ready(Some(_)) => pending.offer(),
                Poll::Ready(None) | Poll::Pending => pending.taken(),
            }
        }
        match polled {
            // All of it: what counts is when the last byte is written.
            Poll::Ready(Some(Ok(frame))) if this.body.is_end_stream() => match (frame.into_data(), this.held.take()) {
                (Ok(bytes), Some(held)) => {
                    let counted = Counted { bytes, _held: held, _pending: this.pending.take() };
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(counted)))))
                }
                (Ok(bytes), None) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                (Err(frame), _) => Poll::Ready(Some(Ok(frame))),
            },
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
