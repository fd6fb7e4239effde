//! nginx's `ngx_http_ssl_module`: the directives of TLS. `tls/` carries them out.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::conf::{Directive, Problem, units};
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Effect, MANY, Spec};
use crate::directive::arguments;
use crate::directive::differs;
use crate::directive::value::{Parameter, Value};
use crate::request::Request;
use crate::tls::settings::{CertificateCache, File};

const HTTP_SERVER: Contexts = Contexts::HTTP.or(Contexts::SERVER);

const CERTIFICATE_CACHE: &[(&str, Parameter)] = &[
    ("max", Parameter::Count),
    ("inactive", Parameter::Seconds),
    ("valid", Parameter::Seconds),
];

pub(crate) use crate::tls::settings::ServerSettings as Settings;

impl ModuleSettings for Settings {}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("ssl", HTTP_SERVER, (1, 1), |scope, directive| {
        if arguments::flag(directive)? {
            scope.place.server.ssl_on = true;
            scope.draft.problems.push(Problem::warn(
                &directive.name.at,
                "the \"ssl\" directive is deprecated, use the \"listen ... ssl\" directive instead",
            ));
        }
        Ok(())
    })
    .differs(differs::on, "nginx 1.25.1 and later refuse it; write `listen … ssl`", "ssl-on")
    .default("off")
    .about("`on` makes every `listen` of the server a TLS one; nginx dropped it in 1.25.1."),
    Spec::set(
        "ssl_certificate",
        HTTP_SERVER,
        (1, 1),
        |scope, directive| {
            let file = File::parse_named(directive, scope.draft)?;
            add_file(&mut scope.settings.of_mut::<Settings>().certificates, file, scope.first_here);
            Ok(())
        },
    )
    .differs(names_server, "$ssl_server_name is in lower case while the file is looked for", "certificates-named-by-variables")
    .about("The certificate and its chain (PEM), whose name may have variables; once for each kind of key.")
    .repeats(),
    Spec::set(
        "ssl_certificate_key",
        HTTP_SERVER,
        (1, 1),
        |scope, directive| {
            let file = File::parse_named(directive, scope.draft)?;
            add_file(&mut scope.settings.of_mut::<Settings>().keys, file, scope.first_here);
            Ok(())
        },
    )
    .differs(names_server, "$ssl_server_name is in lower case while the file is looked for", "certificates-named-by-variables")
    .about("The certificate's private key (PEM: PKCS#8, PKCS#1 or SEC1).")
    .repeats(),
    Spec::set(
        "ssl_protocols",
        HTTP_SERVER,
        (1, MANY),
        |scope, directive| {
            let ssl = scope.settings.of_mut::<Settings>();
            let before = (!scope.first_here).then_some((ssl.tls12, ssl.tls13));
            (ssl.tls12, ssl.tls13) = protocols(directive, before, &mut scope.draft.problems)?;
            Ok(())
        },
    )
    .default("TLSv1.2 TLSv1.3")
    .about("Versions of TLS; never older than 1.2.")
    .repeats(),
    Spec::set("ssl_ciphers", HTTP_SERVER, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().ciphers = Some(arguments::first(directive).text.as_str().into());
        Ok(())
    })
    .default("HIGH:!aNULL:!MD5")
    .about("Cipher suites of TLS 1.2, by OpenSSL's names; unknown ones are ignored."),
    Spec::set("ssl_ecdh_curve", HTTP_SERVER, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().curves = Some(arguments::first(directive).text.as_str().into());
        Ok(())
    })
    .default("auto")
    .about("Key exchange groups: `X25519`, `prime256v1`, `secp384r1`, `X25519MLKEM768`."),
    Spec::set(
        "ssl_prefer_server_ciphers",
        HTTP_SERVER,
        (1, 1),
        |scope, directive| {
            scope.settings.of_mut::<Settings>().prefer_server_ciphers = arguments::flag(directive)?;
            Ok(())
        },
    )
    .default("off")
    .about("The server's order of cipher suites decides."),
    Spec::set(
        "ssl_reject_handshake",
        HTTP_SERVER,
        (1, 1),
        |scope, directive| {
            scope.settings.of_mut::<Settings>().reject_handshake = arguments::flag(directive)?;
            Ok(())
        },
    )
    .default("off")
    .about("Ends every handshake of the server with `unrecognized_name`."),
    Spec::set(
        "ssl_password_file",
        HTTP_SERVER,
        (1, 1),
        |scope, directive| {
            scope.settings.of_mut::<Settings>().passwords = Some(File::parse_readable(directive, scope.draft)?);
            Ok(())
        },
    )
    .about("Passwords of encrypted keys (PKCS#8), one a line."),
    Spec::new(
        "ssl_buffer_size",
        HTTP_SERVER,
        (1, 1),
        Effect::Accepted("records are as large as what there is to send, up to 16k"),
    )
    .differs(differs::always, "", "directives-without-effect")
    .takes(Value::Size),
    Spec::set("ssl_dhparam", HTTP_SERVER, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().dhparam = Some(File::parse(directive, scope.draft));
        Ok(())
    })
    .about("Without effect: finite-field key exchange is not offered. The file has to exist.")
    .differs(
        differs::always,
        "finite-field key exchange is not offered",
        "directives-without-effect",
    ),
    Spec::new(
        "ssl_early_data",
        HTTP_SERVER,
        (1, 1),
        Effect::Accepted("early data is never accepted, since it can be replayed"),
    )
    .differs(differs::on, "", "directives-without-effect")
    .takes(Value::Flag),
    Spec::new(
        "ssl_certificate_compression",
        HTTP_SERVER,
        (1, 1),
        Effect::Accepted("certificates are sent as they are"),
    )
    .differs(differs::on, "", "directives-without-effect")
    .takes(Value::Flag),
    Spec::set("ssl_certificate_cache", HTTP_SERVER, (1, 3), |scope, directive| {
        scope.settings.of_mut::<Settings>().certificate_cache = certificate_cache(directive)?;
        Ok(())
    })
    .default("off")
    .about("How many certificates and keys are remembered whose names have variables, and for how long; all others are read once."),
    Spec::new(
        "ssl_engine",
        Contexts::MAIN,
        (1, 1),
        Effect::Refused("keys are files; remove the line"),
    ),
];

