//! One problem of a configuration: what, where, and what to write instead. `render` prints it with
//! its source line.

use std::fmt;

use super::Position;

/// How severe it is; nginx's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Shown by `-t` only: another effect than in nginx.
    Notice,
    /// A warning; the configuration is used all the same.
    Warn,
    /// An error; the configuration is rejected.
    Emerg,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Notice => "notice",
            Self::Warn => "warn",
            Self::Emerg => "emerg",
        })
    }
}

/// One problem.
#[derive(Clone, Debug)]
pub struct Problem {
    /// An error, or only a remark.
    pub severity: Severity,
    /// `None` if it belongs to no line: the main file cannot be opened.
    pub at: Option<Position>,
    /// The line that is reported, if it is not `at`'s: nginx reports the one on which the directive
    /// ends.
    pub line: Option<u32>,
    /// What is wrong, in nginx's wording where nginx has one.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Problem {
    /// An error: the configuration is rejected.
    #[must_use]
    pub fn emerg(at: &Position, message: impl Into<String>) -> Self {
        Self::new(Severity::Emerg, Some(at), message.into())
    }

    /// A warning.
    #[must_use]
    pub fn warn(at: &Position, message: impl Into<String>) -> Self {
        Self::new(Severity::Warn, Some(at), message.into())
    }

    /// A notice, not a problem.
    #[must_use]
    pub fn notice(at: &Position, message: impl Into<String>) -> Self {
        Self::new(Severity::Notice, Some(at), message.into())
    }

    /// An error without a position.
    #[must_use]
    pub fn emerg_nowhere(message: impl Into<String>) -> Self {
        Self::new(Severity::Emerg, None, message.into())
    }

    /// A warning without a position.
    #[must_use]
    pub fn warn_nowhere(message: impl Into<String>) -> Self {
        Self::new(Severity::Warn, None, message.into())
    }

    /// Reports another line than that of the position.
    #[must_use]
    pub fn on_line(mut self, line: Option<u32>) -> Self {
        self.line = line;
        self
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds what to write instead, if that is known.
    #[must_use]
    pub fn with_help_if(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    fn new(severity: Severity, at: Option<&Position>, message: String) -> Self {
        let at = at.cloned();
        Self {
            severity,
            at,
            line: None,
            message,
            help: None,
        }
    }
}

/// `FILE:LINE: message`, raw: `render` escapes control characters.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => {
                let line = self.line.unwrap_or(at.line);
                write!(f, "{}:{line}: {}", at.file.display(), self.message)
            }
            None => f.write_str(&self.message),
        }
    }
}
