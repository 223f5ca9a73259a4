//! A connection that lets others run: after so many bytes it gives its turn back, whatever more
//! there is to read.
//!
//! Frames are cheap to send: a flood of small ones on one connection keeps a core busy for as long
//! as its socket has bytes, and all other clients of that core wait. (The runtime's own budget
//! counts reads, each of which may bring thousands of frames.)

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Read in one turn: some thousand small frames, half a millisecond of work.
const TURN_BYTES: usize = 64 << 10;

/// A connection whose reads are paced.
pub(super) struct Paced<S> {
    stream: S,
    /// Bytes read in this turn.
    read: usize,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S) -> Paced<S> {
        Paced { stream, read: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read >= TURN_BYTES {
            self.read = 0;
            // To the end of the queue, behind all that can run now.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.read = if polled.is_pending() { 0 } else { self.read + buffer.filled().len() - before };
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Always has more to read.
    struct Flood;

    impl AsyncRead for Flood {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            buffer.put_slice(&vec![0; buffer.remaining()]);
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_flood_gives_its_turn_back_and_continues_in_the_next() {
        let mut paced = Paced::new(Flood);
        let mut context = Context::from_waker(Waker::noop());
        let mut turn = || {
            let mut bytes = 0;
            loop {
                let mut space = [0; 10_000];
                let mut buffer = ReadBuf::new(&mut space);
                match Pin::new(&mut paced).poll_read(&mut context, &mut buffer) {
                    Poll::Ready(read) => read.unwrap(),
                    Poll::Pending => return bytes,
                }
                bytes += buffer.filled().len();
                assert!(bytes < 2 * TURN_BYTES, "it goes on and on");
            }
        };
        for _ in 0..3 {
            assert!((TURN_BYTES..TURN_BYTES + 10_000).contains(&turn()));
        }
    }
}