impl File {
    pub(super) fn parse(directive: &Directive, draft: &crate::config::draft::ConfigDraft) -> Self {
        let word = arguments::first(directive);
        Self::fixed(draft.paths.in_conf(&word.text), word.at.clone())
    }

    /// A certificate or key, whose name may have variables. In nginx it may also be something other
    /// than a file.
    pub(super) fn parse_named(
        directive: &Directive,
        draft: &mut crate::config::draft::ConfigDraft,
    ) -> Result<Self, Problem> {
        let word = arguments::first(directive);
        let others = ["data:", "engine:", "store:"];
        if others.iter().any(|own| word.text.starts_with(own)) {
            let name = &directive.name.text;
            let message = format!("values that are no file are not supported in \"{name}\"");
            return Err(Problem::emerg(&word.at, message).with_help("write a file"));
        }
        let mut file = Self::parse(directive, draft);
        if word.text.contains('$') {
            file.name = Some(draft.variables.file_name(word)?);
        }
        Ok(file)
    }

    /// A file that must exist when the line is read.
    pub(super) fn parse_readable(
        directive: &Directive,
        draft: &mut crate::config::draft::ConfigDraft,
    ) -> Result<Self, Problem> {
        let file = Self::parse(directive, draft);
        match draft.tls_contents.read(&file.path) {
            Ok(_) => Ok(file),
            Err(source) => {
                let why = crate::conf::reason(&source);
                let message = format!("open() \"{}\" failed ({why})", file.path.display());
                Err(Problem::emerg(&file.at, message))
            }
        }
    }
}

/// The path of a certificate or key whose name may have variables; `None` if it is empty.
pub(crate) fn path_of(file: &File, request: &Request) -> Option<PathBuf> {
    let Some(name) = file.name else {
        return Some(file.path.clone());
    };
    let value = request.config.variables.named_file(name).evaluate(request);
    let path = request.config.conf.join(OsStr::from_bytes(&value));
    (!value.is_empty()).then_some(path)
}

/// Whether a file's name contains the name of SNI.
fn names_server(directive: &Directive) -> bool {
    let mut words = directive.args.iter();
    words.any(|word| differs::uses(word, "ssl_server_name"))
}

/// Reads a list of versions: whether TLS 1.2 and TLS 1.3 are in it, or in those that the block has
/// named before.
pub(super) fn protocols(
    directive: &Directive,
    before: Option<(bool, bool)>,
    problems: &mut Vec<Problem>,
) -> Result<(bool, bool), Problem> {
    let (mut tls12, mut tls13) = before.unwrap_or_default();
    for (index, word) in directive.args.iter().enumerate() {
        let known = ["SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
        let same = |own: &&str| own.eq_ignore_ascii_case(&word.text);
        let version = known.into_iter().find(same);
        let version = version.ok_or_else(|| arguments::unknown_value(word, &known))?;
        let mut before = directive.args[..index].iter();
        if before.any(|other| other.text.eq_ignore_ascii_case(version)) {
            let message = format!("duplicate value \"{}\"", word.text);
            problems.push(Problem::warn(&word.at, message));
        }
        match version {
            "TLSv1.2" => tls12 = true,
            "TLSv1.3" => tls13 = true,
            _ => {
                let message = format!("{version} is not supported and stays off");
                problems.push(Problem::warn(&word.at, message));
            }
        }
    }
    if !tls12 && !tls13 {
        let name = &directive.name;
        return Err(Problem::emerg(&name.at, "no supported protocol is left")
            .with_help(format!("write {} TLSv1.2 TLSv1.3;", name.text)));
    }
    Ok((tls12, tls13))
}

/// Reads `off`, or `max=N [inactive=TIME] [valid=TIME]`, which has been checked.
pub(super) fn certificate_cache(
    directive: &Directive,
) -> Result<Option<CertificateCache>, Problem> {
    Value::Cache(CERTIFICATE_CACHE).check(directive)?;
    let mut cache = CertificateCache {
        most: 0,
        inactive: Duration::from_secs(10),
        valid: Duration::from_secs(60),
    };
    for word in &directive.args {
        let (name, value) = word.text.split_once('=').unwrap_or((&word.text, ""));
        let time = || Duration::from_secs(units::parse_time_s(value).unwrap_or_default());
        match name {
            "max" => cache.most = units::parse_number(value).unwrap_or_default() as usize,
            "inactive" => cache.inactive = time(),
            "valid" => cache.valid = time(),
            _ => return Ok(None),
        }
    }
    Ok(Some(cache))
}

/// Adds to a list that is inherited as a whole or not at all.
pub(super) fn add_file(own: &mut Arc<[File]>, file: File, first_here: bool) {
    let inherited = if first_here { &[] } else { &own[..] };
    *own = inherited.iter().cloned().chain([file]).collect();
}
