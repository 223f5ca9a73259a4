//! Termination messages: what a container left in its message file, or the end of its log.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::container::{LOG_FILE_ANNOTATION, MESSAGE_FILE_ANNOTATION, MESSAGE_POLICY_ANNOTATION};
use crate::cri::Container;

/// As in Kubernetes: a message has at most 4096 bytes, from a log at most 2048 and 80 lines.
const MESSAGE_BYTES_MAX: u64 = 4096;
const LOG_BYTES_MAX: usize = 2048;
const LOG_LINES_MAX: usize = 80;
/// CRI's framing of up to 80 short lines in front of their text.
const LOG_READ_BYTES: u64 = 16 * 1024;

/// The message of an ended container.
pub(super) fn read(found: &Container) -> String {
    let annotation = |name: &str| found.annotations.get(name).map(String::as_str).unwrap_or_default();
    let file = annotation(MESSAGE_FILE_ANNOTATION);
    let message = if file.is_empty() { String::new() } else { head(Path::new(file), MESSAGE_BYTES_MAX) };
    let fall_back = annotation(MESSAGE_POLICY_ANNOTATION) == "FallbackToLogsOnError" && found.exit_code != 0;
    if message.is_empty() && fall_back { log_end(Path::new(annotation(LOG_FILE_ANNOTATION))) } else { message }
}

fn head(path: &Path, bytes: u64) -> String {
    let mut data = Vec::new();
    let read = File::open(path).and_then(|file| file.take(bytes).read_to_end(&mut data));
    read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&data).into_owned())
}

/// The last lines of a CRI log, without their framing.
fn log_end(path: &Path) -> String {
    let Ok(mut file) = File::open(path) else { return String::new() };
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let _ = file.seek(SeekFrom::Start(length.saturating_sub(LOG_READ_BYTES)));
    let mut data = Vec::new();
    if file.take(LOG_READ_BYTES).read_to_end(&mut data).is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&data);
    let lines: Vec<&str> = text.lines().filter_map(|line| line.splitn(4, ' ').nth(3)).collect();
    let mut end: String =
        lines[lines.len().saturating_sub(LOG_LINES_MAX)..].iter().flat_map(|line| [*line, "\n"]).collect();
    let mut start = end.len().saturating_sub(LOG_BYTES_MAX);
    while !end.is_char_boundary(start) {
        start += 1;
    }
    end.split_off(start)
}
