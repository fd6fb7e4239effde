//! Differential tests: every case of `cases/` under real nginx and under tls-proxy, compared.
//! README.md beside this file describes the cases and how to run some of them.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test prints and panics"
)]

mod bytes;
mod case;
mod certificates;
mod chains;
#[path = "../support/delimited/mod.rs"]
mod delimited;
mod http1;
mod http2;
#[path = "../support/oracle.rs"]
mod oracle;
mod program;
mod random;
mod run;
mod runner;
mod sandbox;
mod setup;
mod transcript;
mod upstream;
mod upstream_connection;
mod wire;

use run::{Named, Run, home};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Cases made at random if none are asked for.
const RANDOM: u64 = 40;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let filters: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let written = case_files(&home().join("cases")).into_iter();
    let mut cases: Vec<_> = written.map(|path| Named::read(&path)).collect();
    let (seed, numbers) = random_cases(&arguments);
    cases.extend(numbers.map(|number| Named {
        name: format!("random/{seed}-{number}"),
        text: random::case(seed, number),
    }));
    cases.retain(|case| {
        filters.is_empty() || filters.iter().any(|filter| case.name.contains(*filter))
    });
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    if is_given("--print") {
        cases.iter().for_each(|case| println!("{}", case.text));
        return ExitCode::SUCCESS;
    }
    let total = cases.len();
    let Some(oracle) = oracle::find_or_skip(&format!("{total} differential cases")) else {
        return ExitCode::SUCCESS;
    };
    let run = match Run::prepare(&oracle, is_given("--show")) {
        Ok(run) => run,
        Err(error) => {
            println!("differential: {error}");
            return ExitCode::FAILURE;
        }
    };
    let counts = run.all(cases.into());
    let _ = std::fs::remove_dir_all(&run.folder);
    let [agree, on_purpose, skipped, failed] = counts;
    let mut summary = format!(
        "differential: {total} cases, {agree} agree, {on_purpose} differ on purpose, {failed} failed"
    );
    if skipped > 0 {
        summary.push_str(&format!(
            ", {skipped} SKIPPED: NGINX_SYSTEM names no nginx of a distribution"
        ));
    }
    println!("{summary}");
    if failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// The seed of the cases that are made at random, and their numbers: `--random=SEED:FIRST-LAST`.
fn random_cases(arguments: &[String]) -> (u64, RangeInclusive<u64>) {
    let given = arguments.iter().find_map(|it| it.strip_prefix("--random="));
    let parse = |text: &str| {
        let (seed, numbers) = text.split_once(':')?;
        let (first, last) = numbers.split_once('-')?;
        Some((seed.parse().ok()?, first.parse().ok()?..=last.parse().ok()?))
    };
    given.map_or((1, 1..=RANDOM), |text| {
        parse(text).expect("--random=SEED:FIRST-LAST")
    })
}

fn case_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(case_files(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "case")
        {
            files.push(path);
        }
    }
    files
}
