//! Cipher suites and key exchange groups by OpenSSL's names.

use rustls::SupportedCipherSuite;
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs;
use rustls::crypto::aws_lc_rs::{cipher_suite as suite, kx_group};

use super::{cipher_list, suites};
use crate::conf::{Position, Problem};
use crate::tls::settings::ServerSettings;

const TLS12_SUITES: [(&str, SupportedCipherSuite); 6] = [
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "ECDHE-RSA-AES128-GCM-SHA256",
        suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "ECDHE-RSA-AES256-GCM-SHA384",
        suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "ECDHE-RSA-CHACHA20-POLY1305",
        suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// The TLS 1.3 suites, and the TLS 1.2 suites selected by `ssl_ciphers`, in its order.
pub(super) fn cipher_suites(
    ssl: &ServerSettings,
    at: &Position,
    problems: &mut Vec<Problem>,
) -> Result<Vec<SupportedCipherSuite>, Problem> {
    let mut all = suites::all();
    if let Some(list) = &ssl.suites13 {
        let tls12: Vec<_> = all
            .into_iter()
            .filter(|suite| suite.tls13().is_none())
            .collect();
        all = tls13_suites(list, at, problems)?;
        all.extend(tls12);
    }
    let Some(list) = &ssl.ciphers else {
        return Ok(all);
    };
    let help = "write ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256";
    let selected = cipher_list::select(list).ok_or_else(|| {
        let message = format!("SSL_CTX_set_cipher_list(\"{list}\") failed: it selects nothing");
        Problem::emerg(at, message).with_help(help)
    })?;
    let known = |name| TLS12_SUITES.iter().find(|(own, _)| *own == name);
    let known: Vec<_> = selected.into_iter().filter_map(known).collect();
    if known.is_empty() && ssl.tls12 {
        let message = "no supported cipher suite is left by \"ssl_ciphers\"";
        if !ssl.tls13 {
            return Err(Problem::emerg(at, message).with_help(help));
        }
        problems.push(Problem::warn(
            at,
            format!("{message}: TLS 1.2 is not spoken"),
        ));
    }
    let tls13 = all.into_iter().filter(|suite| suite.tls13().is_some());
    Ok(tls13.chain(known.iter().map(|(_, suite)| *suite)).collect())
}

const TLS13_SUITES: [(&str, SupportedCipherSuite); 3] = [
    ("TLS_AES_128_GCM_SHA256", suites::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", suites::TLS13_AES_256_GCM_SHA384),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        suites::TLS13_CHACHA20_POLY1305_SHA256,
    ),
];

/// `ssl_conf_command Ciphersuites`.
fn tls13_suites(
    list: &str,
    at: &Position,
    problems: &mut Vec<Problem>,
) -> Result<Vec<SupportedCipherSuite>, Problem> {
    let mut named = Vec::new();
    for word in list.split(':').filter(|word| !word.is_empty()) {
        match TLS13_SUITES.iter().find(|(name, _)| *name == word) {
            Some((_, suite)) => named.push(*suite),
            None => {
                let message = format!("cipher suite \"{word}\" is not supported and left out");
                problems.push(Problem::warn(at, message));
            }
        }
    }
    if named.is_empty() {
        return Err(
            Problem::emerg(at, "no supported cipher suite is left by \"Ciphersuites\"")
                .with_help("write TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"),
        );
    }
    Ok(named)
}

/// Groups that OpenSSL has and rustls has not: they are left out.
const FOREIGN_GROUPS: [&str; 9] = [
    "x448",
    "secp521r1",
    "p-521",
    "secp256k1",
    "secp224r1",
    "p-224",
    "ffdhe2048",
    "ffdhe3072",
    "ffdhe4096",
];

/// The groups of `list` (`ssl_ecdh_curve`).
pub(super) fn groups(
    list: Option<&str>,
    at: &Position,
    problems: &mut Vec<Problem>,
) -> Result<Vec<&'static dyn SupportedKxGroup>, Problem> {
    let all = aws_lc_rs::default_provider().kx_groups;
    let Some(list) = list.filter(|list| *list != "auto") else {
        return Ok(all);
    };
    let mut groups: Vec<&'static dyn SupportedKxGroup> = Vec::new();
    for name in list.split(':') {
        match name.to_ascii_lowercase().as_str() {
            "x25519" => groups.push(kx_group::X25519),
            "prime256v1" | "p-256" | "secp256r1" => groups.push(kx_group::SECP256R1),
            "secp384r1" | "p-384" => groups.push(kx_group::SECP384R1),
            "x25519mlkem768" => groups.push(kx_group::X25519MLKEM768),
            other if is_foreign(other) => {
                let message = format!("curve \"{name}\" is not supported and left out");
                problems.push(Problem::warn(at, message));
            }
            _ => {
                let message = format!("SSL_CTX_set1_curves_list(\"{list}\") failed: \"{name}\"");
                return Err(Problem::emerg(at, message)
                    .with_help("write X25519:prime256v1:secp384r1, or auto"));
            }
        }
    }
    if groups.is_empty() {
        return Err(
            Problem::emerg(at, "no supported curve is left by \"ssl_ecdh_curve\"")
                .with_help("write X25519:prime256v1:secp384r1, or auto"),
        );
    }
    Ok(groups)
}

fn is_foreign(name: &str) -> bool {
    FOREIGN_GROUPS.contains(&name) || name.starts_with("brainpool") || name.starts_with("sect")
}
