//! What a configuration says of variables: their names, strings with variables compiled
//! into templates, patterns whose groups are variables. Their values, which need a
//! request, are computed in `vars/`.

pub(crate) mod matcher;
pub(crate) mod registry;
pub(crate) mod template;
