//! What is collected while the directives are read, before the configuration is built.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::group::{PeerAddress, Upstream};
use super::listen::Listen;
use super::locations::LocationTree;
use super::names::ServerName;
use super::parts::Parts;
use super::process;
use super::spec::Directives;
use super::zone::UpstreamZone;
use super::{Location, LocationId};
use crate::conf::hosts::Hosts;
use crate::conf::{Directive, Position, Problem, Word};
use crate::log::files::{LogFile, LogFileId};
use crate::log::form::Form;
use crate::log::syslog::Syslog;
use crate::tls::connector::Connector;
use crate::tls::files::Files;
use crate::variables::matcher::Matcher;
use crate::variables::registry::Registry;

pub(crate) use super::locations::LocationPattern;

/// The configuration so far.
#[derive(Default)]
pub(crate) struct ConfigDraft {
    pub(crate) main: process::Settings,
    pub(crate) paths: Paths,
    pub(crate) variables: Registry,
    pub(crate) log_files: Vec<LogFile>,
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    /// `zone` of those blocks.
    pub(crate) upstream_zones: Vec<UpstreamZone>,
    /// What modules keep once.
    pub(crate) parts: Parts,
    /// The known directives; `None` in a test of a single one.
    pub(crate) directives: Option<Directives>,
    /// Groups made of addresses in `proxy_pass`; one for each address, so that
    /// locations share its connections.
    pub(crate) groups: Vec<Arc<Upstream>>,
    /// Where `http {}` ends: nginx reports conflicts between directives there.
    pub(crate) http_end: Option<Position>,
    /// TLS to upstreams, by its settings.
    pub(crate) connectors: HashMap<String, Arc<Connector>>,
    /// Files that `proxy_ssl_*` name.
    pub(crate) tls_files: Vec<PathBuf>,
    /// Contents of TLS files that have been read.
    pub(crate) tls_contents: Files,
    /// Hosts that have been looked up.
    pub(crate) hosts: Hosts,
    pub(crate) servers: Vec<FinishedServer>,
    pub(crate) locations: Vec<Location>,
    pub(crate) problems: Vec<Problem>,
    /// Lines that have another effect than in nginx.
    pub(crate) notices: Vec<Problem>,
}

/// What relative paths are relative to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    /// The folder of the main configuration file.
    pub(crate) conf: PathBuf,
    /// `-p`.
    pub(crate) prefix: PathBuf,
    /// `-e`: the error log where no `error_log` is configured.
    pub(crate) error_log: Option<PathBuf>,
    /// `$hostname`.
    pub(crate) hostname: String,
    /// How long a pipe is waited for.
    pub(crate) patience: Duration,
    /// No name is looked up: see [`Hosts::assumed`].
    pub(crate) assumes_hosts: bool,
    /// `--log-format`.
    pub(crate) form: Form,
}

impl Paths {
    /// Certificates and keys.
    pub(crate) fn in_conf(&self, path: &str) -> PathBuf {
        self.conf.join(path)
    }

    /// Logs and the pid file.
    pub(crate) fn in_prefix(&self, path: &str) -> PathBuf {
        self.prefix.join(path)
    }
}

/// What a `server` block collects besides settings.
#[derive(Default)]
pub(crate) struct ServerDraft {
    pub(crate) names: Vec<ServerName>,
    pub(crate) listens: Vec<Listen>,
    /// `ssl on`.
    pub(crate) ssl_on: bool,
}

/// A `server` block that has been read.
pub(crate) struct FinishedServer {
    pub(crate) draft: ServerDraft,
    pub(crate) root: LocationId,
    pub(crate) tree: LocationTree,
    pub(crate) at: Position,
}

/// A `location` block that has been read.
pub(crate) struct LocationDraft {
    pub(crate) pattern: LocationPattern,
    pub(crate) id: LocationId,
}

impl ConfigDraft {
    /// An empty draft; `variables` are the built-in ones, `problems` those of parsing the files.
    pub(crate) fn new(
        directives: Directives,
        variables: Registry,
        paths: Paths,
        problems: Vec<Problem>,
    ) -> Self {
        Self {
            directives: Some(directives),
            tls_contents: Files::waiting(paths.patience),
            hosts: match paths.assumes_hosts {
                true => Hosts::assumed(),
                false => Hosts::default(),
            },
            paths,
            problems,
            variables,
            ..Self::default()
        }
    }

    /// The log file called `word`.
    pub(crate) fn log_file(&mut self, word: &Word) -> Result<LogFileId, Problem> {
        let text = word.text.as_str();
        let file = match text {
            "stderr" => LogFile::Stderr,
            _ if text.starts_with("syslog:") => {
                LogFile::Syslog(Syslog::parse(word, &self.paths.hostname, &mut self.hosts)?)
            }
            // nginx's in-memory log for a debugger; it has no use here.
            _ if text.starts_with("memory:") => LogFile::Path("/dev/null".into()),
            _ => LogFile::named(&self.paths.in_prefix(text)),
        };
        Ok(self.keep_log_file(file))
    }

    /// The id of a log file; the same file has one id.
    pub(crate) fn keep_log_file(&mut self, file: LogFile) -> LogFileId {
        let known = self.log_files.iter().position(|own| *own == file);
        LogFileId(known.unwrap_or_else(|| {
            self.log_files.push(file);
            self.log_files.len() - 1
        }))
    }

    /// The group of an address that `proxy_pass` names: host and port.
    pub(crate) fn group_of_address(
        &mut self,
        name: &str,
        address: (String, u16),
        peers: Vec<PeerAddress>,
    ) -> Arc<Upstream> {
        if let Some(group) = self.groups.iter().find(|group| group.name == name) {
            return group.clone();
        }
        let group = Arc::new(Upstream {
            address: Some(address),
            ..Upstream::of_address(name, peers)
        });
        self.groups.push(group.clone());
        group
    }
}

impl LocationPattern {
    /// Reads what stands between `location` and `{`.
    pub(crate) fn parse(directive: &Directive, variables: &mut Registry) -> Result<Self, Problem> {
        let (modifier, word) = match &directive.args[..] {
            [modifier, word] => (modifier.text.as_str(), word),
            [word] => split_modifier(word),
            _ => ("", &directive.name),
        };
        // `location ~\.png$`: no blank between modifier and pattern.
        let text = match &directive.args[..] {
            [only] => &only.text[modifier.len()..],
            _ => word.text.as_str(),
        };
        Ok(match modifier {
            "=" => Self::Exact(text.to_owned()),
            "^~" => Self::Prefix {
                text: text.to_owned(),
                final_: true,
            },
            "~" | "~*" => Self::Regex {
                matcher: Matcher::compile(text, modifier == "~*", word, variables)?,
                text: text.to_owned(),
            },
            "" if text.starts_with('@') => Self::Named(text.to_owned()),
            "" => Self::Prefix {
                text: text.to_owned(),
                final_: false,
            },
            other => {
                let message = format!("invalid location modifier \"{other}\"");
                return Err(Problem::emerg(&directive.args[0].at, message)
                    .with_help("write `=`, `^~`, `~` or `~*`, or a path alone"));
            }
        })
    }
}

fn split_modifier(word: &Word) -> (&'static str, &Word) {
    let modifier = ["~*", "^~", "=", "~"]
        .into_iter()
        .find(|own| word.text.starts_with(own));
    (modifier.unwrap_or(""), word)
}
