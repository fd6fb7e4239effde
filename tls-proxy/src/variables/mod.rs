//! What a configuration keeps of variables: their names, strings with variables compiled into
//! templates, patterns whose groups are variables. `modules/variables/` computes their values, which need a
//! request.

pub(crate) mod matcher;
pub(crate) mod registry;
pub(crate) mod template;
