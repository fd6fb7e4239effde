//! What a request may say (RFC 9110, RFC 9112, RFC 9113), decided as nginx does.

use super::head::{Framing, Limits, RequestHead, Version};
use crate::http1::request_head::Rejection;

impl Limits {
    /// Whether a field's name is one that nginx does not call invalid.
    pub(crate) fn is_regular(&self, name: &[u8]) -> bool {
        name.iter().all(|byte| {
            byte.is_ascii_alphanumeric() || *byte == b'-' || (self.underscores && *byte == b'_')
        })
    }
}

impl RequestHead {
    /// Checks what the fields say together (RFC 9112, sections 3.2 and 6.3)
    /// and finds the body's end.
    pub(crate) fn framing(&self) -> Result<Framing, Rejection> {
        let refuse = |status, reason: &str| Rejection {
            status,
            reason: reason.to_owned().into(),
            line: self.line.clone(),
            version: self.version,
        };
        self.check_unique(&refuse)?;
        if self.version == Version::Http11 && self.fields.first(b"host").is_none() {
            return Err(refuse(
                400,
                "client sent HTTP/1.1 request without \"Host\" header",
            ));
        }
        let coding = self.fields.first(b"transfer-encoding");
        let length = match self.fields.first(b"content-length") {
            Some(value) => Some(
                parse_length(value)
                    .ok_or_else(|| refuse(400, "client sent invalid \"Content-Length\" header"))?,
            ),
            None => None,
        };
        match (coding, length) {
            (Some(_), _) if self.version < Version::Http11 => Err(refuse(
                400,
                "client sent HTTP/1.0 request with \"Transfer-Encoding\" header",
            )),
            (Some(_), Some(_)) => Err(refuse(
                400,
                "client sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time",
            )),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            (Some(_), None) => Err(refuse(501, "client sent unknown \"Transfer-Encoding\"")),
            (None, Some(length)) => Ok(Framing::Length(length)),
            (None, None) => Ok(Framing::None),
        }
    }

    /// Fields that may stand once only.
    fn check_unique(&self, refuse: &dyn Fn(u16, &str) -> Rejection) -> Result<(), Rejection> {
        const UNIQUE: [&[u8]; 13] = [
            b"host",
            b"content-length",
            b"transfer-encoding",
            b"content-type",
            b"content-range",
            b"range",
            b"if-modified-since",
            b"if-unmodified-since",
            b"if-match",
            b"if-none-match",
            b"if-range",
            b"authorization",
            b"expect",
        ];
        for name in UNIQUE {
            if self.fields.repeats(name) {
                let name = String::from_utf8_lossy(name);
                return Err(refuse(
                    400,
                    &format!("client sent duplicate header line: \"{name}\""),
                ));
            }
        }
        Ok(())
    }
}

/// A decimal number of bytes and nothing else.
pub(crate) fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}
