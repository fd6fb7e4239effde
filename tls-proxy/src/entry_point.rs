//! What nginx's image does before it starts nginx, as far as its environment variables ask for it.
//! That image has scripts for it; here the program does it each time it reads the configuration, so
//! it needs no shell and writes no file.
//!
//! Only when it is started as `nginx`, as with those scripts: in the image it is, so `nginx -t` and
//! `nginx -s reload` there read the same configuration.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use crate::conf::templates::{Settings, is_name};
use crate::conf::{Position, Problem, Word};
use crate::pattern::Pattern;

const FILTER: &str = "NGINX_ENVSUBST_FILTER";
/// It is there where the kernel has IPv6.
const IPV6: &str = "/proc/net/if_inet6";
const SCRIPTS: &str = "/docker-entrypoint.d";
/// Scripts of nginx's image. Their work is done here or is not needed.
const STANDARD_SCRIPTS: [&str; 4] = [
    "10-listen-on-ipv6-by-default.sh",
    "15-local-resolvers.envsh",
    "20-envsubst-on-templates.sh",
    "30-tune-worker-processes.sh",
];

/// What the environment asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPoint {
    /// `NGINX_ENVSUBST_…`, and the variables that templates may name.
    pub templates: Settings,
    /// `NGINX_ENTRYPOINT_WORKER_PROCESSES_AUTOTUNE`: as many workers as the CPU quota
    /// allows, whatever the configuration says.
    pub tune_workers: bool,
    /// `NGINX_ENTRYPOINT_QUIET_LOGS`: do not log what was done.
    pub quiet: bool,
}

impl EntryPoint {
    /// Reads the environment of a program that was started as `program`; `None` unless that is
    /// `nginx`. `name_servers` is the text of `resolv.conf`.
    ///
    /// # Errors
    /// `NGINX_ENVSUBST_FILTER` is not a regular expression.
    pub fn of(
        program: &OsStr,
        environment: impl Iterator<Item = (OsString, OsString)>,
        name_servers: impl FnOnce() -> String,
    ) -> Result<Option<Self>, Problem> {
        let program = Path::new(program).file_name();
        if program.is_none_or(|name| name != "nginx" && name != "nginx-debug") {
            return Ok(None);
        }
        let mut variables: BTreeMap<OsString, OsString> = environment.collect();
        let given = |variables: &BTreeMap<OsString, OsString>, name: &str| {
            let value = variables.get(OsStr::new(name)).cloned();
            value.filter(|value| !value.is_empty())
        };
        if given(&variables, "NGINX_ENTRYPOINT_LOCAL_RESOLVERS").is_some() {
            let addresses = addresses(&name_servers()).into();
            variables.insert("NGINX_LOCAL_RESOLVERS".into(), addresses);
        }
        let or = |name: &str, default: &str| {
            given(&variables, name).unwrap_or_else(|| OsString::from(default))
        };
        let mut settings = Settings {
            folder: or("NGINX_ENVSUBST_TEMPLATE_DIR", "/etc/nginx/templates").into(),
            suffix: or("NGINX_ENVSUBST_TEMPLATE_SUFFIX", ".template"),
            output: or("NGINX_ENVSUBST_OUTPUT_DIR", "/etc/nginx/conf.d").into(),
            stream_suffix: or("NGINX_ENVSUBST_STREAM_TEMPLATE_SUFFIX", ".stream-template"),
            variables: BTreeMap::new(),
            listens_on_ipv6: Path::new(IPV6).exists(),
        };
        let tune_workers = given(&variables, "NGINX_ENTRYPOINT_WORKER_PROCESSES_AUTOTUNE");
        let quiet = given(&variables, "NGINX_ENTRYPOINT_QUIET_LOGS");
        let (tune_workers, quiet) = (tune_workers.is_some(), quiet.is_some());
        let filter = given(&variables, FILTER);
        let filter = filter.map(|text| compile(&text.to_string_lossy()));
        let filter = filter.transpose()?;
        let chosen = variables
            .into_iter()
            .map(|(name, value)| (name.into_vec(), value.into_vec()))
            .filter(|(name, _)| is_name(name))
            .filter(|(name, _)| {
                let meets = |filter: &Pattern| filter.is_match(name).unwrap_or(false);
                filter.as_ref().is_none_or(meets)
            });
        settings.variables = chosen.collect();
        Ok(Some(Self {
            templates: settings,
            tune_workers,
            quiet,
        }))
    }

