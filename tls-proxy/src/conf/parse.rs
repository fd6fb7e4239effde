//! Statements to a tree: which block a directive stands in, and the messages when braces and
//! semicolons do not match.

use std::path::Path;
use std::sync::Arc;

use super::include::Files;
use super::lexer::{End, Lexer, Statement};
use super::{Directive, Position, Problem, Word};

/// Deepest nesting of blocks, over all included files. nginx has five levels; only a damaged or
/// hostile file has more, and the tree is dropped and walked recursively.
const DEEPEST: usize = 64;

/// Most problems that are reported.
pub(super) const MAX_PROBLEMS: usize = 100;

/// The kind of text, which decides a few of nginx's rules.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TextKind {
    /// Configuration, from a file or built in.
    File,
    /// `-g`: no blocks, no limit on a word.
    CommandLine,
}

/// A block whose `}` has not been read yet.
struct OpenBlock {
    /// `None` for braces without a name, which are parsed and discarded.
    head: Option<(Word, Vec<Word>)>,
    at: Position,
    children: Vec<Directive>,
}

/// What has been parsed so far of one text.
#[derive(Default)]
struct TreeBuilder {
    blocks: Vec<OpenBlock>,
    top: Vec<Directive>,
}

impl TreeBuilder {
    /// Where the next directive goes.
    fn level(&mut self) -> &mut Vec<Directive> {
        self.blocks
            .last_mut()
            .map_or(&mut self.top, |block| &mut block.children)
    }

    /// Adds the innermost block to the one around it.
    fn close(&mut self, close: Option<&Position>) {
        let Some(block) = self.blocks.pop() else {
            return;
        };
        let OpenBlock {
            head: Some((name, args)),
            at: end,
            children,
        } = block
        else {
            return;
        };
        if name.text != "include" {
            self.level().push(Directive {
                name,
                args,
                block: Some(children),
                end,
                close: close.cloned(),
            });
        }
    }
}

/// Parses one text; `depth` is the number of blocks around it.
pub(super) fn parse(
    files: &mut Files,
    file: &Arc<Path>,
    bytes: &[u8],
    kind: TextKind,
    depth: usize,
) -> Vec<Directive> {
    let mut lexer = Lexer::new(file.clone(), bytes, kind == TextKind::File);
    let mut tree = TreeBuilder::default();
    while files.problems.len() < MAX_PROBLEMS {
        let statement = lexer.next(&mut files.problems);
        let inside = depth + tree.blocks.len();
        match statement.end {
            End::Semicolon => {
                let found = simple(files, &statement, inside);
                tree.level().extend(found);
            }
            End::Open if inside >= DEEPEST => {
                let message = format!("blocks are nested more than {DEEPEST} levels deep");
                files
                    .problems
                    .push(Problem::emerg(&statement.end_at, message));
                break;
            }
            End::Open => tree.blocks.push(open(files, statement, kind)),
            End::Close => {
                let found = before_close(files, &statement, tree.blocks.is_empty());
                tree.level().extend(found);
                tree.close(Some(&statement.end_at));
            }
            End::File => {
                end_of_text(files, &statement, kind, tree.blocks.last());
                break;
            }
            End::Broken => break,
        }
    }
    while !tree.blocks.is_empty() {
        tree.close(None);
    }
    tree.top
}

/// `name args;`, or the directives of an included file.
fn simple(files: &mut Files, statement: &Statement, depth: usize) -> Vec<Directive> {
    if statement.words.is_empty() {
        let problem = Problem::emerg(&statement.end_at, "unexpected \";\"");
        files.problems.push(problem.with_help("remove it"));
        return Vec::new();
    }
    // Already reported; its arguments would only cause further problems.
    if statement.broken {
        return Vec::new();
    }
    match directive(statement) {
        Some(include) if include.name.text == "include" => files.include(&include, depth),
        found => found.into_iter().collect(),
    }
}

/// What stands between the last `;` and a `}`: nothing, or a mistake.
fn before_close(files: &mut Files, statement: &Statement, at_top: bool) -> Option<Directive> {
    let help = match statement.words.last() {
        Some(last) => format!("end the directive with \";\" after \"{}\"", last.text),
        None if at_top => "there is one \"}\" too many, or a \"{\" is missing above".to_owned(),
        None => return None,
    };
    files
        .problems
        .push(Problem::emerg(&statement.end_at, "unexpected \"}\"").with_help(help));
    // Continue as if the `;` were there.
    directive(statement).filter(|_| !statement.broken)
}

fn directive(statement: &Statement) -> Option<Directive> {
    let (name, args) = statement.words.split_first()?;
    let (name, args, end) = (name.clone(), args.to_vec(), statement.end_at.clone());
    Some(Directive {
        name,
        args,
        block: None,
        end,
        close: None,
    })
}

fn open(files: &mut Files, statement: Statement, kind: TextKind) -> OpenBlock {
    let Statement {
        words, end_at: at, ..
    } = statement;
    let mut words = words.into_iter();
    let head = words.next().map(|name| (name, words.collect()));
    match &head {
        _ if kind == TextKind::CommandLine => {
            let message = "block directives are not supported in -g option";
            files.problems.push(Problem::emerg(&at, message));
        }
        None => {
            let help = "write the block's name before it, and \"${name}\" for a variable";
            files
                .problems
                .push(Problem::emerg(&at, "unexpected \"{\"").with_help(help));
        }
        Some((name, _)) if name.text == "include" => {
            let message = "directive \"include\" is not terminated by \";\"";
            files.problems.push(Problem::emerg(&at, message));
        }
        Some(_) => {}
    }
    OpenBlock {
        head,
        at,
        children: Vec::new(),
    }
}

fn end_of_text(files: &mut Files, last: &Statement, kind: TextKind, block: Option<&OpenBlock>) {
    if last.words.is_empty() && block.is_none() {
        return;
    }
    let message = match kind {
        TextKind::CommandLine => "unexpected end of parameter, expecting \";\"",
        TextKind::File if last.words.is_empty() => "unexpected end of file, expecting \"}\"",
        TextKind::File => "unexpected end of file, expecting \";\" or \"}\"",
    };
    let help = match (&last.open_quote, last.words.last(), block) {
        (Some(quote), ..) => Some(format!(
            "the quote opened at {quote}:{} is never closed",
            quote.column
        )),
        (None, Some(word), _) => Some(format!("write \";\" after \"{}\"", word.text)),
        (
            None,
            None,
            Some(OpenBlock {
                head: Some((name, _)),
                ..
            }),
        ) => Some(format!(
            "the block \"{}\" opened at {} is never closed",
            name.text, name.at
        )),
        _ => None,
    };
    files
        .problems
        .push(Problem::emerg(&last.end_at, message).with_help_if(help));
}
