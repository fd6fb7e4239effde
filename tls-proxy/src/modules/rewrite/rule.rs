//! `rewrite`: another path, or a redirect, where a pattern matches.

use bytes::Bytes;

use super::condition::try_pattern;
use super::{is_address, note};
use crate::conf::{Directive, Problem, Word};
use crate::directive::arguments;
use crate::log::level::{Level, shown};
use crate::message::target::decode_pair;
use crate::request::Request;
use crate::request::error_log;
use crate::request::response::{Refusal, Response};
use crate::variables::matcher::Matcher;
use crate::variables::registry::Registry;
use crate::variables::template::{Template, TemplatePart, Variable};

/// One `rewrite`.
#[derive(Debug)]
pub(crate) struct RewriteRule {
    matcher: Matcher,
    path: Template,
    /// What follows the replacement's `?`.
    args: Option<Template>,
    /// The replacement ended with `?`: the old arguments are dropped.
    drop_args: bool,
    pub(super) flag: Flag,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    None,
    Last,
    Break,
    Redirect(u16),
}

/// The result of a rule.
pub(super) enum Outcome {
    NoMatch,
    /// The path was changed.
    Changed,
    Respond(Result<Box<Response>, Refusal>),
}

impl RewriteRule {
    /// Reads `rewrite PATTERN REPLACEMENT [FLAG]`.
    pub(super) fn parse(directive: &Directive, variables: &mut Registry) -> Result<Self, Problem> {
        let (pattern, word) = (&directive.args[0], &directive.args[1]);
        let matcher = Matcher::compile(&pattern.text, false, pattern, variables)?;
        let mut text = word.text.as_str();
        if text.is_empty() {
            return Err(Problem::emerg(&word.at, "empty replacement"));
        }
        let address = is_address(text);
        let drop_args = text.ends_with('?');
        if drop_args {
            text = &text[..text.len() - 1];
        }
        let flag = match directive.args.get(2).map(|word| word.text.as_str()) {
            None if address => Flag::Redirect(302),
            None => Flag::None,
            // A replacement with a scheme is a redirect all the same.
            Some("last" | "break") if address => Flag::Redirect(302),
            Some("last") => Flag::Last,
            Some("break") => Flag::Break,
            Some("redirect") => Flag::Redirect(302),
            Some("permanent") => Flag::Redirect(301),
            Some(_) => {
                let known = ["last", "break", "redirect", "permanent"];
                return Err(arguments::unknown_parameter(&directive.args[2], &known));
            }
        };
        let (path, args) = match text.split_once('?') {
            Some((path, args)) => (path, Some(args)),
            None => (text, None),
        };
        let mut compile = |text: &str| {
            let word = Word {
                text: text.to_owned(),
                ..word.clone()
            };
            Template::compile(&word, variables)
        };
        Ok(Self {
            matcher,
            path: compile(path)?,
            args: args.map(&mut compile).transpose()?,
            drop_args,
            flag,
        })
    }

    /// Applies it to the request's path.
    pub(super) fn apply(&self, request: &mut Request) -> Outcome {
        match try_pattern(request, &self.matcher, &request.path) {
            Err(refusal) => return Outcome::Respond(Err(refusal)),
            Ok(false) => return Outcome::NoMatch,
            Ok(true) => {}
        }
        match self.flag {
            Flag::Redirect(status) => Outcome::Respond(self.redirect(status, request)),
            _ => self.change(request),
        }
    }

    fn redirect(&self, status: u16, request: &Request) -> Result<Box<Response>, Refusal> {
        let mut address = Vec::with_capacity(128);
        write(&self.path, true, request, &mut address);
        if let Some(args) = &self.args {
            address.push(b'?');
            write(args, true, request, &mut address);
        }
        let mut address = unescape(&address);
        if !self.drop_args && !request.args.is_empty() {
            address.push(if self.args.is_some() { b'&' } else { b'?' });
            address.extend_from_slice(&request.args);
        }
        note(request, || {
            format!("rewritten redirect: \"{}\"", shown(&address))
        });
        // As it is, and as it is sent.
        request.keep_value(2 * address.len())?;
        let tokens = request.settings().core.server_tokens;
        Ok(Response::redirect(status, address.into(), tokens))
    }

