//! Most patterns as `regex` reads them: matched in time linear in the
//! subject, so that no request can make one run away.

use std::fmt::Write as _;

use regex::bytes::{Regex, RegexBuilder};

use super::set::ByteSet;
use super::syntax::{Assert, Greed, Node};

/// The largest compiled pattern, bytes.
const LARGEST: usize = 1 << 20;

/// The pattern for `regex`; none where it needs what `regex` has not, or is
/// too large for it. `$` is the very end here: whoever calls sees to a line
/// feed at the end of a subject.
pub(super) fn compile(node: &Node) -> Option<Regex> {
    let mut text = String::new();
    write(node, &mut text)?;
    RegexBuilder::new(&text)
        .unicode(false)
        .size_limit(LARGEST)
        .nest_limit(1000)
        .build()
        .ok()
}

fn write(node: &Node, out: &mut String) -> Option<()> {
    match node {
        Node::Empty => out.push_str("(?:)"),
        Node::Byte(byte) => write_byte(*byte, out),
        Node::Set(set) => write_set(set, out),
        Node::Concat(nodes) => {
            for node in nodes {
                write(node, out)?;
            }
        }
        Node::Either(nodes) => {
            out.push_str("(?:");
            for (index, node) in nodes.iter().enumerate() {
                if index > 0 {
                    out.push('|');
                }
                write(node, out)?;
            }
            out.push(')');
        }
        Node::Repeat {
            greed: Greed::Possessive,
            ..
        }
        | Node::Look { .. }
        | Node::Atomic(_)
        | Node::Again { .. } => return None,
        Node::Repeat {
            node,
            least,
            most,
            greed,
        } => {
            out.push_str("(?:");
            write(node, out)?;
            let _ = match most {
                Some(most) => write!(out, "){{{least},{most}}}"),
                None => write!(out, "){{{least},}}"),
            };
            if *greed == Greed::Lazy {
                out.push('?');
            }
        }
        Node::Group(_, node) => {
            out.push('(');
            write(node, out)?;
            out.push(')');
        }
        Node::Assert(assert) => out.push_str(match assert {
            Assert::Start => r"\A",
            Assert::LineStart => "(?m:^)",
            Assert::End | Assert::EndOrNewline => r"\z",
            Assert::LineEnd => "(?m:$)",
            Assert::Boundary => r"\b",
            Assert::NoBoundary => r"\B",
        }),
    }
    Some(())
}

fn write_byte(byte: u8, out: &mut String) {
    if byte.is_ascii_alphanumeric() || byte == b'/' {
        out.push(char::from(byte));
    } else {
        let _ = write!(out, r"\x{byte:02x}");
    }
}

fn write_set(set: &ByteSet, out: &mut String) {
    let ranges = set.ranges();
    if ranges.is_empty() {
        // What never matches.
        out.push_str(r"[^\x00-\xff]");
        return;
    }
    out.push('[');
    for (from, to) in ranges {
        let _ = write!(out, r"\x{from:02x}-\x{to:02x}");
    }
    out.push(']');
}
