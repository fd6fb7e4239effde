//! A client's certificate for variables (`$ssl_client_*`).

use std::cell::OnceCell;
use std::fmt::Write as _;

use aws_lc_rs::digest;
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

use super::names;
use super::verify_error::VerifyError;
use crate::message::base64;
use crate::time::clock::MONTHS;

/// A client's certificate and the result of its verification.
#[derive(Debug)]
pub(crate) struct ClientCertificate {
    der: CertificateDer<'static>,
    /// The result of verification.
    pub(crate) verdict: Result<(), VerifyError>,
    /// Parsed when a variable first needs it; not kept if it is long.
    text: OnceCell<CertificateText>,
}

/// The longest text that is kept, bytes: the names of a certificate may take several times
/// its size.
const LONG_TEXT: usize = 1024;
/// Memory for a certificate beside its DER, bytes.
pub(super) const CERTIFICATE: u64 = 2048;

/// The parsed certificate.
#[derive(Debug, Default)]
pub(crate) struct CertificateText {
    pub(crate) subject: String,
    pub(crate) issuer: String,
    pub(crate) subject_legacy: String,
    pub(crate) issuer_legacy: String,
    pub(crate) serial: String,
    pub(crate) start: String,
    pub(crate) end: String,
    expires: i64,
}

impl ClientCertificate {
    pub(super) fn new(der: CertificateDer<'static>, verdict: Result<(), VerifyError>) -> Self {
        Self {
            der,
            verdict,
            text: OnceCell::new(),
        }
    }

    /// `$ssl_client_verify`.
    pub(crate) fn verify(&self) -> String {
        match self.verdict {
            Ok(()) => "SUCCESS".to_owned(),
            Err(error) => format!("FAILED:{error}"),
        }
    }

    /// What `read` makes of the parsed certificate, which is empty if it is invalid.
    pub(crate) fn text<T>(&self, read: impl FnOnce(&CertificateText) -> T) -> T {
        if let Some(text) = self.text.get() {
            return read(text);
        }
        let text = CertificateText::of(&self.der).unwrap_or_default();
        if text.len() > LONG_TEXT {
            return read(&text);
        }
        read(self.text.get_or_init(|| text))
    }

    /// `$ssl_client_v_remain`: whole days until it expires.
    pub(crate) fn days(&self) -> i64 {
        let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
        (self.text(|text| text.expires) - now).max(0) / 86_400
    }

    /// `$ssl_client_fingerprint`: SHA-1 in hexadecimal.
    pub(crate) fn fingerprint(&self) -> String {
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.der);
        hex(digest.as_ref())
    }

    /// `$ssl_client_raw_cert`.
    pub(crate) fn pem(&self) -> String {
        let text = base64::encode(&self.der);
        let mut out = String::with_capacity(text.len() + text.len() / 64 + 64);
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in text.as_bytes().chunks(64) {
            out.extend(line.iter().map(|byte| char::from(*byte)));
            out.push('\n');
        }
        out.push_str("-----END CERTIFICATE-----\n");
        out
    }

    /// `$ssl_client_cert`: for a multi-line header field, nginx's old and deprecated form.
    pub(crate) fn folded_pem(&self) -> String {
        self.pem().trim_end().replace('\n', "\n\t")
    }

    /// `$ssl_client_escaped_cert`.
    pub(crate) fn escaped_pem(&self) -> String {
        let mut out = String::new();
        for byte in self.pem().bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    out.push(char::from(byte));
                }
                other => {
                    let _ = write!(out, "%{other:02X}");
                }
            }
        }
        out
    }
}

impl CertificateText {
    fn of(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let validity = parsed.validity();
        Some(Self {
            subject: names::rfc2253(parsed.subject()),
            issuer: names::rfc2253(parsed.issuer()),
            subject_legacy: names::legacy(parsed.subject()),
            issuer_legacy: names::legacy(parsed.issuer()),
            serial: serial(parsed.raw_serial()),
            start: time(&validity.not_before),
            end: time(&validity.not_after),
            expires: validity.not_after.timestamp(),
        })
    }

    fn len(&self) -> usize {
        let names = [&self.subject, &self.issuer];
        let legacy = [&self.subject_legacy, &self.issuer_legacy];
        let others = [&self.serial, &self.start, &self.end];
        let all = names.into_iter().chain(legacy).chain(others);
        all.map(String::len).sum()
    }
}

/// An INTEGER of any length, in hexadecimal.
fn serial(bytes: &[u8]) -> String {
    let bytes = match bytes {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    hex(bytes).to_ascii_uppercase()
}

/// A time as OpenSSL prints it: `Nov  2 21:00:00 2026 GMT`.
fn time(time: &ASN1Time) -> String {
    let at = time.to_datetime();
    let month = MONTHS[usize::from(u8::from(at.month())) - 1];
    format!(
        "{month} {:2} {:02}:{:02}:{:02} {} GMT",
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.year()
    )
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_lose_the_sign_byte_alone() {
        assert_eq!(serial(&[0, 0xab, 0]), "AB00");
        assert_eq!(serial(&[0]), "00");
    }
}
