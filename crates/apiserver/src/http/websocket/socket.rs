//! The two directions of a client's WebSocket: messages in, frames out.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::Mutex;

use super::frames::{self, Message, Opcode, Reader};

/// The end of a connection (RFC 6455, 7.4.1).
const NORMAL_CLOSURE: [u8; 2] = 1000_u16.to_be_bytes();

/// What the client says.
pub(super) struct Incoming<S> {
    io: ReadHalf<S>,
    frames: Reader,
    answers: Outgoing<S>,
}

/// What the client is told; shared by both directions of a stream.
pub(super) struct Outgoing<S>(Arc<Mutex<WriteHalf<S>>>);

impl<S> Clone for Outgoing<S> {
    fn clone(&self) -> Outgoing<S> {
        Outgoing(self.0.clone())
    }
}

/// A connection that was changed to WebSocket.
pub(super) fn split<S: AsyncRead + AsyncWrite>(stream: S) -> (Incoming<S>, Outgoing<S>) {
    let (read, write) = tokio::io::split(stream);
    let outgoing = Outgoing(Arc::new(Mutex::new(write)));
    (Incoming { io: read, frames: Reader::default(), answers: outgoing.clone() }, outgoing)
}

impl<S: AsyncRead + AsyncWrite> Incoming<S> {
    /// The next message; `None`: the client has ended the connection. Pings are answered.
    ///
    /// # Errors
    /// Of the connection, or the client broke the protocol.
    pub(super) async fn next(&mut self) -> io::Result<Option<BytesMut>> {
        loop {
            match self.frames.next().map_err(io::Error::other)? {
                Some(Message::Data(data)) => return Ok(Some(data)),
                Some(Message::Ping(payload)) => self.answers.send(Opcode::Pong, &[&payload]).await?,
                Some(Message::Pong) => {}
                Some(Message::Close) => return Ok(None),
                None => {
                    if self.io.read_buf(self.frames.buffer()).await? == 0 {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite> Outgoing<S> {
    /// # Errors
    /// Of the connection.
    pub(super) async fn send(&self, opcode: Opcode, parts: &[&[u8]]) -> io::Result<()> {
        let mut io = self.0.lock().await;
        io.write_all(&frames::frame(opcode, parts)).await?;
        io.flush().await
    }

    /// Says that nothing more comes, and closes this direction.
    pub(super) async fn close(&self) {
        let _ = self.send(Opcode::Close, &[&NORMAL_CLOSURE]).await;
        let _ = self.0.lock().await.shutdown().await;
    }
}
