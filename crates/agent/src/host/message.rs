//! Termination messages: what a container left in its message file, or the end of its log.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::container::{LOG_FILE_ANNOTATION, MESSAGE_FILE_ANNOTATION, MESSAGE_POLICY_ANNOTATION};
use crate::cri::Container;
use crate::files;

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
    let message = if file.is_empty() { String::new() } else { file_end(Path::new(file), MESSAGE_BYTES_MAX) };
    let fall_back = annotation(MESSAGE_POLICY_ANNOTATION) == "FallbackToLogsOnError" && found.exit_code != 0;
    if message.is_empty() && fall_back { log_end(Path::new(annotation(LOG_FILE_ANNOTATION))) } else { message }
}

/// The end of a file: what a program writes last says why it ended.
fn file_end(path: &Path, bytes: u64) -> String {
    read_end(path, files::MESSAGE_NAMES, bytes)
        .map_or_else(|_| String::new(), |data| String::from_utf8_lossy(&data).into_owned())
}

fn read_end(path: &Path, own_names: usize, bytes: u64) -> std::io::Result<Vec<u8>> {
    let mut file = files::open(path, own_names)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut data = Vec::new();
    file.take(bytes).read_to_end(&mut data)?;
    Ok(data)
}

/// The last lines of a CRI log, without their framing.
fn log_end(path: &Path) -> String {
    let data = read_end(path, files::LOG_NAMES, LOG_READ_BYTES).unwrap_or_default();
    let text = String::from_utf8_lossy(&data);
    let lines: Vec<(&str, &str)> = text.lines().filter_map(content).collect();
    let last = &lines[lines.len().saturating_sub(LOG_LINES_MAX)..];
    let mut end: String = last.iter().flat_map(|(content, end)| [*content, *end]).collect();
    let mut start = end.len().saturating_sub(LOG_BYTES_MAX);
    while !end.is_char_boundary(start) {
        start += 1;
    }
    end.split_off(start)
}

/// `TIME STREAM TAG CONTENT`, and how the line ends: one with the tag `P` (partial) goes on in the
/// next, or was never ended by the container.
fn content(line: &str) -> Option<(&str, &str)> {
    let mut parts = line.splitn(4, ' ').skip(2);
    let (tags, content) = (parts.next()?, parts.next()?);
    Some((content, if tags.split(':').next() == Some("P") { "" } else { "\n" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_file(text: &str, read: impl FnOnce(&Path) -> String) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn of_a_long_message_the_end_is_kept() {
        let text = format!("{}{}", "a".repeat(5000), "end");
        let message = in_file(&text, |path| file_end(path, MESSAGE_BYTES_MAX));
        assert_eq!((message.len(), message.ends_with("aend")), (4096, true));
        assert_eq!(in_file("short", |path| file_end(path, MESSAGE_BYTES_MAX)), "short");
        assert_eq!(file_end(Path::new("/nowhere"), MESSAGE_BYTES_MAX), "");
    }

    #[test]
    fn the_last_line_of_a_log_is_taken_as_it_stands() {
        let log = "2026-01-01T00:00:00.0Z stdout F first\n2026-01-01T00:00:00.0Z stderr P DO\n\
            2026-01-01T00:00:00.0Z stderr P NE\n";
        assert_eq!(in_file(log, log_end), "first\nDONE");
        assert_eq!(in_file("2026-01-01T00:00:00.0Z stdout F \n", log_end), "\n");
        let many: String = (0..100).map(|line| format!("2026-01-01T00:00:00.0Z stdout F {line}\n")).collect();
        let kept = in_file(&many, log_end);
        assert_eq!((kept.lines().count(), kept.lines().next()), (80, Some("20")));
    }

    /// What a pod can put in place of the file is not read, and not waited for.
    #[test]
    fn only_regular_files_are_read() {
        let root = tempfile::tempdir().unwrap();
        let path = files::tests::log_path(root.path());
        files::tests::in_place_of(&path, || {
            assert_eq!((file_end(&path, MESSAGE_BYTES_MAX), log_end(&path)), (String::new(), String::new()));
        });
    }
}
