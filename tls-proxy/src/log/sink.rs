//! One open log file of a worker, with the lines that wait for it: what is written when, and what
//! happens to lines that cannot be written.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
use tokio::time::Instant;

use super::files::{Compressed, LogFile, OpenError};
use super::losses::Losses;
use super::syslog::SyslogSender;

/// Lines are written at once when there are this many bytes.
pub(super) const WRITE_AT: usize = 16 * 1024;
/// More lines than this are dropped if they cannot be written, bytes.
const MAX: usize = 1024 * 1024;
/// The time until lines that could not be written are tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Why a line is lost of which a pipe would take a part and the rest could not wait.
const TOO_LONG: &str = "it is longer than 1 MiB, and the pipe is non-blocking";
/// Why what is missing of a line or a block is not written.
const MOVED: &str = "only a part was written when the file was opened again";

#[derive(Debug)]
pub(super) struct Sink {
    pub(super) to: To,
    pub(super) lines: Vec<u8>,
    /// The beginning of the first line has been written.
    has_begun: bool,
    /// The latest time to write the oldest line.
    pub(super) due: Option<Instant>,
    pub(super) losses: Losses,
}

#[derive(Debug)]
pub(super) enum To {
    File(File),
    Compressed(File, Compressed, Rest),
    Syslog(SyslogSender),
}

/// What is missing of a block whose beginning has been written.
#[derive(Debug, Default)]
pub(super) struct Rest {
    bytes: Vec<u8>,
    /// The number of its lines.
    lines: u64,
}

impl To {
    pub(super) fn open(name: &LogFile) -> Result<Self, OpenError> {
        let opened = match name {
            LogFile::Syslog(syslog) => syslog.open().map(Self::Syslog),
            LogFile::Compressed(how) => {
                let file = name.open();
                file.map(|it| Self::Compressed(it, how.clone(), Rest::default()))
            }
            _ => name.open().map(Self::File),
        };
        opened.map_err(|source| OpenError::new(name, source))
    }
}

impl Sink {
    pub(super) fn open(name: &LogFile) -> Result<Self, OpenError> {
        Ok(Self {
            to: To::open(name)?,
            lines: Vec::new(),
            has_begun: false,
            due: None,
            losses: Losses::new(format!("\"{name}\"")),
        })
    }

    /// How long a line may wait for its block.
    pub(super) fn patience(&self) -> Option<Duration> {
        match &self.to {
            To::Compressed(_, how, _) => how.flush,
            To::File(_) | To::Syslog(_) => None,
        }
    }

    /// Adds lines to those that wait. A block takes no more memory than it may have.
    pub(super) fn add(&mut self, lines: &[u8]) {
        if let To::Compressed(_, how, _) = &self.to {
            let size = self.lines.len() + lines.len();
            if size > self.lines.capacity() {
                let room = (2 * size).min(how.size.allowed()).max(size);
                self.lines.reserve_exact(room - self.lines.len());
            }
        }
        self.lines.extend_from_slice(lines);
    }

    /// The same for one line of more than [`WRITE_AT`]. What waits is written first, so that the line
    /// need not be copied.
    pub(super) fn add_long(&mut self, line: Vec<u8>) {
        match &self.to {
            To::Compressed(_, how, _) if self.lines.len() + line.len() <= how.size.allowed() => {}
            To::Compressed(..) => {
                self.write();
                self.due = self.patience().map(|patience| Instant::now() + patience);
            }
            To::File(_) | To::Syslog(_) => self.write(),
        }
        if let Err(reason) = self.could_wait(line.len()) {
            self.losses.add(1, reason);
        } else if self.lines.is_empty() {
            self.lines = line;
        } else {
            self.add(&line);
        }
    }

    /// An error if a further line of this size is too long to wait for a reader, and may have to.
    fn could_wait(&self, size: usize) -> io::Result<()> {
        let To::File(file) = &self.to else {
            return Ok(());
        };
        if self.lines.len() + size <= MAX {
            return Ok(());
        }
        if !self.lines.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let flags = fcntl_getfl(file)?;
        match flags.contains(OFlags::NONBLOCK) && !file.metadata()?.is_file() {
            true => Err(io::Error::other(TOO_LONG)),
            false => Ok(()),
        }
    }

