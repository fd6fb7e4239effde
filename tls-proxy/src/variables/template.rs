//! Strings with variables, compiled once.

use super::registry::{Registry, VariableDefinition};
use bytes::Bytes;

use crate::conf::{Problem, Word};

/// One variable, found by name when the configuration was read.
#[derive(Clone, Debug)]
pub(crate) enum Variable {
    /// One of nginx's fixed names.
    Known(&'static dyn VariableDefinition),
    /// `$1` to `$9`: a group of the last regular expression that matched.
    Capture(usize),
    /// A variable that the configuration defines (`set`, `map`, a named group) or may define:
    /// `$http_NAME` and the like can be set.
    User(usize),
}

/// A string that may hold variables.
#[derive(Clone, Debug, Default)]
pub struct Template(Box<[TemplatePart]>);

#[derive(Clone, Debug)]
pub(crate) enum TemplatePart {
    Text(Box<[u8]>),
    Variable(Variable),
}

impl Template {
    /// Compiles `word`; `$name`, `${name}` and `$1` are variables.
    pub(crate) fn compile(word: &Word, registry: &mut Registry) -> Result<Self, Problem> {
        let mut parts = Vec::new();
        let mut rest = word.text.as_str();
        while let Some(dollar) = rest.find('$') {
            push_text(&mut parts, &rest[..dollar]);
            let (name, after) = split_name(&rest[dollar + 1..]).ok_or_else(|| {
                Problem::emerg(
                    &word.at,
                    format!("invalid variable name in \"{}\"", word.text),
                )
            })?;
            parts.push(TemplatePart::Variable(registry.resolve(name, &word.at)));
            rest = after;
        }
        push_text(&mut parts, rest);
        Ok(Self(parts.into()))
    }

    /// A template of one variable.
    pub(crate) fn variable(variable: Variable) -> Self {
        Self([TemplatePart::Variable(variable)].into())
    }

    /// The parts, for callers that treat text and values differently.
    pub(crate) fn parts(&self) -> &[TemplatePart] {
        &self.0
    }

    /// Whether its value depends on the request.
    pub(crate) fn has_variables(&self) -> bool {
        let mut parts = self.0.iter();
        parts.any(|part| matches!(part, TemplatePart::Variable(_)))
    }

    /// The string, if it has no variables.
    pub(crate) fn fixed(&self) -> Option<Bytes> {
        let parts = self.0.iter().map(|part| match part {
            TemplatePart::Text(text) => Some(&text[..]),
            TemplatePart::Variable(_) => None,
        });
        let texts: Option<Vec<&[u8]>> = parts.collect();
        texts.map(|texts| texts.concat().into())
    }
}

fn push_text(parts: &mut Vec<TemplatePart>, text: &str) {
    if !text.is_empty() {
        parts.push(TemplatePart::Text(text.as_bytes().into()));
    }
}

/// The name behind a `$`, and what follows it.
fn split_name(text: &str) -> Option<(&str, &str)> {
    if let Some(braced) = text.strip_prefix('{') {
        let (name, after) = braced.split_once('}')?;
        return is_name(name).then_some((name, after));
    }
    if text.starts_with(|first: char| ('1'..='9').contains(&first)) {
        return Some(text.split_at(1));
    }
    let end = text
        .find(|byte: char| !is_name_part(byte))
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_name_part)
}

fn is_name_part(byte: char) -> bool {
    byte.is_ascii_alphanumeric() || byte == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_where_nginx_ends_them() {
        assert_eq!(split_name("host:80"), Some(("host", ":80")));
        assert_eq!(split_name("{host}x"), Some(("host", "x")));
        assert_eq!(split_name("12"), Some(("1", "2")));
        for text in ["", "-", "{", "{}", "{a", "{a-b}"] {
            assert_eq!(split_name(text), None, "{text:?}");
        }
    }
}