    fn change(&self, request: &mut Request) -> Outcome {
        let mut path = Vec::with_capacity(64);
        write(&self.path, false, request, &mut path);
        let given = self.args.as_ref().map(|args| {
            let mut out = Vec::with_capacity(64);
            write(args, true, request, &mut out);
            out
        });
        request.args_known |= given.is_some();
        let before = std::mem::take(&mut request.args);
        request.args = match given {
            Some(mut args) if !self.drop_args && !before.is_empty() => {
                args.push(b'&');
                args.extend_from_slice(&before);
                args.into()
            }
            Some(args) => args.into(),
            None if self.drop_args => Bytes::new(),
            None => before,
        };
        note(request, || {
            let (path, args) = (shown(&path), shown(&request.args));
            format!("rewritten data: \"{path}\", args: \"{args}\"")
        });
        if path.is_empty() {
            let what = "the rewritten URI has a zero length";
            error_log::request(request, Level::Error, what);
            return Outcome::Respond(Err(Refusal::new(500)));
        }
        if let Err(refusal) = request.count_values(path.len() + request.args.len()) {
            return Outcome::Respond(Err(refusal));
        }
        request.path = path.into();
        request.rewritten = true;
        Outcome::Changed
    }
}

/// Writes a template. Groups in arguments and in redirects are escaped again if the client's target
/// was, or if its path has a plus sign, which stands for a blank in arguments.
fn write(template: &Template, escapes: bool, request: &Request, out: &mut Vec<u8>) {
    template.precompute(request);
    let escapes = escapes && (request.quoted || has_plus(&request.head.target));
    for part in template.parts() {
        match part {
            TemplatePart::Text(text) => out.extend_from_slice(text),
            TemplatePart::Variable(group @ Variable::Capture(_)) if escapes => {
                let mut text = Vec::new();
                group.evaluate(request, &mut text);
                escape_args(&text, out);
            }
            TemplatePart::Variable(variable) => drop(variable.evaluate(request, out)),
        }
    }
}

/// Whether the path of a target has a plus sign.
fn has_plus(target: &[u8]) -> bool {
    matches!(memchr::memchr2(b'+', b'?', target), Some(at) if target[at] == b'+')
}

/// Percent-encodes what arguments cannot hold (nginx: `NGX_ESCAPE_ARGS`).
fn escape_args(text: &[u8], out: &mut Vec<u8>) {
    use crate::message::target::push_escaped;
    for byte in text {
        match byte {
            0..=0x20 | 0x7f..=0xff => push_escaped(*byte, out),
            b'"' | b'#' | b'%' | b'&' | b'+' | b';' | b'<' | b'>' | b'?' | b'\\' => {
                push_escaped(*byte, out);
            }
            b'^' | b'`' | b'{' | b'|' | b'}' => push_escaped(*byte, out),
            _ => out.push(*byte),
        }
    }
}

/// Decodes what needs no encoding in a redirect's path, up to its `?`
/// (nginx: `NGX_UNESCAPE_REDIRECT`).
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let pair = text.get(at + 1..at + 3).filter(|_| *byte == b'%');
        match pair.and_then(decode_pair) {
            Some(b'?') => {
                out.push(b'?');
                at += 3;
                break;
            }
            Some(plain @ 0x26..=0x7e) => {
                out.push(plain);
                at += 3;
            }
            Some(_) => {
                out.extend_from_slice(&text[at..at + 3]);
                at += 3;
            }
            None if *byte == b'?' => break,
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    out.extend_from_slice(&text[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_keep_only_the_escapes_they_need() {
        for (text, plain) in [
            ("/a%20b", "/a%20b"),
            ("/a%2Fb", "/a/b"),
            ("/a%25b%c3", "/a%25b%c3"),
            ("/a%3Fb%2Fc", "/a?b%2Fc"),
            ("/a?b%2Fc", "/a?b%2Fc"),
            ("/100%", "/100%"),
        ] {
            assert_eq!(unescape(text.as_bytes()), plain.as_bytes(), "{text}");
        }
    }
}
