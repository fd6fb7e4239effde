//! The format of a case file, and nothing about how a case is run. README.md describes it.

use super::bytes::parts;
use super::chains::Chain;
use std::collections::HashMap;
use std::time::Duration;

/// The configuration of a case that names none.
const PLAIN: &str =
    "server { listen 127.0.0.1:%PORT%; location / { proxy_pass http://%UPSTREAM%; } }\n";

/// One file of `cases/`.
#[derive(Debug, Default)]
pub(crate) struct Case {
    /// The row of the compatibility table that it belongs to.
    pub(crate) step: String,
    /// The heading of docs/differences.md that explains why the two programs differ.
    pub(crate) differs: Option<String>,
    /// `system` where only Debian's build has the module.
    pub(crate) oracle: Option<String>,
    /// Whether it matters on which connection the upstream saw a request.
    pub(crate) connections: bool,
    /// Whether it matters in how many pieces a body came.
    pub(crate) pieces: bool,
    /// The configuration's `http` block, or with `whole` the whole file.
    pub(crate) configuration: String,
    pub(crate) whole: bool,
    pub(crate) files: Vec<(String, String)>,
    /// Certificates of clients, each of which asks once.
    pub(crate) chains: Vec<Chain>,
    pub(crate) scripts: Vec<Script>,
    pub(crate) steps: Vec<Step>,
}

/// What an upstream does with one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    pub(crate) options: Options,
    pub(crate) text: String,
}

/// What the client does next.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) action: Action,
    pub(crate) options: Options,
    pub(crate) text: String,
}

/// The kinds of steps.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Action {
    /// Opens a connection and sends.
    Request,
    /// Sends on the connection that is open.
    Then,
    /// Ends the sending half of the connection.
    HalfClose,
    /// Waits.
    Pause,
    /// Runs curl.
    Curl,
    /// Makes a TLS handshake with `openssl s_client` and reports what was agreed.
    Handshake,
    /// Opens a connection and speaks HTTP/2 by frames.
    Frames,
    /// Sends further frames on it.
    ThenFrames,
    /// Sends one request over HTTP/1.1 and over HTTP/2, on a new connection each.
    Both,
    /// Asks `-t` about the configuration in the section.
    Check,
}

/// The words behind a section's name: `key=value`, flags, and after `tls` what s_client is given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    values: HashMap<String, String>,
    pub(crate) tls: Option<Vec<String>>,
    pub(crate) words: Vec<String>,
}

impl Options {
    fn parse(text: &str) -> Self {
        let mut options = Self::default();
        let mut words = text.split_whitespace();
        while let Some(word) = words.next() {
            if word == "tls" {
                options.tls = Some(words.map(str::to_owned).collect());
                break;
            }
            if let Some((key, value)) = word.split_once('=') {
                options.values.insert(key.to_owned(), value.to_owned());
            }
            options.words.push(word.to_owned());
        }
        options
    }

    pub(crate) fn has(&self, flag: &str) -> bool {
        self.words.iter().any(|word| word == flag)
    }

    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    pub(crate) fn number(&self, key: &str) -> Option<usize> {
        self.value(key).and_then(|value| value.parse().ok())
    }

    /// The same for another server of the case.
    pub(crate) fn at_port(&self, number: usize) -> Self {
        let mut options = self.clone();
        options.values.insert("port".to_owned(), number.to_string());
        options
    }

    pub(crate) fn milliseconds(&self, key: &str) -> Option<Duration> {
        self.number(key)
            .map(|number| Duration::from_millis(number as u64))
    }
}

impl Case {
    /// The case that only asks `-t` about the configuration of a step.
    pub(crate) fn of_check(&self, step: &Step) -> Self {
        Self {
            configuration: step.text.clone(),
            whole: step.options.has("whole"),
            files: self.files.clone(),
            ..Self::default()
        }
    }

    /// Reads one case file.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut case = Self::default();
        let text = text.strip_suffix('\n').unwrap_or(text);
        let mut sections = text.split("\n--- ");
        for line in sections.next().unwrap_or_default().lines() {
            case.read_header(line)?;
        }
        for section in sections {
            let (heading, body) = section.split_once('\n').unwrap_or((section, ""));
            // The break before the next section's dashes was eaten by the split.
            let body = format!("{body}\n");
            case.read_section(heading, body)?;
        }
        if case.configuration.is_empty() {
            PLAIN.clone_into(&mut case.configuration);
        }
        Ok(case)
    }

    fn read_header(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (key, value) = line
            .split_once(": ")
            .ok_or_else(|| format!("no header: {line}"))?;
        match key {
            "title" => {}
            "step" => self.step = value.to_owned(),
            "differs" => self.differs = Some(value.to_owned()),
            "compares" if value == "connections" => self.connections = true,
            "compares" if value == "pieces" => self.pieces = true,
            "oracle" => self.oracle = Some(value.to_owned()),
            _ => return Err(format!("unknown header {key}")),
        }
        Ok(())
    }

    fn read_section(&mut self, heading: &str, body: String) -> Result<(), String> {
        let (kind, rest) = heading.split_once(' ').unwrap_or((heading, ""));
        let action = match kind {
            "conf" | "whole" => {
                self.whole = kind == "whole";
                self.configuration = body;
                return Ok(());
            }
            "file" => {
                self.files.push((rest.trim().to_owned(), body));
                return Ok(());
            }
            "chain" => {
                self.chains.push(Chain::parse(rest, &body)?);
                let tls = format!(
                    "tls -cert_chain %CHAINS%/{rest}.pem -cert %CHAINS%/{rest}.pem -key %CHAINS%/{rest}.key"
                );
                self.steps.push(Step {
                    action: Action::Request,
                    options: Options::parse(&tls),
                    text: format!("GET /{rest} HTTP/1.0\nHost: localhost\n\n"),
                });
                return Ok(());
            }
            "upstream" => {
                self.scripts.push(Script {
                    options: Options::parse(rest),
                    text: body,
                });
                return Ok(());
            }
            "request" => Action::Request,
            "then" => Action::Then,
            "half-close" => Action::HalfClose,
            "pause" => Action::Pause,
            "curl" => Action::Curl,
            "handshake" => Action::Handshake,
            "frames" => Action::Frames,
            "then-frames" => Action::ThenFrames,
            "both" => Action::Both,
            "check" => Action::Check,
            _ => return Err(format!("unknown section {kind}")),
        };
        if action != Action::Check {
            parts(&body, None)?;
        }
        self.steps.push(Step {
            action,
            options: Options::parse(rest),
            text: body,
        });
        Ok(())
    }
}
