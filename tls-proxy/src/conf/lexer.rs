//! Bytes to statements: the words up to a `;`, a `{`, a `}` or the end of the text.
//!
//! It reads exactly as nginx does, because a configuration means the strings that reach its
//! directives. No published parser does (evaluated: nginx-lint-parser 0.24 splits `${x}y$z` into
//! three arguments and accepts `"b c"d`, which nginx refuses; nginx-config 0.13 has a closed set of
//! directives and is no longer maintained), hence a lexer of our own.
//!
//! It continues after an error, so that `-t` can report all of them. `parse` places statements in
//! their blocks.

use std::path::Path;
use std::sync::Arc;

use super::word::{Reading, is_space, unescape};
use super::{Position, Problem, Word};

/// nginx reads through a buffer of this size and refuses a word or a comment
/// that fills it; a longer one is nearly always a forgotten quote.
const LONGEST: usize = 4096;

/// What ended a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// `;`
    Semicolon,
    /// `{`
    Open,
    /// `}`
    Close,
    /// The end of the text.
    File,
    /// Nothing after this can be parsed; the problem is already reported.
    Broken,
}

/// The words up to an [`End`].
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) words: Vec<Word>,
    pub(super) end: End,
    pub(super) end_at: Position,
    /// A word of it was reported: its arguments are not checked.
    pub(super) broken: bool,
    /// The quote that was still open when the text ended.
    pub(super) open_quote: Option<Position>,
}

/// Reads statements from one text.
pub(super) struct Lexer<'a> {
    file: Arc<Path>,
    bytes: &'a [u8],
    at: usize,
    line: u32,
    column: u32,
    /// Files are limited to [`LONGEST`], the command line is not.
    limited: bool,
}

/// A statement being read.
struct PartialStatement {
    words: Vec<Word>,
    broken: bool,
}

impl PartialStatement {
    fn end(self, end: End, end_at: Position) -> Statement {
        let Self { words, broken } = self;
        Statement {
            words,
            end,
            end_at,
            broken,
            open_quote: None,
        }
    }
}

/// Between words, in one, or behind a closing quote.
enum State {
    Between,
    Comment,
    Inside(Reading),
    AfterQuote,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(file: Arc<Path>, bytes: &'a [u8], limited: bool) -> Self {
        Self {
            file,
            bytes,
            at: 0,
            line: 1,
            column: 1,
            limited,
        }
    }

    /// Reads up to the next `;`, `{`, `}` or the end.
    pub(super) fn next(&mut self, problems: &mut Vec<Problem>) -> Statement {
        let mut draft = PartialStatement {
            words: Vec::new(),
            broken: false,
        };
        let mut state = State::Between;
        // Where nginx's buffer would have to begin; see LONGEST.
        let mut start = self.at;
        let mut start_at = self.position();
        loop {
            let here = self.position();
            let Some(&byte) = self.bytes.get(self.at) else {
                return self.end_of_text(draft, state, problems);
            };
            if self.limited && self.at - start >= LONGEST {
                problems.push(self.too_long(&state, start, &start_at));
                return draft.end(End::Broken, here);
            }
            self.step(byte);

            state = match state {
                State::Comment if byte == b'\n' => {
                    (start, start_at) = (self.at - 1, here);
                    State::Between
                }
                State::Comment => State::Comment,
                State::Inside(word) if !word.ends_at(byte) => State::Inside(word.with(byte)),
                State::Inside(word) => {
                    self.finish(&word, self.at - 1, &mut draft, problems);
                    match end_of(byte) {
                        _ if word.quote.is_some() => State::AfterQuote,
                        Some(end) => return draft.end(end, here),
                        None => State::Between,
                    }
                }
                // nginx steps over the space here without moving its start.
                State::AfterQuote if is_space(byte) => State::Between,
                State::Between | State::AfterQuote => {
                    if matches!(state, State::AfterQuote) && !may_follow_quote(byte) {
                        draft.broken = true;
                        problems.push(self.glued(&here));
                    }
                    (start, start_at) = (self.at - 1, here.clone());
                    match end_of(byte) {
                        Some(end) => return draft.end(end, here),
                        None if byte == b'}' => return draft.end(End::Close, here),
                        None if byte == b'#' => State::Comment,
                        None if is_space(byte) => State::Between,
                        None => {
                            let word = Reading::begin(byte, start, here);
                            start = word.from;
                            State::Inside(word)
                        }
                    }
                }
            };
        }
    }

