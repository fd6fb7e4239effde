//! nginx's variables, and strings with variables compiled into templates.

pub(crate) mod known;
pub(crate) mod matcher;
pub(crate) mod registry;
mod request_fields;
mod ssl;
pub(crate) mod template;

use crate::request::Request;

/// Writes a variable's value for this request; `false` when it has none.
pub(crate) type Evaluate = fn(&Request, &mut Vec<u8>) -> bool;

/// Variables whose names begin alike and go on as a configuration likes: `$http_NAME`.
#[derive(Debug)]
pub(crate) struct Family {
    /// How their names begin.
    pub(crate) prefix: &'static str,
    /// Writes the value of the one whose name goes on so, in lower case; `false` when it
    /// has none.
    pub(crate) evaluate: fn(&Request, &[u8], &mut Vec<u8>) -> bool,
    /// What was not there yet when it was first asked for never is.
    pub(crate) settles: bool,
}

/// The variables that modules give besides those of every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    pub(crate) fixed: &'static [&'static [(&'static str, Evaluate)]],
    pub(crate) families: &'static [&'static Family],
    /// What to do instead of using a variable of a module that is not here.
    pub(crate) instead_of: fn(&str) -> Option<&'static str>,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            fixed: &[],
            families: &[],
            instead_of: |_| None,
        }
    }
}

/// One variable, found by name when the configuration was read.
#[derive(Clone, Debug)]
pub(crate) enum Variable {
    /// One of nginx's fixed names.
    Known(Evaluate),
    /// One of a family, and how its name goes on.
    Named(&'static Family, Box<[u8]>),
    /// `$1` to `$9`: a group of the last regular expression that matched.
    Capture(usize),
    /// A variable the configuration itself makes (`set`, `map`, a named
    /// group), or may make: `$http_NAME` and its like can be set.
    User(usize),
}

impl Variable {
    /// Writes the value; `false` when there is none.
    pub(crate) fn evaluate(&self, request: &Request, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Known(evaluate) => evaluate(request, out),
            Self::Named(family, name) => (family.evaluate)(request, name, out),
            Self::Capture(group) => request.captured.write(*group, out),
            Self::User(slot) => match request.slots.value(*slot) {
                Some(value) => write(value.as_deref(), out),
                None => request.config.variables.compute(*slot, request, out),
            },
        }
    }
}

/// Writes what is there.
pub(crate) fn write(value: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    if let Some(value) = value {
        out.extend_from_slice(value);
    }
    value.is_some()
}
