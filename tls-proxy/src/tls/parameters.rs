//! Cipher suites and key exchange groups, from OpenSSL's names for them.

use rustls::SupportedCipherSuite;
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs;
use rustls::crypto::aws_lc_rs::{cipher_suite as suite, kx_group};

use crate::conf::{Position, Problem};
use crate::modules::ssl::Settings;

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

/// The suites of TLS 1.3, and those of TLS 1.2 that `ssl_ciphers` leaves. A
/// list of OpenSSL's keywords alone (`HIGH:!aNULL`) leaves them all: none of
/// the suites here is weak.
pub(super) fn cipher_suites(
    ssl: &Settings,
    at: &Position,
    problems: &mut Vec<Problem>,
) -> Result<Vec<SupportedCipherSuite>, Problem> {
    let mut all = aws_lc_rs::default_provider().cipher_suites;
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
    let mut named = Vec::new();
    let mut missing = Vec::new();
    for word in list.split([':', ' ', ',']).filter(|word| !word.is_empty()) {
        match TLS12_SUITES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(word))
        {
            Some((_, suite)) => named.push(*suite),
            // A name of a suite has at least two hyphens and no operator.
            None if word.matches('-').count() >= 2 && !word.starts_with(['!', '-', '+']) => {
                missing.push(word);
            }
            None => {}
        }
    }
    if !missing.is_empty() && ssl.tls12 {
        let message = format!(
            "cipher suites that are not supported are left out: {}",
            missing.join(":")
        );
        problems.push(Problem::warn(at, message));
    }
    if named.is_empty() && missing.is_empty() {
        return Ok(all);
    }
    if named.is_empty() && !ssl.tls13 {
        return Err(
            Problem::emerg(at, "no supported cipher suite is left by \"ssl_ciphers\"")
                .with_help("write ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"),
        );
    }
    let tls13 = all.into_iter().filter(|suite| suite.tls13().is_some());
    Ok(tls13.chain(named).collect())
}

const TLS13_SUITES: [(&str, SupportedCipherSuite); 3] = [
    ("TLS_AES_128_GCM_SHA256", suite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", suite::TLS13_AES_256_GCM_SHA384),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        suite::TLS13_CHACHA20_POLY1305_SHA256,
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

pub(super) fn groups(
    ssl: &Settings,
    at: &Position,
    problems: &mut Vec<Problem>,
) -> Result<Vec<&'static dyn SupportedKxGroup>, Problem> {
    let all = aws_lc_rs::default_provider().kx_groups;
    let Some(list) = ssl.curves.as_deref().filter(|list| *list != "auto") else {
        return Ok(all);
    };
    let mut groups: Vec<&'static dyn SupportedKxGroup> = Vec::new();
    for name in list.split(':') {
        match name.to_ascii_lowercase().as_str() {
            "x25519" => groups.push(kx_group::X25519),
            "prime256v1" | "p-256" | "secp256r1" => groups.push(kx_group::SECP256R1),
            "secp384r1" | "p-384" => groups.push(kx_group::SECP384R1),
            "x25519mlkem768" => groups.push(kx_group::X25519MLKEM768),
            _ => {
                let message = format!("curve \"{name}\" is not supported and left out");
                problems.push(Problem::warn(at, message));
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
