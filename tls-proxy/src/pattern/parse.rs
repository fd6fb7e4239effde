//! Reading PCRE's syntax, byte by byte.

use super::class;
use super::set::{self, ByteSet};
use super::syntax::{Assert, Flaw, Greed, Node};

/// Groups inside groups; PCRE itself allows 250.
const DEEPEST: usize = 100;
/// PCRE's own bound on a count in braces.
const MOST_TIMES: u32 = 65_535;
/// PCRE's own bound on a group's name.
const LONGEST_NAME: usize = 32;

/// `(?imsxU)`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub(super) caseless: bool,
    lines: bool,
    dot_all: bool,
    extended: bool,
    lazy: bool,
}

/// A pattern that has been read.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) node: Node,
    /// The number of groups.
    pub(super) groups: usize,
    /// Groups that have a name.
    pub(super) names: Vec<(String, usize)>,
}

/// Reads a whole pattern.
pub(super) fn parse(text: &[u8], caseless: bool) -> Result<Parsed, Flaw> {
    let flags = Flags {
        caseless,
        ..Flags::default()
    };
    let mut reader = Reader {
        text,
        at: 0,
        flags,
        depth: 0,
        groups: 0,
        names: Vec::new(),
        named_references: Vec::new(),
        highest_reference: 0,
    };
    let node = reader.alternatives()?;
    if reader.at < text.len() {
        return Err(reader.flaw("unmatched parentheses"));
    }
    if reader.highest_reference > reader.groups || !reader.named_references.is_empty() {
        return Err(reader.flaw("reference to non-existent subpattern"));
    }
    Ok(Parsed {
        node,
        groups: reader.groups,
        names: reader.names,
    })
}

pub(super) struct Reader<'a> {
    pub(super) text: &'a [u8],
    pub(super) at: usize,
    pub(super) flags: Flags,
    depth: usize,
    groups: usize,
    names: Vec<(String, usize)>,
    /// Names that are used before the group that has them.
    named_references: Vec<String>,
    highest_reference: usize,
}

