//! The access log: one line for each request, on a thread of its own.
//!
//! A line has no header field but `User-Agent` and no query string: passwords
//! and tokens are sent in those. The queue and each line are bounded; when nobody
//! reads standard output, lines are dropped and counted, and the service keeps
//! serving.

use crate::flags::LogFormat;
use axum::http::StatusCode;
use pod::decimal;
use pod::escape::{escape, escape_into};
use serde::Serialize;
use std::io::Write;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many bytes of lines may wait for the writer before further ones are dropped.
const QUEUE: usize = 256 * 1024;
/// The longest method, path and user agent that are logged, in bytes before escaping.
const MAX_FIELD: usize = 512;
/// How long a line waits for others: waking the writer for each one costs more
/// than serving a request.
const BATCH_DELAY: Duration = Duration::from_millis(5);
/// This many bytes of lines wait no longer.
const ENOUGH: usize = QUEUE / 4;
/// The most that is written at once, in bytes: a write to a pipe is atomic up to
/// this size (PIPE_BUF of pipe(7)).
const BATCH: usize = 4096;
/// How long writing the last lines may take when the process ends.
const FLUSH: Duration = Duration::from_secs(1);

/// What is logged of one request.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) peer: SocketAddr,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) status: StatusCode,
    /// Bytes of the response's body.
    pub(crate) bytes: u64,
    /// From the request's header to the response's.
    pub(crate) duration: Duration,
    pub(crate) agent: &'a [u8],
}

/// The log. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct AccessLog(Arc<Open>);

/// Ends the writer when dropped.
#[derive(Debug)]
struct Open(Arc<Shared>);

/// What the requests share with the writer.
#[derive(Debug)]
struct Shared {
    format: LogFormat,
    queue: Mutex<Queue>,
    changed: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    /// Lines that wait for the writer.
    lines: Vec<u8>,
    /// Whether the writer has taken lines that it has not written yet.
    writing: bool,
    /// Whether somebody waits until all lines are written.
    flushing: bool,
    closed: bool,
}

impl AccessLog {
    /// Starts the writer's thread, which ends with the last clone of the log.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(format: LogFormat, sink: Box<dyn Write + Send>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            format,
            queue: Mutex::default(),
            changed: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let writer = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("access-log".into())
            .stack_size(64 * 1024)
            .spawn(move || writer.write_lines(sink))?;
        Ok(Self(Arc::new(Open(shared))))
    }

    /// Logs one request.
    pub(crate) fn record(&self, entry: &Entry<'_>) {
        self.0.0.record(entry);
    }

    /// Lines dropped because nobody read them.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.0.dropped.load(Ordering::Relaxed)
    }

    /// Waits until the lines recorded so far are written, a second at most.
    pub(crate) fn flush(&self) {
        self.0.0.flush();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.queue().closed = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, entry: &Entry<'_>) {
        let time = rfc3339(now());
        let mut queue = self.queue();
        let before = queue.lines.len();
        if before >= QUEUE {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        match self.format {
            LogFormat::Text => push_text(&time, entry, &mut queue.lines),
            LogFormat::Json => push_json(&time, entry, &mut queue.lines),
        }
        let after = queue.lines.len();
        drop(queue);
        // The writer waits for the first line, then for enough of them.
        if before == 0 || (before < ENOUGH && after >= ENOUGH) {
            self.changed.notify_all();
        }
    }

    fn flush(&self) {
        let mut queue = self.queue();
        queue.flushing = true;
        self.changed.notify_all();
        let pending = |queue: &mut Queue| queue.writing || !queue.lines.is_empty();
        let waited = self.changed.wait_timeout_while(queue, FLUSH, pending);
        waited.unwrap_or_else(PoisonError::into_inner).0.flushing = false;
    }

    /// Writes each line together with those recorded within [`BATCH_DELAY`].
    fn write_lines(&self, mut sink: Box<dyn Write + Send>) {
        let mut batch = Vec::new();
        while self.take_lines(&mut batch) {
            write(&mut *sink, &batch);
            batch.clear();
            batch.shrink_to(BATCH);
        }
    }

    /// Waits for lines and moves them to `batch`, which is empty; false when there will
    /// be no more.
    fn take_lines(&self, batch: &mut Vec<u8>) -> bool {
        let mut queue = self.queue();
        queue.writing = false;
        if queue.flushing {
            self.changed.notify_all();
        }
        let none = |queue: &mut Queue| queue.lines.is_empty() && !queue.closed;
        let queue = self.changed.wait_while(queue, none);
        let queue = queue.unwrap_or_else(PoisonError::into_inner);
        let few =
            |queue: &mut Queue| queue.lines.len() < ENOUGH && !queue.flushing && !queue.closed;
        let waited = self.changed.wait_timeout_while(queue, BATCH_DELAY, few);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut queue.lines, batch);
        queue.writing = true;
        !batch.is_empty()
    }
}

