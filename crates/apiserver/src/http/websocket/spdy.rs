//! SPDY/3.1 frames as a client of an agent's streaming server reads and writes them. Pure: bytes
//! in, events out.
//!
//! Headers are compressed by one zlib stream for the whole connection. Ours are written as stored
//! blocks, which every zlib reads, and what the other side says in its headers is of no interest:
//! so no compression is needed.

use bytes::{Buf, BytesMut};

/// The largest frame that is read; streaming servers send pieces of 32 KiB.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Flag of the last frame of a stream in one direction.
const FIN: u8 = 1;
const CONTROL: u16 = 0x8003;
const SYN_STREAM: u16 = 1;
const RESET: u16 = 3;
const PING: u16 = 6;
const GO_AWAY: u16 = 7;
const HEAD_BYTES: usize = 8;
/// A zlib stream begins: deflate, no dictionary, no compression (RFC 1950).
const ZLIB_HEAD: [u8; 2] = [0x78, 0x01];
/// A stored block without content: what was written so far can be read (RFC 1951, 3.2.4).
const FLUSH: [u8; 5] = [0, 0, 0, 0xff, 0xff];

/// What the other side did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Bytes of a stream; `fin`: no more will come.
    Data {
        stream: u32,
        payload: BytesMut,
        fin: bool,
    },
    Reset {
        stream: u32,
    },
    /// To be sent back as it is.
    Ping(u32),
    GoAway,
    /// Of no interest here.
    Other,
}

/// The other side sends what no streaming server does.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent's stream has a frame of {0} bytes")]
pub(crate) struct TooLong(usize);

/// Opens streams.
#[derive(Debug, Default)]
pub(crate) struct Opener {
    streams: u32,
}

impl Opener {
    /// The next stream's id, and the frame that opens it.
    pub(crate) fn open(&mut self, headers: &[(&str, &str)]) -> (u32, Vec<u8>) {
        let mut block = u32_of(headers.len()).to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            block.extend_from_slice(&u32_of(text.len()));
            block.extend_from_slice(text.as_bytes());
        }
        let mut compressed = Vec::with_capacity(block.len() + 16);
        if self.streams == 0 {
            compressed.extend_from_slice(&ZLIB_HEAD);
        }
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        block.truncate(length.into());
        compressed.push(0);
        compressed.extend_from_slice(&length.to_le_bytes());
        compressed.extend_from_slice(&(!length).to_le_bytes());
        compressed.extend_from_slice(&block);
        compressed.extend_from_slice(&FLUSH);
        // Clients have the odd ids.
        let id = 2 * self.streams + 1;
        self.streams += 1;
        let mut payload = id.to_be_bytes().to_vec();
        // No stream that it belongs to, the highest priority, no credentials.
        payload.extend_from_slice(&[0; 6]);
        payload.extend_from_slice(&compressed);
        (id, control(SYN_STREAM, &payload))
    }
}

/// Bytes of a stream; `fin`: no more will come.
pub(crate) fn data(stream: u32, payload: &[u8], fin: bool) -> Vec<u8> {
    let mut out = stream.to_be_bytes().to_vec();
    out.extend_from_slice(&u32_of(payload.len()));
    out[4] = if fin { FIN } else { 0 };
    out.extend_from_slice(payload);
    out
}

pub(crate) fn ping(id: u32) -> Vec<u8> {
    control(PING, &id.to_be_bytes())
}

fn control(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = CONTROL.to_be_bytes().to_vec();
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&u32_of(payload.len()));
    out.extend_from_slice(payload);
    out
}

fn u32_of(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

/// Reads what the other side sends.
#[derive(Debug, Default)]
pub(crate) struct Reader(BytesMut);

impl Reader {
    /// Where bytes that have come are to be put.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.0
    }

    /// The next frame; `None`: more bytes are needed.
    ///
    /// # Errors
    /// A frame is too long.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, TooLong> {
        let [a, b, c, d, flags, e, f, g, ..] = self.0[..] else { return Ok(None) };
        let length = u32::from_be_bytes([0, e, f, g]) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(TooLong(length));
        }
        if self.0.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        self.0.advance(HEAD_BYTES);
        let payload = self.0.split_to(length);
        if a & 0x80 == 0 {
            return Ok(Some(Event::Data { stream: u32::from_be_bytes([a, b, c, d]), payload, fin: flags & FIN != 0 }));
        }
        let first = payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        Ok(Some(match (u16::from_be_bytes([c, d]), first) {
            (RESET, Some(stream)) => Event::Reset { stream },
            (PING, Some(id)) => Event::Ping(id),
            (GO_AWAY, _) => Event::GoAway,
            _ => Event::Other,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut reader = Reader::default();
        let mut events = Vec::new();
        for byte in bytes {
            reader.buffer().extend_from_slice(&[*byte]);
            while let Some(event) = reader.next()? {
                events.push(event);
            }
        }
        Ok(events)
    }

    #[test]
    fn a_stream_is_opened_with_headers_that_every_zlib_reads() {
        let mut opener = Opener::default();
        let (first, frame) = opener.open(&[("streamtype", "error")]);
        let headers = b"\0\0\0\x01\0\0\0\x0astreamtype\0\0\0\x05error";
        let mut expected = b"\x80\x03\0\x01\0\0\0\x2f\0\0\0\x01\0\0\0\0\0\0".to_vec();
        expected.extend_from_slice(&[0x78, 0x01, 0x00, 27, 0, !27, 0xff]);
        expected.extend_from_slice(headers);
        expected.extend_from_slice(&FLUSH);
        expected[7] = u8::try_from(expected.len() - HEAD_BYTES).unwrap();
        assert_eq!((first, frame), (1, expected));
        let (second, frame) = opener.open(&[]);
        assert_eq!(second, 3);
        assert_eq!(frame[18..], *b"\0\x04\0\xfb\xff\0\0\0\0\0\0\0\xff\xff", "the zlib stream goes on");
    }

    #[test]
    fn frames_are_read_whatever_pieces_they_come_in() {
        let reply = b"\x80\x03\0\x02\0\0\0\x04\0\0\0\x01";
        let stream = [data(3, b"out", false), reply.to_vec(), data(1, b"", true), ping(2), control(GO_AWAY, &[0; 8])];
        let expected = [
            Event::Data { stream: 3, payload: b"out"[..].into(), fin: false },
            Event::Other,
            Event::Data { stream: 1, payload: BytesMut::new(), fin: true },
            Event::Ping(2),
            Event::GoAway,
        ];
        assert_eq!(events(&stream.concat()).unwrap(), expected);
        assert_eq!(events(&control(RESET, &[0, 0, 0, 5, 0, 0, 0, 1])).unwrap(), [Event::Reset { stream: 5 }]);
        assert_eq!(events(b"\0\0\0\x01\0\xff\xff\xff"), Err(TooLong(0xff_ffff)));
    }
}
