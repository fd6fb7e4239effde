//! What must hold for any text of a configuration.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::cli::{self, Command};
use crate::conf::{self, Entry, Main};

/// Parsing a configuration terminates, and each problem can be rendered.
pub(crate) fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // It would read the machine's files.
    if text.contains("include") {
        return;
    }
    let loaded = conf::load(&Entry {
        main: Main::BuiltIn {
            name: "fuzz".to_owned(),
            text: text.to_owned(),
            folder: std::path::PathBuf::from("/nonexistent"),
        },
        globals: None,
    });
    let mut shown = Vec::new();
    let rendered = conf::render(&loaded.problems, &loaded.files, &mut shown);
    assert!(rendered.is_ok());
    assert_eq!(loaded.problems.is_empty(), shown.is_empty());
}

/// A configuration is either built or has a problem, and each problem can be rendered.
pub(crate) fn meaning(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let folder = FOLDER.get_or_init(folder);
    if reads_elsewhere(text) || asks_for_names(text, folder) {
        return;
    }
    let file = folder.join("main.conf");
    std::fs::write(&file, text).expect("a file for the configuration");
    let words: [OsString; 4] = ["tls-proxy".into(), "-t".into(), "-c".into(), file.into()];
    let Ok(Command::Test { options, .. }) = cli::parse(words.into_iter()) else {
        panic!("the command line is right");
    };
    let loaded = crate::load(&options);
    let mut shown = Vec::new();
    let rendered = conf::render(&loaded.problems, &loaded.origin.texts, &mut shown);
    assert!(rendered.is_ok());
    let refused = |problem: &conf::Problem| problem.severity == conf::Severity::Emerg;
    assert_eq!(loaded.config.is_none(), loaded.problems.iter().any(refused));
}

/// Where the configuration and the two files it may include lie.
static FOLDER: OnceLock<PathBuf> = OnceLock::new();

fn folder() -> PathBuf {
    // One for each user, since nothing removes it.
    let name = format!("tls-proxy-meaning-{}", rustix::process::getuid().as_raw());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    for (name, text) in [
        ("a.conf", "tcp_nodelay on;\nadd_header A b;\n"),
        ("b.conf", "server {\n    listen 127.0.0.1:1;\n}\n"),
    ] {
        let new = folder.join(format!("{name}.{}", std::process::id()));
        std::fs::write(&new, text).expect("a file to include");
        std::fs::rename(new, folder.join(name)).expect("a file to include");
    }
    folder
}

/// Whether the configuration might read files that are endless, or outside the folder.
fn reads_elsewhere(text: &str) -> bool {
    let is_own = |rest: &str| rest.starts_with(" a.conf;") || rest.starts_with(" b.conf;");
    ["/dev", "/proc", "/sys", ".."]
        .iter()
        .any(|part| text.contains(part))
        || text.split("include").skip(1).any(|rest| !is_own(rest))
}

/// Whether a host name might be looked up, which would use the network.
fn asks_for_names(text: &str, folder: &Path) -> bool {
    fn asks(directive: &conf::Directive) -> bool {
        const ASKING: [&str; 7] = [
            "listen",
            "server",
            "proxy_pass",
            "set_real_ip_from",
            "resolver",
            "access_log",
            "error_log",
        ];
        let asking = ASKING.contains(&directive.name.text.as_str());
        let mut args = directive.args.iter();
        asking && args.any(|word| is_name(&word.text)) || directive.block.iter().flatten().any(asks)
    }
    let loaded = conf::load(&Entry {
        main: Main::BuiltIn {
            name: "fuzz".to_owned(),
            text: text.to_owned(),
            folder: folder.to_owned(),
        },
        globals: None,
    });
    loaded.tree.iter().any(asks)
}

fn is_name(word: &str) -> bool {
    let heads = ["http://", "https://", "syslog:server="];
    let lower = word.to_ascii_lowercase();
    let bare = heads.iter().find_map(|head| lower.strip_prefix(head));
    let bare = bare.unwrap_or(&lower);
    let host = bare.split(['/', '?', ',']).next().unwrap_or_default();
    let host = match host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => host,
    };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let numbers = address.bytes().all(|byte| byte.is_ascii_digit());
    let known = ["localhost", "*", "unix"].contains(&host) || host.contains(['$', '=']);
    !(numbers || known || address.parse::<IpAddr>().is_ok())
}
