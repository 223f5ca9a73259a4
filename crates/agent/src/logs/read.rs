//! Reading a container's log as its reader asked for it: from some point on, to the end or for as
//! long as the container runs.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;

use super::files_of;
use super::line::Line;
use crate::files;

/// A look backwards for line ends goes no further: a pod can make a file of any length that has
/// none.
const TAIL_BYTES_MAX: u64 = 1 << 30;
/// Read without finding anything to show before the reader is asked whether it is still there.
const SEARCH_BYTES_MAX: usize = 16 << 20;
/// Read at once; also about what is sent at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// The runtime writes lines of at most 16 KiB; anything this long without an end is not a log.
const LINE_BYTES_MAX: usize = 1 << 20;

/// What the reader asked for (DS-H52).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogOptions {
    pub follow: bool,
    pub tail_lines: Option<u64>,
    pub since: Option<Timestamp>,
    pub limit_bytes: Option<u64>,
    pub timestamps: bool,
    /// `stdout` or `stderr`; `None`: both.
    pub stream: Option<String>,
}

/// Reads one log, chunk by chunk.
pub(crate) struct LogReader {
    path: PathBuf,
    options: LogOptions,
    /// Files that come after the open one.
    pending: VecDeque<PathBuf>,
    open: Option<File>,
    /// The beginning of a line whose end was not read yet.
    rest: Vec<u8>,
    /// The last line that was given out goes on: no time in front of the next one.
    within_line: bool,
    left_bytes: u64,
    /// The open file was rotated away; the runtime may have written to it a moment longer.
    rotated: bool,
}

impl LogReader {
    /// # Errors
    /// The log cannot be read.
    pub fn open(path: &Path, options: LogOptions) -> io::Result<LogReader> {
        let mut files: VecDeque<PathBuf> = files_of(path).into();
        let offset = options.tail_lines.map(|lines| skip_to_tail(&mut files, lines)).transpose()?.unwrap_or(0);
        let mut reader = LogReader {
            path: path.to_owned(),
            left_bytes: options.limit_bytes.unwrap_or(u64::MAX),
            options,
            pending: files,
            open: None,
            rest: Vec::new(),
            within_line: false,
            rotated: false,
        };
        reader.open_next()?;
        if let Some(file) = &mut reader.open {
            file.seek(SeekFrom::Start(offset))?;
        }
        Ok(reader)
    }

