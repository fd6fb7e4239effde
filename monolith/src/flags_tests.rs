//! Parsing of the command line.

use super::*;

fn parse(arguments: &[&str]) -> Result<Flags, clap::Error> {
    let whole = std::iter::once("monolith").chain(arguments.iter().copied());
    Flags::parse_from_args(whole.map(OsString::from))
}

#[test]
fn the_arguments_of_the_walkthrough_are_understood() {
    let flags = parse(&["-http=0.0.0.0:80", "-health=0.0.0.0:81", "-secret=secret"]).unwrap();
    assert_eq!(flags.http, "0.0.0.0:80".parse().unwrap());
    assert_eq!(flags.health, "0.0.0.0:81".parse().unwrap());
    assert_eq!(flags.secret.as_deref(), Some("secret"));
}

#[test]
fn one_or_two_dashes_and_equals_or_a_space_are_the_same() {
    for arguments in [
        &["-http=127.0.0.1:8080"][..],
        &["--http=127.0.0.1:8080"],
        &["-http", "127.0.0.1:8080"],
        &["--http", "127.0.0.1:8080"],
    ] {
        assert_eq!(
            parse(arguments).unwrap().http,
            "127.0.0.1:8080".parse().unwrap()
        );
    }
}

#[test]
fn the_defaults_are_those_of_the_original() {
    let flags = parse(&[]).unwrap();
    assert_eq!(flags.http, "0.0.0.0:80".parse().unwrap());
    assert_eq!(flags.health, "0.0.0.0:81".parse().unwrap());
    assert_eq!(flags.secret, None);
    assert_eq!(flags.token_lifetime, Duration::from_secs(3600));
    assert_eq!(flags.shutdown_budget, Duration::from_secs(25));
}

#[test]
fn a_value_that_looks_like_a_flag_stays_a_value() {
    assert_eq!(
        parse(&["-secret", "-http=x"]).unwrap().secret.as_deref(),
        Some("-http=x")
    );
    assert_eq!(
        parse(&["-secret=-http"]).unwrap().secret.as_deref(),
        Some("-http")
    );
    assert_eq!(
        parse(&["--secret", "a=b"]).unwrap().secret.as_deref(),
        Some("a=b")
    );
}

#[test]
fn a_switch_takes_no_value() {
    let flags = parse(&["-no-faults", "-http=127.0.0.1:1"]).unwrap();
    assert!(flags.no_faults);
    assert_eq!(flags.http.port(), 1);
}

#[test]
fn a_port_alone_means_all_addresses() {
    assert_eq!(
        parse(&["-http=:8080"]).unwrap().http,
        "0.0.0.0:8080".parse().unwrap()
    );
}

#[test]
fn errors_name_the_flag_and_what_to_write() {
    for (arguments, expected) in [
        (&["-http=nonsense"][..], "--http"),
        (&["-http=127.0.0.1:99999"], "0.0.0.0:80"),
        (&["--token-lifetime=1y"], "such as 90s or 1h"),
        (&["--token-lifetime=0s"], "such as 90s or 1h"),
        (&["--log-format=xml"], "json"),
        (&["-httpp=127.0.0.1:1"], "-h"),
        (&["--max-connections=0"], "--max-connections"),
        (&["-secret=a", "-secret-file=b"], "cannot be used with"),
        (&["stray"], "stray"),
    ] {
        let message = parse(arguments).unwrap_err().to_string();
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
}

#[test]
fn durations_have_units() {
    for (text, seconds) in [
        ("90", 90),
        ("90s", 90),
        ("2m", 120),
        ("72h", 259_200),
        ("1d", 86_400),
    ] {
        assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
    }
    for text in [
        "",
        "s",
        "-1s",
        "1.5h",
        "1é",
        "99999999999999999999d",
        "999999999d",
    ] {
        assert!(duration(text).is_err(), "{text}");
    }
}

#[test]
fn no_variable_has_a_name_that_kubernetes_sets_for_a_service() {
    for flag in Flags::command().get_arguments() {
        let name = flag
            .get_env()
            .and_then(OsStr::to_str)
            .unwrap_or_default()
            .to_owned();
        assert!(!name.starts_with("MONOLITH_PORT"), "{name}");
        assert!(!name.starts_with("MONOLITH_SERVICE_"), "{name}");
    }
}

#[test]
fn the_definition_is_valid() {
    Flags::command().debug_assert();
}
