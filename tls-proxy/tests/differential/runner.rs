//! Runs a case against one program and records what happens.

use super::bytes::{parts, show, unescape};
use super::case::{Action, Case, Options, Step};
use super::chains;
use super::http1::{Response, take_response};
use super::http2::{body_sizes, list_frames, list_pieces, write_frames, write_request};
use super::program::Program;
use super::sandbox::Sandbox;
use super::setup::{check, prepare, read_logs};
use super::transcript::Transcript;
use super::upstream::Upstreams;
use super::wire::{End, Wire, handshake};
use std::process::Command;
use std::time::Duration;

/// How long a response may take unless the case says otherwise.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait for more on a connection that needs no response.
const QUIET: Duration = Duration::from_millis(60);

/// Runs `case` under `program` and returns the transcript.
pub(crate) fn run(program: &Program, case: &Case, sandbox: &Sandbox) -> Result<Transcript, String> {
    chains::make(&case.chains, &sandbox.chains())?;
    prepare(case, sandbox).map_err(|error| format!("preparing the folder: {error}"))?;
    let mut transcript = Transcript {
        names_pieces: case.pieces,
        ..Transcript::default()
    };
    if case.steps.is_empty() {
        check(program, case, sandbox, &mut transcript)?;
        return Ok(transcript);
    }
    if case.steps.iter().all(|step| step.action == Action::Check) {
        for (number, step) in case.steps.iter().enumerate() {
            let case = case.of_check(step);
            prepare(&case, sandbox).map_err(|error| format!("preparing the folder: {error}"))?;
            transcript.push(format!("step {}: {}", number + 1, first_line(&step.text)));
            check(program, &case, sandbox, &mut transcript)?;
        }
        return Ok(transcript);
    }
    let upstreams = Upstreams::start(case, sandbox)?;
    let mut running = program.start(case, sandbox)?;
    let mut player = Player {
        sandbox,
        upstreams: &upstreams,
        transcript,
        wire: None,
        beside: Vec::new(),
        is_old: case.oracle.is_some(),
        methods: Vec::new(),
        tunnel: false,
    };
    for (number, step) in case.steps.iter().enumerate() {
        player.play(number + 1, step)?;
        player.note_faults();
    }
    let Player {
        mut transcript,
        wire,
        beside,
        ..
    } = player;
    drop((wire, beside));
    running.stop();
    for seen in upstreams.finish() {
        for line in seen.lines() {
            transcript.push(line);
        }
    }
    read_logs(&mut transcript, sandbox);
    Ok(transcript)
}

struct Player<'a> {
    sandbox: &'a Sandbox,
    upstreams: &'a Upstreams,
    transcript: Transcript,
    wire: Option<Wire>,
    /// Connections that stay open while others are used.
    beside: Vec<Wire>,
    /// Methods sent on the connection whose responses are pending.
    /// Compared with an older nginx, which speaks one version on a port without TLS.
    is_old: bool,
    methods: Vec<String>,
    tunnel: bool,
}

