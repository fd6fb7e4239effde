//! Certificates and private keys from PEM files.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::der::{SEQUENCE, element};
use super::encrypted_key;
use super::files::Files;
use super::pem;
use crate::conf::Problem;
use crate::tls::settings::File;

/// Loads a chain and its key, and checks that they match.
///
/// As in nginx, X.509 v1 certificates are accepted; only the public key of the first
/// certificate is used.
pub(crate) fn load(
    certificate: &File,
    key: &File,
    passwords: Option<&File>,
    files: &mut Files,
) -> Result<CertifiedKey, Problem> {
    let chain = read_chain(certificate, files)?;
    let private = read_key(key, passwords, files)?;
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
    Ok(CertifiedKey::new(chain, signer))
}

fn read_chain(file: &File, files: &mut Files) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let refuse = |why: String, help: &str| {
        let message = format!("cannot load certificate \"{}\": {why}", file.shown());
        Problem::emerg(&file.at, message).with_help(help)
    };
    let text = read(files, &file.path)
        .map_err(|why| refuse(why, "the file must exist and be readable; run tls/update-tls.sh, or check the Secret's volume"))?;
    let chain = pem::certificates(&text)
        .map_err(|why| refuse(pem::describe(&why), "the file must be PEM text"))?;
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

fn read_key(
    file: &File,
    passwords: Option<&File>,
    files: &mut Files,
) -> Result<PrivateKeyDer<'static>, Problem> {
    let refuse = |why: String, help: &str| {
        let message = format!("cannot load certificate key \"{}\": {why}", file.shown());
        Problem::emerg(&file.at, message).with_help(help)
    };
    let text = read(files, &file.path).map_err(|why| {
        refuse(
            why,
            "the file must exist and be readable; check the Secret's volume",
        )
    })?;
    if contains(&text, b"Proc-Type: 4,ENCRYPTED") {
        return Err(refuse(
            "it is encrypted in OpenSSL's old way, with MD5".to_owned(),
            "convert it with `openssl pkcs8 -topk8 -in KEY -out NEW`",
        ));
    }
    if is_encrypted(&text) {
        return decrypt(&text, passwords, files)
            .map_err(|why| refuse(why, "check ssl_password_file, or convert the key with `openssl pkcs8 -topk8 -v2 aes-256-cbc`"));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|why| {
        refuse(
            pem::describe(&why),
            "the file must hold a private key (PKCS#8, PKCS#1 or SEC1)",
        )
    })
}

/// Whether the PEM text of a key is encrypted.
pub(super) fn is_encrypted(text: &[u8]) -> bool {
    contains(text, b"BEGIN ENCRYPTED PRIVATE KEY")
}

fn contains(text: &[u8], mark: &[u8]) -> bool {
    memchr::memmem::find(text, mark).is_some()
}

/// Both kinds that OpenSSL reads: `openssl dhparam -dsaparam` writes the second.
const DH_PARAMETERS: [&[u8]; 2] = [
    b"-----BEGIN DH PARAMETERS-----",
    b"-----BEGIN X9.42 DH PARAMETERS-----",
];

/// Whether `ssl_dhparam` names what nginx could read; finite-field key
/// exchange itself is not offered.
pub(super) fn check_parameters(file: &File, files: &mut Files) -> Result<(), Problem> {
    let path = file.path.display();
    let refuse = |why: String| {
        let message = format!("cannot load DH parameters \"{path}\": {why}");
        Err(Problem::emerg(&file.at, message).with_help("remove the line; they are not used here"))
    };
    match files.read(&file.path) {
        Err(source) => refuse(describe(&source)),
        Ok(text) if DH_PARAMETERS.iter().any(|mark| contains(&text, mark)) => Ok(()),
        Ok(_) => refuse("no DH PARAMETERS in it".to_owned()),
    }
}

/// Decrypts a PKCS#8 key with one of the lines of a password file.
fn decrypt(
    text: &[u8],
    passwords: Option<&File>,
    files: &mut Files,
) -> Result<PrivateKeyDer<'static>, String> {
    let Some(file) = passwords else {
        return Err("the key is encrypted and there is no \"ssl_password_file\"".to_owned());
    };
    let lines = read(files, &file.path).map_err(|why| format!("\"{}\" {why}", file.shown()))?;
    let lines: Vec<Vec<u8>> = lines
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec())
        .collect();
    // The PEM parser reads only the labels of plain keys; the structure is the same.
    let text = String::from_utf8_lossy(text).replace("ENCRYPTED PRIVATE KEY", "PRIVATE KEY");
    let sealed =
        PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|why| pem::describe(&why))?;
    let plain =
        encrypted_key::decrypt(sealed.secret_pkcs8_der(), &lines).map_err(|why| why.to_string())?;
    Ok(PrivatePkcs8KeyDer::from(plain).into())
}

fn read(files: &mut Files, path: &Path) -> Result<Arc<[u8]>, String> {
    files.read(path).map_err(|source| describe(&source))
}

/// An operating system error in nginx's form: number, then text.
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

/// The SubjectPublicKeyInfo of a certificate (RFC 5280, section 4.1; also version 1): the
/// seventh element of the TBSCertificate, or the sixth without a version.
pub(super) fn public_key_info(certificate: &[u8]) -> Option<&[u8]> {
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
