//! `error_log FILE [LEVEL]`.

use crate::conf::{Directive, Problem, did_you_mean};
use crate::config::draft::ConfigDraft;
use crate::directive::arguments;
use crate::log::error_logs::{ErrorLog, ErrorLogs};
use crate::log::level::Level;

/// nginx's `debug_*` levels.
const DEBUG: [&str; 7] = [
    "debug_core",
    "debug_alloc",
    "debug_mutex",
    "debug_event",
    "debug_http",
    "debug_mail",
    "debug_stream",
];

/// Adds one to the block's list; the first one of a block starts a new list.
pub(crate) fn add(
    logs: &mut ErrorLogs,
    first_here: bool,
    directive: &Directive,
    draft: &mut ConfigDraft,
) -> Result<(), Problem> {
    logs.add(first_here, parse(directive, draft)?);
    Ok(())
}

fn parse(directive: &Directive, draft: &mut ConfigDraft) -> Result<ErrorLog, Problem> {
    let file = draft.log_file(arguments::first(directive))?;
    let mut level = None;
    for word in directive.args.iter().skip(1) {
        let debug = DEBUG.contains(&word.text.as_str());
        let own = match Level::named(&word.text) {
            Some(own) => own,
            None if debug => Level::Debug,
            None => {
                let message = format!("invalid log level \"{}\"", word.text);
                let help = did_you_mean(&word.text, Level::names());
                return Err(Problem::emerg(&word.at, message).with_help_if(help));
            }
        };
        if level.replace(own).is_some_and(|_| !debug) {
            let message = format!("duplicate log level \"{}\"", word.text);
            return Err(Problem::emerg(&word.at, message));
        }
    }
    let level = level.unwrap_or(Level::Error);
    Ok(ErrorLog { file, level })
}
