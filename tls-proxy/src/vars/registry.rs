//! Finding variables by name while the configuration is read.
//!
//! A configuration may use a variable before the line that makes it, as in
//! nginx. So every name it makes gets a slot when it is first seen, and what
//! no line made is reported at the end.

use std::collections::HashMap;

use bytes::Bytes;

use super::template::Template;
use super::{Evaluate, Tables, Variable, known};
use crate::conf::{Position, Problem, Word, did_you_mean};
use crate::log::level::Level;
use crate::request::Request;
use crate::request::error_log;

/// Fields of answers that nginx has variables of their own for, which cannot be made.
const FIXED_FIELDS: [&str; 9] = [
    "sent_http_cache_control",
    "sent_http_connection",
    "sent_http_content_length",
    "sent_http_content_type",
    "sent_http_keep_alive",
    "sent_http_last_modified",
    "sent_http_link",
    "sent_http_location",
    "sent_http_transfer_encoding",
];

/// The variables a configuration makes.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    modules: Tables,
    slots: HashMap<String, usize>,
    made: Vec<Made>,
    /// Names of files with variables, for what knows them by number (certificates).
    file_names: Vec<Template>,
}

#[derive(Debug)]
struct Made {
    name: String,
    first_use: Position,
    source: Source,
}

/// What gives a variable its value.
#[derive(Debug)]
enum Source {
    /// Nothing yet.
    Unknown,
    /// nginx itself, until a line of the configuration gives another.
    Family(Variable),
    /// `set`; using it before is worth a warning.
    Set,
    /// A named group of a regular expression.
    Captured,
    /// `map`, `geo`, `split_clients`.
    Computed(Box<dyn Computed>),
}

/// A variable whose value follows from the request when it is used.
pub(crate) trait Computed: std::fmt::Debug + Send + Sync {
    /// Writes the value; `false` when there is none.
    fn evaluate(&self, request: &Request, out: &mut Vec<u8>) -> bool;

    /// Computed anew each time (`volatile`), not once for a request.
    fn is_volatile(&self) -> bool {
        false
    }
}

impl Registry {
    /// One that makes nothing yet; modules give these.
    pub(crate) fn new(modules: Tables) -> Self {
        Self {
            modules,
            ..Self::default()
        }
    }

    /// A fixed variable.
    fn fixed(&self, name: &str) -> Option<Evaluate> {
        let modules = self.modules.fixed.iter().copied().flatten();
        known::all()
            .chain(modules)
            .find(|(own, _)| *own == name)
            .map(|(_, evaluate)| *evaluate)
    }

    /// What nginx itself knows by a name that a configuration may use too.
    fn own(&self, name: &str) -> Option<Variable> {
        if let Some(evaluate) = self.fixed(name) {
            return Some(Variable::Known(evaluate));
        }
        let modules = self.modules.families.iter().copied();
        known::FAMILIES.iter().chain(modules).find_map(|family| {
            let rest = name.strip_prefix(family.prefix)?;
            Some(Variable::Named(family, rest.as_bytes().into()))
        })
    }

