//! The values of nginx's variables for a request. What a configuration keeps of them is in
//! `variables/`.

mod evaluate;
pub(crate) mod known;
mod request_fields;
mod ssl;

use crate::conf::{Position, Problem};
use crate::request::Request;
use crate::variables::registry::{Registry, VariableDefinition};

/// Writes a variable's value for this request; `false` when it has none.
pub(crate) type Evaluate = fn(&Request, &mut Vec<u8>) -> bool;

/// A fixed variable: its name, and what computes it.
type Fixed = (&'static str, Evaluate);

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

/// A variable that a block of the configuration makes and whose value follows from the
/// request when it is used (`map`, `geo`, `split_clients`).
pub(crate) trait Computed: std::fmt::Debug + Send + Sync {
    /// Writes the value; `false` when there is none.
    fn evaluate(&self, request: &Request, out: &mut Vec<u8>) -> bool;

    /// Computed anew each time (`volatile`), not once for a request.
    fn is_volatile(&self) -> bool {
        false
    }
}

/// The variables that modules give besides those of every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    pub(crate) fixed: &'static [&'static [(&'static str, Evaluate)]],
    pub(crate) families: &'static [&'static Family],
    /// What to do instead of using a variable of a module that is not here.
    pub(crate) instead_of: fn(&str) -> Option<&'static str>,
}

impl Tables {
    /// The registry of a configuration that nothing has been read of: it knows these
    /// variables and those of every request.
    pub(crate) fn registry(self) -> Registry {
        let fixed = known::all().chain(self.fixed.iter().copied().flatten());
        let families = known::FAMILIES.iter().chain(self.families.iter().copied());
        Registry::new(
            fixed.map(|own: &'static Fixed| (own.0, own as &'static dyn VariableDefinition)),
            families.map(|own| (own.prefix, own as &'static dyn VariableDefinition)),
            self.instead_of,
        )
    }
}

/// Makes a variable that is computed.
///
/// # Errors
/// The name is one of nginx's own.
pub(crate) fn define(
    registry: &mut Registry,
    name: &str,
    at: &Position,
    computed: impl Computed + 'static,
) -> Result<(), Problem> {
    let computed: Box<dyn Computed> = Box::new(computed);
    registry.define(name, at, Box::new(computed))
}

/// Writes what is there.
pub(crate) fn write(value: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    if let Some(value) = value {
        out.extend_from_slice(value);
    }
    value.is_some()
}
