//! What the walk through the directives collects before it is one value.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::group::{Address, Upstream};
use super::listen::Listen;
use super::locations::Tree;
use super::names::ServerName;
use super::zone::Zone;
use super::{Location, LocationId};
use crate::conf::{Directive, Position, Problem, Word};
use crate::log::files::{LogFile, LogFileId};
use crate::log::form::Form;
use crate::log::syslog::Syslog;
use crate::modules::limit_zone::Zones;
use crate::modules::{Place, Settings, VARIABLES, log, log_format, process};
use crate::tls::connector::Connector;
use crate::tls::files::Files;
use crate::vars::matcher::Matcher;
use crate::vars::registry::Registry;

pub(crate) use super::locations::Pattern;

/// The configuration so far.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) main: process::Settings,
    pub(crate) paths: Paths,
    pub(crate) variables: Registry,
    pub(crate) formats: HashMap<String, Arc<log_format::Format>>,
    pub(crate) log_files: Vec<LogFile>,
    /// How the files of `access_log` are buffered.
    pub(crate) log_buffers: HashMap<PathBuf, log::Buffer>,
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    /// `zone` of those blocks.
    pub(crate) upstream_zones: Vec<Zone>,
    /// `limit_req_zone`, `limit_conn_zone`.
    pub(crate) zones: Zones,
    /// Groups made of addresses in `proxy_pass`; one for each address, so that
    /// locations share its connections.
    pub(super) groups: Vec<Arc<Upstream>>,
    /// Where `http {}` ends: there nginx sees what does not fit together.
    pub(crate) http_end: Option<Position>,
    /// TLS to upstreams, by its settings.
    pub(super) connectors: HashMap<String, Arc<Connector>>,
    /// Files that `proxy_ssl_*` name.
    pub(super) tls_files: Vec<PathBuf>,
    /// What has been read of files for TLS.
    pub(crate) tls_contents: Files,
    pub(crate) servers: Vec<FinishedServer>,
    pub(crate) locations: Vec<Location>,
    pub(crate) problems: Vec<Problem>,
    /// What has another effect than in nginx.
    pub(crate) notices: Vec<Problem>,
}

/// What relative paths are relative to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    /// The folder of the main configuration file.
    pub(crate) conf: PathBuf,
    /// `-p`.
    pub(crate) prefix: PathBuf,
    /// `-e`: where errors go that no `error_log` names a place for.
    pub(crate) error_log: Option<PathBuf>,
    /// `$hostname`.
    pub(crate) hostname: String,
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
    pub(crate) tree: Tree,
    pub(crate) at: Position,
}

/// A `location` block that has been read.
pub(crate) struct LocationDraft {
    pub(crate) pattern: Pattern,
    pub(crate) id: LocationId,
}

impl Draft {
    /// One that nothing has been read into; `problems` are those of the files.
    pub(super) fn new(paths: Paths, problems: Vec<Problem>) -> Self {
        Self {
            paths,
            problems,
            variables: Registry::new(VARIABLES),
            ..Self::default()
        }
    }

    /// The log file called `word`.
    pub(crate) fn log_file(&mut self, word: &Word) -> Result<LogFileId, Problem> {
        let text = word.text.as_str();
        let file = match text {
            "stderr" => LogFile::Stderr,
            _ if text.starts_with("syslog:") => {
                LogFile::Syslog(Syslog::parse(word, &self.paths.hostname)?)
            }
            // nginx's buffer for a debugger; there is nobody to look into it.
            _ if text.starts_with("memory:") => LogFile::Path("/dev/null".into()),
            _ => LogFile::named(&self.paths.in_prefix(text)),
        };
        Ok(self.keep_log_file(file))
    }

    /// The number of a log file; each has one.
    pub(crate) fn keep_log_file(&mut self, file: LogFile) -> LogFileId {
        let known = self.log_files.iter().position(|own| *own == file);
        LogFileId(known.unwrap_or_else(|| {
            self.log_files.push(file);
            self.log_files.len() - 1
        }))
    }

    /// Keeps a finished location.
    pub(crate) fn add_location(
        &mut self,
        mut settings: Settings,
        inside: Vec<LocationDraft>,
    ) -> LocationId {
        self.connect_securely(&mut settings);
        let end = self.http_end.as_ref();
        let unfit = end.and_then(|end| settings.proxy.buffers.check(end));
        self.problems.extend(unfit);
        self.problems.extend(settings.referer.check());
        let tree = self.grow(inside);
        self.locations.push(Location { settings, tree });
        LocationId(self.locations.len() - 1)
    }

    /// Prepares TLS to upstreams where `proxy_pass` asks for it; locations
    /// with the same settings share it, and with it connections and sessions.
    fn connect_securely(&mut self, settings: &mut Settings) {
        let Some(pass) = settings
            .proxy
            .pass
            .as_ref()
            .filter(|pass| pass.may_be_tls())
        else {
            return;
        };
        let own = &settings.proxy_ssl;
        let key = format!("{:?}", own.tls);
        if let Some(known) = self.connectors.get(&key) {
            settings.proxy_ssl.connector = Some(known.clone());
            return;
        }
        self.tls_files
            .extend(own.tls.files().map(|file| file.path.clone()));
        let files = &mut self.tls_contents;
        match Connector::load(&own.tls, &pass.at, files, &mut self.problems) {
            Ok(connector) => {
                let connector = Arc::new(connector);
                self.connectors.insert(key, connector.clone());
                settings.proxy_ssl.connector = Some(connector);
            }
            Err(problem) => self.problems.push(problem),
        }
    }

    /// Keeps a finished server.
    pub(crate) fn add_server(&mut self, place: Place, settings: Settings, at: &Position) {
        if settings.core.head.line < settings.core.connection_pool_size {
            let message = "the \"large_client_header_buffers\" size must be equal to or greater than \"connection_pool_size\"";
            // nginx sees it when it has read all of `http`.
            let end = self.http_end.as_ref().map(|end| end.line);
            let problem = Problem::emerg(at, message).on_line(end);
            self.problems
                .push(problem.with_help("512 is the least where connection_pool_size is not set"));
        }
        let tree = self.grow(place.locations);
        let root = self.add_location(settings, Vec::new());
        self.servers.push(FinishedServer {
            draft: place.server,
            root,
            tree,
            at: at.clone(),
        });
    }

    fn grow(&self, locations: Vec<LocationDraft>) -> Tree {
        let mut tree = Tree::default();
        for location in locations {
            let proxied = self.locations[location.id.0].settings.proxy.pass.is_some();
            tree.add(&location.pattern, location.id, proxied);
        }
        tree
    }

    /// The group of an address that `proxy_pass` names: host and port.
    pub(crate) fn group_of_address(
        &mut self,
        name: &str,
        address: (String, u16),
        peers: Vec<Address>,
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

impl Pattern {
    /// Reads what stands between `location` and `{`.
    pub(crate) fn parse(directive: &Directive, variables: &mut Registry) -> Result<Self, Problem> {
        let (modifier, word) = match &directive.args[..] {
            [modifier, word] => (modifier.text.as_str(), word),
            [word] => split_modifier(word),
            _ => ("", &directive.name),
        };
        // `location ~\.png$` has its modifier stuck to the pattern.
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
