//! Error messages about PEM text. They never contain its content, which may be a private
//! key: if its line ends were lost, it is a single line.

use std::borrow::Cow;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error, PemObject as _};

use super::der;

/// The certificates of a file, also trusted certificates of OpenSSL (`openssl x509
/// -trustout`), whose second part lists purposes, and those with the oldest label.
pub(super) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let mut text = Cow::Borrowed(text);
    let mut is_odd = false;
    for name in ["TRUSTED CERTIFICATE-----", "X509 CERTIFICATE-----"] {
        if memchr::memmem::find(&text, name.as_bytes()).is_some() {
            let plain = String::from_utf8_lossy(&text).replace(name, "CERTIFICATE-----");
            (text, is_odd) = (Cow::Owned(plain.into_bytes()), true);
        }
    }
    let found = CertificateDer::pem_slice_iter(&text);
    let own_half = |certificate: CertificateDer<'static>| match der::element(&certificate) {
        Some((half, rest)) if is_odd && !rest.is_empty() => half.whole.to_vec().into(),
        _ => certificate,
    };
    found.map(|found| found.map(own_half)).collect()
}

/// A message for the log.
pub(super) fn describe(error: &Error) -> String {
    let error = match error {
        Error::MissingSectionEnd { .. } => {
            "\"-----BEGIN …-----\" without \"-----END …-----\" on a line of its own"
        }
        Error::IllegalSectionStart { .. } => {
            "\"-----BEGIN\" on a line that does not end with \"-----\""
        }
        Error::Base64Decode(_) => "no Base64 between BEGIN and END",
        Error::NoItemsFound => "nothing of this kind in it",
        other => return format!("PEM: {other}"),
    };
    format!("PEM: {error}")
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    fn message_of(text: &str) -> String {
        describe(&PrivateKeyDer::from_pem_slice(text.as_bytes()).unwrap_err())
    }

    #[test]
    fn no_part_of_a_key_is_shown() {
        let key = "MIGHAgEAMBMGByqGSM49";
        for text in [
            format!("-----BEGIN PRIVATE KEY----- {key} -----END PRIVATE KEY-----\n"),
            format!("-----BEGIN PRIVATE KEY----- {key}\n"),
            format!("-----BEGIN PRIVATE KEY-----\n{key}\n"),
            format!("-----BEGIN PRIVATE KEY-----\n{key}!\n-----END PRIVATE KEY-----\n"),
            key.to_owned(),
        ] {
            let said = message_of(&text);
            let leaks = |bytes: &str| {
                let numbers: Vec<_> = bytes.bytes().map(|byte| byte.to_string()).collect();
                said.contains(bytes) || said.contains(&numbers.join(", "))
            };
            assert!(!leaks("MIG"), "{said}");
        }
    }

    #[test]
    fn the_flaw_is_said_in_words() {
        assert_eq!(
            message_of("-----BEGIN PRIVATE KEY-----\nAAAA\n"),
            "PEM: \"-----BEGIN …-----\" without \"-----END …-----\" on a line of its own"
        );
        assert_eq!(message_of("nothing"), "PEM: nothing of this kind in it");
    }
}
