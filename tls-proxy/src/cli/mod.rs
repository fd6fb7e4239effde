//! nginx's command line, and what it prints about itself.
//!
//! nginx reads its options like getopt: `-tq`, `-cfile` and `-c file` are all valid, the last of
//! two wins, and a value may begin with a dash. clap can express all of it; only the messages are
//! reworded as nginx has them. `main` carries the commands out.

mod options;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgMatches;

pub use self::options::help;
use self::options::{definition, in_nginx_words};
use crate::admin;
use crate::conf::units::parse_time_ms;
use crate::entry_point::EntryPoint;
use crate::lifecycle::control::Signal;
use crate::log::form::Form;

/// Where nginx's image has its configuration; relative paths begin here.
pub const PREFIX: &str = "/etc/nginx";

const SHUTDOWN_BUDGET: &str = "shutdown-budget";
const ADMIN: &str = "admin";
const LOG_FORMAT: &str = "log-format";

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve, in the foreground.
    Serve(Options),
    /// `-t` and `-T`.
    Test {
        /// Which configuration.
        options: Options,
        /// `-q`: print nothing when the configuration is valid.
        quiet: bool,
        /// `-T`: print every file that was read.
        dump: bool,
    },
    /// `-s`.
    Signal {
        /// Which configuration names the pid file.
        options: Options,
        /// What to send.
        signal: Signal,
    },
    /// `-v`.
    Version,
    /// `-V`.
    BuildInfo,
    /// `-h` and `-?`.
    Help,
}

/// Which configuration is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `-c`, as given.
    pub conf: Option<PathBuf>,
    /// `-p`, as given.
    pub prefix: Option<PathBuf>,
    /// `-e`, as given.
    pub error_log: Option<PathBuf>,
    /// `-g`.
    pub globals: Option<String>,
    /// `--shutdown-budget`: how long the shutdown may take. Without it there is no lame duck and no
    /// limit, as in nginx.
    pub shutdown_budget: Option<Duration>,
    /// `--admin`: the address of probes and metrics; without it there is none.
    pub admin: Option<admin::AdminAddress>,
    /// `--log-format`.
    pub log_format: Form,
    /// What the environment asks of nginx's image; `None` unless the program was started as
    /// `nginx`.
    pub entry_point: Option<EntryPoint>,
}

impl Options {
    /// The folder that relative paths of logs and documents begin at.
    #[must_use]
    pub fn prefix(&self) -> &Path {
        self.prefix.as_deref().unwrap_or(Path::new(PREFIX))
    }

    /// The file named with `-c`; like nginx's, relative to the prefix.
    #[must_use]
    pub fn named_conf(&self) -> Option<PathBuf> {
        self.conf.as_ref().map(|conf| self.prefix().join(conf))
    }
}

/// A command line nginx would refuse; `main` exits with 64.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// No such option, or an argument that belongs to no option.
    #[error("invalid option: \"{0}\"")]
    Invalid(String),
    /// The last option lacks its value.
    #[error("option \"-{option}\" requires {wants}")]
    MissingValue {
        /// Its letter.
        option: char,
        /// What it wants, in nginx's words.
        wants: &'static str,
    },
    /// The shutdown budget is not a time.
    #[error(
        "invalid time \"{0}\" in --shutdown-budget or TLS_PROXY_SHUTDOWN_BUDGET: write one such as 25s"
    )]
    Budget(String),
    /// The admin port is not an address.
    #[error("invalid address \"{0}\" in --admin or TLS_PROXY_ADMIN: {source}", source = admin::address::Error)]
    Admin(String),
    /// Unknown log format.
    #[error("invalid format \"{0}\" in --log-format or TLS_PROXY_LOG_FORMAT: write text or json")]
    LogFormat(String),
    /// The filter of template variables is not a regular expression.
    #[error("{0}")]
    Filter(String),
    /// `-g` is not valid UTF-8.
    #[error("option \"-{0}\" is not valid UTF-8")]
    NotUtf8(char),
}

