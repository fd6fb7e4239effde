//! nginx's configuration language: from files to a tree of directives, each word with its position,
//! and from a problem to a message that a person can act on.
//!
//! Read in this order: `tree` (the result), `lexer` and `word` (bytes to words), `parse` (words to
//! a tree), `include` (files, globs, the entry point [`load`]), `standard` and `templates` (files
//! of nginx's image and those it generates), `problem` and `render` (error messages), `nearest`
//! (typing errors), `units` (`10m`, `75s`, `on`), `hosts` (names to addresses). What a directive
//! means is defined in `modules`.

mod glob;
pub(crate) mod hosts;
mod include;
mod lexer;
mod nearest;
mod parse;
mod problem;
mod render;
pub mod standard;
pub mod templates;
mod tree;
pub mod units;
mod word;

pub(crate) use include::reason;
pub use include::{Entry, Loaded, LoadedFile, Main, Source, load, load_with};
pub(crate) use nearest::did_you_mean;
pub use problem::{Problem, Severity};
pub use render::render;
pub use tree::{Directive, Position, Word};
