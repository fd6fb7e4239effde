//! The access log: one line for each request, on a thread of its own.
//!
//! A line has no header field but `User-Agent` and no query string: passwords
//! and tokens are sent in those. The queue is bounded in lines and each line in
//! bytes; when nobody reads standard output, lines are dropped and counted, and
//! the service keeps serving.

use crate::flags::LogFormat;
use axum::http::StatusCode;
use pod::decimal;
use pod::escape::escape;
use serde::Serialize;
use std::io::Write;
use std::iter;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Lines that wait for the writer: about a megabyte at their longest.
const QUEUE: usize = 512;
/// The longest path and user agent that are logged, in bytes before escaping.
const MAX_FIELD: usize = 512;
/// How long a line waits for others: waking the writer for each one costs more
/// than serving a request.
const BATCH_DELAY: Duration = Duration::from_millis(5);
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

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// The log. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct AccessLog {
    format: LogFormat,
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

impl AccessLog {
    /// Starts the writer's thread, which ends with the last clone of the log.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(format: LogFormat, sink: Box<dyn Write + Send>) -> std::io::Result<Self> {
        let (queue, lines) = sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("access-log".into())
            .stack_size(64 * 1024)
            .spawn(move || write_lines(&lines, sink))?;
        Ok(Self {
            format,
            queue,
            dropped: Arc::default(),
        })
    }

    /// Logs one request.
    pub(crate) fn record(&self, entry: &Entry<'_>) {
        let line = match self.format {
            LogFormat::Text => text(&rfc3339(now()), entry),
            LogFormat::Json => json(&rfc3339(now()), entry),
        };
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines dropped because nobody read them.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until the lines recorded so far are written, a second at most.
    pub(crate) fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH);
        }
    }
}

/// Writes each line together with those recorded within [`BATCH_DELAY`].
fn write_lines(lines: &Receiver<Message>, mut sink: Box<dyn Write + Send>) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Ok(first) = lines.recv() {
        if matches!(first, Message::Line(_)) {
            std::thread::sleep(BATCH_DELAY);
        }
        for message in iter::once(first).chain(lines.try_iter()) {
            match message {
                Message::Line(line) => {
                    if batch.len() + line.len() > BATCH {
                        write(&mut *sink, &mut batch);
                    }
                    batch.extend_from_slice(&line);
                }
                Message::Flush(done) => {
                    write(&mut *sink, &mut batch);
                    let _ = sink.flush();
                    let _ = done.send(());
                }
            }
        }
        write(&mut *sink, &mut batch);
    }
}

fn write(sink: &mut dyn Write, batch: &mut Vec<u8>) {
    // A closed standard output must not stop the service.
    let _ = sink.write_all(batch);
    batch.clear();
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

// `std::fmt` took four times as many instructions for it.
fn text(time: &[u8], entry: &Entry<'_>) -> Vec<u8> {
    let mut line = Vec::with_capacity(160);
    line.extend_from_slice(time);
    line.push(b' ');
    push_peer(entry.peer, &mut line);
    line.extend_from_slice(b" \"");
    line.extend_from_slice(escape(entry.method.as_bytes()).as_bytes());
    line.push(b' ');
    line.extend_from_slice(escape(truncate(entry.path.as_bytes())).as_bytes());
    line.extend_from_slice(b"\" ");
    decimal::write(entry.status.as_u16().into(), &mut line);
    line.push(b' ');
    decimal::write(entry.bytes, &mut line);
    line.push(b' ');
    decimal::write(entry.duration.as_secs(), &mut line);
    line.push(b'.');
    decimal::write_padded(entry.duration.subsec_micros().into(), 6, &mut line);
    line.extend_from_slice(b" \"");
    line.extend_from_slice(escape(truncate(entry.agent)).as_bytes());
    line.extend_from_slice(b"\"\n");
    line
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

fn json(time: &[u8], entry: &Entry<'_>) -> Vec<u8> {
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
    let line = Line {
        time: std::str::from_utf8(time).unwrap_or_default(),
        peer: entry.peer,
        method: &escape(entry.method.as_bytes()),
        path: &escape(truncate(entry.path.as_bytes())),
        status: entry.status.as_u16(),
        bytes: entry.bytes,
        duration: entry.duration.as_secs_f64(),
        agent: &escape(truncate(entry.agent)),
    };
    let mut line = serde_json::to_vec(&line).unwrap_or_default();
    line.push(b'\n');
    line
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

    #[test]
    fn a_line_of_text_has_every_field_and_no_second_line() {
        assert_eq!(
            text(b"T", &ENTRY),
            b"T 127.0.0.1:4242 \"GET /secure\" 401 21 0.001500 \"curl\\x0A\\x228\\x22\"\n",
        );
    }

    #[test]
    fn numbers_and_addresses_are_written_as_std_writes_them() {
        for peer in ["10.0.200.3:80", "[::1]:1", "[fe80::2%3]:65535", "0.0.0.0:0"] {
            let peer: SocketAddr = peer.parse().unwrap();
            let line = String::from_utf8(text(b"T", &Entry { peer, ..ENTRY })).unwrap();
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
        let line = String::from_utf8(json(b"T", &ENTRY)).unwrap();
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
        assert!(
            text(
                b"T",
                &Entry {
                    path: &path,
                    ..ENTRY
                }
            )
            .len()
                < 700
        );
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
        for _ in 0..2 * QUEUE {
            log.record(&ENTRY);
        }
        // One batch is with the writer, the queue holds the next lines.
        let written = BATCH / text(&rfc3339(now()), &ENTRY).len() + 2;
        assert!(log.dropped() as usize >= QUEUE - written);
        drop(release);
    }

    #[test]
    fn lines_are_written_together_whole_and_in_order() {
        struct Writes(std::sync::mpsc::Sender<String>);
        impl Write for Writes {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0
                    .send(String::from_utf8(bytes.into()).unwrap())
                    .unwrap();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
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
