//! What directives have in common: their arguments, and how they are inherited.

pub(crate) mod arguments;
pub(crate) mod differs;
pub(crate) mod inherited;
pub(crate) mod value;
