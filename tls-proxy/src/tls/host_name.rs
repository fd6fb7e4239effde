//! Whether a certificate is for a host name (RFC 6125, as in OpenSSL).

use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};

/// Whether `name` is among the certificate's DNS alternative names or, if it has none, its
/// common name.
pub(super) fn is_for(der: &[u8], name: &str) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return false;
    };
    let mut has_names = false;
    for extension in certificate.extensions() {
        let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() else {
            continue;
        };
        for own in &names.general_names {
            if let GeneralName::DNSName(pattern) = own {
                has_names = true;
                if matches(pattern, name) {
                    return true;
                }
            }
        }
    }
    let mut common = certificate.subject().iter_common_name();
    !has_names && common.any(|own| own.as_str().is_ok_and(|own| matches(own, name)))
}

/// `*` matches one whole label, the first, if two others follow.
fn matches(pattern: &str, name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    if pattern.eq_ignore_ascii_case(name) {
        return !name.is_empty();
    }
    let (Some(suffix), Some((first, rest))) = (pattern.strip_prefix("*."), name.split_once('.'))
    else {
        return false;
    };
    !first.is_empty() && suffix.contains('.') && suffix.eq_ignore_ascii_case(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_label() {
        for (pattern, name) in [
            ("a.example", "A.example"),
            ("*.example.com", "a.example.com"),
            ("a.example", "a.example."),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.example.com", "example.com"),
            ("*.example.com", "a.b.example.com"),
            ("*.com", "a.com"),
            ("a*.example.com", "ab.example.com"),
            ("", ""),
            ("*.example.com", ".example.com"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
