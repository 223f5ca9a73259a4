//! WebSocket frames (RFC 6455) as a server reads and writes them. Pure: bytes in, messages out.

use bytes::{Buf, BytesMut};

/// The largest message that a client may send; kubectl sends pieces of 32 KiB.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Payload of a ping, pong or close (RFC 6455, 5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn read(number: u8) -> Result<Opcode, Violation> {
        Ok(match number {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return Err(Violation("an unknown kind of frame")),
        })
    }

    fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// What a client has said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// A whole message, text or binary.
    Data(BytesMut),
    Ping(BytesMut),
    Pong,
    Close,
}

/// What a client may not do: the connection ends.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client broke the WebSocket protocol: {0}")]
pub(crate) struct Violation(&'static str);

/// Reads a client's frames.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    bytes: BytesMut,
    /// The message whose pieces are coming.
    pieces: Option<BytesMut>,
}

/// Where a frame's payload is.
struct Head {
    fin: bool,
    opcode: Opcode,
    mask: [u8; 4],
    begin: usize,
    length: usize,
}

impl Reader {
    /// Where bytes that have come are to be put.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// The next message; `None`: more bytes are needed.
    ///
    /// # Errors
    /// The client keeps not to the protocol, or says too much at once.
    pub(crate) fn next(&mut self) -> Result<Option<Message>, Violation> {
        while let Some(head) = self.head()? {
            if self.bytes.len() < head.begin + head.length {
                return Ok(None);
            }
            self.bytes.advance(head.begin);
            let mut payload = self.bytes.split_to(head.length);
            for (byte, mask) in payload.iter_mut().zip(head.mask.iter().cycle()) {
                *byte ^= mask;
            }
            if let Some(message) = self.take(&head, payload)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// A frame's message, if it ends one.
    fn take(&mut self, head: &Head, payload: BytesMut) -> Result<Option<Message>, Violation> {
        match (head.opcode, &mut self.pieces) {
            (Opcode::Close, _) => return Ok(Some(Message::Close)),
            (Opcode::Ping, _) => return Ok(Some(Message::Ping(payload))),
            (Opcode::Pong, _) => return Ok(Some(Message::Pong)),
            (Opcode::Continuation, None) => return Err(Violation("a message that goes on and has not begun")),
            (Opcode::Continuation, Some(pieces)) => {
                if pieces.len() + payload.len() > MESSAGE_BYTES_MAX {
                    return Err(Violation("a message that is too long"));
                }
                pieces.extend_from_slice(&payload);
            }
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(Violation("a message within a message")),
            (Opcode::Text | Opcode::Binary, None) => self.pieces = Some(payload),
        }
        Ok(if head.fin { self.pieces.take().map(Message::Data) } else { None })
    }

    /// The head of the next frame; `None`: more bytes are needed.
    fn head(&self) -> Result<Option<Head>, Violation> {
        let [first, second, rest @ ..] = &self.bytes[..] else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(Violation("an extension that was not agreed upon"));
        }
        if second & 0x80 == 0 {
            return Err(Violation("a frame without a mask"));
        }
        let (fin, opcode) = (first & 0x80 != 0, Opcode::read(first & 0x0f)?);
        let (length, taken) = match (second & 0x7f, rest) {
            (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 2),
            (127, [a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 8),
            (126 | 127, _) => return Ok(None),
            (length, _) => (u64::from(length), 0),
        };
        let length = usize::try_from(length).ok().filter(|length| *length <= MESSAGE_BYTES_MAX);
        let length = length.ok_or(Violation("a message that is too long"))?;
        if opcode.is_control() && (length > CONTROL_BYTES_MAX || !fin) {
            return Err(Violation("a control frame that is no single small one"));
        }
        let Some(mask) = rest.get(taken..taken + 4) else { return Ok(None) };
        let mask = [mask[0], mask[1], mask[2], mask[3]];
        Ok(Some(Head { fin, opcode, mask, begin: 2 + taken + 4, length }))
    }
}

/// A whole frame of a server: a head, then `parts` one after the other.
pub(crate) fn frame(opcode: Opcode, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 10);
    out.push(0x80 | opcode as u8);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(small @ 0..=125), _) => out.push(small),
        (_, Ok(middle)) => {
            out.push(126);
            out.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a client sends it.
    fn sent(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match payload.len() {
            length @ 0..=125 => out.push(0x80 | length as u8),
            length @ 126..=0xffff => {
                out.push(0x80 | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        out.extend_from_slice(&mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        out
    }

    fn read(bytes: &[u8]) -> Result<Vec<Message>, Violation> {
        let mut reader = Reader::default();
        let mut messages = Vec::new();
        // Byte by byte: no frame needs to come at once.
        for byte in bytes {
            reader.buffer().extend_from_slice(&[*byte]);
            while let Some(message) = reader.next()? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    fn data(bytes: &[u8]) -> Message {
        Message::Data(bytes.into())
    }

    #[test]
    fn messages_come_whole_whatever_pieces_they_are_sent_in() {
        let long = vec![7; 70_000];
        let stream = [
            sent(0x82, b"one"),
            sent(0x01, b"tw"),
            sent(0x89, b"ping"),
            sent(0x00, b""),
            sent(0x80, b"o"),
            sent(0x8a, b""),
            sent(0x82, &[5; 300]),
            sent(0x88, b"\x03\xe8"),
        ];
        let pings = Message::Ping(b"ping"[..].into());
        let expected = vec![data(b"one"), pings, data(b"two"), Message::Pong, data(&[5; 300]), Message::Close];
        assert_eq!(read(&stream.concat()).unwrap(), expected);
        assert_eq!(read(&sent(0x82, &long)).unwrap(), [data(&long)]);
        assert_eq!(read(&sent(0x82, b"one")[..5]).unwrap(), []);
    }

    #[test]
    fn what_breaks_the_protocol_ends_the_connection() {
        for bad in [
            &b"\x82\x03one"[..],
            b"\xc2\x80\0\0\0\0",
            b"\x83\x80\0\0\0\0",
            b"\x80\x80\0\0\0\0",
            b"\x09\x80\0\0\0\0",
            b"\x89\xfe\0\x7e\0\0\0\0",
            b"\x82\xff\xff\0\0\0\0\0\0\0\0\0\0\0",
            b"\x02\x80\0\0\0\0\x82\x80\0\0\0\0",
        ] {
            assert!(read(bad).is_err(), "{bad:x?}");
        }
        // Nor is a long message sent in pieces.
        let pieces = [sent(0x02, &[0; MESSAGE_BYTES_MAX]), sent(0x80, b"x")].concat();
        assert!(read(&pieces).is_err());
    }

    #[test]
    fn frames_have_the_shortest_length_there_is() {
        assert_eq!(frame(Opcode::Binary, &[b"\x01", b"ab"]), b"\x82\x03\x01ab");
        assert_eq!(frame(Opcode::Close, &[]), b"\x88\x00");
        let (middle, long) = (frame(Opcode::Text, &[&[0; 126]]), frame(Opcode::Text, &[&[0; 65_536]]));
        assert_eq!((&middle[..4], middle.len()), (&b"\x81\x7e\0\x7e"[..], 130));
        assert_eq!((&long[..10], long.len()), (&b"\x81\x7f\0\0\0\0\0\x01\0\0"[..], 65_546));
    }
}
