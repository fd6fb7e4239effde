//! The error for an unknown word of a configuration: it suggests the nearest known one, or
//! what to do instead of a module that is not supported.

use crate::support::Place;
use crate::support::proxy::{around, refusal};

/// What `-t` prints for some lines in a server.
fn told(lines: &str) -> String {
    let place = Place::new("unknown-words");
    refusal(&place, &around(&format!("server {{\n{lines}\n}}")))
}

#[test]
fn typing_errors_lead_to_the_nearest_word() {
    for (lines, wrong, near) in [
        (
            "location / { proxy_passs http://a; }",
            "unknown directive \"proxy_passs\"",
            "proxy_pass",
        ),
        (
            "clinet_max_body_size 1m;",
            "unknown directive \"clinet_max_body_size\"",
            "client_max_body_size",
        ),
        (
            "set_proxy_header Host a;",
            "unknown directive \"set_proxy_header\"",
            "proxy_set_header",
        ),
        (
            "fastcgi_bufers 4 4k;",
            "unknown directive \"fastcgi_bufers\"",
            "fastcgi_buffers",
        ),
        (
            "add_header A $remote_adr;",
            "unknown \"remote_adr\" variable",
            "remote_addr",
        ),
        (
            "set $colour a; add_header A $color;",
            "unknown \"color\" variable",
            "colour",
        ),
        (
            "listen 127.0.0.1:19 defered;",
            "invalid parameter \"defered\"",
            "deferred",
        ),
        (
            "listen 127.0.0.1:19 backlogs=3;",
            "invalid parameter \"backlogs=3\"",
            "backlog=",
        ),
        (
            "ssl_verify_client optinal;",
            "invalid value \"optinal\"",
            "optional",
        ),
        (
            "access_log syslog:server=127.0.0.1,facilty=user;",
            "unknown syslog parameter \"facilty=user\"",
            "facility",
        ),
        (
            "access_log syslog:server=127.0.0.1,severity=inf;",
            "unknown syslog severity \"inf\"",
            "info",
        ),
        (
            "ssl_session_cache shard:SSL:10m;",
            "invalid session cache",
            "shared",
        ),
        (
            "add_header A b alwys;",
            "invalid parameter \"alwys\"",
            "always",
        ),
        (
            "open_file_cache max=3 inactiv=1s;",
            "invalid parameter \"inactiv=1s\"",
            "inactive",
        ),
        (
            "resolver 127.0.0.1 valdi=5s;",
            "host not found in resolver \"valdi=5s\"",
            "valid=",
        ),
        (
            "error_log stderr wran;",
            "invalid log level \"wran\"",
            "warn",
        ),
        ("satisfy al;", "invalid value \"al\"", "all"),
        (
            "location / { proxy_next_upstream eror; }",
            "invalid value \"eror\"",
            "error",
        ),
    ] {
        let told = told(lines);
        assert!(told.contains(wrong), "{told}");
        let help = format!("help: did you mean \"{near}\"?");
        assert!(told.contains(&help), "{told}");
    }
}

#[test]
fn what_is_like_nothing_is_only_unknown() {
    let told = told("frobnicate on;");
    assert!(told.contains("unknown directive \"frobnicate\""), "{told}");
    assert!(!told.contains("help:"), "{told}");
}

#[test]
fn modules_that_are_not_here_are_named_with_what_to_do_instead() {
    for (lines, wrong, instead) in [
        (
            "location / { fastcgi_pass 127.0.0.1:9000; }",
            "the \"fastcgi_pass\" directive",
            "use proxy_pass",
        ),
        (
            "location / { proxy_pass http://127.0.0.1; proxy_http_version 2; }",
            "\"proxy_http_version 2\"",
            "write 1.1",
        ),
        (
            "health_check;",
            "the \"health_check\" directive",
            "NGINX Plus",
        ),
        (
            "more_set_headers \"A: b\";",
            "the \"more_set_headers\" directive",
            "add_header",
        ),
        (
            "ssl_preread on;",
            "the \"ssl_preread\" directive",
            "keep nginx",
        ),
        (
            "add_header A $uid_got;",
            "the \"uid_got\" variable",
            "let the application set cookies",
        ),
        (
            "add_header A $jwt_claim_sub;",
            "the \"jwt_claim_sub\" variable",
            "NGINX Plus",
        ),
    ] {
        let told = told(lines);
        assert!(
            told.contains(&format!("{wrong} is not supported")),
            "{told}"
        );
        let help = told.lines().find(|line| line.contains("help:"));
        assert!(help.is_some_and(|help| help.contains(instead)), "{told}");
    }
}

#[test]
fn each_line_of_a_refused_directive_is_told_as_such() {
    let place = Place::new("refused-lines");
    let lines = "proxy_cache_path /a keys_zone=a:1m;\nproxy_cache_path /b keys_zone=b:1m;";
    let told = refusal(&place, &around(lines));
    let of_each = told.matches("the \"proxy_cache_path\" directive is not supported");
    assert_eq!(of_each.count(), 2, "{told}");
    assert!(!told.contains("duplicate"), "{told}");
}