/// Writes lines, as many at once as [`BATCH`] allows.
fn write(sink: &mut dyn Write, mut lines: &[u8]) {
    let is_end = |&byte: &u8| byte == b'\n';
    while !lines.is_empty() {
        let most = &lines[..lines.len().min(BATCH)];
        let last = most.iter().rposition(is_end);
        let last = last.or_else(|| lines.iter().position(is_end));
        let (some, rest) = lines.split_at(last.map_or(lines.len(), |last| last + 1));
        // A closed standard output must not stop the service.
        let _ = sink.write_all(some);
        lines = rest;
    }
    let _ = sink.flush();
}

/// The time since 1970.
fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// A time since 1970 in UTC by RFC 3339, to the microsecond.
fn rfc3339(time: Duration) -> [u8; 27] {
    let seconds = time.as_secs();
    let (year, month, day) = pod::calendar::civil(seconds / 86_400);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    decimal::fill(year, &mut text[..4]);
    decimal::fill(month as u64, &mut text[5..7]);
    decimal::fill(day, &mut text[8..10]);
    decimal::fill(seconds / 3600 % 24, &mut text[11..13]);
    decimal::fill(seconds / 60 % 60, &mut text[14..16]);
    decimal::fill(seconds % 60, &mut text[17..19]);
    decimal::fill(time.subsec_micros().into(), &mut text[20..26]);
    text
}

// `std::fmt` took four times as many instructions for it. A method has no character
// that needs an escape (RFC 9110, section 9.1).
fn push_text(time: &[u8], entry: &Entry<'_>, line: &mut Vec<u8>) {
    line.extend_from_slice(time);
    line.push(b' ');
    push_peer(entry.peer, line);
    line.extend_from_slice(b" \"");
    line.extend_from_slice(truncate(entry.method.as_bytes()));
    line.push(b' ');
    escape_into(truncate(entry.path.as_bytes()), line);
    line.extend_from_slice(b"\" ");
    decimal::write(entry.status.as_u16().into(), line);
    line.push(b' ');
    decimal::write(entry.bytes, line);
    line.push(b' ');
    decimal::write(entry.duration.as_secs(), line);
    line.push(b'.');
    decimal::write_padded(entry.duration.subsec_micros().into(), 6, line);
    line.extend_from_slice(b" \"");
    escape_into(truncate(entry.agent), line);
    line.extend_from_slice(b"\"\n");
}

fn push_peer(peer: SocketAddr, line: &mut Vec<u8>) {
    match peer {
        SocketAddr::V4(_) => {
            decimal::write_ip(peer.ip(), line);
            line.push(b':');
            decimal::write(peer.port().into(), line);
        }
        SocketAddr::V6(_) => line.extend_from_slice(peer.to_string().as_bytes()),
    }
}

fn push_json(time: &[u8], entry: &Entry<'_>, line: &mut Vec<u8>) {
    #[derive(Serialize)]
    struct Line<'a> {
        time: &'a str,
        peer: SocketAddr,
        method: &'a str,
        path: &'a str,
        status: u16,
        bytes: u64,
        duration: f64,
        agent: &'a str,
    }
    // JSON escapes only ASCII control characters; what else a terminal could
    // interpret is escaped as in the text format.
    let fields = Line {
        time: std::str::from_utf8(time).unwrap_or_default(),
        peer: entry.peer,
        method: &escape(truncate(entry.method.as_bytes())),
        path: &escape(truncate(entry.path.as_bytes())),
        status: entry.status.as_u16(),
        bytes: entry.bytes,
        duration: entry.duration.as_secs_f64(),
        agent: &escape(truncate(entry.agent)),
    };
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(&mut *line, &fields);
    line.push(b'\n');
}

