//! What a backslash means in a pattern, outside a class.

use super::parse::Reader;
use super::set::{self, ByteSet};
use super::syntax::{Assert, Flaw, Node};

impl Reader<'_> {
    /// What stands behind a backslash, and whether it can be repeated.
    pub(super) fn escape(&mut self) -> Result<(Node, bool), Flaw> {
        let Some(letter) = self.next() else {
            return Err(self.flaw("\\ at end of pattern"));
        };
        if let Some(set) = set::of_escape(letter) {
            return Ok((Node::Set(set), true));
        }
        let assert = match letter {
            b'A' | b'G' => Some(Assert::Start),
            b'z' => Some(Assert::End),
            b'Z' => Some(Assert::EndOrNewline),
            b'b' => Some(Assert::Boundary),
            b'B' => Some(Assert::NoBoundary),
            _ => None,
        };
        if let Some(assert) = assert {
            return Ok((Node::Assert(assert), false));
        }
        Ok(match letter {
            b'N' => (Node::Set(ByteSet::of(|byte| byte != b'\n')), true),
            b'C' => (Node::Set(ByteSet::default().inverted()), true),
            b'R' => (line_break(), true),
            // Where the match begins is of no interest: groups count.
            b'K' | b'E' => (Node::Empty, false),
            b'Q' => self.quoted()?,
            b'1'..=b'9' => self.digits(letter),
            b'g' => (self.numbered()?, true),
            b'k' => {
                let end = match self.next() {
                    Some(b'<') => b'>',
                    Some(b'{') => b'}',
                    Some(b'\'') => b'\'',
                    _ => return Err(self.flaw("\\k is not followed by a name")),
                };
                let name = self.name(end)?;
                (self.named_reference(name), true)
            }
            b'p' | b'P' | b'X' => {
                return Err(self.unsupported("properties of Unicode are not supported"));
            }
            b'L' | b'l' | b'U' | b'u' => {
                let what = "PCRE does not support \\L, \\l, \\N{name}, \\U, or \\u";
                return Err(self.flaw(what));
            }
            other => {
                let byte = self.escaped_byte(other)?;
                (self.byte(byte), true)
            }
        })
    }

    /// The byte that an escape stands for, in a class too.
    pub(super) fn escaped_byte(&mut self, letter: u8) -> Result<u8, Flaw> {
        Ok(match letter {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'f' => 0x0c,
            b'a' => 0x07,
            b'e' => 0x1b,
            b'c' => match self.next() {
                Some(byte) if byte.is_ascii() => byte.to_ascii_uppercase() ^ 0x40,
                Some(_) => return Err(self.flaw("\\c must be followed by an ASCII character")),
                None => return Err(self.flaw("\\c at end of pattern")),
            },
            b'x' => self.hexadecimal()?,
            b'0'..=b'7' => {
                self.at -= 1;
                self.octal()
            }
            itself => itself,
        })
    }

    fn hexadecimal(&mut self) -> Result<u8, Flaw> {
        let from = self.at;
        if self.takes(b"{") {
            let digits = self.until(b'}').map(<[u8]>::to_vec);
            let value = digits
                .as_deref()
                .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .and_then(|digits| u32::from_str_radix(digits, 16).ok());
            match value {
                Some(value) => {
                    return u8::try_from(value)
                        .map_err(|_| self.flaw("character value in \\x{} or \\o{} is too large"));
                }
                None => self.at = from,
            }
        }
        Ok(self.number(16, 2))
    }

    fn octal(&mut self) -> u8 {
        self.number(8, 3)
    }

    /// As many digits as there are, `most` at most; what overflows is lost.
    fn number(&mut self, radix: u32, most: usize) -> u8 {
        let mut value = 0_u32;
        for _ in 0..most {
            let Some(digit) = self
                .peek()
                .and_then(|byte| char::from(byte).to_digit(radix))
            else {
                break;
            };
            value = value * radix + digit;
            self.at += 1;
        }
        (value & 0xff) as u8
    }

    /// `\1`: a reference; from `\10` on only where there are as many groups.
    fn digits(&mut self, first: u8) -> (Node, bool) {
        let from = self.at;
        let mut group = usize::from(first - b'0');
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            group = group.saturating_mul(10) + usize::from(digit - b'0');
            self.at += 1;
        }
        if group < 8 || group <= self.groups() {
            return (self.reference(group), true);
        }
        self.at = from;
        let byte = if first >= b'8' {
            first
        } else {
            self.at -= 1;
            self.octal()
        };
        (self.byte(byte), true)
    }

    /// `\g1`, `\g{1}`, `\g{-1}`, `\g{name}`.
    fn numbered(&mut self) -> Result<Node, Flaw> {
        const WHAT: &str = "a numbered reference must not be zero";
        if matches!(self.peek(), Some(b'<' | b'\'')) {
            return Err(self.unsupported("recursion is not supported"));
        }
        let text = if self.takes(b"{") {
            let text = self.until(b'}').map(<[u8]>::to_vec);
            text.ok_or_else(|| self.flaw("\\g is not followed by a name or a number"))?
        } else {
            let from = self.at;
            self.takes(b"-");
            while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                self.at += 1;
            }
            self.text[from..self.at].to_vec()
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        let (back, digits) = text
            .strip_prefix('-')
            .map_or((false, &text[..]), |it| (true, it));
        match digits.parse::<usize>() {
            Ok(0) => Err(self.flaw(WHAT)),
            Ok(count) if back => {
                let group = (self.groups() + 1).checked_sub(count).filter(|it| *it > 0);
                let group =
                    group.ok_or_else(|| self.flaw("reference to non-existent subpattern"))?;
                Ok(self.reference(group))
            }
            Ok(group) => Ok(self.reference(group)),
            Err(_) if !text.is_empty() => Ok(self.named_reference(text)),
            Err(_) => Err(self.flaw("\\g is not followed by a name or a number")),
        }
    }

    /// `\Q…\E`; what repeats it repeats its last byte.
    fn quoted(&mut self) -> Result<(Node, bool), Flaw> {
        let rest = &self.text[self.at..];
        let length = memchr::memmem::find(rest, b"\\E").unwrap_or(rest.len());
        let mut nodes: Vec<_> = rest[..length].iter().map(|byte| self.byte(*byte)).collect();
        self.at = (self.at + length + 2).min(self.text.len());
        if let Some(last) = nodes.pop() {
            nodes.push(self.repeated(last)?);
        }
        Ok((Node::Concat(nodes), false))
    }
}

/// `\R`.
fn line_break() -> Node {
    let one = Node::Set(set::of_escape(b'v').unwrap_or_default());
    let two = Node::Concat(vec![Node::Byte(b'\r'), Node::Byte(b'\n')]);
    Node::Atomic(Box::new(Node::Either(vec![two, one])))
}
