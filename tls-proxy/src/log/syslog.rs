//! `syslog:` in `access_log` and `error_log`: lines as datagrams in nginx's form of RFC
//! 3164.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use crate::conf::hosts::Hosts;
use crate::conf::{Problem, Word, did_you_mean, units};
use crate::log::level::Level;
use crate::time::clock::Stamp;

/// The default port (RFC 3164, section 2).
const PORT: u16 = 514;
/// The largest datagram of UDP over IPv4, bytes: one more would not be sent.
pub(super) const LARGEST: usize = 65_507;
/// The longest tag (RFC 3164, section 4.1.3).
const LONGEST_TAG: usize = 32;

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv",
    "ftp", "ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
const SEVERITIES: [&str; 8] = [
    "emerg", "alert", "crit", "error", "warn", "notice", "info", "debug",
];

/// One `syslog:` parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    pub(super) server: SyslogServer,
    facility: usize,
    /// For lines without a severity of their own.
    severity: usize,
    tag: String,
    /// `None` with `nohostname`.
    hostname: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SyslogServer {
    Udp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for SyslogServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The parameters of `syslog:`.
const PARAMETERS: [&str; 5] = ["server", "facility", "severity", "tag", "nohostname"];

impl Syslog {
    /// Parses the parameters of `syslog:`.
    pub(crate) fn parse(word: &Word, hostname: &str, hosts: &mut Hosts) -> Result<Self, Problem> {
        let fail = |message: String| Problem::emerg(&word.at, message);
        let (mut server, mut facility, mut severity) = (None, None, None);
        let (mut tag, mut hostname) = (None, Some(hostname.to_owned()));
        let parameters = word.text.strip_prefix("syslog:").unwrap_or_default();
        for parameter in parameters.split(',') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let twice = match name {
                "server" => server
                    .replace(parse_server(value, hosts).map_err(fail)?)
                    .is_some(),
                "facility" => facility
                    .replace(find(&FACILITIES, name, value, word)?)
                    .is_some(),
                "severity" => severity
                    .replace(find(&SEVERITIES, name, value, word)?)
                    .is_some(),
                "tag" => tag.replace(check_tag(value).map_err(fail)?).is_some(),
                "nohostname" if parameter == name => {
                    hostname = None;
                    false
                }
                _ => {
                    let message = format!("unknown syslog parameter \"{parameter}\"");
                    return Err(fail(message).with_help_if(did_you_mean(name, PARAMETERS)));
                }
            };
            if twice {
                return Err(fail(format!("duplicate syslog \"{name}\"")));
            }
        }
        Ok(Self {
            server: server.ok_or_else(|| fail("no syslog server specified".to_owned()))?,
            facility: facility.unwrap_or(FACILITIES.len() - 1),
            severity: severity.unwrap_or(6),
            tag: tag.unwrap_or_else(|| "nginx".to_owned()),
            hostname,
        })
    }

    /// The header of a line.
    fn header(&self, severity: usize, time: &str) -> String {
        let priority = self.facility * 8 + severity;
        let host = self.hostname.as_deref().unwrap_or_default();
        let space = if host.is_empty() { "" } else { " " };
        format!("<{priority}>{time} {host}{space}{}: ", self.tag)
    }

    /// Opens a socket for sending.
    ///
    /// # Errors
    /// The error of the operating system.
    pub(crate) fn open(&self) -> io::Result<SyslogSender> {
        let udp = |any: &str| Ok::<_, io::Error>(Socket::Udp(UdpSocket::bind(any)?, false.into()));
        let socket = match &self.server {
            SyslogServer::Udp(SocketAddr::V4(_)) => udp("0.0.0.0:0")?,
            SyslogServer::Udp(SocketAddr::V6(_)) => udp("[::]:0")?,
            SyslogServer::Unix(_) => Socket::Unix(UnixDatagram::unbound()?),
        };
        match &socket {
            Socket::Udp(socket, _) => socket.set_nonblocking(true)?,
            Socket::Unix(socket) => socket.set_nonblocking(true)?,
        }
        Ok(SyslogSender {
            syslog: self.clone(),
            socket,
        })
    }
}

/// A socket and its destination.
#[derive(Debug)]
pub(crate) struct SyslogSender {
    syslog: Syslog,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    /// And whether it is connected: then the next datagram after one that nobody received is
    /// refused.
    Udp(UdpSocket, Cell<bool>),
    Unix(UnixDatagram),
}

