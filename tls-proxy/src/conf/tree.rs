//! Directives, their words, and where each stands.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a token stands. `line` and `column` count from 1, the column in
/// characters, as editors do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The file, or the name of a text that is not a file (`command line`).
    pub file: Arc<Path>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// One word after nginx's processing of quotes and escapes.
#[derive(Clone, Debug)]
pub struct Word {
    /// What the word says.
    pub text: String,
    /// Whether it stood in quotes: `""` is an argument, nothing is not.
    pub quoted: bool,
    /// Its first character; of a quoted word, the quote.
    pub at: Position,
}

#[cfg(test)]
impl Position {
    /// A position for tests without a file.
    pub(crate) fn in_a_test() -> Self {
        Self {
            file: Path::new("t").into(),
            line: 1,
            column: 1,
        }
    }
}

/// A name, its arguments, and for a block what stands between the braces.
#[derive(Clone, Debug)]
pub struct Directive {
    /// The first word.
    pub name: Word,
    /// The words after it.
    pub args: Vec<Word>,
    /// `None` for a directive ended by `;`.
    pub block: Option<Vec<Directive>>,
    /// Where the `;` or the `{` stands.
    pub end: Position,
    /// Where a block's `}` stands; `None` for a directive ended by `;`, and if the `}` is missing.
    pub close: Option<Position>,
}

impl Directive {
    /// A likely reason for too many arguments: a word that begins a line usually follows a
    /// forgotten `;`.
    #[must_use]
    pub fn missing_semicolon(&self) -> Option<String> {
        let mut before = &self.name;
        for word in &self.args {
            if word.at.line > before.at.line {
                return Some(format!(
                    "is a \";\" missing after \"{}\" on line {}?",
                    before.text, before.at.line
                ));
            }
            before = word;
        }
        None
    }
}
