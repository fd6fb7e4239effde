//! `ssl_conf_command`: OpenSSL's own settings, as far as they have a meaning here.

use crate::conf::{Directive, Problem, Word};
use crate::config::draft::Paths;
use crate::config::spec::{Contexts, Scope, Spec};
use crate::modules::ssl;
use crate::tls::settings::{File, ServerSettings};

/// Options of OpenSSL that are always on here, or that no peer can observe.
const HARMLESS: [&str; 14] = [
    "-UnsafeLegacyRenegotiation",
    "-UnsafeLegacyServerConnect",
    "-UnsafeRenegotiation",
    "AllowNoDHEKEX",
    "AntiReplay",
    "Bugs",
    "-Compression",
    "ECDHSingle",
    "EncryptThenMac",
    "ExtendedMasterSecret",
    "KTLS",
    "MiddleboxCompat",
    "NoRenegotiation",
    "PrioritizeChaCha",
];

pub(crate) const DIRECTIVES: &[Spec] = &[Spec::set(
    "ssl_conf_command",
    Contexts::HTTP.or(Contexts::SERVER),
    (2, 2),
    apply,
)
.about(
    "`Ciphersuites`, `CipherString`, `Curves`, `Groups`, `MinProtocol`, `MaxProtocol`, \
     `Certificate` with `PrivateKey`, and `Options` that are always on here; any other command is rejected.",
)
.repeats()];

fn apply(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let ssl = scope.settings.of_mut::<ssl::Settings>();
    let (command, value) = (&directive.args[0], &directive.args[1]);
    match command.text.to_ascii_lowercase().as_str() {
        "ciphersuites" => ssl.suites13 = Some(value.text.as_str().into()),
        "cipherstring" => ssl.ciphers = Some(value.text.as_str().into()),
        "curves" | "groups" => ssl.curves = Some(value.text.as_str().into()),
        "minprotocol" => match protocol(command, value)? {
            13 => ssl.tls12 = false,
            0..=12 => {}
            _ => return Err(failed(command, value)),
        },
        "maxprotocol" => match protocol(command, value)? {
            12 => ssl.tls13 = false,
            0 | 13 => {}
            _ => {
                return Err(failed(command, value)
                    .with_help("nothing older than TLS 1.2 is spoken; write TLSv1.2 or TLSv1.3"));
            }
        },
        "options" => set_options(ssl, value)?,
        "certificate" => ssl.override_certificate = Some(file(&scope.draft.paths, value)),
        "privatekey" => ssl.override_key = Some(file(&scope.draft.paths, value)),
        _ => {
            return Err(failed(command, value).with_help(
                "only Ciphersuites, CipherString, Curves, Groups, MinProtocol, MaxProtocol, Options, \
                 Certificate and PrivateKey are supported",
            ));
        }
    }
    if ssl.tls12 || ssl.tls13 {
        return Ok(());
    }
    Err(Problem::emerg(&command.at, "no supported protocol is left"))
}

fn file(paths: &Paths, value: &Word) -> File {
    File::fixed(paths.in_conf(&value.text), value.at.clone())
}

/// 12 for TLS 1.2; 0 is no limit.
fn protocol(command: &Word, value: &Word) -> Result<u8, Problem> {
    match value.text.as_str() {
        "None" => Ok(0),
        "SSLv3" => Ok(3),
        "TLSv1" => Ok(10),
        "TLSv1.1" => Ok(11),
        "TLSv1.2" => Ok(12),
        "TLSv1.3" => Ok(13),
        _ => Err(failed(command, value)),
    }
}

fn set_options(ssl: &mut ServerSettings, value: &Word) -> Result<(), Problem> {
    for option in value.text.split(',') {
        let option = option.trim_start_matches('+');
        match option {
            "ServerPreference" => ssl.prefer_server_ciphers = true,
            "-ServerPreference" => ssl.prefer_server_ciphers = false,
            "SessionTicket" => ssl.session.tickets = true,
            "-SessionTicket" => ssl.session.tickets = false,
            other if HARMLESS.contains(&other) => {}
            other => {
                let message = format!("the option \"{other}\" is not supported");
                return Err(Problem::emerg(&value.at, message).with_help("remove it"));
            }
        }
    }
    Ok(())
}

fn failed(command: &Word, value: &Word) -> Problem {
    let message = format!(
        "SSL_CONF_cmd(\"{}\", \"{}\") failed",
        command.text, value.text
    );
    Problem::emerg(&command.at, message)
}
