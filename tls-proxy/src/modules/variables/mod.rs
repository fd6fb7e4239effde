//! The values of nginx's variables for a request. What a configuration keeps of them is in
//! `variables/`.

mod evaluate;
pub(crate) mod families;
pub(crate) mod known;
mod request_fields;
mod ssl;
pub(crate) mod tables;

use crate::conf::{Position, Problem};
use crate::request::Request;
use crate::variables::registry::Registry;

/// Writes a variable's value for this request; `false` when it has none.
pub(crate) type Evaluate = fn(&Request, &mut Vec<u8>) -> bool;

/// A fixed variable: its name, and what computes it.
type Fixed = (&'static str, Evaluate);

/// A family of variables whose names share a prefix, such as `$http_NAME`.
#[derive(Debug)]
pub(crate) struct Family {
    /// The prefix.
    pub(crate) prefix: &'static str,
    /// Writes the value of the variable with this rest of the name, in lower case; `false` when it
    /// has none.
    pub(crate) evaluate: fn(&Request, &[u8], &mut Vec<u8>) -> bool,
    /// The result of the first use, a missing value too, is kept for the request.
    pub(crate) cached: bool,
}

/// A variable that a block of the configuration defines and whose value is computed from the
/// request when it is used (`map`, `geo`, `split_clients`).
pub(crate) trait Computed: std::fmt::Debug + Send + Sync {
    /// Writes the value; `false` when there is none.
    fn evaluate(&self, request: &Request, out: &mut Vec<u8>) -> bool;

    /// Computed at each use (`volatile`), not once for a request.
    fn is_volatile(&self) -> bool {
        false
    }
}

/// Defines a computed variable.
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

/// Writes the value, if there is one.
pub(crate) fn write(value: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    if let Some(value) = value {
        out.extend_from_slice(value);
    }
    value.is_some()
}