    fn end_of_text(
        &self,
        mut draft: PartialStatement,
        state: State,
        problems: &mut Vec<Problem>,
    ) -> Statement {
        let mut open_quote = None;
        if let State::Inside(word) = state {
            self.finish(&word, self.at, &mut draft, problems);
            open_quote = word.quote.map(|_| word.at);
        }
        Statement {
            open_quote,
            ..draft.end(End::File, self.position())
        }
    }

    /// Appends the finished word. A rejected one keeps its place, so that the statement has its
    /// number of words.
    fn finish(
        &self,
        word: &Reading,
        to: usize,
        draft: &mut PartialStatement,
        problems: &mut Vec<Problem>,
    ) {
        let raw = self.bytes.get(word.from..to).unwrap_or_default();
        let at = word.at.clone();
        let refused = match String::from_utf8(unescape(raw)) {
            Ok(text) if !text.contains('\0') => {
                draft.words.push(Word {
                    text,
                    quoted: word.quote.is_some(),
                    at,
                });
                return;
            }
            Ok(_) => Problem::emerg(&at, "parameter contains a zero byte")
                .with_help("save the file as UTF-8; it looks like UTF-16 or is damaged"),
            Err(_) => Problem::emerg(&at, "parameter is not valid UTF-8")
                .with_help("save the file as UTF-8; nothing else is read outside comments"),
        };
        problems.push(refused);
        draft.broken = true;
        let text = String::from_utf8_lossy(raw).into_owned();
        draft.words.push(Word {
            text,
            quoted: word.quote.is_some(),
            at,
        });
    }

    fn too_long(&self, state: &State, start: usize, at: &Position) -> Problem {
        if let State::Inside(Reading {
            quote: Some(quote), ..
        }) = state
        {
            let quote = char::from(*quote);
            let message =
                format!("too long parameter, probably missing terminating \"{quote}\" character");
            return Problem::emerg(at, message);
        }
        let head = self.bytes.get(start..start + 10).unwrap_or_default();
        let head = String::from_utf8_lossy(head);
        Problem::emerg(at, format!("too long parameter \"{head}...\" started")).with_help(format!(
            "a word or a comment has at most {} bytes",
            LONGEST - 1
        ))
    }

    /// `"a"b`: something stands directly behind a closing quote.
    fn glued(&self, at: &Position) -> Problem {
        let rest = self.bytes.get(self.at - 1..).unwrap_or_default();
        let rest = String::from_utf8_lossy(rest.get(..4).unwrap_or(rest));
        let first = rest.chars().next().unwrap_or_default();
        Problem::emerg(at, format!("unexpected \"{first}\""))
            .with_help("a parameter ends at its closing quote: quote all of it, or put a space")
    }

    fn step(&mut self, byte: u8) {
        self.at += 1;
        if byte == b'\n' {
            self.line = self.line.saturating_add(1);
            self.column = 1;
        } else if byte & 0xC0 != 0x80 {
            // Bytes 10xxxxxx continue a character.
            self.column = self.column.saturating_add(1);
        }
    }

    fn position(&self) -> Position {
        Position {
            file: self.file.clone(),
            line: self.line,
            column: self.column,
        }
    }
}

/// `parse` rejects a `}`: it knows what is missing.
fn may_follow_quote(byte: u8) -> bool {
    matches!(byte, b';' | b'{' | b'}' | b')')
}

fn end_of(byte: u8) -> Option<End> {
    match byte {
        b';' => Some(End::Semicolon),
        b'{' => Some(End::Open),
        _ => None,
    }
}
