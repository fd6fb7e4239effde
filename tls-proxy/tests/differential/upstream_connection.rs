//! One connection of a scripted upstream: reads requests and plays the script.

use super::bytes::{parts, show};
use super::case::Script;
use super::http1::{chunked_end, join_chunks};
use super::upstream::{Shared, Stream};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long an upstream waits for the rest of a request.
const PATIENCE: Duration = Duration::from_secs(8);
const DEFAULT_ANSWER: &str = "HTTP/1.1 200 OK\nContent-Length: 3\n\nok\\n\\\n";

/// One accepted connection.
pub(crate) struct UpstreamConnection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) number: usize,
    pub(crate) connection: usize,
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) pending: Vec<u8>,
}

impl UpstreamConnection {
    pub(crate) fn serve(&mut self) {
        self.stream.set_patience(Duration::from_millis(100));
        loop {
            let script = self.next_script();
            if script.options.has("at-once") {
                self.note("accepted");
                self.play(&script);
                return;
            }
            let Some(head) = self.read_until(|bytes| find(bytes, b"\r\n\r\n").map(|at| at + 4))
            else {
                return;
            };
            self.shared.next[self.number].fetch_add(1, Ordering::SeqCst);
            let head = String::from_utf8_lossy(&head).into_owned();
            if script.options.has("early") {
                self.note_head(&head, "body not awaited");
            } else {
                if script.options.has("continue") {
                    let _ = self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                let body = self.read_body(&head);
                self.note_head(&head, &body);
            }
            let is_last = self.play(&script);
            if is_last || says_close(&head) {
                return;
            }
        }
    }

    /// The script of the next request; the last one is used for all that follow.
    fn next_script(&self) -> Script {
        let mine = || {
            self.shared
                .scripts
                .iter()
                .filter(|(number, _)| *number == self.number)
        };
        let at = self.shared.next[self.number].load(Ordering::SeqCst);
        let script = mine()
            .nth(at)
            .or_else(|| mine().next_back())
            .map(|(_, script)| script.clone());
        script.unwrap_or_else(|| Script {
            text: String::new(),
            ..Script::default()
        })
    }

    fn note(&self, what: &str) {
        let connection = match self.shared.names_connections {
            true => format!(" connection {}", self.connection),
            false => String::new(),
        };
        let line = format!("upstream {}{connection}: {what}", self.number);
        self.shared.seen.lock().unwrap().push(line);
    }

    fn note_head(&self, head: &str, body: &str) {
        let mut lines = head.trim_end_matches("\r\n").split("\r\n");
        let mut text = lines.next().unwrap_or_default().escape_debug().to_string();
        let mut fields: Vec<_> = lines.map(|line| line.escape_debug().to_string()).collect();
        fields.sort();
        for field in fields {
            text.push_str("\n  | ");
            text.push_str(&field);
        }
        self.note(&format!("{text}\n  {body}"));
    }

    /// Plays the script; true if that ends the connection.
    fn play(&mut self, script: &Script) -> bool {
        let options = &script.options;
        if let Some(delay) = options.milliseconds("delay") {
            std::thread::sleep(delay);
        }
        if options.has("hang") {
            self.read_until(|_| None);
            return true;
        }
        let text = match script.text.trim() {
            _ if options.has("nothing") => "",
            "" => DEFAULT_ANSWER,
            _ => &script.text,
        };
        let pause = options
            .milliseconds("pause")
            .unwrap_or(Duration::from_millis(30));
        let parts = parts(text, options.number("pieces")).unwrap_or_default();
        let mut client_had = self.shared.client_has();
        for (index, part) in parts.iter().enumerate() {
            if index > 0 && options.has("paced") {
                self.await_client(client_had);
            } else if index > 0 {
                std::thread::sleep(pause);
            }
            client_had = self.shared.client_has();
            let _ = self
                .stream
                .write_all(part)
                .and_then(|()| self.stream.flush());
        }
        if options.has("echo") {
            self.echo();
            return true;
        }
        if options.has("stall") {
            self.read_until(|_| None);
        }
        if options.has("close") {
            self.stream.end_sending();
            std::thread::sleep(Duration::from_millis(20));
        }
        options.has("close") || options.has("stall")
    }

    /// Waits until the client has received more.
    fn await_client(&self, had: usize) {
        let started = Instant::now();
        while self.shared.client_has() <= had
            && started.elapsed() < PATIENCE
            && !self.shared.over.load(Ordering::SeqCst)
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The far end of a tunnel: echoes what it receives.
    fn echo(&mut self) {
        let mut all = std::mem::take(&mut self.pending);
        let _ = self.stream.write_all(&all);
        let started = Instant::now();
        let mut buffer = [0; 4096];
        while started.elapsed() < PATIENCE && !self.shared.over.load(Ordering::SeqCst) {
            match self.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    all.extend_from_slice(&buffer[..count]);
                    let _ = self.stream.write_all(&buffer[..count]);
                }
                Err(error) if is_patience(&error) => {}
                Err(_) => break,
            }
        }
        self.note(&format!("tunnel: {}", show(&all)));
    }

    fn read_body(&mut self, head: &str) -> String {
        if let Some(length) = field(head, "content-length") {
            let Ok(length) = length.parse::<usize>() else {
                return "bad length".to_owned();
            };
            let body = self.read_until(|bytes| (bytes.len() >= length).then_some(length));
            return match body {
                Some(body) => format!("body by length: {}", show(&body)),
                None => format!("body by length, cut: {}", show(&self.pending)),
            };
        }
        if field(head, "transfer-encoding").is_none() {
            return "no body".to_owned();
        }
        match self.read_until(chunked_end) {
            Some(raw) => {
                let (body, trailers) = join_chunks(&raw);
                let trailers = if trailers.is_empty() {
                    String::new()
                } else {
                    format!(", trailers {}", trailers.join(", "))
                };
                format!("body by chunks: {}{trailers}", show(&body))
            }
            None => format!("body by chunks, cut: {}", show(&self.pending)),
        }
    }

    /// Reads until `end` finds a complete message in what was received.
    fn read_until(&mut self, end: impl Fn(&[u8]) -> Option<usize>) -> Option<Vec<u8>> {
        let started = Instant::now();
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(length) = end(&self.pending) {
                return Some(self.pending.drain(..length).collect());
            }
            if started.elapsed() > PATIENCE || self.shared.over.load(Ordering::SeqCst) {
                return None;
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.pending.extend_from_slice(&buffer[..count]),
                Err(error) if is_patience(&error) => {}
                Err(_) => return None,
            }
        }
    }
}

fn is_patience(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

fn says_close(head: &str) -> bool {
    let connection = field(head, "connection")
        .unwrap_or_default()
        .to_ascii_lowercase();
    connection.contains("close") || (head.contains(" HTTP/1.0\r\n") && connection != "keep-alive")
}

/// The first value of a field in a header.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let mut named = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    named.next().map(|(_, value)| value.trim())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