    /// The log line about scripts that nginx's image would run and this program does not.
    #[must_use]
    pub fn scripts() -> Option<String> {
        let found = scripts_in(Path::new(SCRIPTS));
        (!found.is_empty()).then(|| {
            format!(
                "scripts in {SCRIPTS} are not run: {}; do what they do in an init container",
                found.join(", ")
            )
        })
    }
}

fn compile(filter: &str) -> Result<Pattern, Problem> {
    let at = Position {
        file: Path::new(FILTER).into(),
        line: 1,
        column: 1,
    };
    let word = Word {
        text: filter.to_owned(),
        quoted: true,
        at,
    };
    Pattern::compile(filter, false, &word)
}

/// The name servers as `resolver` takes them.
fn addresses(resolv_conf: &str) -> String {
    let servers = resolv_conf.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|word| *word == "nameserver");
        let address = address.and(words.next())?;
        Some(match address.contains(':') {
            true => format!("[{address}]"),
            false => address.to_owned(),
        })
    });
    servers.collect::<Vec<_>>().join(" ")
}

/// The scripts in a folder that are not the image's own.
fn scripts_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name());
    let scripts = names.filter(|name| {
        let bytes = name.as_bytes();
        let standard = STANDARD_SCRIPTS.iter().any(|own| name == own);
        !standard && (bytes.ends_with(b".sh") || bytes.ends_with(b".envsh"))
    });
    let mut shown: Vec<_> = scripts
        .map(|name| pod::escape::escape(name.as_bytes()).into_owned())
        .collect();
    shown.sort();
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(program: &str, variables: &[(&str, &str)]) -> Result<Option<EntryPoint>, Problem> {
        let variables = variables.iter();
        let variables = variables.map(|(name, value)| ((*name).into(), (*value).into()));
        let resolv_conf =
            "search a b\nnameserver 10.0.0.10\n nameserver\tfd00::a\n#nameserver 1.1.1.1\n";
        EntryPoint::of(OsStr::new(program), variables, || resolv_conf.to_owned())
    }

    fn names(entry_point: &EntryPoint) -> Vec<&str> {
        let names = entry_point.templates.variables.keys();
        names
            .map(|name| std::str::from_utf8(name).unwrap())
            .collect()
    }

    #[test]
    fn only_nginx_has_an_entry_point() {
        assert_eq!(read("tls-proxy", &[]).unwrap(), None);
        assert_eq!(read("/usr/sbin/tls-proxy", &[]).unwrap(), None);
        for program in ["nginx", "/usr/sbin/nginx", "nginx-debug"] {
            let settings = read(program, &[]).unwrap().unwrap().templates;
            assert_eq!(settings.folder, Path::new("/etc/nginx/templates"));
            assert_eq!(settings.output, Path::new("/etc/nginx/conf.d"));
        }
    }

    #[test]
    fn a_filter_chooses_what_is_replaced() {
        let all = [("A_1", "x"), ("B", "y"), ("1C", "z"), ("D.E", "z")];
        assert_eq!(names(&read("nginx", &all).unwrap().unwrap()), ["A_1", "B"]);
        let filtered = [&all[..], &[(FILTER, "^A_")]].concat();
        assert_eq!(names(&read("nginx", &filtered).unwrap().unwrap()), ["A_1"]);
        let problem = read("nginx", &[(FILTER, "(")]).unwrap_err();
        assert!(problem.to_string().starts_with(FILTER), "{problem}");
    }

    #[test]
    fn name_servers_are_a_variable_where_they_are_asked_for() {
        let variable = |asked: &str| {
            let asked = [("NGINX_ENTRYPOINT_LOCAL_RESOLVERS", asked)];
            let settings = read("nginx", &asked).unwrap().unwrap().templates;
            settings
                .variables
                .get(&b"NGINX_LOCAL_RESOLVERS"[..])
                .cloned()
        };
        assert_eq!(variable("yes"), Some(b"10.0.0.10 [fd00::a]".to_vec()));
        assert_eq!(variable(""), None);
    }

    #[test]
    fn scripts_of_ones_own_are_named() {
        let folder = std::env::temp_dir().join(format!("scripts-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for name in ["99-mine.sh", "05-env.envsh", "README", STANDARD_SCRIPTS[2]] {
            fs::write(folder.join(name), "").unwrap();
        }
        assert_eq!(scripts_in(&folder), ["05-env.envsh", "99-mine.sh"]);
        fs::remove_dir_all(&folder).unwrap();
        assert!(scripts_in(&folder).is_empty());
    }
}
