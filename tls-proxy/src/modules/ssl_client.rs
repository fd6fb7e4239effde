//! The part of `ngx_http_ssl_module` about client certificates. `tls/client_auth.rs` and
//! `tls/trust.rs` verify them.

use bytes::Bytes;

use crate::conf::{Directive, Problem, units};
use crate::config::spec::{Contexts, Effect, Spec};
use crate::config::{LocationId, ServerId};
use crate::directive::arguments;
use crate::directive::differs;
use crate::directive::value::Value;
use crate::log::level::Level;
use crate::modules::ssl;
use crate::request::Request;
use crate::request::error_log;
use crate::request::response::Refusal;
use crate::tls::settings::{File, Verify};

const HTTP_SERVER: Contexts = Contexts::HTTP.or(Contexts::SERVER);

/// A directive that names one file.
macro_rules! file {
    ($name:literal, $field:ident, $about:literal) => {
        Spec::set($name, HTTP_SERVER, (1, 1), |scope, directive| {
            let file = File::parse(directive, scope.draft);
            scope.settings.of_mut::<ssl::Settings>().client.$field = Some(file);
            Ok(())
        })
        .about($about)
    };
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set(
        "ssl_verify_client",
        HTTP_SERVER,
        (1, 1),
        |scope, directive| {
            let word = arguments::first(directive);
            let client = &mut scope.settings.of_mut::<ssl::Settings>().client;
            client.at = Some(word.at.clone());
            client.verify = arguments::choice(
                word,
                &[
                    ("off", Verify::Off),
                    ("on", Verify::On),
                    ("optional", Verify::Optional),
                    ("optional_no_ca", Verify::OptionalNoCa),
                ],
            )?;
            Ok(())
        },
    )
    .differs(
        differs::not_off,
        "some certificates are verified otherwise than by OpenSSL",
        "client-certificates",
    )
    .default("off")
    .about("Asks clients for certificates; a missing or invalid one gets 400."),
    file!(
        "ssl_client_certificate",
        authorities,
        "Authorities of clients' certificates (PEM); their names are sent to clients."
    ),
    file!(
        "ssl_trusted_certificate",
        trusted,
        "Authorities of clients' certificates (PEM) whose names are not sent to clients."
    ),
    Spec::set(
        "ssl_verify_depth",
        HTTP_SERVER,
        (1, 1),
        |scope, directive| {
            scope.settings.of_mut::<ssl::Settings>().client.depth = arguments::number(directive)?;
            Ok(())
        },
    )
    .default("1")
    .about("Most intermediate certificates between a client's and its authority's."),
    file!(
        "ssl_crl",
        crl,
        "Revoked certificates (PEM): a list of every authority in the chain."
    ),
    Spec::set("ssl_ocsp", HTTP_SERVER, (1, 1), |_, directive| {
        let word = arguments::first(directive);
        if word.text.eq_ignore_ascii_case("off") {
            return Ok(());
        }
        Err(Problem::emerg(&word.at, "\"ssl_ocsp\" can only be \"off\"")
            .with_help("no responder is asked about clients; write ssl_crl instead"))
    })
    .default("off")
    .about("Only `off`: clients' certificates are checked by `ssl_crl`."),
    Spec::new(
        "ssl_ocsp_responder",
        HTTP_SERVER,
        (1, 1),
        Effect::Refused("clients' certificates are checked by `ssl_crl`; write it instead"),
    ),
    Spec::new(
        "ssl_ocsp_cache",
        HTTP_SERVER,
        (1, 1),
        Effect::Accepted("no responder is asked"),
    )
    .differs(differs::not_off, "", "ocsp")
    .takes(Value::Checked(check_ocsp_cache)),
];

/// `off`, or `shared:NAME:SIZE`.
fn check_ocsp_cache(directive: &Directive) -> Result<(), Problem> {
    let word = arguments::first(directive);
    let size = word
        .text
        .strip_prefix("shared:")
        .and_then(|rest| rest.split_once(':'));
    let shared = size.and_then(|(_, size)| units::parse_size(size));
    if word.text == "off" || shared.is_some_and(|size| size >= 8 << 12) {
        return Ok(());
    }
    let message = format!("invalid OCSP cache \"{}\"", word.text);
    Err(Problem::emerg(&word.at, message).with_help("write `off` or `shared:name:10m`"))
}

/// A server that asks for certificates accepts only requests for the name of the handshake, since
/// another name's handshake may ask for other certificates. nginx compares the names, not the
/// servers that have them. Where the handshake had no name, or one that no server has, nginx accepts
/// every request; here the certificate must have been verified as the server of the request says.
/// A request that is refused is again one of the server `before`, that of the handshake.
pub(crate) fn check_name(
    request: &mut Request,
    before: (ServerId, LocationId),
) -> Result<(), Refusal> {
    let Some(tls) = &request.connection.tls else {
        return Ok(());
    };
    let client = &request.settings().of::<ssl::Settings>().client;
    if client.verify == Verify::Off {
        return Ok(());
    }
    let names = &request.listen().names;
    let named = tls.server_name.as_deref().filter(|named| {
        let named = named.to_ascii_lowercase();
        names.find_without_captures(&named).is_some()
    });
    let fits = match named {
        Some(named) => request.host.eq_ignore_ascii_case(named.as_bytes()),
        None => {
            let conn_config = request.connection.conn_config();
            let shaken = &conn_config.settings().of::<ssl::Settings>().client;
            tls.client.is_none() || client.verifies_like(shaken)
        }
    };
    if fits {
        return Ok(());
    }
    let what = "client attempted to request the server name different from the one that was \
                negotiated while reading client request headers";
    error_log::request(request, Level::Info, what);
    return_to(request, before);
    Err(Refusal::closing(421))
}

/// The server of the host has no say in the request: no page, log or limit.
#[cold]
fn return_to(request: &mut Request, before: (ServerId, LocationId)) {
    (request.server, request.location) = before;
    request.host = Bytes::new();
}

/// Whether the client's certificate suffices for the server of its request: nginx rejects here, not
/// in the handshake.
pub(crate) fn check(request: &Request) -> Result<(), Refusal> {
    let Some(tls) = &request.connection.tls else {
        return Ok(());
    };
    let verify = request.settings().of::<ssl::Settings>().client.verify;
    if verify == Verify::Off {
        return Ok(());
    }
    let error = tls.client.as_ref().and_then(|it| it.verdict.err());
    let error = error.filter(|error| verify != Verify::OptionalNoCa || !error.is_about_trust());
    if let Some(error) = error {
        let what = format!(
            "client SSL certificate verify error: ({}:{error}) while reading client request headers",
            error.number()
        );
        error_log::request(request, Level::Info, what);
        return Err(Refusal::closing(495));
    }
    if verify == Verify::On && tls.client.is_none() {
        let what = "client sent no required SSL certificate while reading client request headers";
        error_log::request(request, Level::Info, what);
        return Err(Refusal::closing(496));
    }
    Ok(())
}
