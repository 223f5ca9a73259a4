//! Exec and attach over `v5.channel.k8s.io`: the client's channels are streams of a SPDY connection
//! to the agent.
//!
//! Every message begins with the number of its channel. What version 5 has over version 4, and
//! container runtimes do not know over WebSocket, is channel 255: the client says that its standard
//! input has ended.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::Mutex;

use super::frames::Opcode;
use super::socket::{self, Incoming, Outgoing};
use super::spdy::{self, Event, Opener};
use crate::operation::connect::Streams;

/// The channels by their numbers, and the names of the streams.
const CHANNELS: [&str; 5] = ["stdin", "stdout", "stderr", "error", "resize"];
const STDIN: u8 = 0;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// A message on this one holds the number of a channel that ends.
const CLOSE: u8 = 255;

/// The streams that were opened: the channel of each, and its id.
#[derive(Clone, Debug)]
struct Opened(Vec<(u8, u32)>);

impl Opened {
    /// The streams that are needed, in the order in which streaming servers want them, and the
    /// frames that open them.
    fn new(streams: Streams) -> (Opened, Vec<u8>) {
        let wanted = [
            (ERROR, true),
            (STDIN, streams.stdin),
            (1, streams.stdout),
            // With a terminal, both outputs are one.
            (2, streams.stderr && !streams.tty),
            (RESIZE, streams.tty),
        ];
        let mut opener = Opener::default();
        let (mut all, mut frames) = (Vec::new(), Vec::new());
        for (channel, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
            let (id, frame) = opener.open(&[("streamtype", CHANNELS[usize::from(channel)])]);
            all.push((channel, id));
            frames.extend_from_slice(&frame);
        }
        (Opened(all), frames)
    }

    fn stream(&self, channel: u8) -> Option<u32> {
        self.0.iter().find(|(held, _)| *held == channel).map(|(_, id)| *id)
    }

    fn channel(&self, stream: u32) -> Option<u8> {
        self.0.iter().find(|(_, held)| *held == stream).map(|(channel, _)| *channel)
    }

    /// What a client's message is to the agent; `None`: nothing.
    fn to_agent(&self, message: &[u8]) -> Option<Vec<u8>> {
        match message {
            [CLOSE, channel] => Some(spdy::data(self.stream(*channel)?, &[], true)),
            // Only these two come from clients.
            [channel @ (STDIN | RESIZE), payload @ ..] if !payload.is_empty() => {
                Some(spdy::data(self.stream(*channel)?, payload, false))
            }
            _ => None,
        }
    }
}

/// Which streams of the agent's have ended.
#[derive(Debug)]
struct Ends(Vec<u8>);

impl Ends {
    fn new(opened: &Opened) -> Ends {
        Ends(opened.0.iter().map(|(channel, _)| *channel).filter(|channel| [1, 2, ERROR].contains(channel)).collect())
    }

    /// A channel has ended; true once all have.
    fn end(&mut self, channel: u8) -> bool {
        self.0.retain(|held| *held != channel);
        self.0.is_empty()
    }
}

type ToAgent<A> = Arc<Mutex<WriteHalf<A>>>;

/// Carries channels to streams and back until either side ends.
///
/// # Errors
/// Of the connections, or one side keeps not to its protocol.
pub(super) async fn run<C, A>(client: C, agent: A, streams: Streams) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite,
    A: AsyncRead + AsyncWrite,
{
    let (opened, frames) = Opened::new(streams);
    let (incoming, outgoing) = socket::split(client);
    let (from_agent, mut to_agent) = tokio::io::split(agent);
    to_agent.write_all(&frames).await?;
    to_agent.flush().await?;
    let to_agent = Arc::new(Mutex::new(to_agent));
    let result = tokio::select! {
        ended = upward(incoming, &opened, &to_agent) => ended,
        ended = downward(from_agent, &opened, &outgoing, &to_agent) => ended,
    };
    outgoing.close().await;
    result
}

/// From the client to the agent.
async fn upward<C, A>(mut client: Incoming<C>, opened: &Opened, agent: &ToAgent<A>) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite,
    A: AsyncWrite,
{
    while let Some(message) = client.next().await? {
        if let Some(frame) = opened.to_agent(&message) {
            write(agent, &frame).await?;
        }
    }
    Ok(())
}

/// From the agent to the client.
async fn downward<C, A>(
    mut agent: ReadHalf<A>,
    opened: &Opened,
    client: &Outgoing<C>,
    answers: &ToAgent<A>,
) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite,
    A: AsyncRead + AsyncWrite,
{
    let (mut frames, mut ends) = (spdy::Reader::default(), Ends::new(opened));
    loop {
        let ended = match frames.next().map_err(io::Error::other)? {
            Some(Event::Data { stream, payload, fin }) => {
                let Some(channel) = opened.channel(stream) else { continue };
                if !payload.is_empty() {
                    client.send(Opcode::Binary, &[&[channel], &payload]).await?;
                }
                fin.then_some(channel)
            }
            Some(Event::Reset { stream }) => opened.channel(stream),
            Some(Event::Ping(id)) => {
                write(answers, &spdy::ping(id)).await?;
                None
            }
            Some(Event::GoAway) => return Ok(()),
            Some(Event::Other) => None,
            None if agent.read_buf(frames.buffer()).await? == 0 => return Ok(()),
            None => None,
        };
        if ended.is_some_and(|channel| ends.end(channel)) {
            return Ok(());
        }
    }
}

async fn write<A: AsyncWrite>(agent: &ToAgent<A>, frame: &[u8]) -> io::Result<()> {
    let mut agent = agent.lock().await;
    agent.write_all(frame).await?;
    agent.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(stdin: bool, stderr: bool, tty: bool) -> Opened {
        Opened::new(Streams { stdin, stdout: true, stderr, tty }).0
    }

    #[test]
    fn streams_are_opened_in_the_order_of_streaming_servers() {
        assert_eq!(opened(true, true, false).0, [(ERROR, 1), (STDIN, 3), (1, 5), (2, 7)]);
        assert_eq!(opened(true, true, true).0, [(ERROR, 1), (STDIN, 3), (1, 5), (RESIZE, 7)]);
        assert_eq!(opened(false, false, false).0, [(ERROR, 1), (1, 3)]);
    }

    #[test]
    fn a_clients_messages_become_frames_of_their_streams() {
        let streams = opened(true, true, false);
        assert_eq!(streams.to_agent(b"\0hello"), Some(spdy::data(3, b"hello", false)));
        assert_eq!(streams.to_agent(b"\xff\0"), Some(spdy::data(3, b"", true)), "standard input has ended");
        for nothing in [&b""[..], b"\0", b"\x01out", b"\x03error", b"\x04{}", b"\xff\x09", b"\xff", b"\x09x"] {
            assert_eq!(streams.to_agent(nothing), None, "{nothing:x?}");
        }
        assert_eq!(opened(true, false, true).to_agent(b"\x04{}"), Some(spdy::data(7, b"{}", false)));
    }

    #[test]
    fn it_ends_when_all_that_the_agent_sends_has_ended() {
        let mut ends = Ends::new(&opened(true, true, false));
        assert!(!ends.end(1) && !ends.end(ERROR) && !ends.end(ERROR));
        assert!(ends.end(2));
    }
}