/// Reads a command line; the first argument is the program's name.
///
/// # Errors
/// When nginx would refuse it.
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    let mut args = args.peekable();
    let entry_point = entry_point(args.peek().map(OsString::as_os_str).unwrap_or_default())?;
    // A lone dash is an empty group of options to nginx.
    let args = args
        .enumerate()
        .filter(|(at, arg)| *at == 0 || arg != "-")
        .map(|(_, arg)| arg);
    let matches = definition()
        .try_get_matches_from(args)
        .map_err(|e| in_nginx_words(&e))?;
    let path = |id| matches.get_one::<PathBuf>(id).cloned();
    let options = Options {
        conf: path("c"),
        prefix: path("p"),
        error_log: path("e"),
        globals: matches.get_one::<String>("g").cloned(),
        shutdown_budget: matches.get_one::<Duration>(SHUTDOWN_BUDGET).copied(),
        admin: matches
            .get_one::<String>(ADMIN)
            .map_or(Ok(None), |text| address(text))?,
        log_format: matches
            .get_one::<String>(LOG_FORMAT)
            .map_or(Ok(Form::default()), |text| form(text))?,
        entry_point,
    };
    let signal = matches
        .get_one::<String>("s")
        .map(|name| Signal::named(name).ok_or_else(|| UsageError::Invalid(format!("-s {name}"))));
    let signal = signal.transpose()?;
    Ok(choose(&matches, options, signal))
}

fn entry_point(program: &OsStr) -> Result<Option<EntryPoint>, UsageError> {
    let name_servers = || std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    EntryPoint::of(program, std::env::vars_os(), name_servers)
        .map_err(|problem| UsageError::Filter(problem.to_string()))
}

/// A time as the configuration writes it, more than zero.
fn time(text: &str) -> Result<Duration, &'static str> {
    match parse_time_ms(text) {
        Some(ms @ 1..) => Ok(Duration::from_millis(ms)),
        _ => Err("not a time"),
    }
}

/// An address; an empty text is `None`.
fn address(text: &str) -> Result<Option<admin::AdminAddress>, UsageError> {
    if text.is_empty() {
        return Ok(None);
    }
    let address = text.parse();
    address
        .map(Some)
        .map_err(|_| UsageError::Admin(text.to_owned()))
}

/// A log format.
fn form(text: &str) -> Result<Form, UsageError> {
    match text {
        "text" => Ok(Form::Text),
        "json" => Ok(Form::Json),
        _ => Err(UsageError::LogFormat(text.to_owned())),
    }
}

