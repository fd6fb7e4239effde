//! Finding variables by name while the configuration is read.
//!
//! A configuration may use a variable before the line that makes it, as in
//! nginx. So every name it makes gets a slot when it is first seen, and what
//! no line made is reported at the end.

use std::any::Any;
use std::collections::HashMap;
use std::fmt::Debug;

use super::template::{Template, Variable};
use crate::conf::{Position, Problem, Word, did_you_mean};

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

/// How a variable gets its value. It is computed from a request, which a configuration
/// knows nothing of: who defines a variable and who evaluates it agree on the type.
pub(crate) trait VariableDefinition: Any + Debug + Send + Sync {}

impl<T: Any + Debug + Send + Sync> VariableDefinition for T {}

impl dyn VariableDefinition {
    /// The definition, where it is of this type.
    pub(crate) fn downcast<T: VariableDefinition>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}

/// The variables of a configuration by their names: those that it makes, and those that are
/// there without it.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// nginx's own by their names, and by how their names begin.
    fixed: HashMap<&'static str, &'static dyn VariableDefinition>,
    families: Vec<(&'static str, &'static dyn VariableDefinition)>,
    /// What to do instead of using a variable of a module that is not here.
    instead_of: Option<fn(&str) -> Option<&'static str>>,
    slots: HashMap<String, usize>,
    made: Vec<Made>,
    /// Names of files with variables, for what knows them by number (certificates).
    file_names: Vec<Template>,
}

/// A variable that has a slot.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) name: String,
    first_use: Position,
    pub(crate) source: Source,
}

/// What gives a variable its value.
#[derive(Debug)]
pub(crate) enum Source {
    /// Nothing yet.
    Unknown,
    /// nginx itself, until a line of the configuration gives another.
    Known(&'static dyn VariableDefinition),
    /// The same of one of a family, and how its name goes on.
    Family(&'static dyn VariableDefinition, Box<[u8]>),
    /// `set`; using it before is worth a warning.
    Set,
    /// A named group of a regular expression.
    Captured,
    /// `map`, `geo`, `split_clients`.
    Computed(Box<dyn VariableDefinition>),
}

impl Registry {
    /// One that makes nothing yet. `fixed` are nginx's own variables by their names,
    /// `families` those whose names begin so and go on as a configuration likes.
    /// `instead_of` says what to do instead of using one of a module that is not here.
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

    /// What nginx itself knows by a name that a configuration may use too.
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

    /// Whether nginx itself knows a variable, in lower case, without the configuration.
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

    /// The variable called `name`, which is no group.
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
        self.made.push(Made {
            name: name.to_owned(),
            first_use: at.clone(),
            source: self.own(name),
        });
        slot
    }

    /// The slot of a variable that a line of the configuration makes.
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
        computed: Box<dyn VariableDefinition>,
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

    /// What is known of a slot's variable.
    pub(crate) fn made(&self, slot: usize) -> &Made {
        &self.made[slot]
    }
}

/// Fixed variables that a configuration may make its own.
fn is_changeable(name: &str) -> bool {
    name.starts_with("ssl_")
        || name.starts_with("proxy_protocol_tlv_")
        || matches!(name, "proxy_host" | "proxy_port")
}