impl Player<'_> {
    fn play(&mut self, number: usize, step: &Step) -> Result<(), String> {
        let options = &step.options;
        let text = self.sandbox.fill(&step.text);
        match step.action {
            Action::Request | Action::Then => {
                self.transcript
                    .push(format!("step {number}: {}", first_line(&step.text)));
                let parts = parts(&text, options.number("pieces"))?;
                if step.action == Action::Request || self.is_over() {
                    self.open(options)?;
                }
                self.exchange(&parts, options);
            }
            Action::Frames | Action::ThenFrames => {
                self.transcript.push(format!("step {number}: frames"));
                let bytes = write_frames(&text)?;
                if step.action == Action::Frames {
                    self.open(options)?;
                }
                for line in self.exchange_frames(&bytes, options) {
                    self.transcript.push(format!("  {line}"));
                }
            }
            Action::Both => {
                self.transcript
                    .push(format!("step {number}: {}", first_line(&step.text)));
                let parts = parts(&text, None)?;
                self.open(options)?;
                self.exchange(&parts, options);
                self.transcript.push("  over HTTP/2");
                match self.is_old {
                    true => self.open(&options.at_port(2))?,
                    false => self.open(options)?,
                }
                let lines = self.exchange_frames(&write_request(&text)?, options);
                // A malformed request may get a response or a reset (RFC 9113, section 8.1.1).
                if lines.iter().any(|line| is_refusal(line)) {
                    self.transcript.push("  refused");
                } else {
                    let lines = lines.iter().map(|line| format!("  {line}"));
                    self.transcript.lines.extend(lines);
                }
            }
            Action::HalfClose => {
                self.transcript.push(format!("step {number}: half-close"));
                if let Some(wire) = &mut self.wire {
                    wire.half_close();
                }
                self.read_responses(options);
            }
            Action::Pause => {
                let time = options.words.first().and_then(|word| word.parse().ok());
                std::thread::sleep(Duration::from_millis(time.unwrap_or(100)));
            }
            Action::Curl => {
                self.transcript.push(format!("step {number}: curl"));
                self.curl(&text)?;
            }
            Action::Check => return Err("checks stand alone".to_owned()),
            Action::Handshake => {
                self.transcript.push(format!("step {number}: handshake"));
                let port = self.sandbox.server(options.number("port").unwrap_or(1));
                let words = self.tls_words(options).unwrap_or_default();
                let text = if text.trim().is_empty() { "" } else { &text };
                let bytes = unescape(text, "\r\n")?;
                for line in handshake(port, &words, &bytes)? {
                    self.transcript.push(format!("  {line}"));
                }
            }
        }
        Ok(())
    }

    /// A malformed response; the case fails, whatever nginx did.
    fn note_faults(&mut self) {
        for wire in self.beside.iter_mut().chain(&mut self.wire) {
            self.transcript.faults.extend(wire.fault.take());
        }
    }

    /// Whether the connection has ended, so that the next step needs another one.
    fn is_over(&self) -> bool {
        self.wire.as_ref().is_none_or(|wire| wire.end.is_some())
    }

    fn tls_words(&self, options: &Options) -> Option<Vec<String>> {
        let words = options.tls.as_ref()?;
        Some(words.iter().map(|word| self.sandbox.fill(word)).collect())
    }

    fn open(&mut self, options: &Options) -> Result<(), String> {
        let before = self.wire.take();
        if options.has("beside") {
            self.beside.extend(before);
        }
        self.methods.clear();
        self.tunnel = false;
        let port = self.sandbox.server(options.number("port").unwrap_or(1));
        let tls = self.tls_words(options);
        let wire = Wire::connect(port, tls.as_deref())?;
        self.upstreams.watch(&wire.progress);
        self.wire = Some(wire);
        Ok(())
    }

    /// Sends part by part, and reads what the step waits for.
    fn exchange(&mut self, parts: &[Vec<u8>], options: &Options) {
        self.methods.extend(methods_in(&parts.concat()));
        let Some(wire) = &mut self.wire else { return };
        let pause = options
            .milliseconds("pause")
            .unwrap_or(Duration::from_millis(20));
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                std::thread::sleep(pause);
            }
            wire.send(part);
        }
        if options.has("half-close") {
            wire.half_close();
        }
        self.read_responses(options);
    }

    fn read_responses(&mut self, options: &Options) {
        let Some(wire) = &mut self.wire else { return };
        let wanted = match options.has("no-answer") {
            true => 0,
            false => options.number("answers").unwrap_or(1),
        };
        let patience = if wanted == 0 { QUIET * 3 } else { PATIENCE };
        let patience = options.milliseconds("within").unwrap_or(patience);
        let (methods, tunnel) = (self.methods.clone(), self.tunnel);
        let is_enough = |bytes: &[u8], is_over: bool| match tunnel {
            true => !bytes.is_empty(),
            false => wanted > 0 && count_responses(bytes, &methods, is_over) >= wanted,
        };
        wire.receive(patience, is_enough);
        // More bytes, or the end of the connection, may follow.
        let says_close = take_all(&wire.received, &methods, false)
            .0
            .iter()
            .any(|response| {
                response
                    .field("connection")
                    .is_some_and(|value| value == "close")
            });
        let watch = options.milliseconds("watch");
        let quiet = watch.unwrap_or(if says_close { PATIENCE } else { QUIET });
        wire.receive(quiet, |_, _| false);
        self.record_responses();
    }

    fn record_responses(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        let bytes = std::mem::take(&mut wire.received);
        let end = match wire.end {
            None => "open",
            Some(End::Closed) => "closed",
            Some(End::Reset) => "reset",
        };
        if self.tunnel {
            self.transcript.push(format!("  tunnel: {}", show(&bytes)));
            self.transcript.push(format!("  then {end}"));
            return;
        }
        let (responses, left) = take_all(&bytes, &self.methods, wire.end.is_some());
        if responses.is_empty() {
            self.transcript.push("  no answer");
        }
        for response in &responses {
            self.transcript.push_response(response);
            if !response.is_interim() && !self.methods.is_empty() {
                self.methods.remove(0);
            }
            self.tunnel = response.status() == "101";
        }
        if !left.is_empty() {
            self.transcript
                .push(format!("  further bytes: {}", show(left)));
        }
        self.transcript.push(format!("  then {end}"));
    }

    /// Records what was received, and the state of the connection.
    fn exchange_frames(&mut self, bytes: &[u8], options: &Options) -> Vec<String> {
        let Some(wire) = &mut self.wire else {
            return Vec::new();
        };
        wire.send(bytes);
        let wanted = options.number("streams").unwrap_or(1);
        let within = options.milliseconds("within").unwrap_or(PATIENCE);
        wire.receive(within, |bytes, _| {
            let lines = list_frames(bytes);
            let is_end = |line: &&String| line.contains(": ended") || line.contains(": reset");
            lines.iter().filter(is_end).count() >= wanted
                || lines.iter().any(|line| line.starts_with("goaway"))
        });
        wire.receive(options.milliseconds("watch").unwrap_or(QUIET), |_, _| false);
        let received = std::mem::take(&mut wire.received);
        let mut lines = list_frames(&received);
        if self.transcript.names_pieces {
            lines.extend(list_pieces(&received));
        }
        let bodies = body_sizes(&received).into_iter().map(|body| (0, body));
        self.transcript.sizes.extend(bodies);
        let end = if wire.end.is_some() { "closed" } else { "open" };
        lines.push(format!("then {end}"));
        lines
    }

    fn curl(&mut self, text: &str) -> Result<(), String> {
        let mut command = Command::new("curl");
        command.args(["-s", "-i", "-k", "--max-time", "8", "--noproxy", "*"]);
        // One argument a line, so that values may have spaces.
        command.args(text.lines().map(str::trim).filter(|line| !line.is_empty()));
        let output = command.output().map_err(|error| format!("curl: {error}"))?;
        let (responses, left) = take_curl(&output.stdout);
        for response in &responses {
            self.transcript.push_response(response);
        }
        if !left.is_empty() {
            self.transcript
                .push(format!("  further bytes: {}", show(left)));
        }
        self.transcript
            .push(format!("  curl exit {:?}", output.status.code()));
        Ok(())
    }
}

