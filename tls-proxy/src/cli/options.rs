//! The options as clap knows them, and clap's errors in nginx's words.

use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, value_parser};

use super::{ADMIN, LOG_FORMAT, SHUTDOWN_BUDGET, UsageError, time};
use crate::build_info::version;

/// Every option, its value's name and its line in the help.
pub(super) fn definition() -> clap::Command {
    let flag = |id: &'static str| Arg::new(id).action(ArgAction::Count).short(letter(id));
    let value = |id: &'static str, name: &'static str| {
        let arg = Arg::new(id)
            .short(letter(id))
            .value_name(name)
            .allow_hyphen_values(true);
        arg.action(ArgAction::Set)
    };
    let path = |id, name| value(id, name).value_parser(value_parser!(PathBuf));
    clap::Command::new("nginx")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .arg(flag("h").short_alias('?').help("this help (also -?)"))
        .arg(flag("v").help("show version and exit"))
        .arg(flag("V").help("show version and build, then exit"))
        .arg(flag("t").help("test configuration, name every error and exit"))
        .arg(flag("T").help("test configuration, dump it and exit"))
        .arg(flag("q").help("suppress non-error messages during configuration testing"))
        .arg(value("s", "signal").help(
            "send signal to the running proxy: stop, quit (both drain and wait), reopen, reload",
        ))
        .arg(path("p", "prefix").help("set prefix path (default: /etc/nginx)"))
        .arg(path("e", "filename").help("set error log file (default: stderr)"))
        .arg(path("c", "filename").help("set configuration file (default: nginx.conf)"))
        .arg(value("g", "directives").help("set global directives out of configuration file"))
        .arg(
            Arg::new(SHUTDOWN_BUDGET)
                .long(SHUTDOWN_BUDGET)
                .env("TLS_PROXY_SHUTDOWN_BUDGET")
                .value_name("time")
                .value_parser(time)
                .help("accept for a fifth of it after a stop signal, then drain (default: no fifth, no limit)"),
        )
        .arg(
            Arg::new(ADMIN)
                .long(ADMIN)
                .env("TLS_PROXY_ADMIN")
                .value_name("address")
                .help("serve /healthz, /readiness and /metrics there, such as :9113 (default: nowhere)"),
        )
        .arg(
            Arg::new(LOG_FORMAT)
                .long(LOG_FORMAT)
                .env("TLS_PROXY_LOG_FORMAT")
                .value_name("form")
                .help("text or json: error_log, and access_log without a format (default: text)"),
        )
}

fn letter(id: &str) -> char {
    id.chars().next().unwrap_or_default()
}

pub(super) fn in_nginx_words(error: &clap::Error) -> UsageError {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let argument = context(ContextKind::InvalidArg);
    if argument.starts_with("--shutdown-budget") {
        return UsageError::Budget(context(ContextKind::InvalidValue));
    }
    let option = argument.chars().find(|c| *c != '-').unwrap_or_default();
    match error.kind() {
        ErrorKind::InvalidValue => UsageError::MissingValue {
            option,
            wants: wants(option),
        },
        ErrorKind::InvalidUtf8 => UsageError::NotUtf8('g'),
        _ => UsageError::Invalid(match argument.strip_prefix('-') {
            Some(short) if !short.starts_with('-') => short.to_owned(),
            _ => argument,
        }),
    }
}

fn wants(option: char) -> &'static str {
    match option {
        'c' | 'e' => "file name",
        'p' => "directory name",
        _ => "parameter",
    }
}

/// What `-h` prints.
#[must_use]
pub fn help() -> String {
    let mut text = version();
    text.push_str(
        "Usage: nginx [-?hvVtTq] [-s signal] [-p prefix]\n             \
         [-e filename] [-c filename] [-g directives]\n\nOptions:\n",
    );
    for arg in definition().get_arguments() {
        let value = arg
            .get_value_names()
            .and_then(<[_]>::first)
            .map(|name| name.as_str());
        let dashes = if arg.get_long().is_some() { "--" } else { "-" };
        let usage = format!("{dashes}{} {}", arg.get_id(), value.unwrap_or_default());
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("  {usage:<14}: {help}\n"));
    }
    text
}
