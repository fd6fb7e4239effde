//! What a pattern says: PCRE's syntax read into a tree.
//!
//! Bytes, not characters: nginx compiles its patterns without UTF-8.

use super::set::ByteSet;

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Empty,
    Byte(u8),
    Set(ByteSet),
    Concat(Vec<Node>),
    Either(Vec<Node>),
    Repeat {
        node: Box<Node>,
        least: u32,
        most: Option<u32>,
        greed: Greed,
    },
    /// A group that is remembered, with its number.
    Group(usize, Box<Node>),
    Assert(Assert),
    Look {
        behind: bool,
        negated: bool,
        node: Box<Node>,
    },
    /// `(?>…)`: once matched, never tried otherwise.
    Atomic(Box<Node>),
    /// What a group has matched, once more.
    Again {
        group: usize,
        caseless: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greed {
    Greedy,
    Lazy,
    /// `*+`: as much as possible, and nothing is given back.
    Possessive,
}

/// What holds between two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Assert {
    Start,
    LineStart,
    End,
    /// `$`: the end, or before a line feed at the end.
    EndOrNewline,
    LineEnd,
    Boundary,
    NoBoundary,
}

/// Why a pattern is refused, in PCRE's words where it has any.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(super) struct Flaw {
    pub(super) what: &'static str,
    /// The byte of the pattern.
    pub(super) at: usize,
    /// PCRE knows it, this program does not.
    pub(super) unsupported: bool,
}

impl Node {
    /// Whether `holds` for this part or one inside.
    pub(super) fn any(&self, holds: &impl Fn(&Self) -> bool) -> bool {
        holds(self)
            || match self {
                Self::Concat(nodes) | Self::Either(nodes) => {
                    nodes.iter().any(|node| node.any(holds))
                }
                Self::Repeat { node, .. }
                | Self::Group(_, node)
                | Self::Look { node, .. }
                | Self::Atomic(node) => node.any(holds),
                Self::Empty
                | Self::Byte(_)
                | Self::Set(_)
                | Self::Assert(_)
                | Self::Again { .. } => false,
            }
    }

    /// The number of bytes it matches, where that is always the same.
    pub(super) fn width(&self) -> Option<usize> {
        match self {
            Self::Empty | Self::Assert(_) | Self::Look { .. } => Some(0),
            Self::Byte(_) | Self::Set(_) => Some(1),
            Self::Concat(nodes) => nodes.iter().map(Self::width).sum(),
            Self::Either(nodes) => {
                let mut widths = nodes.iter().map(Self::width);
                let first = widths.next()??;
                widths.all(|width| width == Some(first)).then_some(first)
            }
            Self::Repeat {
                node, least, most, ..
            } => {
                let count = most.filter(|most| most == least)?;
                node.width()?.checked_mul(count as usize)
            }
            Self::Group(_, node) | Self::Atomic(node) => node.width(),
            Self::Again { .. } => None,
        }
    }
}