    /// Whether nginx itself knows a variable, in lower case, without the configuration.
    #[cfg(test)]
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.own(name).is_some() || FIXED_FIELDS.contains(&name)
    }

    /// The variable called `name`.
    pub(crate) fn resolve(&mut self, name: &str, at: &Position) -> Variable {
        if let Ok(group @ 1..=9) = name.parse() {
            return Variable::Capture(group);
        }
        self.named(name, at)
    }

    /// The variable called `name`, which is no group.
    pub(crate) fn named(&mut self, name: &str, at: &Position) -> Variable {
        let lower = name.to_ascii_lowercase();
        match self.fixed(&lower) {
            Some(evaluate) if !is_changeable(&lower) => Variable::Known(evaluate),
            _ => Variable::User(self.slot(&lower, at)),
        }
    }

    fn slot(&mut self, name: &str, at: &Position) -> usize {
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        let slot = self.made.len();
        self.slots.insert(name.to_owned(), slot);
        let source = self.own(name).map_or(Source::Unknown, Source::Family);
        self.made.push(Made {
            name: name.to_owned(),
            first_use: at.clone(),
            source,
        });
        slot
    }

    /// The slot of a variable that a line of the configuration makes.
    fn make(&mut self, name: &str, at: &Position) -> Result<usize, Problem> {
        let lower = name.to_ascii_lowercase();
        let fixed = self.fixed(&lower).is_some() || FIXED_FIELDS.contains(&&lower[..]);
        if fixed && !is_changeable(&lower) && !matches!(&lower[..], "args" | "limit_rate") {
            return Err(Problem::emerg(
                at,
                format!("the duplicate \"{name}\" variable"),
            ));
        }
        Ok(self.slot(&lower, at))
    }

    /// A slot that `set` assigns to.
    pub(crate) fn assign(&mut self, name: &str, at: &Position) -> Result<usize, Problem> {
        let slot = self.make(name, at)?;
        if matches!(self.made[slot].source, Source::Unknown) {
            self.made[slot].source = Source::Set;
        }
        Ok(slot)
    }

    /// A slot that a named group of a regular expression assigns to.
    pub(crate) fn capture(&mut self, name: &str, at: &Position) -> Result<usize, Problem> {
        let slot = self.make(name, at)?;
        self.made[slot].source = Source::Captured;
        Ok(slot)
    }

    /// A slot whose value is computed.
    pub(crate) fn define(
        &mut self,
        name: &str,
        at: &Position,
        computed: Box<dyn Computed>,
    ) -> Result<(), Problem> {
        let slot = self.make(name, at)?;
        self.made[slot].source = Source::Computed(computed);
        Ok(())
    }

    /// The number of a file's name that has variables.
    pub(crate) fn file_name(&mut self, word: &Word) -> Result<usize, Problem> {
        let name = Template::compile(word, self)?;
        self.file_names.push(name);
        Ok(self.file_names.len() - 1)
    }

    /// The name with this number.
    pub(crate) fn named_file(&self, number: usize) -> &Template {
        &self.file_names[number]
    }

    /// Variables that are used and that nothing makes.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = Problem> {
        let unknown = self
            .made
            .iter()
            .filter(|made| matches!(made.source, Source::Unknown));
        unknown.map(|made| self.unknown_one(&made.name, &made.first_use))
    }

    /// A variable of a module that is not here, or a typing error.
    fn unknown_one(&self, name: &str, at: &Position) -> Problem {
        if let Some(instead) = (self.modules.instead_of)(name) {
            let message = format!("the \"{name}\" variable is not supported");
            return Problem::emerg(at, message).with_help(instead);
        }
        let modules = self.modules.fixed.iter().copied().flatten();
        let fixed = known::all().chain(modules).map(|(own, _)| *own);
        let made = self.made.iter();
        let made = made.filter(|made| !matches!(made.source, Source::Unknown));
        let known = made.map(|made| made.name.as_str()).chain(fixed);
        Problem::emerg(at, format!("unknown \"{name}\" variable"))
            .with_help_if(did_you_mean(name, known.chain(FIXED_FIELDS)))
    }

    /// How many slots a request needs.
    pub(crate) fn len(&self) -> usize {
        self.made.len()
    }

    /// The value of a slot nothing has been assigned to.
    pub(crate) fn compute(&self, slot: usize, request: &Request, out: &mut Vec<u8>) -> bool {
        let made = &self.made[slot];
        match &made.source {
            Source::Unknown | Source::Captured => false,
            Source::Family(variable @ Variable::Named(family, _)) if family.settles => {
                let from = out.len();
                let found = variable.evaluate(request, out);
                let value = found.then(|| Bytes::copy_from_slice(&out[from..]));
                request.slots.settle(slot, value);
                found
            }
            Source::Family(variable) => variable.evaluate(request, out),
            Source::Set => {
                if request.settings().rewrite.warns_of_unset {
                    let what = format!("using uninitialized \"{}\" variable", made.name);
                    error_log::request(request, Level::Warn, what);
                }
                request.slots.set(slot, Bytes::new());
                true
            }
            Source::Computed(computed) if computed.is_volatile() => {
                deeper(request, made, || computed.evaluate(request, out))
            }
            Source::Computed(computed) => deeper(request, made, || {
                let from = out.len();
                let found = computed.evaluate(request, out);
                if found {
                    let value = Bytes::copy_from_slice(&out[from..]);
                    request.slots.set(slot, value);
                }
                found
            }),
        }
    }
}

/// Fixed variables that a configuration may make its own.
fn is_changeable(name: &str) -> bool {
    name.starts_with("ssl_")
        || name.starts_with("proxy_protocol_tlv_")
        || matches!(name, "proxy_host" | "proxy_port")
}

fn deeper(request: &Request, made: &Made, compute: impl FnOnce() -> bool) -> bool {
    request.slots.deeper(compute).unwrap_or_else(|| {
        let what = format!("cycle while evaluating variable \"{}\"", made.name);
        error_log::request(request, Level::Error, what);
        false
    })
}
