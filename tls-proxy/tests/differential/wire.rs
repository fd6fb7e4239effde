//! A client's connection: TCP by itself, TLS through `openssl s_client`.

use super::delimited::{Fault, Watch};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// An open connection, read by a thread of its own.
#[derive(Debug)]
pub(crate) struct Wire {
    outgoing: Outgoing,
    incoming: Receiver<Event>,
    pub(crate) received: Vec<u8>,
    /// Received bytes, as soon as they arrive.
    pub(crate) progress: Arc<AtomicUsize>,
    pub(crate) end: Option<End>,
    /// Checks every response.
    watch: Watch,
    /// The first malformed response, and how it is malformed.
    pub(crate) fault: Option<Fault>,
}

#[derive(Debug)]
enum Outgoing {
    Tcp(TcpStream),
    Tls(Child, Option<ChildStdin>),
}

#[derive(Debug)]
enum Event {
    Bytes(Vec<u8>),
    Over(End),
}

/// How the peer ended the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
}

impl Wire {
    pub(crate) fn connect(port: u16, tls: Option<&[String]>) -> Result<Self, String> {
        let (sender, incoming) = channel();
        let progress = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&progress);
        let outgoing = match tls {
            None => {
                let stream =
                    TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
                let _ = stream.set_nodelay(true);
                let reader = stream.try_clone().map_err(|error| error.to_string())?;
                std::thread::spawn(move || pump(reader, &sender, &count));
                Outgoing::Tcp(stream)
            }
            Some(words) => {
                let mut child = client(Command::new("openssl"), port)
                    .args(["-brief", "-ign_eof"])
                    .args(words)
                    .stderr(Stdio::null())
                    .spawn()
                    .map_err(|error| format!("openssl s_client: {error}"))?;
                let reader = child.stdout.take().ok_or("no output of s_client")?;
                std::thread::spawn(move || pump(reader, &sender, &count));
                let stdin = child.stdin.take();
                Outgoing::Tls(child, stdin)
            }
        };
        Ok(Self {
            outgoing,
            incoming,
            received: Vec::new(),
            progress,
            end: None,
            watch: Watch::default(),
            fault: None,
        })
    }

    /// Sends; an error means that the peer has closed, which reading will report.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.watch.sent(bytes);
        let _ = match &mut self.outgoing {
            Outgoing::Tcp(stream) => stream.write_all(bytes),
            Outgoing::Tls(_, Some(stdin)) => stdin.write_all(bytes).and_then(|()| stdin.flush()),
            Outgoing::Tls(_, None) => Ok(()),
        };
    }

    pub(crate) fn half_close(&mut self) {
        match &mut self.outgoing {
            Outgoing::Tcp(stream) => drop(stream.shutdown(Shutdown::Write)),
            Outgoing::Tls(_, stdin) => *stdin = None,
        }
    }

    /// Receives until `enough` says so, the connection is over, or the time is.
    pub(crate) fn receive(&mut self, within: Duration, enough: impl Fn(&[u8], bool) -> bool) {
        let started = Instant::now();
        loop {
            if self.end.is_some() || enough(&self.received, false) {
                return;
            }
            let left = within.saturating_sub(started.elapsed());
            match self.incoming.recv_timeout(left) {
                Ok(Event::Bytes(bytes)) => {
                    if self.fault.is_none() {
                        self.fault = self.watch.received(&bytes).err();
                    }
                    self.received.extend_from_slice(&bytes);
                }
                Ok(Event::Over(end)) => self.end = Some(end),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => self.end = Some(End::Closed),
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let (Some(Fault(what)), false) = (&self.fault, std::thread::panicking()) {
            panic!("a broken response: {what}");
        }
        match &mut self.outgoing {
            Outgoing::Tcp(stream) => drop(stream.shutdown(Shutdown::Both)),
            Outgoing::Tls(child, _) => {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

fn pump(mut reader: impl Read, sender: &Sender<Event>, progress: &AtomicUsize) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let event = match reader.read(&mut buffer) {
            Ok(0) => Event::Over(End::Closed),
            Ok(count) => {
                progress.fetch_add(count, Ordering::SeqCst);
                Event::Bytes(buffer[..count].to_vec())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => Event::Over(End::Reset),
        };
        let is_over = matches!(event, Event::Over(_));
        if sender.send(event).is_err() || is_over {
            return;
        }
    }
}

/// It offers one suite of TLS 1.3, unless a case names others: `tls/suite-with-sha256` tells what
/// is taken of several.
fn client(mut command: Command, port: u16) -> Command {
    command
        .args(["s_client", "-connect"])
        .arg(format!("127.0.0.1:{port}"))
        .args(["-ciphersuites", "TLS_AES_256_GCM_SHA384"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// Makes a handshake and reports what was negotiated, line by line. With `bytes` to send it stays
/// until the other side closes, so that a session can be stored.
pub(crate) fn handshake(port: u16, words: &[String], bytes: &[u8]) -> Result<Vec<String>, String> {
    let mut bounded = Command::new("timeout");
    bounded.args(["60", "openssl"]);
    let mut command = client(bounded, port);
    if !bytes.is_empty() {
        command.arg("-ign_eof");
    }
    let mut child = command
        .args(words)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("openssl s_client: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(bytes);
    }
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let mut lines: Vec<String> = Vec::new();
    // The number of tickets so far is not compared.
    for line in text.lines().filter_map(agreed) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    // The client's state at a failure is not compared.
    if lines.iter().any(|line| line.starts_with("alert: ")) {
        lines.retain(|line| line.starts_with("alert: "));
    }
    Ok(lines)
}

/// The part of a line of s_client that two servers have to agree on.
fn agreed(line: &str) -> Option<String> {
    const TELLING: [&str; 11] = [
        "subject=",
        "New, TLS",
        "Reused, TLS",
        "ALPN protocol:",
        "No ALPN",
        "Server Temp Key:",
        "Verify return code:",
        "Peer signature type:",
        "OCSP response:",
        "HTTP/1.1 ",
        "No client certificate CA names",
    ];
    let line = line.trim();
    if let Some((_, alert)) = line.split_once(":SSL routines:") {
        let reason = alert.split(':').nth(1).unwrap_or_default();
        return Some(format!("alert: {reason}"));
    }
    TELLING
        .iter()
        .any(|start| line.starts_with(start))
        .then(|| line.to_owned())
}
