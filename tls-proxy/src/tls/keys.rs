//! Certificates and private keys from PEM files.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::conf::Problem;
use crate::modules::ssl::File;

/// Reads a chain and its key, and checks that they belong together.
///
/// X.509 v1 certificates are fine here as in nginx; so nothing but the public
/// key of the first certificate is looked at.
pub(crate) fn load(certificate: &File, key: &File) -> Result<Arc<CertifiedKey>, Problem> {
    let chain = read_chain(certificate)?;
    let private = read_key(key)?;
    let signer = aws_lc_rs::sign::any_supported_type(&private).map_err(|source| {
        Problem::emerg(
            &key.at,
            format!("cannot load certificate key \"{}\": {source}", key.shown()),
        )
        .with_help("keys are RSA, ECDSA (P-256, P-384, P-521) or Ed25519")
    })?;
    let public = signer.public_key();
    let own = public_key_info(&chain[0]);
    if let (Some(public), Some(own)) = (&public, own)
        && public.as_ref() != own
    {
        let message = format!(
            "certificate \"{}\" and key \"{}\" do not match",
            certificate.shown(),
            key.shown()
        );
        return Err(Problem::emerg(&key.at, message)
            .with_help("the key must be the one the certificate was made for"));
    }
    Ok(Arc::new(CertifiedKey::new(chain, signer)))
}

fn read_chain(file: &File) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let refuse = |why: String, help: &str| {
        let message = format!("cannot load certificate \"{}\": {why}", file.shown());
        Problem::emerg(&file.at, message).with_help(help)
    };
    let text = read(&file.path)
        .map_err(|why| refuse(why, "the file must exist and be readable; run tls/update-tls.sh, or check the Secret's volume"))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|why| refuse(format!("PEM: {why}"), "the file must be PEM text"))?;
    if chain.is_empty() {
        return Err(refuse(
            "no certificate in it".to_owned(),
            "the file must hold \"-----BEGIN CERTIFICATE-----\" and the rest of the chain",
        ));
    }
    if public_key_info(&chain[0]).is_none() {
        return Err(refuse(
            "not an X.509 certificate".to_owned(),
            "the file is damaged",
        ));
    }
    Ok(chain)
}

fn read_key(file: &File) -> Result<PrivateKeyDer<'static>, Problem> {
    let refuse = |why: String, help: &str| {
        let message = format!("cannot load certificate key \"{}\": {why}", file.shown());
        Problem::emerg(&file.at, message).with_help(help)
    };
    let text = read(&file.path).map_err(|why| {
        refuse(
            why,
            "the file must exist and be readable; check the Secret's volume",
        )
    })?;
    let encrypted: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];
    if encrypted
        .iter()
        .any(|mark| memchr::memmem::find(&text, mark).is_some())
    {
        return Err(refuse(
            "the key is encrypted".to_owned(),
            "decrypt it with `openssl pkey -in KEY -out PLAIN`",
        ));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|why| {
        refuse(
            format!("PEM: {why}"),
            "the file must hold a private key (PKCS#8, PKCS#1 or SEC1)",
        )
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|source| describe(&source))
}

/// An operating system error in nginx's form: number, then words.
pub(crate) fn describe(source: &io::Error) -> String {
    let text = source.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    match source.raw_os_error() {
        Some(number) => format!("({number}: {words})"),
        None => format!("({words})"),
    }
}

impl File {
    fn shown(&self) -> std::path::Display<'_> {
        self.path.display()
    }
}

/// The SubjectPublicKeyInfo of a certificate (RFC 5280, section 4.1; in
/// version 1 too): the seventh part of its first part, or the sixth where the
/// version is left out.
fn public_key_info(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (outer, _) = element(certificate).filter(|(it, _)| it.tag == SEQUENCE)?;
    let (body, _) = element(outer.content).filter(|(it, _)| it.tag == SEQUENCE)?;
    let mut rest = body.content;
    let (first, after_first) = element(rest)?;
    if first.tag == VERSION {
        rest = after_first;
    }
    // Serial number, algorithm, issuer, validity, subject.
    for _ in 0..5 {
        rest = element(rest)?.1;
    }
    let (info, _) = element(rest).filter(|(it, _)| it.tag == SEQUENCE)?;
    Some(info.whole)
}

/// One element of DER (X.690).
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
}

fn element(input: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (tag, first) = (*input.first()?, *input.get(1)?);
    let (header, length) = if first < 0x80 {
        (2, usize::from(first))
    } else {
        let count = usize::from(first & 0x7f);
        let digits = input
            .get(2..2 + count)
            .filter(|_| (1..=4).contains(&count))?;
        (
            2 + count,
            digits
                .iter()
                .fold(0, |sum, digit| (sum << 8) | usize::from(*digit)),
        )
    };
    let end = header.checked_add(length)?;
    let whole = input.get(..end)?;
    Some((
        Element {
            tag,
            content: &whole[header..],
            whole,
        },
        &input[end..],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_certificates_have_no_key() {
        for bytes in [
            &b""[..],
            b"\x30",
            b"\x30\x80",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x02\x01\x01",
        ] {
            assert_eq!(public_key_info(bytes), None);
        }
    }
}