    pub(super) fn write(&mut self) {
        self.due = None;
        match &mut self.to {
            To::File(_) => self.write_lines(),
            To::Compressed(file, how, rest) => {
                if let Err(reason) = rest.write_with(file, how.level, &self.lines) {
                    self.losses.add(count(&self.lines), reason);
                }
                self.lines.clear();
                self.lines.shrink_to(how.size.allowed());
            }
            To::Syslog(_) => {}
        }
    }

    fn write_lines(&mut self) {
        let To::File(file) = &mut self.to else {
            return;
        };
        let (written, failed) = write_some(file, &self.lines);
        if let Some(last) = written.checked_sub(1) {
            self.has_begun = self.lines[last] != b'\n';
        }
        self.lines.drain(..written);
        match failed {
            None => {}
            // A non-blocking pipe is full: the lines wait for the next time, up to a limit.
            Some(error) if error.kind() == io::ErrorKind::WouldBlock => self.lose_newest(error),
            Some(error) if is_broken_pipe(&error) => self.lose(0, error),
            // The disk is full. When it is not, the line that it has a part of comes first, or, if
            // that is longer than may wait, its end.
            Some(error) if self.begun_size() > MAX => {
                self.lose(0, error);
                self.lines.push(b'\n');
                self.has_begun = true;
            }
            Some(error) => self.lose(self.begun_size(), error),
        }
        if !self.lines.is_empty() {
            self.due = Some(Instant::now() + RETRY);
        }
        let room = self.lines.len().max(WRITE_AT);
        if self.lines.capacity() > 2 * room {
            self.lines.shrink_to(room);
        }
    }

    /// Drops the newest lines if there are more than may wait.
    fn lose_newest(&mut self, reason: io::Error) {
        if self.lines.len() > MAX {
            let whole = memchr::memrchr(b'\n', &self.lines[..MAX]).map_or(0, |it| it + 1);
            self.lose(whole.max(self.begun_size()), reason);
        }
    }

    /// The size of what is missing of a line that was begun.
    fn begun_size(&self) -> usize {
        let end = memchr::memchr(b'\n', &self.lines).filter(|_| self.has_begun);
        end.map_or(0, |end| end + 1)
    }

    /// Drops the lines from this place on.
    pub(super) fn lose(&mut self, from: usize, reason: io::Error) {
        self.losses.add(count(&self.lines[from..]), reason);
        self.lines.truncate(from);
        self.has_begun &= from > 0;
    }

    /// Writes to another file from now on. What was begun is of no use in it, unless it is the same.
    pub(super) fn turn_to(&mut self, to: To) {
        let is_same =
            matches!((&self.to, &to), (To::File(old), To::File(new)) if are_same(old, new));
        if self.has_begun && !is_same {
            self.losses.add(1, io::Error::other(MOVED));
            self.lines.drain(..self.begun_size());
            self.has_begun = false;
        }
        self.lose_rest(MOVED);
        self.to = to;
    }

    /// Drops what is missing of a block.
    pub(super) fn lose_rest(&mut self, reason: &'static str) {
        if let To::Compressed(_, _, rest) = &mut self.to {
            self.losses.add(rest.lines, io::Error::other(reason));
            *rest = Rest::default();
        }
    }
}

impl Rest {
    /// Writes the rest, and then a block with these lines: one member of a gzip file (RFC 1952,
    /// section 2.2).
    ///
    /// # Errors
    /// Why the lines are lost. Nothing can be read after a member that has no end: a part of one is
    /// removed from a file, and its rest is written to a pipe the next time.
    fn write_with(&mut self, file: &mut File, level: u32, lines: &[u8]) -> io::Result<()> {
        let (written, failed) = write_some(file, &self.bytes);
        self.bytes.drain(..written);
        if let Some(error) = failed {
            return Err(error);
        }
        *self = Self::default();
        if lines.is_empty() {
            return Ok(());
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(lines)?;
        let mut block = encoder.finish()?;
        match write_some(file, &block) {
            (_, None) => Ok(()),
            (written, Some(error))
                if written == 0 || is_broken_pipe(&error) || take_back(file, written) =>
            {
                Err(error)
            }
            (written, Some(_)) => {
                block.drain(..written);
                *self = Self {
                    bytes: block,
                    lines: count(lines),
                };
                Ok(())
            }
        }
    }
}

/// Removes what was appended last from a file; `false` if it is none, or if others have written to
/// it since.
fn take_back(file: &mut File, size: usize) -> bool {
    let (Ok(known), Ok(end)) = (file.metadata(), file.stream_position()) else {
        return false;
    };
    let is_last = known.is_file() && known.len() == end;
    is_last && file.set_len(end.saturating_sub(size as u64)).is_ok()
}

/// Whether both are the same file.
fn are_same(one: &File, other: &File) -> bool {
    let place = |file: &File| file.metadata().map(|it| (it.dev(), it.ino()));
    matches!((place(one), place(other)), (Ok(one), Ok(other)) if one == other)
}

/// Nobody reads the pipe any more: the next reader is another one.
fn is_broken_pipe(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::PIPE.raw_os_error())
}

