//! Imports go one way: a folder of the sources imports those below it here.

mod circles;
mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use self::circles::circles;
use self::imports::Crate;

/// The folders, and files beside them, each above those that it may import.
const LAYERS: [&str; 30] = [
    "lib",
    "properties",
    "supervisor",
    "cli",
    "entry_point",
    "build_info",
    "envsubst",
    "admin",
    "server",
    "pipeline",
    "configure",
    "modules",
    "request",
    "upstream",
    "config",
    "tls",
    "variables",
    "pattern",
    "net",
    "admission",
    "metrics",
    "lifecycle",
    "directive",
    "log",
    "http1",
    "http2",
    "message",
    "conf",
    "time",
    "main",
];

/// How many files may import each other, directly or indirectly.
const LARGEST_CIRCLE: usize = 4;

fn sources() -> Crate {
    Crate::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

/// The folder, or the file beside the folders, that a file belongs to.
fn layer(file: &Path) -> String {
    let first = Path::new(file.iter().next().unwrap());
    first.with_extension("").to_str().unwrap().to_owned()
}

/// Imports that go up, or to a folder that is in no layer, by the two folders.
fn upward(read: &Crate) -> BTreeMap<(String, String), Vec<String>> {
    let rank = |layer: &str| LAYERS.iter().position(|own| *own == layer);
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for import in &read.imports {
        let (from, to) = (layer(&import.from), layer(&import.to));
        let (above, below) = (rank(&from), rank(&to));
        if from != to && (above.is_none() || below.is_none() || above > below) {
            let line = format!("{}:{}: {}", import.from.display(), import.line, import.path);
            found.entry((from, to)).or_default().push(line);
        }
    }
    found
}

#[test]
fn imports_run_one_way() {
    let wrong: Vec<_> = upward(&sources())
        .into_iter()
        .map(|((from, to), lines)| format!("{from} imports {to}:\n  {}", lines.join("\n  ")))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn circles_of_files_are_small() {
    let found = circles(&sources());
    let largest = found.first().map_or(0, BTreeSet::len);
    assert!(largest <= LARGEST_CIRCLE, "{:?}", found.first());
}

fn crate_of(files: &[(&str, &str)]) -> Crate {
    let texts = files
        .iter()
        .map(|(file, text)| (PathBuf::from(file), (*text).to_owned()));
    Crate::of(texts.collect())
}

#[test]
fn an_import_is_seen_however_it_is_written() {
    let server = (
        "server/mod.rs",
        "pub(crate) mod worker; pub(crate) use self::worker::Worker;",
    );
    let worker = (
        "server/worker.rs",
        "pub(crate) struct Worker; pub(crate) fn run() {}",
    );
    for text in [
        "use crate::server::worker::Worker;",
        "use crate::{conf::Word, server::{worker::{self, Worker}}};",
        "use super::server::worker::run as start;",
        "use super::server::Worker;",
        "use crate::server::worker::*;",
        "fn f(own: &crate::server::Worker) {}",
        "fn f() { let own = super::server::worker::run(); }",
        "mod tests { use super::super::server::Worker; }",
        "fn f() { format!(\"{}\", crate::server::worker::run()); }",
        "macro_rules! m { () => { $crate::server::worker::run() } }",
    ] {
        let read = crate_of(&[("time/mod.rs", text), server, worker]);
        let key = ("time".to_owned(), "server".to_owned());
        let found = upward(&read);
        assert!(found.contains_key(&key), "{text}: {found:?}");
        assert!(
            read.imports.iter().any(|own| own.to.ends_with("worker.rs")),
            "{text}: {:?}",
            read.imports
        );
    }
}

#[test]
fn what_runs_down_or_elsewhere_is_no_fault() {
    let read = crate_of(&[
        (
            "server/mod.rs",
            "use crate::time::now; use std::server::Worker; use server::x;",
        ),
        (
            "time/mod.rs",
            "pub(crate) fn now() {} mod inner { use super::now; } // crate::server",
        ),
    ]);
    assert!(upward(&read).is_empty());
}

#[test]
fn a_circle_is_found_through_others() {
    let read = crate_of(&[
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "pub(crate) use crate::c::C as B;"),
        ("c.rs", "use crate::d; pub(crate) struct C;"),
        ("d.rs", "fn f() { crate::a::f() }"),
        ("e.rs", "use crate::a;"),
    ]);
    let found = circles(&read);
    let names: Vec<_> = found[0]
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    assert_eq!(
        (found.len(), names),
        (1, vec!["a.rs".into(), "c.rs".into(), "d.rs".into()])
    );
}
