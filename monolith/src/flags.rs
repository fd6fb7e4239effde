//! The command line and its environment variables. `config` reads the files that
//! they name and checks the whole.

use clap::{Command, CommandFactory, FromArgMatches, Parser};
use std::ffi::{OsStr, OsString};
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// The sample service of the walkthrough: logins, tokens, probes.
///
/// Long flags take one dash or two, and their value after `=` or a space. Each
/// can be set by an environment variable instead; the flag takes precedence.
//
// Kubernetes sets variables for a Service called `monolith`; ours must differ from
// them: MONOLITH_PORT, MONOLITH_PORT_… and MONOLITH_SERVICE_….
#[derive(Debug, Parser)]
#[command(name = "monolith", version)]
pub struct Flags {
    /// Address and port of the service.
    #[arg(long, env = "MONOLITH_HTTP", value_name = "ADDRESS", default_value = "0.0.0.0:80", value_parser = address)]
    pub http: SocketAddr,

    /// Address and port of the probes and metrics.
    #[arg(long, env = "MONOLITH_HEALTH", value_name = "ADDRESS", default_value = "0.0.0.0:81", value_parser = address)]
    pub health: SocketAddr,

    /// Key that signs tokens. Whoever can list processes can read it here; prefer --secret-file.
    #[arg(
        long,
        env = "MONOLITH_SECRET",
        value_name = "KEY",
        hide_env_values = true,
        allow_hyphen_values = true,
        conflicts_with = "secret_file"
    )]
    pub secret: Option<String>,

    /// File with the key, reloaded when it changes; tokens signed with the previous key stay valid until they expire. One line end at its end is not part of the key.
    #[arg(long, env = "MONOLITH_SECRET_FILE", value_name = "FILE")]
    pub secret_file: Option<PathBuf>,

    /// File with users and bcrypt hashes as `htpasswd -B` writes them, reloaded when it changes. Without it there is one user, `user`, with the password `password`.
    #[arg(long, env = "MONOLITH_USERS_FILE", value_name = "FILE")]
    pub users_file: Option<PathBuf>,

    /// How long a token is valid: a number with s, m, h or d.
    #[arg(long, env = "MONOLITH_TOKEN_LIFETIME", value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub token_lifetime: Duration,

    /// Format of the access log and the error log.
    #[arg(
        long,
        env = "MONOLITH_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,

    /// Largest number of open connections; more wait. By default as many as the memory limit and the limit on open files allow.
    #[arg(long, env = "MONOLITH_MAX_CONNECTIONS", value_name = "NUMBER")]
    pub max_connections: Option<NonZeroU32>,

    /// How long the drain may take after the first stop signal before connections are closed: a number with s, m, h or d.
    #[arg(long, env = "MONOLITH_SHUTDOWN_BUDGET", value_name = "DURATION", default_value = "25s", value_parser = duration)]
    pub shutdown_budget: Duration,

    /// After SIGTERM keep serving, not ready, until no other process of the pod has a TCP socket open, that is, until the proxy in front has ended; at most for the shutdown budget.
    #[arg(long, env = "MONOLITH_LEAVE_LAST")]
    pub leave_last: bool,

    /// Remove /healthz/status and /readiness/status, with which anybody can make the probes fail.
    #[arg(long, env = "MONOLITH_NO_FAULTS")]
    pub no_faults: bool,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Plain text.
    Text,
    /// One JSON object a line.
    Json,
}

impl Flags {
    /// Parses a command line that starts with the program's name.
    ///
    /// # Errors
    /// clap's, to be printed; `--help` and `--version` are among them.
    pub fn parse_from_args(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        command.build();
        let arguments = double_dashes(arguments, &command);
        let mut matches = command.try_get_matches_from_mut(arguments)?;
        Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
    }
}

/// Rewrites `-http=…`, Go's form of a long flag, to `--http=…`. Values and what
/// follows `--` are left alone.
fn double_dashes(
    arguments: impl IntoIterator<Item = OsString>,
    command: &Command,
) -> Vec<OsString> {
    let mut next_is_value = false;
    let mut after_flags = false;
    let rewrite = |argument: OsString| {
        if std::mem::take(&mut next_is_value) || after_flags {
            return argument;
        }
        after_flags = argument == "--";
        let Some(text) = argument.to_str().map(|text| text.trim_start_matches('-')) else {
            return argument;
        };
        let dashes = argument.len() - text.len();
        let (name, value) = text
            .split_once('=')
            .map_or((text, None), |(name, _)| (name, Some(())));
        let known = command
            .get_arguments()
            .find(|flag| flag.get_long() == Some(name));
        match known {
            Some(flag) if dashes == 1 || dashes == 2 => {
                next_is_value = value.is_none() && flag.get_action().takes_values();
                if dashes == 1 {
                    with_dash(&argument)
                } else {
                    argument
                }
            }
            _ => argument,
        }
    };
    arguments.into_iter().map(rewrite).collect()
}

fn with_dash(argument: &OsStr) -> OsString {
    let mut dashed = OsString::from("-");
    dashed.push(argument);
    dashed
}

/// `address:port`, `name:port`, or Go's `:port` for every address.
fn address(text: &str) -> Result<SocketAddr, String> {
    let whole = if text.starts_with(':') {
        format!("0.0.0.0{text}")
    } else {
        text.to_owned()
    };
    let hint = "write an address and a port, such as 0.0.0.0:80";
    let mut found = whole
        .to_socket_addrs()
        .map_err(|error| format!("{error}; {hint}"))?;
    found
        .next()
        .ok_or_else(|| format!("the name has no address; {hint}"))
}

/// A positive whole number of seconds, minutes, hours or days.
fn duration(text: &str) -> Result<Duration, String> {
    let hint = || "write a number with s, m, h or d, such as 90s or 1h".to_owned();
    let (number, unit) = match text.char_indices().next_back() {
        Some((end, unit)) if unit.is_ascii_alphabetic() => (&text[..end], unit),
        _ => (text, 's'),
    };
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(hint()),
    };
    let number: u64 = number.parse().map_err(|_| hint())?;
    // At most a century: adding more to a time could overflow.
    match number.checked_mul(seconds) {
        Some(total @ 1..=3_155_760_000) => Ok(Duration::from_secs(total)),
        _ => Err(hint()),
    }
}

#[cfg(test)]
#[path = "flags_tests.rs"]
mod tests;
