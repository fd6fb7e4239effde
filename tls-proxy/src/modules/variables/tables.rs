//! All variables that are there without a configuration.

use super::{Evaluate, Family, Fixed, families, known};
use crate::variables::registry::{Registry, VariableDefinition};

/// The variables that modules add to those of every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    pub(crate) fixed: &'static [&'static [(&'static str, Evaluate)]],
    pub(crate) families: &'static [&'static Family],
    /// What to use instead of a variable of an unsupported module.
    pub(crate) instead_of: fn(&str) -> Option<&'static str>,
}

impl Tables {
    /// The registry of an empty configuration: these variables and those of every request.
    pub(crate) fn registry(self) -> Registry {
        let fixed = known::all().chain(self.fixed.iter().copied().flatten());
        let families = families::FAMILIES
            .iter()
            .chain(self.families.iter().copied());
        Registry::new(
            fixed.map(|own: &'static Fixed| (own.0, own as &'static dyn VariableDefinition)),
            families.map(|own| (own.prefix, own as &'static dyn VariableDefinition)),
            self.instead_of,
        )
    }
}