fn truncate(field: &[u8]) -> &[u8] {
    &field[..field.len().min(MAX_FIELD)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: Entry<'_> = Entry {
        peer: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4242),
        method: "GET",
        path: "/secure",
        status: StatusCode::UNAUTHORIZED,
        bytes: 21,
        duration: Duration::from_micros(1500),
        agent: b"curl\n\"8\"",
    };

    fn text(entry: &Entry<'_>) -> String {
        let mut line = Vec::new();
        push_text(b"T", entry, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_line_of_text_has_every_field_and_no_second_line() {
        assert_eq!(
            text(&ENTRY),
            "T 127.0.0.1:4242 \"GET /secure\" 401 21 0.001500 \"curl\\x0A\\x228\\x22\"\n",
        );
    }

    #[test]
    fn numbers_and_addresses_are_written_as_std_writes_them() {
        for peer in ["10.0.200.3:80", "[::1]:1", "[fe80::2%3]:65535", "0.0.0.0:0"] {
            let peer: SocketAddr = peer.parse().unwrap();
            let line = text(&Entry { peer, ..ENTRY });
            assert!(line.starts_with(&format!("T {peer} \"")), "{line}");
        }
        for number in [0, 9, 10, 4096, u64::MAX] {
            let mut line = Vec::new();
            decimal::write(number, &mut line);
            assert_eq!(line, number.to_string().as_bytes());
        }
        let time = Duration::from_micros(1_790_000_000_000_042);
        assert_eq!(&rfc3339(time), b"2026-09-21T14:13:20.000042Z");
    }

    #[test]
    fn a_line_of_json_is_json() {
        let mut line = Vec::new();
        push_json(b"T", &ENTRY, &mut line);
        let line = String::from_utf8(line).unwrap();
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["peer"], "127.0.0.1:4242");
        assert_eq!(value["status"], 401);
        assert_eq!(value["duration"], 0.0015);
        assert_eq!(value["agent"], "curl\\x0A\\x228\\x22");
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn a_long_path_is_truncated() {
        let path = "/a".repeat(5000);
        let path = path.as_str();
        assert!(text(&Entry { path, ..ENTRY }).len() < 700);
    }

    #[test]
    fn a_reader_that_stops_reading_does_not_block() {
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (release, stuck) = std::sync::mpsc::channel();
        let log = AccessLog::start(LogFormat::Text, Box::new(Stuck(stuck))).unwrap();
        let lines = QUEUE / text(&ENTRY).len();
        for _ in 0..4 * lines {
            log.record(&ENTRY);
        }
        // The writer has some, and the queue holds the next ones.
        assert!(log.dropped() as usize >= lines);
        drop(release);
    }

    /// Sends what is written to a channel.
    struct Writes(std::sync::mpsc::Sender<String>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let text = String::from_utf8(bytes.into()).unwrap();
            self.0.send(text).unwrap();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_writer_ends_with_the_log_after_its_last_line() {
        let (sink, writes) = std::sync::mpsc::channel();
        let log = AccessLog::start(LogFormat::Text, Box::new(Writes(sink))).unwrap();
        log.record(&ENTRY);
        drop(log);
        // Until the writer drops the sink.
        assert_eq!(writes.iter().collect::<String>().lines().count(), 1);
    }

    #[test]
    fn lines_are_written_together_whole_and_in_order() {
        let (sink, writes) = std::sync::mpsc::channel();
        let log = AccessLog::start(LogFormat::Text, Box::new(Writes(sink))).unwrap();
        for bytes in 0..400 {
            log.record(&Entry { bytes, ..ENTRY });
        }
        log.flush();
        let writes: Vec<_> = writes.try_iter().collect();
        assert!(writes.len() < 100, "{} writes", writes.len());
        assert!(
            writes
                .iter()
                .all(|write| write.len() <= BATCH && write.ends_with('\n'))
        );
        let all = writes.concat();
        let bytes = all.lines().map(|line| line.split(' ').nth(5).unwrap());
        assert!(bytes.eq((0..400).map(|bytes| bytes.to_string())));
    }
}
