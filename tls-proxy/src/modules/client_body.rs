//! `client_body_temp_path` and `client_body_in_file_only` of nginx's core module: request bodies in
//! files.

use std::sync::Arc;

use crate::conf::units;
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Spec};
use crate::directive::{arguments, value};
use crate::upstream::spooled::{After, Folder};

/// What the module keeps for each block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// `client_body_temp_path`.
    pub(crate) folder: Option<Arc<Folder>>,
    /// `client_body_in_file_only`: whether the file is kept.
    pub(crate) in_file: Option<After>,
}

impl ModuleSettings for Settings {}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("client_body_temp_path", Contexts::ALL, (1, 4), |scope, directive| {
        value::check_levels(directive)?;
        let (first, levels) = directive.args.split_first().unwrap_or((&directive.name, &[]));
        let levels = levels.iter().filter_map(|word| units::parse_number(&word.text));
        scope.settings.of_mut::<Settings>().folder = Some(Arc::new(Folder {
            path: scope.draft.paths.in_prefix(&first.text),
            levels: levels.map(|level| level as usize).collect(),
        }));
        Ok(())
    })
    .about("The folder for bodies beyond `client_body_buffer_size`; without the line they are streamed and not written to files."),
    Spec::set("client_body_in_file_only", Contexts::ALL, (1, 1), |scope, directive| {
        let word = arguments::first(directive);
        let (kept, removed) = (Some(After::Kept), Some(After::Removed));
        let known = [("on", kept), ("clean", removed), ("off", None)];
        scope.settings.of_mut::<Settings>().in_file = arguments::choice(word, &known)?;
        Ok(())
    })
    .default("off")
    .about("Writes each body to a file, which `$request_body_file` names and which stays (`on`) or goes with its request (`clean`)."),
];