impl Reader<'_> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    pub(super) fn takes(&mut self, text: &[u8]) -> bool {
        let found = self.text[self.at..].starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// What stands before `end`, which is taken too.
    pub(super) fn until(&mut self, end: u8) -> Option<&[u8]> {
        let length = memchr::memchr(end, &self.text[self.at..])?;
        let from = self.at;
        self.at += length + 1;
        Some(&self.text[from..from + length])
    }

    pub(super) fn flaw(&self, what: &'static str) -> Flaw {
        Flaw {
            what,
            at: self.at,
            unsupported: false,
        }
    }

    pub(super) fn unsupported(&self, what: &'static str) -> Flaw {
        Flaw {
            unsupported: true,
            ..self.flaw(what)
        }
    }

    /// `a|b|c`, up to a `)` or the end.
    fn alternatives(&mut self) -> Result<Node, Flaw> {
        let mut all = vec![self.sequence()?];
        while self.takes(b"|") {
            all.push(self.sequence()?);
        }
        Ok(match all.len() {
            1 => all.remove(0),
            _ => Node::Either(all),
        })
    }

    fn sequence(&mut self) -> Result<Node, Flaw> {
        let mut nodes = Vec::new();
        while let Some(byte) = self.peek().filter(|byte| !matches!(byte, b'|' | b')')) {
            if self.skips_comment()? || (self.flags.extended && self.skips_blank(byte)) {
                continue;
            }
            self.at += 1;
            let (node, repeatable) = self.atom(byte)?;
            nodes.push(if repeatable {
                self.repeated(node)?
            } else {
                node
            });
        }
        Ok(match nodes.len() {
            0 => Node::Empty,
            1 => nodes.remove(0),
            _ => Node::Concat(nodes),
        })
    }

    /// `(?#…)`.
    fn skips_comment(&mut self) -> Result<bool, Flaw> {
        let found = self.takes(b"(?#");
        if found && self.until(b')').is_none() {
            return Err(self.flaw("missing ) after comment"));
        }
        Ok(found)
    }

    /// `(?x)`: blanks and comments mean nothing.
    fn skips_blank(&mut self, byte: u8) -> bool {
        if byte == b'#' {
            if self.until(b'\n').is_none() {
                self.at = self.text.len();
            }
            return true;
        }
        let blank = byte.is_ascii_whitespace() || byte == 0x0b;
        self.at += usize::from(blank);
        blank
    }

    /// One part, and whether it can be repeated.
    fn atom(&mut self, byte: u8) -> Result<(Node, bool), Flaw> {
        let assert = |kind| Ok((Node::Assert(kind), false));
        let flags = self.flags;
        match byte {
            b'^' if flags.lines => assert(Assert::LineStart),
            b'^' => assert(Assert::Start),
            b'$' if flags.lines => assert(Assert::LineEnd),
            b'$' => assert(Assert::EndOrNewline),
            b'.' if flags.dot_all => Ok((Node::Set(ByteSet::default().inverted()), true)),
            b'.' => Ok((Node::Set(ByteSet::of(|byte| byte != b'\n')), true)),
            b'[' => Ok((Node::Set(class::read(self)?), true)),
            b'(' => self.group(),
            b'\\' => self.escape(),
            b'*' | b'+' | b'?' => Err(self.flaw("nothing to repeat")),
            b'{' if self.count().is_some() => Err(self.flaw("nothing to repeat")),
            _ => Ok((self.byte(byte), true)),
        }
    }

    /// A byte that stands for itself.
    pub(super) fn byte(&self, byte: u8) -> Node {
        if self.flags.caseless && byte.is_ascii_alphabetic() {
            let mut set = ByteSet::default();
            set.add(byte);
            return Node::Set(set.caseless());
        }
        Node::Byte(byte)
    }

    /// Reads what repeats the part before, if anything does.
    pub(super) fn repeated(&mut self, node: Node) -> Result<Node, Flaw> {
        while self.skips_comment()?
            || (self.flags.extended && self.peek().is_some_and(|byte| self.skips_blank(byte)))
        {
        }
        let from = self.at;
        let (least, most) = match self.next() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => match self.count() {
                Some(count) => count,
                None => {
                    self.at = from;
                    return Ok(node);
                }
            },
            _ => {
                self.at = from;
                return Ok(node);
            }
        };
        if most.is_some_and(|most| most > MOST_TIMES) || least > MOST_TIMES {
            return Err(self.flaw("number too big in {} quantifier"));
        }
        if most.is_some_and(|most| most < least) {
            return Err(self.flaw("numbers out of order in {} quantifier"));
        }
        let greed = if self.takes(b"+") {
            Greed::Possessive
        } else if self.takes(b"?") != self.flags.lazy {
            Greed::Lazy
        } else {
            Greed::Greedy
        };
        Ok(Node::Repeat {
            node: Box::new(node),
            least,
            most,
            greed,
        })
    }

    /// `n}`, `n,}` or `n,m}` behind a brace; nothing else is a count.
    fn count(&mut self) -> Option<(u32, Option<u32>)> {
        let from = self.at;
        let text = self.until(b'}').map(<[u8]>::to_vec);
        let count = text.and_then(|text| {
            let text = std::str::from_utf8(&text).ok()?;
            let number = |text: &str| {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                digits.then(|| text.parse().unwrap_or(u32::MAX))
            };
            match text.split_once(',') {
                None => number(text).map(|count| (count, Some(count))),
                Some((least, "")) => number(least).map(|least| (least, None)),
                Some((least, most)) => Some((number(least)?, Some(number(most)?))),
            }
        });
        if count.is_none() {
            self.at = from;
        }
        count
    }

    /// What stands behind `(`.
    fn group(&mut self) -> Result<(Node, bool), Flaw> {
        if self.peek() == Some(b'*') {
            return Err(self.unsupported("verbs are not supported"));
        }
        if !self.takes(b"?") {
            return self.remembered(None);
        }
        let look = |behind, negated| {
            move |node| Node::Look {
                behind,
                negated,
                node: Box::new(node),
            }
        };
        if self.takes(b":") {
            return self.inside(|node| node);
        }
        if self.takes(b">") {
            return self.inside(|node| Node::Atomic(Box::new(node)));
        }
        for (mark, behind, negated) in [
            (&b"="[..], false, false),
            (b"!", false, true),
            (b"<=", true, false),
            (b"<!", true, true),
        ] {
            if self.takes(mark) {
                return self.inside(look(behind, negated));
            }
        }
        if self.takes(b"P=") {
            let name = self.name(b')')?;
            return Ok((self.named_reference(name), true));
        }
        for (mark, end) in [(&b"<"[..], b'>'), (b"P<", b'>'), (b"'", b'\'')] {
            if self.takes(mark) {
                let name = self.name(end)?;
                return self.remembered(Some(name));
            }
        }
        self.flags()
    }

    fn remembered(&mut self, name: Option<String>) -> Result<(Node, bool), Flaw> {
        self.groups += 1;
        let number = self.groups;
        if let Some(name) = name {
            if self.names.iter().any(|(own, _)| *own == name) {
                return Err(self.flaw("two named subpatterns have the same name"));
            }
            self.named_references.retain(|used| *used != name);
            self.names.push((name, number));
        }
        self.inside(|node| Node::Group(number, Box::new(node)))
    }

    /// Reads up to the group's `)`; flags end with it.
    fn inside(&mut self, wrap: impl FnOnce(Node) -> Node) -> Result<(Node, bool), Flaw> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.flaw("parentheses are too deeply nested"));
        }
        let flags = self.flags;
        let node = self.alternatives()?;
        self.flags = flags;
        self.depth -= 1;
        if !self.takes(b")") {
            return Err(self.flaw("missing )"));
        }
        let node = wrap(node);
        self.check_behind(&node)?;
        Ok((node, true))
    }

    fn check_behind(&self, node: &Node) -> Result<(), Flaw> {
        let Node::Look {
            behind: true, node, ..
        } = node
        else {
            return Ok(());
        };
        let fixed = match &**node {
            Node::Either(nodes) => nodes.iter().all(|node| node.width().is_some()),
            node => node.width().is_some(),
        };
        if fixed {
            Ok(())
        } else {
            Err(self.flaw("lookbehind assertion is not fixed length"))
        }
    }

    /// `(?i)`, `(?i-s)`, `(?i:…)`.
    fn flags(&mut self) -> Result<(Node, bool), Flaw> {
        let before = self.flags;
        let mut on = true;
        loop {
            match self.next() {
                Some(b'-') => on = false,
                Some(b'i') => self.flags.caseless = on,
                Some(b'm') => self.flags.lines = on,
                Some(b's') => self.flags.dot_all = on,
                Some(b'x') => self.flags.extended = on,
                Some(b'U') => self.flags.lazy = on,
                Some(b')') => return Ok((Node::Empty, false)),
                Some(b':') => {
                    let inside = self.inside(|node| node);
                    self.flags = before;
                    return inside;
                }
                Some(b'|' | b'(' | b'R' | b'&' | b'+' | b'P' | b'C' | b'J' | b'0'..=b'9') => {
                    return Err(self.unsupported(
                        "recursion, conditions, callouts and branch resets are not supported",
                    ));
                }
                _ => return Err(self.flaw("unrecognized character after (? or (?-")),
            }
        }
    }

    /// A group's name and its end.
    pub(super) fn name(&mut self, end: u8) -> Result<String, Flaw> {
        let valid = |name: &[u8]| {
            name.len() <= LONGEST_NAME
                && name.first().is_some_and(|byte| !byte.is_ascii_digit())
                && name.iter().all(|byte| set::is_word(*byte))
        };
        let name = self.until(end).filter(|name| valid(name));
        let name = name.map(|name| String::from_utf8_lossy(name).into_owned());
        name.ok_or_else(|| self.flaw("syntax error in subpattern name (missing terminator)"))
    }

    pub(super) fn named_reference(&mut self, name: String) -> Node {
        let caseless = self.flags.caseless;
        match self.names.iter().find(|(own, _)| *own == name) {
            Some((_, group)) => Node::Again {
                group: *group,
                caseless,
            },
            None => {
                // Used before it is there: it cannot have matched yet.
                self.named_references.push(name);
                Node::Set(ByteSet::default())
            }
        }
    }

    pub(super) fn reference(&mut self, group: usize) -> Node {
        self.highest_reference = self.highest_reference.max(group);
        Node::Again {
            group,
            caseless: self.flags.caseless,
        }
    }

    /// The groups that have been opened so far.
    pub(super) fn groups(&self) -> usize {
        self.groups
    }
}
