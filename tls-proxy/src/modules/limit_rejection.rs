//! How a request beyond a limit is rejected and logged: the three directives that `limit_req` and
//! `limit_conn` share.

use crate::conf::{Directive, Problem};
use crate::directive::arguments;
use crate::log::level::Level;
use crate::request::response::Refusal;

/// How a request beyond a limit is rejected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rejection {
    pub(crate) status: u16,
    pub(crate) level: Level,
    pub(crate) dry_run: bool,
}

impl Default for Rejection {
    fn default() -> Self {
        Self {
            status: 503,
            level: Level::Error,
            dry_run: false,
        }
    }
}

impl Rejection {
    /// The rejection, or `Ok` in a dry run; `status` is what the variable says of it.
    pub(crate) fn refuse(self, status: &mut Option<&'static str>) -> Result<(), Refusal> {
        if self.dry_run {
            *status = Some("REJECTED_DRY_RUN");
            Ok(())
        } else {
            *status = Some("REJECTED");
            // 444 closes without a response, as `return 444` does.
            Err(Refusal {
                silent: self.status == 444,
                ..Refusal::new(self.status)
            })
        }
    }
}

/// A status from 400 to 599.
pub(crate) fn status(directive: &Directive) -> Result<u16, Problem> {
    let word = arguments::first(directive);
    let status = arguments::number(directive)?;
    u16::try_from(status)
        .ok()
        .filter(|status| (400..=599).contains(status))
        .ok_or_else(|| Problem::emerg(&word.at, "value must be between 400 and 599"))
}

/// `info`, `notice`, `warn` or `error`.
pub(crate) fn level(directive: &Directive) -> Result<Level, Problem> {
    let word = arguments::first(directive);
    let known = [Level::Info, Level::Notice, Level::Warn, Level::Error];
    arguments::choice(word, &known.map(|level| (level.name(), level)))
}
