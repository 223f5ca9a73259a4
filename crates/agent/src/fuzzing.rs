//! What an agent reads from others, for the fuzzing targets.

use crate::logs::line::Line;
use crate::server::request::{Route, StreamKind, route};

/// A path and a query, each on a line, as the API server asks for logs and streams. What is not
/// understood is no route; a stream has a pod that a request could be made for.
pub fn request(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (path, query) = text.split_once('\n').unwrap_or((&text, ""));
    if let Route::Stream(stream) = route(path, query)
        && let StreamKind::PortForward { ports } = stream.kind
    {
        assert!(ports.len() <= data.len(), "more ports than were asked for");
    }
}

/// A line of a container's log, which the container may have written itself.
pub fn log_line(data: &[u8]) {
    if let Some(line) = Line::parse(data) {
        assert!(line.text.len() <= data.len());
    }
}
