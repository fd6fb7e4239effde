//! One thing that is wrong with a configuration: what, where, and what to
//! write instead. Printing it with its source line is `render`'s.

use std::fmt;

use super::Position;

/// How bad it is; nginx's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Worth knowing for whoever asks: another effect than in nginx.
    Notice,
    /// Worth saying; the configuration is used all the same.
    Warn,
    /// The configuration is refused.
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

/// One thing wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Refused, or only remarked upon.
    pub severity: Severity,
    /// `None` where no line is at fault: the main file cannot be opened.
    pub at: Option<Position>,
    /// The line that is named, where it is not `at`'s: nginx names the one on
    /// which the directive ends.
    pub line: Option<u32>,
    /// What is wrong, in nginx's wording where nginx has one.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Problem {
    /// A problem for which the configuration is refused.
    #[must_use]
    pub fn emerg(at: &Position, message: impl Into<String>) -> Self {
        Self::new(Severity::Emerg, Some(at), message.into())
    }

    /// A problem that is only said.
    #[must_use]
    pub fn warn(at: &Position, message: impl Into<String>) -> Self {
        Self::new(Severity::Warn, Some(at), message.into())
    }

    /// Something to know, and no problem.
    #[must_use]
    pub fn notice(at: &Position, message: impl Into<String>) -> Self {
        Self::new(Severity::Notice, Some(at), message.into())
    }

    /// A problem of no line; the configuration is refused.
    #[must_use]
    pub fn emerg_nowhere(message: impl Into<String>) -> Self {
        Self::new(Severity::Emerg, None, message.into())
    }

    /// Names another line than the one the place stands on.
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

    /// Adds what to write instead, where something is known.
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
