//! A default is stated in a directive's table, for the documentation, and in the `Default` of the
//! settings: this test compares the two.

use std::collections::BTreeSet;

use super::{TABLES, VARIABLES, upstream};
use crate::conf::{Directive, Entry, Main, load};
use crate::config::draft::ConfigDraft;
use crate::config::settings::Settings;
use crate::config::spec::{BlockDraft, Contexts, Effect, Scope, Spec};
use crate::modules::variables::known;

/// Directives whose settings record whether they are set (`None`, an empty list, a position for a
/// message), or whose default nginx itself rejects. Their default is applied where they are used.
const KNOW_WHETHER_WRITTEN: [&str; 20] = [
    "access_log",
    "error_log",
    "index",
    "limit_rate",
    "limit_rate_after",
    "log_format",
    "proxy_buffer_size",
    "proxy_buffers",
    "proxy_busy_buffers_size",
    "proxy_limit_rate",
    "proxy_max_temp_file_size",
    "proxy_redirect",
    "proxy_set_header",
    "proxy_ssl_ciphers",
    "proxy_ssl_name",
    "proxy_temp_file_write_size",
    "root",
    "ssl_ciphers",
    "ssl_ecdh_curve",
    "ssl_verify_client",
];

#[test]
fn a_default_that_is_written_changes_nothing() {
    // Cloned, not built twice: the order of hash tables would differ.
    let settings = super::unwritten();
    let unwritten = |_: &mut Scope<'_>| true;
    let mut changing = BTreeSet::new();
    for spec in TABLES.iter().flat_map(|(_, table)| table.iter()) {
        let Effect::Set(set) = spec.effect else {
            continue;
        };
        if spec.default.is_empty() {
            continue;
        }
        let line = written(spec);
        let before = settings_after(spec, &settings, unwritten);
        let after = settings_after(spec, &settings, |scope| set(scope, &line).is_ok());
        if before != after {
            changing.insert(spec.name);
        }
    }
    let expected = BTreeSet::from(KNOW_WHETHER_WRITTEN);
    assert_eq!(changing, expected);
}

/// The line that states the default, as in a file.
fn written(spec: &Spec) -> Directive {
    let main = Main::BuiltIn {
        name: "default".to_owned(),
        text: format!("{} {};", spec.name, spec.default),
        folder: "/".into(),
    };
    let globals = None;
    let mut loaded = load(&Entry { main, globals });
    assert!(loaded.problems.is_empty(), "{}", spec.name);
    loaded.tree.remove(0)
}

/// All settings after `apply` has run in a block of the directive's kind; `None` if it fails.
fn settings_after(
    spec: &Spec,
    settings: &Settings,
    apply: impl FnOnce(&mut Scope<'_>) -> bool,
) -> Option<String> {
    let kinds = [Contexts::MAIN, Contexts::HTTP, Contexts::UPSTREAM];
    let mut kinds = kinds.into_iter();
    let mut draft = ConfigDraft {
        variables: VARIABLES.registry(),
        ..ConfigDraft::default()
    };
    let mut scope = Scope {
        context: kinds
            .find(|kind| spec.contexts.meets(*kind))
            .unwrap_or(Contexts::SERVER),
        settings: &mut settings.clone(),
        draft: &mut draft,
        place: &mut BlockDraft::default(),
        first_here: true,
        order: 0,
    };
    let accepted = apply(&mut scope);
    let upstream = scope.place.parts.get_mut::<upstream::UpstreamDraft>();
    let main = &scope.draft.main;
    accepted.then(|| format!("{:?}{main:?}{upstream:?}", scope.settings))
}

#[test]
fn each_variable_is_defined_once() {
    let mut names: Vec<&str> = known::all()
        .chain(VARIABLES.fixed.iter().copied().flatten())
        .map(|(name, _)| *name)
        .collect();
    names.sort_unstable();
    let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "{twice:?}");
}
