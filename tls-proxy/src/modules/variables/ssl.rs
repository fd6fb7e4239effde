//! nginx's variables of `ngx_http_ssl_module`.

use rustls::{CipherSuite, NamedGroup, SignatureScheme};

use super::{Evaluate, write};
use crate::request::Request;
use crate::tls::accept::{TlsInfo, curve_name, openssl_name};
use crate::tls::client_certificate::{CertificateText, ClientCertificate};

/// Name and value of every variable.
pub(super) const TABLE: &[(&str, Evaluate)] = &[
    ("ssl_alpn_protocol", |request, out| {
        let alpn = tls(request).and_then(|tls| tls.alpn.as_deref());
        write(alpn, out)
    }),
    ("ssl_cipher", |request, out| {
        write(tls(request).map(|tls| tls.cipher.as_bytes()), out)
    }),
    ("ssl_ciphers", |request, out| {
        let offered = tls(request).map(|tls| &tls.offered.ciphers[..]);
        list(offered.unwrap_or_default(), cipher, out)
    }),
    ("ssl_client_cert", |request, out| {
        shown(request, out, ClientCertificate::folded_pem)
    }),
    ("ssl_client_escaped_cert", |request, out| {
        shown(request, out, ClientCertificate::escaped_pem)
    }),
    ("ssl_client_fingerprint", |request, out| {
        shown(request, out, ClientCertificate::fingerprint)
    }),
    ("ssl_client_i_dn", |request, out| {
        text(request, out, |text| &text.issuer)
    }),
    ("ssl_client_i_dn_legacy", |request, out| {
        text(request, out, |text| &text.issuer_legacy)
    }),
    ("ssl_client_raw_cert", |request, out| {
        shown(request, out, ClientCertificate::pem)
    }),
    ("ssl_client_s_dn", |request, out| {
        text(request, out, |text| &text.subject)
    }),
    ("ssl_client_s_dn_legacy", |request, out| {
        text(request, out, |text| &text.subject_legacy)
    }),
    ("ssl_client_serial", |request, out| {
        text(request, out, |text| &text.serial)
    }),
    // rustls does not report it, nor did OpenSSL before 3.5.
    ("ssl_client_sigalg", |_, _| false),
    ("ssl_client_v_end", |request, out| {
        text(request, out, |text| &text.end)
    }),
    ("ssl_client_v_remain", |request, out| {
        shown(request, out, |client| client.days().to_string())
    }),
    ("ssl_client_v_start", |request, out| {
        text(request, out, |text| &text.start)
    }),
    ("ssl_client_verify", |request, out| {
        let verify = tls(request).map(|tls| match &tls.client {
            Some(client) => client.verify(),
            None => "NONE".to_owned(),
        });
        write(verify.as_deref().map(str::as_bytes), out)
    }),
    ("ssl_curve", |request, out| {
        write(tls(request).map(|tls| tls.curve.as_bytes()), out)
    }),
    ("ssl_curves", |request, out| {
        let offered = tls(request).map(|tls| &tls.offered.curves[..]);
        list(offered.unwrap_or_default(), curve, out)
    }),
    // Early data is never accepted.
    ("ssl_early_data", |_, _| false),
    // Encrypted ClientHello is supported neither here nor by nginx with OpenSSL 3.
    ("ssl_ech_outer_server_name", |_, _| false),
    ("ssl_ech_status", |_, _| false),
    ("ssl_protocol", |request, out| {
        write(tls(request).map(|tls| tls.protocol.as_bytes()), out)
    }),
    ("ssl_server_name", |request, out| {
        let name = tls(request).and_then(|tls| tls.server_name.as_deref());
        write(name.map(str::as_bytes), out)
    }),
    // rustls does not report it.
    ("ssl_session_id", |_, _| false),
    ("ssl_session_reused", |request, out| {
        let reused = tls(request).map(|tls| tls.reused);
        write(
            reused.map(|reused| if reused { &b"r"[..] } else { b"." }),
            out,
        )
    }),
    ("ssl_sigalg", |request, out| {
        let scheme = tls(request).and_then(|tls| tls.scheme);
        write(scheme.and_then(scheme_name).map(str::as_bytes), out)
    }),
    // Numbers, as in nginx with OpenSSL 3.
    ("ssl_sigalgs", |request, out| {
        let offered = tls(request).map(|tls| &tls.offered.schemes[..]);
        list(offered.unwrap_or_default(), number, out)
    }),
];

fn tls(request: &Request) -> Option<&TlsInfo> {
    request.connection.tls.as_ref()
}

fn client(request: &Request) -> Option<&ClientCertificate> {
    tls(request)?.client.as_deref()
}

fn shown(request: &Request, out: &mut Vec<u8>, tell: fn(&ClientCertificate) -> String) -> bool {
    let value = client(request).map(tell);
    write(value.as_deref().map(str::as_bytes), out)
}

fn text(request: &Request, out: &mut Vec<u8>, field: fn(&CertificateText) -> &String) -> bool {
    client(request).is_some_and(|it| it.text(|text| write(Some(field(text).as_bytes()), out)))
}

/// Names with colons between them.
fn list(items: &[u16], name: fn(u16) -> String, out: &mut Vec<u8>) -> bool {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b':');
        }
        out.extend_from_slice(name(*item).as_bytes());
    }
    !items.is_empty()
}

/// OpenSSL's name, or the number where it has none.
fn cipher(suite: u16) -> String {
    match CipherSuite::from(suite).as_str() {
        Some(name) if name.ends_with("SCSV") => name.to_owned(),
        Some(name) => openssl_name(name),
        None => number(suite),
    }
}

fn curve(group: u16) -> String {
    match NamedGroup::from(group).as_str() {
        Some(name) => curve_name(name),
        None => number(group),
    }
}

fn number(number: u16) -> String {
    format!("0x{number:04x}")
}

/// The name of RFC 8446, section 4.2.3.
fn scheme_name(scheme: SignatureScheme) -> Option<&'static str> {
    Some(match scheme {
        SignatureScheme::ECDSA_NISTP256_SHA256 => "ecdsa_secp256r1_sha256",
        SignatureScheme::ECDSA_NISTP384_SHA384 => "ecdsa_secp384r1_sha384",
        SignatureScheme::ECDSA_NISTP521_SHA512 => "ecdsa_secp521r1_sha512",
        SignatureScheme::ED25519 => "ed25519",
        SignatureScheme::RSA_PSS_SHA256 => "rsa_pss_rsae_sha256",
        SignatureScheme::RSA_PSS_SHA384 => "rsa_pss_rsae_sha384",
        SignatureScheme::RSA_PSS_SHA512 => "rsa_pss_rsae_sha512",
        SignatureScheme::RSA_PKCS1_SHA256 => "rsa_pkcs1_sha256",
        SignatureScheme::RSA_PKCS1_SHA384 => "rsa_pkcs1_sha384",
        SignatureScheme::RSA_PKCS1_SHA512 => "rsa_pkcs1_sha512",
        _ => return None,
    })
}