impl SyslogSender {
    /// Sends a line, as much of it as fits; `level` is set for error logs.
    ///
    /// # Errors
    /// Why a line is lost: this one or, if nobody listens, the one before it.
    pub(crate) fn send(&self, level: Option<Level>, line: &[u8]) -> io::Result<()> {
        let severity = level.map_or(self.syslog.severity, |level| {
            let known = SEVERITIES.iter().position(|own| *own == level.name());
            known.unwrap_or(self.syslog.severity)
        });
        let header = self.syslog.header(severity, &Stamp::now().syslog());
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let fits = line.len().min(LARGEST.saturating_sub(header.len()));
        let datagram = [header.as_bytes(), &line[..fits]].concat();
        let sent = match (&self.socket, &self.syslog.server) {
            (Socket::Udp(socket, connected), SyslogServer::Udp(to)) => {
                if !connected.get() {
                    socket.connect(to)?;
                    connected.set(true);
                }
                match socket.send(&datagram) {
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                        // This one has not been sent. If it is refused, the next call says so.
                        socket.send(&datagram).and(Err(error))
                    }
                    sent => sent,
                }
            }
            (Socket::Unix(socket), SyslogServer::Unix(to)) => socket.send_to(&datagram, to),
            _ => Ok(0),
        };
        sent.map(drop)
    }
}

fn find(known: &[&str], name: &str, value: &str, word: &Word) -> Result<usize, Problem> {
    let found = known.iter().position(|own| *own == value);
    found.ok_or_else(|| {
        Problem::emerg(&word.at, format!("unknown syslog {name} \"{value}\""))
            .with_help_if(did_you_mean(value, known.iter().copied()))
    })
}

fn check_tag(tag: &str) -> Result<String, String> {
    if tag.len() > LONGEST_TAG {
        return Err(format!("syslog tag length exceeds {LONGEST_TAG}"));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !tag.bytes().all(allowed) {
        let message = "syslog \"tag\" only allows alphanumeric characters and underscore";
        return Err(message.to_owned());
    }
    Ok(tag.to_owned())
}

fn parse_server(text: &str, hosts: &mut Hosts) -> Result<SyslogServer, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(SyslogServer::Unix(path.into()));
    }
    let mut named = |name: &str| match name.rsplit_once(':') {
        Some((host, port)) => {
            let port: u16 = units::parse_integer(port).filter(|port| *port > 0)?;
            hosts.find(host, port).into_iter().next()
        }
        None => hosts.find(name, PORT).into_iter().next(),
    };
    let bracketed = || format!("{text}:{PORT}").parse().ok();
    let found = text.parse().ok().or_else(|| named(text)).or_else(bracketed);
    found
        .map(SyslogServer::Udp)
        .ok_or_else(|| format!("host not found in syslog server \"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Syslog, String> {
        let at = crate::conf::Position::in_a_test();
        let word = Word {
            text: text.to_owned(),
            quoted: false,
            at,
        };
        Syslog::parse(&word, "pod", &mut Hosts::default()).map_err(|problem| problem.message)
    }

    #[test]
    fn a_line_has_priority_time_host_and_tag() {
        let plain = parse("syslog:server=127.0.0.1").expect("valid");
        assert_eq!(
            plain.server,
            SyslogServer::Udp(([127, 0, 0, 1], 514).into())
        );
        assert_eq!(
            plain.header(plain.severity, "Nov  2 01:02:03"),
            "<190>Nov  2 01:02:03 pod nginx: "
        );
        let text = "syslog:server=[::1]:5140,facility=user,severity=warn,tag=a_b,nohostname";
        let full = parse(text).expect("valid");
        assert_eq!(full.header(full.severity, "T"), "<12>T a_b: ");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, message) in [
            ("syslog:", "unknown syslog parameter \"\""),
            ("syslog:tag=x", "no syslog server specified"),
            ("syslog:server=127.0.0.1,tag=a-b", "syslog \"tag\" only"),
            (
                "syslog:server=127.0.0.1,facility=x",
                "unknown syslog facility",
            ),
            (
                "syslog:server=127.0.0.1,tag=a,tag=b",
                "duplicate syslog \"tag\"",
            ),
        ] {
            let found = parse(text).expect_err(text);
            assert!(found.starts_with(message), "{found}");
        }
    }
}
