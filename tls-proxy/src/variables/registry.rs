//! Finding variables by name while the configuration is read.
//!
//! A configuration may use a variable before the line that defines it, as in nginx. So every such
//! name gets a slot when it is first seen, and variables that no line defines are reported at the
//! end.

use std::any::Any;
use std::collections::HashMap;
use std::fmt::Debug;

use super::template::{Template, Variable};
use crate::conf::{Position, Problem, Word, did_you_mean};

/// Response fields with a variable of their own in nginx, which cannot be redefined.
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

/// How a variable gets its value. The value is computed from a request, a type unknown
/// here, so the definition and its evaluation agree on the concrete type.
pub(crate) trait VariableDefinition: Any + Debug + Send + Sync {}

impl<T: Any + Debug + Send + Sync> VariableDefinition for T {}

impl dyn VariableDefinition {
    /// The definition, if it is of this type.
    pub(crate) fn downcast<T: VariableDefinition>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}

/// The variables of a configuration by name: those it defines and the built-in ones.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// Built-in variables, by name, and by prefix.
    fixed: HashMap<&'static str, &'static dyn VariableDefinition>,
    families: Vec<(&'static str, &'static dyn VariableDefinition)>,
    /// What to use instead of a variable of an unsupported module.
    instead_of: Option<fn(&str) -> Option<&'static str>>,
    slots: HashMap<String, usize>,
    made: Vec<SlotVariable>,
    /// File names with variables, referred to by index (certificates).
    file_names: Vec<Template>,
}

/// A variable that has a slot.
#[derive(Debug)]
pub(crate) struct SlotVariable {
    pub(crate) name: String,
    first_use: Position,
    pub(crate) source: Source,
}

/// Where a variable gets its value from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Not defined yet.
    Unknown,
    /// Built in, until a line of the configuration redefines it.
    Known(&'static dyn VariableDefinition),
    /// The same for one of a family, with the rest of its name.
    Family(&'static dyn VariableDefinition, Box<[u8]>),
    /// `set`; using it before it is assigned is logged.
    Set,
    /// A named group of a regular expression.
    Captured,
    /// `map`, `geo`, `split_clients`.
    Computed(Box<dyn VariableDefinition>),
}

impl Registry {
    /// A registry in which nothing is defined yet. `fixed` are the built-in variables by name,
    /// `families` those by prefix. `instead_of` says what to use instead of a variable of an
    /// unsupported module.
    pub(crate) fn new(
        fixed: impl Iterator<Item = (&'static str, &'static dyn VariableDefinition)>,
        families: impl Iterator<Item = (&'static str, &'static dyn VariableDefinition)>,
        instead_of: fn(&str) -> Option<&'static str>,
    ) -> Self {
        Self {
            fixed: fixed.collect(),
            families: families.collect(),
            instead_of: Some(instead_of),
            ..Self::default()
        }
    }

    /// The built-in variable of this name, if any.
    fn own(&self, name: &str) -> Source {
        if let Some(definition) = self.fixed.get(name) {
            return Source::Known(*definition);
        }
        let mut families = self.families.iter();
        let found = families.find_map(|(prefix, definition)| {
            let rest = name.strip_prefix(prefix)?;
            Some(Source::Family(*definition, rest.as_bytes().into()))
        });
        found.unwrap_or(Source::Unknown)
    }

    /// Whether a variable, in lower case, is built in.
    #[cfg(test)]
    pub(crate) fn knows(&self, name: &str) -> bool {
        !matches!(self.own(name), Source::Unknown) || FIXED_FIELDS.contains(&name)
    }

    /// The variable called `name`.
    pub(crate) fn resolve(&mut self, name: &str, at: &Position) -> Variable {
        if let Ok(group @ 1..=9) = name.parse() {
            return Variable::Capture(group);
        }
        self.named(name, at)
    }

    /// The variable called `name`, which is not a numbered group.
    pub(crate) fn named(&mut self, name: &str, at: &Position) -> Variable {
        let lower = name.to_ascii_lowercase();
        match self.fixed.get(&lower[..]) {
            Some(definition) if !is_changeable(&lower) => Variable::Known(*definition),
            _ => Variable::User(self.slot(&lower, at)),
        }
    }

    fn slot(&mut self, name: &str, at: &Position) -> usize {
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        let slot = self.made.len();
        self.slots.insert(name.to_owned(), slot);
        self.made.push(SlotVariable {
            name: name.to_owned(),
            first_use: at.clone(),
            source: self.own(name),
        });
        slot
    }

    /// The slot of a variable that a line of the configuration defines.
    fn make(&mut self, name: &str, at: &Position) -> Result<usize, Problem> {
        let lower = name.to_ascii_lowercase();
        let fixed = self.fixed.contains_key(&lower[..]) || FIXED_FIELDS.contains(&&lower[..]);
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
        self.make_if_unknown(name, at, Source::Set)
    }

    /// A slot that a named group of a regular expression assigns to.
    pub(crate) fn capture(&mut self, name: &str, at: &Position) -> Result<usize, Problem> {
        let slot = self.make(name, at)?;
        self.made[slot].source = Source::Captured;
        Ok(slot)
    }

    /// A slot that a subrequest assigns to: without one it has no value, or that of `set` if that
    /// comes first.
    pub(crate) fn receive(&mut self, name: &str, at: &Position) -> Result<usize, Problem> {
        self.make_if_unknown(name, at, Source::Captured)
    }

    fn make_if_unknown(
        &mut self,
        name: &str,
        at: &Position,
        source: Source,
    ) -> Result<usize, Problem> {
        let slot = self.make(name, at)?;
        if matches!(self.made[slot].source, Source::Unknown) {
            self.made[slot].source = source;
        }
        Ok(slot)
    }

    /// A slot whose value is computed.
    pub(crate) fn define(
        &mut self,
        name: &str,
        at: &Position,
        computed: Box<dyn VariableDefinition>,
    ) -> Result<(), Problem> {
        let slot = self.make(name, at)?;
        self.made[slot].source = Source::Computed(computed);
        Ok(())
    }

    /// Adds a file name with variables; returns its index.
    pub(crate) fn file_name(&mut self, word: &Word) -> Result<usize, Problem> {
        let name = Template::compile(word, self)?;
        self.file_names.push(name);
        Ok(self.file_names.len() - 1)
    }

    /// The file name with this index.
    pub(crate) fn named_file(&self, number: usize) -> &Template {
        &self.file_names[number]
    }

    /// Variables that are used and never defined.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = Problem> {
        let unknown = self
            .made
            .iter()
            .filter(|made| matches!(made.source, Source::Unknown));
        unknown.map(|made| self.unknown_one(&made.name, &made.first_use))
    }

    /// The problem with an undefined variable: of an unsupported module, or misspelt.
    fn unknown_one(&self, name: &str, at: &Position) -> Problem {
        if let Some(instead) = self.instead_of.and_then(|instead_of| instead_of(name)) {
            let message = format!("the \"{name}\" variable is not supported");
            return Problem::emerg(at, message).with_help(instead);
        }
        let fixed = self.fixed.keys().copied();
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

    /// A slot's variable.
    pub(crate) fn made(&self, slot: usize) -> &SlotVariable {
        &self.made[slot]
    }
}

/// Whether a configuration may redefine a built-in variable.
fn is_changeable(name: &str) -> bool {
    name.starts_with("ssl_")
        || name.starts_with("proxy_protocol_tlv_")
        || matches!(name, "proxy_host" | "proxy_port")
}