    /// The next text, empty while it is looked for; `None`: there is no more for now (and for ever,
    /// unless the container runs).
    ///
    /// # Errors
    /// Of the file system.
    pub fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut searched = 0;
        while self.left_bytes > 0 {
            if searched > SEARCH_BYTES_MAX {
                return Ok(Some(Bytes::new()));
            }
            let Some(file) = &mut self.open else { return Ok(None) };
            let start = self.rest.len();
            self.rest.resize(start + CHUNK_BYTES, 0);
            let read = file.read(&mut self.rest[start..])?;
            self.rest.truncate(start + read);
            searched += read;
            if read == 0 && !self.advance()? {
                return Ok(None);
            }
            let text = self.take_lines();
            if !text.is_empty() {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// Whether nothing more will come however long one waits.
    pub fn is_exhausted(&self) -> bool {
        self.left_bytes == 0
    }

    /// At the end of a file: the next one, if there is or if this one was rotated away.
    fn advance(&mut self) -> io::Result<bool> {
        if self.pending.is_empty() && self.was_rotated() {
            if !std::mem::replace(&mut self.rotated, true) {
                return Ok(false);
            }
            self.pending.push_back(self.path.clone());
        }
        self.rotated = false;
        if self.pending.is_empty() {
            return Ok(false);
        }
        self.open_next()?;
        Ok(self.open.is_some())
    }

    fn was_rotated(&self) -> bool {
        let inode = |metadata: io::Result<std::fs::Metadata>| metadata.ok().map(|metadata| metadata.ino());
        let Some(open) = &self.open else { return false };
        let now = inode(std::fs::symlink_metadata(&self.path));
        now.is_some() && now != inode(open.metadata())
    }

    /// Files that went away in between are passed over, except the log itself.
    fn open_next(&mut self) -> io::Result<()> {
        while let Some(path) = self.pending.pop_front() {
            match files::open(&path, files::LOG_NAMES) {
                Ok(file) => {
                    self.open = Some(file);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound && !self.pending.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The whole lines that were read, as the reader wants them.
    fn take_lines(&mut self) -> Bytes {
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            if self.rest.len() > LINE_BYTES_MAX {
                self.rest.clear();
            }
            return Bytes::new();
        };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        let mut out = Vec::with_capacity(whole.len());
        whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).for_each(|line| self.push(line, &mut out));
        out.truncate(usize::try_from(self.left_bytes).unwrap_or(usize::MAX));
        self.left_bytes -= out.len() as u64;
        out.into()
    }

    fn push(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let Some(line) = Line::parse(line) else { return };
        let wanted = self.options.stream.as_deref().is_none_or(|stream| stream == line.stream);
        if !wanted || self.options.since.is_some_and(|since| !line.is_since(since)) {
            return;
        }
        if self.options.timestamps && !self.within_line {
            out.extend_from_slice(line.shown_time().as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(line.text);
        if !line.partial {
            out.push(b'\n');
        }
        self.within_line = line.partial;
    }
}

/// Drops the files that lie wholly before the last `lines` lines; answers where to begin in the
/// first one that is left.
fn skip_to_tail(paths: &mut VecDeque<PathBuf>, lines: u64) -> io::Result<u64> {
    let mut wanted = lines;
    for index in (0..paths.len()).rev() {
        let mut file = match files::open(&paths[index], files::LOG_NAMES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && index + 1 < paths.len() => break,
            opened => opened?,
        };
        match tail_offset(&mut file, wanted)? {
            Tail::At(offset) => {
                paths.drain(..index);
                return Ok(offset);
            }
            Tail::Short { has } => wanted -= has,
        }
    }
    Ok(0)
}

enum Tail {
    /// The wanted lines begin here.
    At(u64),
    /// The whole file has only so many.
    Short { has: u64 },
}

/// Reads backwards until enough line ends were seen.
fn tail_offset(file: &mut File, wanted: u64) -> io::Result<Tail> {
    let length = file.metadata()?.len();
    if wanted == 0 {
        return Ok(Tail::At(length));
    }
    let (mut position, mut seen) = (length, 0);
    let mut buffer = vec![0; CHUNK_BYTES];
    while position > 0 && length - position < TAIL_BYTES_MAX {
        let size = position.min(CHUNK_BYTES as u64);
        position -= size;
        let chunk = &mut buffer[..usize::try_from(size).unwrap_or(CHUNK_BYTES)];
        file.seek(SeekFrom::Start(position))?;
        file.read_exact(chunk)?;
        for (index, _) in chunk.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            if seen == wanted {
                return Ok(Tail::At(position + index as u64 + 1));
            }
            seen += 1;
        }
    }
    Ok(if seen == wanted || position > 0 { Tail::At(position) } else { Tail::Short { has: seen } })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log with these texts, one per line; rotated files first.
    fn log(files: &[&[&str]]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut second = 0;
        for (index, lines) in files.iter().enumerate() {
            let last = index + 1 == files.len();
            let name = if last { path.clone() } else { dir.path().join(format!("0.log.2026112{index}-000000")) };
            let text: String = lines
                .iter()
                .map(|line| {
                    second += 1;
                    format!("2026-01-01T00:00:{second:02}Z {line}\n")
                })
                .collect();
            std::fs::write(name, text).unwrap();
        }
        (dir, path)
    }

    fn read(path: &Path, options: LogOptions) -> String {
        let mut reader = LogReader::open(path, options).unwrap();
        let mut all = Vec::new();
        while let Some(text) = reader.next().unwrap() {
            all.extend_from_slice(&text);
        }
        String::from_utf8(all).unwrap()
    }

    /// DS-H52, across a rotation.
    #[test]
    fn options() {
        let (_dir, path) = log(&[&["stdout F a", "stderr F b"], &["stdout P c1", "stdout F c2", "stdout F d"]]);
        let options = LogOptions::default;
        assert_eq!(read(&path, options()), "a\nb\nc1c2\nd\n");
        assert_eq!(read(&path, LogOptions { tail_lines: Some(1), ..options() }), "d\n");
        assert_eq!(read(&path, LogOptions { tail_lines: Some(0), ..options() }), "");
        assert_eq!(read(&path, LogOptions { tail_lines: Some(4), ..options() }), "b\nc1c2\nd\n");
        assert_eq!(read(&path, LogOptions { tail_lines: Some(99), ..options() }), "a\nb\nc1c2\nd\n");
        assert_eq!(read(&path, LogOptions { limit_bytes: Some(5), ..options() }), "a\nb\nc");
        assert_eq!(read(&path, LogOptions { stream: Some("stderr".into()), ..options() }), "b\n");
        let since = Some("2026-01-01T00:00:05Z".parse().unwrap());
        assert_eq!(
            read(&path, LogOptions { since, timestamps: true, ..options() }),
            "2026-01-01T00:00:05.000000000Z d\n"
        );
        assert_eq!(
            read(&path, LogOptions { tail_lines: Some(3), timestamps: true, ..options() }),
            "2026-01-01T00:00:03.000000000Z c1c2\n2026-01-01T00:00:05.000000000Z d\n"
        );
    }

    /// DS-H51, DS-H52: what is written after a rotation is read from the new file.
    #[test]
    fn follows_across_a_rotation() {
        let (dir, path) = log(&[&["stdout F a"]]);
        let mut reader = LogReader::open(&path, LogOptions { follow: true, ..LogOptions::default() }).unwrap();
        assert_eq!(reader.next().unwrap().unwrap(), "a\n");
        assert_eq!(reader.next().unwrap(), None);
        let append = |path: &Path, text: &str| {
            use std::io::Write;
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
            writeln!(file, "2026-01-01T00:00:09Z stdout F {text}").unwrap();
        };
        append(&path, "b");
        std::fs::rename(&path, dir.path().join("0.log.20261121-000000")).unwrap();
        append(&path, "c");
        assert_eq!(reader.next().unwrap().unwrap(), "b\n");
        assert_eq!(reader.next().unwrap(), None, "the runtime may not have turned to the new file yet");
        assert_eq!(reader.next().unwrap().unwrap(), "c\n");
        assert_eq!(reader.next().unwrap(), None);
    }

    #[test]
    fn lines_longer_than_a_chunk() {
        let long = "x".repeat(3 * CHUNK_BYTES);
        let (_dir, path) = log(&[&[&format!("stdout F {long}"), "stdout F end"]]);
        assert_eq!(read(&path, LogOptions::default()), format!("{long}\nend\n"));
        assert_eq!(read(&path, LogOptions { tail_lines: Some(2), ..LogOptions::default() }), format!("{long}\nend\n"));
    }

    /// A pod with the host's logs in it puts something else in place of a log: it is refused, at
    /// once.
    #[test]
    fn only_logs_are_read() {
        let root = tempfile::tempdir().unwrap();
        let path = files::tests::log_path(root.path());
        files::tests::in_place_of(&path, || {
            for tail_lines in [None, Some(1)] {
                assert!(LogReader::open(&path, LogOptions { tail_lines, ..LogOptions::default() }).is_err());
            }
        });
    }

    /// Nothing in it ends a line: no look at it takes long.
    #[test]
    fn a_huge_sparse_file_is_given_up_in_portions() {
        let (_dir, path) = log(&[&["stdout F a"]]);
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        let mut reader = LogReader::open(&path, LogOptions::default()).unwrap();
        assert_eq!(reader.next().unwrap().unwrap(), "a\n");
        assert_eq!(reader.next().unwrap().unwrap(), "", "the rest is looked through in portions");
    }
}
