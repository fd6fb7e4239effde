//! Whether a certificate is for a host name (as in OpenSSL; RFC 6125).

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

/// Whether a certificate with `pattern` is for `name`: the same, or with a `*` in the first label. A name that begins
/// with a dot matches nothing; in OpenSSL it matches every name below it.
fn matches(pattern: &str, name: &str) -> bool {
    if name.is_empty() || name.starts_with('.') {
        return false;
    }
    let Some((before, after)) = pattern.split_once('*').filter(|_| has_star(pattern)) else {
        return pattern.eq_ignore_ascii_case(name);
    };
    let whole_label = before.is_empty() && after.starts_with('.');
    let inside = strip(name.as_bytes(), before.as_bytes(), after.as_bytes());
    let Some(inside) = inside.filter(|inside| !whole_label || !inside.is_empty()) else {
        return false;
    };
    if !whole_label && is_international(name) {
        return false;
    }
    let permitted = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    inside == b"*" || inside.iter().all(permitted)
}

/// What is between `before` and `after` in `name`.
fn strip<'a>(name: &'a [u8], before: &[u8], after: &[u8]) -> Option<&'a [u8]> {
    let (first, rest) = name.split_at_checked(before.len())?;
    let (inside, last) = rest.split_at_checked(rest.len().checked_sub(after.len())?)?;
    (first.eq_ignore_ascii_case(before) && last.eq_ignore_ascii_case(after)).then_some(inside)
}

/// Whether a pattern has one `*`, at the begin or the end of the first of three labels or more, and is a host name
/// otherwise.
fn has_star(pattern: &str) -> bool {
    let mut labels = pattern.split('.');
    let first = labels.next().unwrap_or_default();
    let Some((before, after)) = first.split_once('*') else {
        return false;
    };
    let at_one_end = before.is_empty() || after.is_empty();
    let text = [before, after].concat();
    let others_are_labels = labels.clone().all(is_label);
    at_one_end
        && !is_international(before)
        && !before.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(is_of_label)
        && labels.count() >= 2
        && others_are_labels
}

fn is_label(label: &str) -> bool {
    let hyphen = label.starts_with('-') || label.ends_with('-');
    !label.is_empty() && !hyphen && label.bytes().all(is_of_label)
}

fn is_of_label(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

/// Whether it begins as an internationalized label (RFC 5890).
fn is_international(label: &str) -> bool {
    let prefix = label.as_bytes().first_chunk::<4>();
    prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"xn--"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_of_one_label() {
        for (pattern, name) in [
            ("a.example", "A.example"),
            ("*.example.com", "a.example.com"),
            ("a*.example.com", "ab.example.com"),
            ("a*.example.com", "a.example.com"),
            ("*a.example.com", "ba.example.com"),
            ("*.example.com", "xn--a.example.com"),
            ("*.example.com", "*.example.com"),
            ("a_b.example.com", "a_b.example.com"),
            ("a.example.", "a.example."),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.example.com", "example.com"),
            ("*.example.com", "a.b.example.com"),
            ("*.com", "a.com"),
            ("a*b.example.com", "acb.example.com"),
            ("a*.example.com", "a.b.example.com"),
            ("*a.example.com", "xn--a.example.com"),
            ("xn--*.example.com", "xn--a.example.com"),
            ("*.*.com", "a.b.com"),
            ("a.*.example.com", "a.b.example.com"),
            ("*-.example.com", "a-.example.com"),
            ("a-*.example.com", "a-b.example.com"),
            ("*.exa_mple.com", "a.exa_mple.com"),
            ("*.example.com", "a_b.example.com"),
            ("a.example", "a.example."),
            ("a.example.", "a.example"),
            ("", ""),
            ("*.example.com", ".example.com"),
            ("a.example.com", ".example.com"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
