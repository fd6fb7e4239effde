//! Finding variables by name while the configuration is read.
//!
//! A configuration may use a variable before the line that makes it, as in
//! nginx. So every name it makes gets a slot when it is first seen, and what
//! no line made is reported at the end.

use std::collections::HashMap;

use super::{Variable, known};
use crate::conf::{Position, Problem};
use crate::server::request::Request;

/// The variables a configuration makes.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    slots: HashMap<String, usize>,
    made: Vec<Made>,
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
    /// `set`, or a named group of a regular expression.
    Assigned,
    /// `map`, `geo`, `split_clients`.
    Computed(Box<dyn Computed>),
}

/// A variable whose value follows from the request when it is used.
pub(crate) trait Computed: std::fmt::Debug + Send + Sync {
    /// Writes the value; `false` when there is none.
    fn evaluate(&self, request: &Request, out: &mut Vec<u8>) -> bool;
}

impl Registry {
    /// The variable called `name`.
    pub(crate) fn resolve(&mut self, name: &str, at: &Position) -> Variable {
        if let Ok(group @ 1..=9) = name.parse() {
            return Variable::Capture(group);
        }
        let lower = name.to_ascii_lowercase();
        if let Some(evaluate) = known::find(&lower) {
            return Variable::Known(evaluate);
        }
        type Family = fn(Box<[u8]>) -> Variable;
        const FAMILIES: [(&str, Family); 5] = [
            ("http_", Variable::RequestField),
            ("sent_http_", Variable::SentField),
            ("upstream_http_", Variable::UpstreamField),
            ("arg_", Variable::Argument),
            ("cookie_", Variable::Cookie),
        ];
        for (prefix, family) in FAMILIES {
            if let Some(rest) = lower.strip_prefix(prefix).filter(|rest| !rest.is_empty()) {
                return family(rest.as_bytes().into());
            }
        }
        Variable::User(self.slot(&lower, at))
    }

    fn slot(&mut self, name: &str, at: &Position) -> usize {
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        let slot = self.made.len();
        self.slots.insert(name.to_owned(), slot);
        let source = Source::Unknown;
        self.made.push(Made {
            name: name.to_owned(),
            first_use: at.clone(),
            source,
        });
        slot
    }

    /// A slot that a line of the configuration assigns to.
    pub(crate) fn assign(&mut self, name: &str, at: &Position) -> Result<usize, Problem> {
        let lower = name.to_ascii_lowercase();
        if known::find(&lower).is_some() && !matches!(lower.as_str(), "args" | "limit_rate") {
            return Err(Problem::emerg(
                at,
                format!("the duplicate \"{name}\" variable"),
            ));
        }
        let slot = self.slot(&lower, at);
        if matches!(self.made[slot].source, Source::Unknown) {
            self.made[slot].source = Source::Assigned;
        }
        Ok(slot)
    }

    /// A slot whose value is computed.
    pub(crate) fn define(
        &mut self,
        name: &str,
        at: &Position,
        computed: Box<dyn Computed>,
    ) -> Result<(), Problem> {
        let slot = self.assign(name, at)?;
        self.made[slot].source = Source::Computed(computed);
        Ok(())
    }

    /// Variables that are used and that nothing makes.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = Problem> {
        let unknown = self
            .made
            .iter()
            .filter(|made| matches!(made.source, Source::Unknown));
        unknown.map(|made| {
            Problem::emerg(
                &made.first_use,
                format!("unknown \"{}\" variable", made.name),
            )
        })
    }

    /// How many slots a request needs.
    pub(crate) fn len(&self) -> usize {
        self.made.len()
    }

    /// The value of a slot nothing has been assigned to.
    pub(crate) fn compute(&self, slot: usize, request: &Request, out: &mut Vec<u8>) -> bool {
        match &self.made[slot].source {
            Source::Computed(computed) => computed.evaluate(request, out),
            Source::Unknown | Source::Assigned => false,
        }
    }
}