/// curl has removed the framing: headers, and after the last one the body.
fn take_curl(bytes: &[u8]) -> (Vec<Response>, &[u8]) {
    let (mut responses, mut rest) = (Vec::new(), bytes);
    while rest.starts_with(b"HTTP/") {
        let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") else {
            break;
        };
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        // A header alone is parsed like the response to HEAD.
        let Some(mut response) = take_response(format!("{head}\r\n\r\n").as_bytes(), true, true)
        else {
            break;
        };
        rest = &rest[end + 4..];
        if !rest.starts_with(b"HTTP/") {
            response.body = rest.to_vec();
            response.body_size = rest.len();
            response.framing = super::http1::Framing::Close;
            rest = &[];
        }
        responses.push(response);
    }
    (responses, rest)
}

/// Whether a line of `list_frames` says that a request was malformed.
fn is_refusal(line: &str) -> bool {
    line.ends_with(": headers, status 400")
        || line.ends_with(": reset, code 1")
        || line.starts_with("goaway, code 1,")
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(60).collect()
}

/// The methods of what looks like request lines.
fn methods_in(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.split("\r\n").filter(|line| line.contains(" HTTP/1."));
    lines
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

/// Every complete response in `bytes`, and the rest.
fn take_all<'a>(bytes: &'a [u8], methods: &[String], is_over: bool) -> (Vec<Response>, &'a [u8]) {
    let (mut responses, mut rest, mut finals) = (Vec::new(), bytes, 0);
    while let Some(response) = take_response(
        rest,
        methods.get(finals).is_some_and(|method| method == "HEAD"),
        is_over,
    ) {
        rest = &rest[response.size..];
        let is_tunnel = response.status() == "101";
        finals += usize::from(!response.is_interim());
        responses.push(response);
        if is_tunnel {
            break;
        }
    }
    (responses, rest)
}

fn count_responses(bytes: &[u8], methods: &[String], is_over: bool) -> usize {
    take_all(bytes, methods, is_over)
        .0
        .iter()
        .filter(|response| !response.is_interim())
        .count()
}