/// Writes as much as the file takes; returns how much that was, and why it was not all.
fn write_some(file: &mut File, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
            Ok(size) => written += size,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Some(error)),
        }
    }
    (written, None)
}

/// The number of lines.
fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read as _, pipe};
    use std::os::fd::OwnedFd;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    use flate2::read::MultiGzDecoder;
    use rustix::fs::{OFlags, fcntl_setfl};

    use super::super::files::BlockSize;
    use super::*;

    const TEXT: &str = "0123456789abcdef";

    /// A log that is a non-blocking pipe, and its reader, which does not wait either.
    fn piped(to: impl FnOnce(File) -> To) -> (Sink, PipeReader) {
        let (reader, writer) = pipe().expect("a pipe");
        fcntl_setfl(&reader, OFlags::NONBLOCK).expect("a flag");
        fcntl_setfl(&writer, OFlags::NONBLOCK).expect("a flag");
        let sink = Sink {
            to: to(OwnedFd::from(writer).into()),
            lines: Vec::new(),
            has_begun: false,
            due: None,
            losses: Losses::new(String::new()),
        };
        (sink, reader)
    }

    fn compressed(file: File) -> To {
        let how = Compressed {
            path: "a".into(),
            level: 1,
            size: BlockSize::new(Arc::new(1.into())),
            flush: None,
        };
        To::Compressed(file, how, Rest::default())
    }

    /// Lines with these numbers, each of some 1.6 KB.
    fn add(sink: &mut Sink, numbers: std::ops::Range<usize>) {
        for number in numbers {
            let line = format!("{number} {}\n", TEXT.repeat(100));
            sink.lines.extend_from_slice(line.as_bytes());
            sink.write();
        }
    }

    fn read(reader: &mut PipeReader, all: &mut Vec<u8>) {
        // It ends with an error: there is no more at this time.
        let _ = reader.read_to_end(all);
    }

    fn write_all(sink: &mut Sink, reader: &mut PipeReader, all: &mut Vec<u8>) {
        sink.write();
        read(reader, all);
        while !sink.lines.is_empty() {
            sink.write();
            read(reader, all);
        }
    }

    /// The numbers of lines, which are whole.
    fn numbers(text: &[u8]) -> Vec<usize> {
        let text = std::str::from_utf8(text).expect("text");
        assert!(text.ends_with('\n'), "a line has no end");
        let number = |line: &str| {
            let (number, text) = line.split_once(' ').expect("a number");
            assert_eq!(text, TEXT.repeat(100));
            number.parse().expect("a number")
        };
        text.lines().map(number).collect()
    }

    #[test]
    fn lines_that_nobody_reads_in_time_are_dropped_whole() {
        let (mut sink, mut reader) = piped(To::File);
        add(&mut sink, 0..1000);
        assert!(sink.has_begun, "the pipe is full in the middle of a line");
        assert!(sink.due.is_some() && sink.lines.len() <= MAX);
        let mut all = Vec::new();
        write_all(&mut sink, &mut reader, &mut all);
        add(&mut sink, 1000..1010);
        write_all(&mut sink, &mut reader, &mut all);
        let found = numbers(&all);
        // The oldest ones stay. The first that was lost has been told of.
        let kept = found.len() - 10;
        assert!(kept > 600, "{kept}");
        assert!(found.iter().copied().eq((0..kept).chain(1000..1010)));
        assert_eq!(sink.losses.unsaid, 1000 - kept as u64 - 1);
    }

    #[test]
    fn a_long_line_waits_if_it_may_and_its_memory_is_returned() {
        let (mut sink, mut reader) = piped(To::File);
        let line = |size| [&vec![b'a'; size - 1][..], b"\n"].concat();
        let mut all = Vec::new();
        for size in [MAX, MAX + 1, 200_000] {
            sink.add_long(line(size));
            sink.write();
            sink.add_long(line(MAX));
            write_all(&mut sink, &mut reader, &mut all);
            assert!(sink.lines.capacity() <= 2 * WRITE_AT);
        }
        // Too long in one case, and there is no room behind those that wait in the others.
        assert_eq!(all.len(), 2 * MAX + 200_000);
        assert!(all.ends_with(b"\n") && memchr::memchr_iter(b'\n', &all).count() == 3);
    }

    #[test]
    fn a_block_takes_no_more_memory_than_it_may_have() {
        let allowed = Arc::new(AtomicU64::new(1 << 20));
        let size = BlockSize::new(allowed.clone());
        let (mut sink, _reader) = piped(|file| match compressed(file) {
            To::Compressed(file, how, rest) => {
                To::Compressed(file, Compressed { size, ..how }, rest)
            }
            other => other,
        });
        while sink.lines.len() < (1 << 20) - 1000 {
            sink.add(&[b'a'; 1000]);
        }
        assert!(sink.lines.capacity() <= 1 << 20);
        allowed.store(1 << 10, std::sync::atomic::Ordering::Relaxed);
        sink.write();
        assert!(sink.lines.capacity() <= 1 << 10);
    }

    #[test]
    fn a_part_of_a_block_is_removed_from_a_file_that_nobody_else_has_written_to() {
        let path = std::env::temp_dir().join(format!("sink-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut file = super::super::files::append_to(&path).expect("a file");
        let mut other = super::super::files::append_to(&path).expect("a file");
        let content = || std::fs::read_to_string(&path).expect("text");
        file.write_all(b"whole part").expect("written");
        assert!(take_back(&mut file, 4));
        assert_eq!(content(), "whole ");
        file.write_all(b"part").expect("written");
        other.write_all(b" other").expect("written");
        assert!(!take_back(&mut file, 4));
        assert_eq!(content(), "whole part other");
        std::fs::remove_file(&path).expect("there");
        let (mut sink, _reader) = piped(To::File);
        let To::File(pipe) = &mut sink.to else {
            panic!("a file");
        };
        assert!(!take_back(pipe, 0));
    }

    #[test]
    fn a_new_reader_of_a_pipe_gets_no_rest_of_a_line() {
        let (mut sink, reader) = piped(To::File);
        add(&mut sink, 0..100);
        assert!(sink.has_begun);
        drop(reader);
        sink.write();
        assert!(sink.lines.is_empty() && !sink.has_begun);
    }

    #[test]
    fn another_file_gets_no_rest_of_a_line() {
        let (mut sink, _reader) = piped(To::File);
        add(&mut sink, 0..100);
        let (other, mut reader) = piped(To::File);
        sink.turn_to(other.to);
        let mut all = Vec::new();
        write_all(&mut sink, &mut reader, &mut all);
        assert_eq!(numbers(&all).last(), Some(&99));
    }

    #[test]
    fn a_block_that_was_begun_is_finished_first() {
        let (mut sink, mut reader) = piped(compressed);
        let (mut blocks, mut seed) = (Vec::new(), 1_u64);
        for number in 0..100 {
            // What cannot be compressed: one block in two does not fit.
            for _ in 0..5000 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                sink.lines.extend(seed.to_be_bytes());
            }
            let end = format!("{}\n", char::from(b'a' + number % 26));
            sink.lines.extend_from_slice(end.as_bytes());
            sink.write();
            if number % 4 == 3 {
                read(&mut reader, &mut blocks);
            }
        }
        sink.write();
        read(&mut reader, &mut blocks);
        let mut text = Vec::new();
        MultiGzDecoder::new(&blocks[..])
            .read_to_end(&mut text)
            .expect("whole blocks");
        assert!(text.len() > 40_000 * 25, "{}", text.len());
    }
}
