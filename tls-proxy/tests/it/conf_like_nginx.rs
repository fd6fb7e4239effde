//! The same words and the same errors as nginx, for many odd texts.
//!
//! nginx names an unknown directive after unescaping it, so a text whose
//! first word is no directive shows how nginx read that word.

use crate::support::oracle;
use std::fs;
use std::path::Path;
use std::process::Command;

use tls_proxy::conf::{Entry, Main, load, units};

/// nginx's message for `text`, without time and process.
fn ask_nginx(nginx: &Path, text: &str) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (process, thread) = (std::process::id(), std::thread::current().id());
    let path = folder.join(format!("like-{process}-{thread:?}.conf"));
    let pid = format!("pid {};", path.with_extension("pid").display());
    fs::write(&path, text).expect("write");
    let mut command = Command::new(nginx);
    command
        .args(["-t", "-q", "-e", "stderr", "-g", &pid, "-c"])
        .arg(&path);
    let said = command.output().expect("nginx runs").stderr;
    let said = String::from_utf8_lossy(&said).replace(&path.display().to_string(), "FILE");
    let said = said
        .split_once("[emerg] ")
        .map_or(String::new(), |(_, after)| after.to_owned());
    let said = said
        .split_once(": ")
        .map_or(String::new(), |(_, after)| after.to_owned());
    said.split("\nnginx: ")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// What nginx's message would be, by our parser.
fn ask_us(text: &str) -> String {
    let main = Main::BuiltIn {
        name: "FILE".into(),
        text: text.into(),
        folder: "/".into(),
    };
    let loaded = load(&Entry {
        main,
        globals: None,
    });
    let problem = loaded.problems.first();
    let directive = loaded.tree.first().filter(|directive| {
        problem
            .and_then(|p| p.at.as_ref())
            .is_none_or(|at| (directive.end.line, directive.end.column) < (at.line, at.column))
    });
    match (directive, problem) {
        (Some(found), _) => {
            format!(
                "unknown directive \"{}\" in FILE:{}",
                found.name.text, found.end.line
            )
        }
        (None, Some(problem)) => {
            let line = problem.at.as_ref().map_or(0, |at| at.line);
            format!("{} in FILE:{line}", problem.message)
        }
        (None, None) => "no \"events\" section in configuration".to_owned(),
    }
}

#[test]
fn words_and_mistakes_are_read_like_nginx() {
    let Some(nginx) = oracle::find_or_skip("words and mistakes are read like nginx") else {
        return;
    };
    const PIECES: [&str; 24] = [
        "a", "b", " ", " ", "\n", ";", ";", "{", "}", "\"", "\"", "'", "\\", "\\", "$", "${", "#",
        "\t", "\r", "t", "n", "(", ")", "xxxx",
    ];
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 33).unwrap() % below
    };
    for _ in 0..2_000 {
        let mut text: String = (0..random(14))
            .map(|_| PIECES[random(PIECES.len())])
            .collect();
        if random(2) == 0 {
            text.push_str(" ;");
        }
        assert_eq!(ask_us(&text), ask_nginx(&nginx, &text), "{text:?}");
    }
}

#[test]
fn long_words_and_comments_are_limited_like_nginx() {
    let Some(nginx) = oracle::find_or_skip("long words and comments are limited like nginx") else {
        return;
    };
    for length in 4085..4100 {
        let filler = "x".repeat(length);
        for text in [
            format!("{filler};\n"),
            format!("\"{filler}\";\n"),
            format!("\"{filler}\" ;\n"),
            format!("a {filler} b;\n"),
            format!("{}\na '{filler}' b;\n", "#".repeat(4000)),
            format!("#{filler}\na;\n"),
            format!("a #{filler}"),
            filler.clone(),
        ] {
            // nginx cuts a line of its log at 2 KiB.
            let (ours, theirs) = (ask_us(&text), ask_nginx(&nginx, &text));
            let (ours, theirs) = (
                ours.get(..40).unwrap_or(&ours),
                theirs.get(..40).unwrap_or(&theirs),
            );
            assert_eq!(ours, theirs, "{length}: {}", &text[..20]);
        }
    }
}

#[test]
fn values_with_units_are_accepted_like_nginx() {
    let Some(nginx) = oracle::find_or_skip("values with units are accepted like nginx") else {
        return;
    };
    let values = [
        "1",
        "0",
        "1k",
        "1K",
        "1m",
        "1M",
        "1g",
        "1G",
        "1h",
        "1h30m",
        "30m1h",
        "1hh",
        "1ms",
        "5ms5",
        "1h m",
        "h",
        "h5",
        "1 2",
        "1s 2",
        "1h 2 3",
        "1w2d",
        "1y",
        "1d1d",
        "-1",
        "+1",
        "1.5",
        "''",
        "9223372036854775807",
        "9223372036854775808",
        "9223372036854775",
        "9223372036854776",
        "9007199254740991k",
        "9007199254740992k",
        "8796093022207m",
        "8796093022208m",
        "8589934591g",
        "8589934592g",
        "15250284452w",
        "15250284453w",
        "1s1",
        "1m1ms",
        "1m s",
        "1 ",
    ];
    for value in values {
        let text = value.trim_matches('\'');
        for (name, ours) in [
            ("client_body_timeout", units::parse_time_ms(text).is_some()),
            ("ssl_session_timeout", units::parse_time_s(text).is_some()),
            ("client_body_buffer_size", units::parse_size(text).is_some()),
            ("client_max_body_size", units::parse_offset(text).is_some()),
        ] {
            let said = ask_nginx(
                &nginx,
                &format!("events{{}} http{{ access_log off; {name} \"{text}\"; }}"),
            );
            let theirs = !said.contains("invalid value") && !said.contains("invalid number");
            assert_eq!(ours, theirs, "{name} {value:?}: {said}");
        }
    }
}
