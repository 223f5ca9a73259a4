//! Watch streams: one JSON event per line (DS-I32).

use bytes::{Bytes, BytesMut};
use everynode_api::ports::{ApiError, BoxFuture, EventStream, WatchEvent};
use everynode_api::status::Status;
use http_body_util::BodyExt;
use kube::client::Body;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::explain;
use crate::informer::MetaOnly;

/// The longest event: an object is at most 3 MiB on the wire (DS-I46), twice with managed fields
/// and escapes.
const LINE_BYTES_MAX: usize = 8 << 20;

/// The events of one HTTP watch.
pub(super) struct HttpEvents {
    body: Body,
    lines: Lines,
    ended: bool,
}

impl HttpEvents {
    pub fn new(body: Body) -> Self {
        HttpEvents { body, lines: Lines::default(), ended: false }
    }

    /// Cancel-safe: what was read is in `lines`.
    async fn next_event(&mut self) -> Option<Result<WatchEvent, ApiError>> {
        loop {
            match self.lines.next() {
                Err(error) => return self.fail(error),
                Ok(Some(line)) if line.trim_ascii().is_empty() => {}
                Ok(Some(line)) => match event(&line) {
                    Ok(event) => return Some(Ok(event)),
                    Err(error) => return self.fail(error),
                },
                Ok(None) if self.ended => return None,
                Ok(None) => {
                    if let Err(error) = self.read().await {
                        return self.fail(error);
                    }
                }
            }
        }
    }

    async fn read(&mut self) -> Result<(), ApiError> {
        match self.body.frame().await {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    self.lines.add(&data);
                }
            }
            Some(Err(error)) => return Err(ApiError::UnknownOutcome(explain(&error))),
            None => {
                self.ended = true;
                self.lines.add(b"\n");
            }
        }
        Ok(())
    }

    /// After a failure the stream has ended.
    fn fail(&mut self, error: ApiError) -> Option<Result<WatchEvent, ApiError>> {
        self.ended = true;
        self.lines = Lines::default();
        Some(Err(error))
    }
}

impl EventStream for HttpEvents {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<WatchEvent, ApiError>>> {
        Box::pin(self.next_event())
    }
}

/// Bytes in, lines out.
#[derive(Debug, Default)]
struct Lines {
    buffer: BytesMut,
    /// How much of the buffer is known to have no line end.
    searched: usize,
}

impl Lines {
    fn add(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        if let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
            let line = self.buffer.split_to(self.searched + at + 1);
            self.searched = 0;
            return Ok(Some(line.freeze()));
        }
        self.searched = self.buffer.len();
        match self.searched > LINE_BYTES_MAX {
            true => Err(ApiError::Garbled(format!("a watch event of more than {LINE_BYTES_MAX} bytes"))),
            false => Ok(None),
        }
    }
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// Decodes one line; the object's bytes stay where they are.
fn event(line: &Bytes) -> Result<WatchEvent, ApiError> {
    let garbled = |error: serde_json::Error| ApiError::Garbled(format!("a watch event: {error}"));
    let frame: Frame<'_> = serde_json::from_slice(line).map_err(garbled)?;
    let json = frame.object.get().as_bytes();
    let object = || line.slice_ref(json);
    match frame.kind {
        "ADDED" => Ok(WatchEvent::Added(object())),
        "MODIFIED" => Ok(WatchEvent::Modified(object())),
        "DELETED" => Ok(WatchEvent::Deleted(object())),
        "BOOKMARK" => {
            let meta = serde_json::from_slice::<MetaOnly>(json).map_err(garbled)?.metadata;
            Ok(WatchEvent::Bookmark { resource_version: meta.resource_version })
        }
        "ERROR" => Err(serde_json::from_slice::<Status>(json).map_err(garbled)?.into()),
        other => Err(ApiError::Garbled(format!("a watch event of the unknown type {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(line: &'static str) -> Result<WatchEvent, ApiError> {
        event(&Bytes::from_static(line.as_bytes()))
    }

    #[test]
    fn events_are_typed_and_keep_the_objects_bytes() {
        // DS-I32, DS-I34
        assert_eq!(decode(r#"{"type":"ADDED","object":{"a": 1}}"#).unwrap(), WatchEvent::Added(r#"{"a": 1}"#.into()));
        let bookmark = decode(r#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"12"}}}"#);
        assert_eq!(bookmark.unwrap(), WatchEvent::Bookmark { resource_version: 12 });
    }

    #[test]
    fn errors_are_the_servers_own() {
        // DS-I33
        let expired =
            r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}"#;
        assert!(decode(expired).unwrap_err().is_expired());
        assert!(matches!(decode("{}"), Err(ApiError::Garbled(_))));
        assert!(matches!(decode(r#"{"type":"WHAT","object":{}}"#), Err(ApiError::Garbled(_))));
    }

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let mut lines = Lines::default();
        lines.add(b"one\ntw");
        assert_eq!(lines.next().unwrap().as_deref(), Some(&b"one\n"[..]));
        assert_eq!(lines.next().unwrap(), None);
        lines.add(b"o\n\n");
        assert_eq!(lines.next().unwrap().as_deref(), Some(&b"two\n"[..]));
        assert_eq!(lines.next().unwrap().as_deref(), Some(&b"\n"[..]));
        lines.add(&vec![b'x'; LINE_BYTES_MAX + 1]);
        assert!(lines.next().is_err());
    }
}
