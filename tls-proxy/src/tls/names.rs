//! Distinguished names as text: RFC 2253 (`$ssl_client_s_dn`) and the older form with
//! slashes (`$ssl_client_s_dn_legacy`).

use std::fmt::Write as _;

use x509_parser::prelude::X509Name;
use x509_parser::x509::AttributeTypeAndValue;

/// Attribute types and OpenSSL's names for them.
const TYPES: [(&str, &str); 26] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.97", "organizationIdentifier"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("1.3.6.1.4.1.311.60.2.1.3", "jurisdictionC"),
    ("1.3.6.1.4.1.311.60.2.1.2", "jurisdictionST"),
];

/// The name in the form of RFC 2253, last part first.
pub(super) fn rfc2253(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let mut out = String::new();
    for (index, part) in parts.iter().rev().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let attributes: Vec<_> = part.iter().collect();
        for (index, attribute) in attributes.iter().rev().enumerate() {
            if index > 0 {
                out.push('+');
            }
            write_attribute(attribute, &mut out);
        }
    }
    out
}

/// The name in its own order, each part after a slash (or `+` within a multi-valued part).
pub(super) fn legacy(name: &X509Name<'_>) -> String {
    let mut out = String::new();
    let parts = name.iter_rdn().flat_map(|part| part.iter().enumerate());
    for (index, attribute) in parts {
        let id = attribute.attr_type().to_id_string();
        let mark = if index == 0 { '/' } else { '+' };
        let _ = write!(out, "{mark}{}=", short(&id).unwrap_or(&id));
        for byte in attribute.attr_value().data {
            match byte {
                b' '..=b'~' => out.push(char::from(*byte)),
                other => {
                    let _ = write!(out, "\\x{other:02X}");
                }
            }
        }
    }
    out
}

fn short(id: &str) -> Option<&'static str> {
    TYPES
        .iter()
        .find(|(own, _)| *own == id)
        .map(|(_, name)| *name)
}

fn write_attribute(attribute: &AttributeTypeAndValue<'_>, out: &mut String) {
    let id = attribute.attr_type().to_id_string();
    let name = short(&id);
    let _ = write!(out, "{}=", name.unwrap_or(&id));
    match text(attribute).filter(|_| name.is_some()) {
        Some(text) => escape(&text, out),
        None => dump(attribute, out),
    }
}

/// The text of the value, if it is of a string type.
fn text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let value = attribute.attr_value();
    let bytes = value.data;
    match value.tag().0 {
        // UTF8String, NumericString, PrintableString, IA5String, VisibleString.
        12 | 18 | 19 | 22 | 26 => String::from_utf8(bytes.to_vec()).ok(),
        // TeletexString, in practice ISO 8859-1.
        20 => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
        // BMPString.
        30 => {
            let (units, rest) = bytes.as_chunks::<2>();
            let units = units.iter().map(|pair| u16::from_be_bytes(*pair));
            let text: Result<String, _> = char::decode_utf16(units).collect();
            text.ok().filter(|_| rest.is_empty())
        }
        _ => None,
    }
}

/// RFC 2253, section 2.4; bytes beyond ASCII are escaped, too.
fn escape(text: &str, out: &mut String) {
    let last = text.len().saturating_sub(1);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' ' if index == 0 || index == last => out.push_str("\\ "),
            b'#' if index == 0 => out.push_str("\\#"),
            b' '..=b'~' => out.push(char::from(byte)),
            other => {
                let _ = write!(out, "\\{other:02X}");
            }
        }
    }
}

/// A value of another type: its DER in hexadecimal.
fn dump(attribute: &AttributeTypeAndValue<'_>, out: &mut String) {
    let value = attribute.attr_value();
    let (tag, length) = (value.tag().0 & 0x1f, value.data.len());
    let _ = write!(out, "#{tag:02X}");
    let _ = match length {
        0..=0x7f => write!(out, "{length:02X}"),
        0x80..=0xff => write!(out, "81{length:02X}"),
        _ => write!(out, "82{length:04X}"),
    };
    for byte in value.data {
        let _ = write!(out, "{byte:02X}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_escaped() {
        for (text, written) in [
            ("a, b", "a\\, b"),
            (" a ", "\\ a\\ "),
            ("#1", "\\#1"),
            ("ä\n", "\\C3\\A4\\0A"),
            ("a+b=<c>;\"\\", "a\\+b=\\<c\\>\\;\\\"\\\\"),
        ] {
            let mut out = String::new();
            escape(text, &mut out);
            assert_eq!(out, written);
        }
    }
}