/// nginx's order: `-t` is never skipped, whatever else is given.
fn choose(matches: &ArgMatches, options: Options, signal: Option<Signal>) -> Command {
    let given = |id| matches.get_count(id) > 0;
    let dump = given("T");
    if dump || given("t") {
        return Command::Test {
            options,
            quiet: given("q"),
            dump,
        };
    }
    match signal {
        _ if given("h") => Command::Help,
        _ if given("V") => Command::BuildInfo,
        _ if given("v") => Command::Version,
        Some(signal) => Command::Signal { options, signal },
        None => Command::Serve(options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &[&str]) -> Result<Command, UsageError> {
        parse(
            std::iter::once("tls-proxy")
                .chain(line.iter().copied())
                .map(OsString::from),
        )
    }

    fn refused(line: &[&str]) -> String {
        parsed(line).unwrap_err().to_string()
    }

    #[test]
    fn without_options_it_serves() {
        assert_eq!(parsed(&[]), Ok(Command::Serve(Options::default())));
        assert_eq!(parsed(&["-"]), Ok(Command::Serve(Options::default())));
    }

    #[test]
    fn options_are_grouped_and_joined_as_in_nginx() {
        let options = Options {
            conf: Some("a.conf".into()),
            ..Options::default()
        };
        let test = Command::Test {
            options: options.clone(),
            quiet: true,
            dump: false,
        };
        assert_eq!(parsed(&["-tq", "-c", "a.conf"]), Ok(test.clone()));
        assert_eq!(parsed(&["-qtca.conf"]), Ok(test.clone()));
        assert_eq!(
            parsed(&["-c", "x", "-t", "-q", "-c", "a.conf", "-t"]),
            Ok(test)
        );
        let dump = Command::Test {
            options,
            quiet: false,
            dump: true,
        };
        assert_eq!(parsed(&["-Tc", "a.conf"]), Ok(dump));
    }

    #[test]
    fn values_may_begin_with_a_dash() {
        let globals = Some("-x".to_owned());
        let options = Options {
            globals,
            prefix: Some("/p".into()),
            ..Options::default()
        };
        assert_eq!(
            parsed(&["-g", "-x", "-p", "/p"]),
            Ok(Command::Serve(options))
        );
    }

    #[test]
    fn every_signal_of_nginx_is_known() {
        for (name, signal) in [
            ("quit", Signal::Quit),
            ("stop", Signal::Stop),
            ("reload", Signal::Reload),
            ("reopen", Signal::Reopen),
        ] {
            let options = Options::default();
            assert_eq!(
                parsed(&["-s", name]),
                Ok(Command::Signal { options, signal })
            );
        }
        assert_eq!(refused(&["-s", "foo"]), "invalid option: \"-s foo\"");
    }

    #[test]
    fn a_test_is_never_left_out() {
        let options = Options::default();
        let test = Command::Test {
            options,
            quiet: false,
            dump: false,
        };
        assert_eq!(parsed(&["-v", "-t"]), Ok(test.clone()));
        assert_eq!(parsed(&["-s", "reload", "-t"]), Ok(test));
        assert_eq!(parsed(&["-?"]), Ok(Command::Help));
        assert_eq!(parsed(&["-h", "-v"]), Ok(Command::Help));
        assert_eq!(parsed(&["-V", "-v"]), Ok(Command::BuildInfo));
        assert_eq!(parsed(&["-v"]), Ok(Command::Version));
    }

    #[test]
    fn mistakes_are_named_in_the_words_of_nginx() {
        for (line, expected) in [
            (&["-x"][..], "invalid option: \"x\""),
            (&["-tx"], "invalid option: \"x\""),
            (&["foo"], "invalid option: \"foo\""),
            (&["--help"], "invalid option: \"--help\""),
            (&["-t", "-c"], "option \"-c\" requires file name"),
            (&["-p"], "option \"-p\" requires directory name"),
            (&["-e"], "option \"-e\" requires file name"),
            (&["-g"], "option \"-g\" requires parameter"),
            (&["-s"], "option \"-s\" requires parameter"),
            (
                &["--shutdown-budget=soon"],
                "invalid time \"soon\" in --shutdown-budget or TLS_PROXY_SHUTDOWN_BUDGET: write one such as 25s",
            ),
            (
                &["--shutdown-budget", "0"],
                "invalid time \"0\" in --shutdown-budget or TLS_PROXY_SHUTDOWN_BUDGET: write one such as 25s",
            ),
            (
                &["--log-format=xml"],
                "invalid format \"xml\" in --log-format or TLS_PROXY_LOG_FORMAT: write text or json",
            ),
            (
                &["--admin=9113"],
                "invalid address \"9113\" in --admin or TLS_PROXY_ADMIN: write HOST:PORT, such as 127.0.0.1:9113, [::1]:9113, or :9113 for every address",
            ),
        ] {
            assert_eq!(refused(line), expected, "{line:?}");
        }
    }

    #[test]
    fn relative_configuration_files_begin_at_the_prefix() {
        let Ok(Command::Serve(options)) = parsed(&["-c", "a.conf", "-p", "/p"]) else {
            panic!("serves")
        };
        assert_eq!(options.named_conf(), Some("/p/a.conf".into()));
        assert_eq!(Options::default().prefix(), Path::new("/etc/nginx"));
    }

    #[test]
    fn the_help_names_every_option() {
        let help = help();
        assert!(
            help.contains("  -c filename   : set configuration file"),
            "{help}"
        );
        for arg in definition().get_arguments() {
            assert!(help.contains(&format!("-{} ", arg.get_id())), "{help}");
        }
    }
}
