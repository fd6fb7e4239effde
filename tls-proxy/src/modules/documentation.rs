//! Generates `docs/directives.md` from the directives' tables.

use std::fmt::{Display, Write as _};

use super::TABLES;
use super::unsupported::{self, MODULES};
use crate::config::spec::{Effect, MANY, Spec};
use crate::directive::value::Value;

/// Every directive as Markdown, with its state and effect.
#[must_use]
pub fn directives() -> String {
    let mut out = String::from(
        "# Directives\n\n\
         Made from the program's own tables by `cargo run -p tls-proxy --example directives`;\n\
         a test compares the two. Names, contexts and defaults are nginx's.\n\n\
         - **works**: does what nginx's documentation says; `docs/differences.md` lists exceptions.\n\
         - **accepted**: known, checked for its place and arguments, and without effect here.\n\
         - **refused**: `-t` and the start name the line and say what to do instead.\n\n\
         What belongs to [modules that are not here](#modules-that-are-not-here) is refused in the same way.\n\
         Any other directive is unknown: `-t` names the nearest known one.\n",
    );
    for (module, table) in TABLES {
        // Writing into memory does not fail.
        let _ = write!(
            out,
            "\n## {module}\n\n| directive | arguments | contexts | default | state | |\n|---|---|---|---|---|---|\n"
        );
        for spec in *table {
            write_row(spec, &mut out);
        }
    }
    write_modules(&mut out);
    write_settings(&mut out);
    out
}

/// The directives that would enable unsupported modules, and their variables.
fn write_modules(out: &mut String) {
    out.push_str(
        "\n## Modules that are not here\n\n\
         Their directives and variables are refused with the words on the right.\n\n\
         | module | directives | variables | instead |\n|---|---|---|---|\n",
    );
    for module in MODULES {
        let directives = in_code(module.directives.split_whitespace(), "");
        let variables = in_code(module.variables.split_whitespace(), "$");
        let (name, instead) = (module.name, module.instead);
        let _ = writeln!(out, "| {name} | {directives} | {variables} | {instead} |");
    }
}

/// The directives that adjust such modules.
fn write_settings(out: &mut String) {
    out.push_str(
        "\n## Settings of modules that are not here\n\n\
         They are accepted: where nothing turns their module on, they have no effect in nginx either. \
         Their values are checked. `off` stands behind those that are refused with any other value.\n\n\
         | settings of | |\n|---|---|\n",
    );
    for (name, table) in unsupported::settings::TABLES {
        let names = table.iter().map(|spec| match spec.value {
            Value::Off(_) => format!("{} off", spec.name),
            _ => spec.name.to_owned(),
        });
        let _ = writeln!(out, "| {name} | {} |", in_code(names, ""));
    }
}

/// Names between backticks, with `before` in front of each.
fn in_code(names: impl Iterator<Item = impl Display>, before: &str) -> String {
    let names: Vec<_> = names.map(|name| format!("`{before}{name}`")).collect();
    match names.is_empty() {
        true => "—".to_owned(),
        false => names.join(" "),
    }
}

fn write_row(spec: &Spec, out: &mut String) {
    let (state, words) = match spec.effect {
        Effect::Set(_) => ("works", spec.about),
        Effect::Block(_) => ("works", spec.about),
        Effect::Accepted(why) => ("accepted", why),
        Effect::Refused(help) => ("refused", help),
    };
    let block = if matches!(spec.effect, Effect::Block(_)) {
        " `{…}`"
    } else {
        ""
    };
    let arguments = match spec.arguments {
        (least, MANY) => format!("{least} or more"),
        (least, most) if least == most => least.to_string(),
        (least, most) => format!("{least} to {most}"),
    };
    let default = match spec.default {
        "" => "—".to_owned(),
        default => format!("`{default}`"),
    };
    let contexts = spec.contexts.names().join(", ");
    let name = spec.name;
    let words = words.replace('|', "\\|");
    let _ = writeln!(
        out,
        "| `{name}`{block} | {arguments} | {contexts} | {default} | {state} | {words} |"
    );
}

#[cfg(test)]
mod tests {
    use super::super::all;
    use super::*;
    use crate::directive::differs;

    #[test]
    fn the_documentation_is_what_the_tables_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/directives.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == directives(),
            "docs/directives.md is old: run `cargo run -p tls-proxy --example directives`"
        );
    }

    /// A heading's anchor, as GitHub forms it.
    fn anchor(heading: &str) -> String {
        let lower = heading.to_lowercase();
        let kept = lower
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    }

    #[test]
    fn what_a_notice_tells_to_read_is_there() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/differences.md");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let headings = text.lines().filter_map(|line| line.strip_prefix("## "));
        let anchors: Vec<_> = headings.map(anchor).collect();
        let variables = differs::VARIABLES.iter().map(|(.., read)| *read);
        let directives = all().filter_map(|spec| spec.differs).map(|own| own.read);
        for read in directives.chain(variables) {
            assert!(anchors.iter().any(|own| own == read), "{read}");
        }
    }

    #[test]
    fn every_difference_has_words() {
        for spec in all() {
            let said = matches!(spec.effect, Effect::Accepted(_));
            let own = spec.differs;
            assert!(
                own.is_none_or(|own| said || !own.words.is_empty()),
                "{}",
                spec.name
            );
        }
    }

    #[test]
    fn every_working_directive_is_described() {
        for spec in TABLES.iter().flat_map(|(_, table)| table.iter()) {
            let works = matches!(spec.effect, Effect::Set(_) | Effect::Block(_));
            assert!(!works || !spec.about.is_empty(), "{}", spec.name);
        }
    }

    #[test]
    fn a_name_stands_once_for_each_context() {
        let all: Vec<_> = TABLES.iter().flat_map(|(_, table)| table.iter()).collect();
        for (index, spec) in all.iter().enumerate() {
            let twin = all[..index]
                .iter()
                .find(|other| other.name == spec.name && other.contexts.meets(spec.contexts));
            assert!(twin.is_none(), "{}", spec.name);
        }
    }
}
