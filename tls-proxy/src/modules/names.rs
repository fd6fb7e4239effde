//! Every name that nginx knows is known here, too: it is supported, accepted, or rejected with what
//! to do instead. `tests/nginx-names.txt` lists them.

use super::{VARIABLES, all, listen, unsupported, upstream};

const NGINX: &str = include_str!("../../tests/nginx-names.txt");

/// Module and name of each of a kind.
fn names(kind: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = NGINX.lines().filter(|line| !line.starts_with('#'));
    let of_kind = lines.filter_map(move |line| {
        let (module, rest) = line.split_once(' ')?;
        let (own, names) = rest.split_once(' ')?;
        (own == kind).then_some((module, names))
    });
    of_kind.flat_map(|(module, names)| names.split(' ').map(move |name| (module, name)))
}

/// The names that are missing here.
fn unknown(kind: &str, knows: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let all: Vec<_> = names(kind).collect();
    assert!(all.len() > 20, "{kind}");
    let unknown = all.iter().filter(|(module, name)| !knows(module, name));
    unknown
        .map(|(module, name)| format!("{module} {name}"))
        .collect()
}

#[test]
fn every_directive_of_nginx_is_known() {
    let here = |name: &str| all().any(|spec| spec.name == name) || name == "include";
    let unknown = unknown("directive", |_, name| {
        here(name) || unsupported::directive(name).is_some()
    });
    assert_eq!(unknown, [""; 0]);
}

#[test]
fn every_variable_of_nginx_is_known() {
    let registry = VARIABLES.registry();
    let unknown = unknown("variable", |_, name| {
        let one = match name.strip_suffix('_') {
            Some(family) => format!("{family}_1"),
            None => name.to_owned(),
        };
        registry.knows(&one) || unsupported::variable(&one).is_some()
    });
    assert_eq!(unknown, [""; 0]);
}

#[test]
fn every_parameter_of_nginx_is_known() {
    let unknown = unknown("parameter", |directive, name| match directive {
        "listen" => listen::OPTIONS.contains(&name),
        _ => upstream::server::OPTIONS.contains(&name),
    });
    assert_eq!(unknown, [""; 0]);
}

#[test]
fn a_name_of_another_program_is_unknown() {
    for name in ["ProxyPass", "proxy_passs", "root_dir"] {
        assert!(!all().any(|spec| spec.name == name) && unsupported::directive(name).is_none());
    }
}
