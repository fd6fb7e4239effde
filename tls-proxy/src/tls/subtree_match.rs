//! Whether a name is within the base of a name constraint, by type (RFC 5280, section
//! 4.2.1.10, as in OpenSSL).

use super::der;
use super::general_name::{GeneralName, SMTP_UTF8_MAILBOX};
use super::verify_error::VerifyError;

/// Whether `name` is within `base`, of the same type. If they cannot be compared, that is
/// an error: the name is then neither permitted nor known not to be excluded.
pub(super) fn matches(name: &GeneralName, base: &GeneralName) -> Result<bool, VerifyError> {
    use GeneralName::{Directory, Dns, Email, Ip, Other, Uri};
    match (name, base) {
        (Directory(name), Directory(base)) => Ok(name.is_within(base)),
        (Dns(name), Dns(base)) => Ok(is_dns_within(name, base)),
        (Email(name), Email(base)) => is_email_within(name, base),
        (Other { id, value }, Email(base)) if id == SMTP_UTF8_MAILBOX => {
            is_international_email_within(value, base)
        }
        (Uri(name), Uri(base)) => is_uri_within(name, base),
        (Ip(name), Ip(base)) => is_ip_within(name, base),
        _ => Err(VerifyError::ConstraintType),
    }
}

/// A DNS name: `base` or any subdomain. An empty base contains every name.
fn is_dns_within(name: &[u8], base: &[u8]) -> bool {
    let Some(start) = name.len().checked_sub(base.len()) else {
        return false;
    };
    let (before, end) = name.split_at(start);
    let is_label = before.is_empty() || before.ends_with(b".") || base.starts_with(b".");
    base.is_empty() || (is_label && end.eq_ignore_ascii_case(base))
}

/// An e-mail address: `base` is a mailbox, a host, or with a leading dot the hosts of a
/// domain.
fn is_email_within(name: &[u8], base: &[u8]) -> Result<bool, VerifyError> {
    let (local, host) = split_email(name).ok_or(VerifyError::NameSyntax)?;
    let Some((own, domain)) = split_email(base) else {
        let own = if base.starts_with(b".") { name } else { host };
        return Ok(is_host_within(own, base));
    };
    if own.is_empty() {
        return Ok(host.eq_ignore_ascii_case(domain));
    }
    if own.len() != local.len() {
        return Ok(false);
    }
    if own.contains(&0) || local.contains(&0) {
        return Err(VerifyError::NameSyntax);
    }
    Ok(own == local && host.eq_ignore_ascii_case(domain))
}

/// The same for an internationalized address. A base with encoded labels (`xn--`) is not
/// decoded and matches nothing.
fn is_international_email_within(value: &[u8], base: &[u8]) -> Result<bool, VerifyError> {
    const UTF8_STRING: u8 = 0x0c;
    let name = der::only(value, UTF8_STRING).ok_or(VerifyError::NameSyntax)?;
    let lower = base.to_ascii_lowercase();
    if base.contains(&0) || lower.windows(4).any(|part| part == b"xn--") {
        return Err(VerifyError::NameSyntax);
    }
    is_email_within(name, base)
}

fn split_email(address: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = address.iter().rposition(|byte| *byte == b'@')?;
    Some((&address[..at], &address[at + 1..]))
}

/// `base` is a host, or with a leading dot the hosts of a domain without the domain itself.
fn is_host_within(host: &[u8], base: &[u8]) -> bool {
    if base.starts_with(b".") {
        let start = host
            .len()
            .checked_sub(base.len())
            .filter(|start| *start > 0);
        return start.is_some_and(|start| host[start..].eq_ignore_ascii_case(base));
    }
    host.eq_ignore_ascii_case(base)
}

fn is_uri_within(uri: &[u8], base: &[u8]) -> Result<bool, VerifyError> {
    let host = host_of(uri).ok_or(VerifyError::NameSyntax)?;
    Ok(is_host_within(host, base))
}

/// The host of a URI with `scheme://` (RFC 3986, section 3.2). OpenSSL takes everything up
/// to the next colon or slash, with user and query. A URI with one of these before its path
/// has an ambiguous host, and so none here.
fn host_of(uri: &[u8]) -> Option<&[u8]> {
    let colon = uri.iter().position(|byte| *byte == b':')?;
    let rest = uri[colon..].strip_prefix(b"://").filter(|_| colon > 0)?;
    let end = rest.iter().position(|byte| *byte == b'/');
    let authority = &rest[..end.unwrap_or(rest.len())];
    let is_plain = |byte: &u8| !matches!(byte, b'@' | b'?' | b'#' | b'\\' | 0);
    let (host, port) = if authority.starts_with(b"[") {
        let end = authority.iter().position(|byte| *byte == b']')?;
        (&authority[1..end], &authority[end + 1..])
    } else {
        let end = authority.iter().position(|byte| *byte == b':');
        authority.split_at(end.unwrap_or(authority.len()))
    };
    let port = port.strip_prefix(b":").unwrap_or(port);
    let is_fit = port.iter().all(u8::is_ascii_digit) && host.iter().all(is_plain);
    (is_fit && !host.is_empty()).then_some(host)
}

/// An address and a mask.
fn is_ip_within(address: &[u8], base: &[u8]) -> Result<bool, VerifyError> {
    if !matches!(address.len(), 4 | 16) || !matches!(base.len(), 8 | 32) {
        return Err(VerifyError::NameSyntax);
    }
    if address.len() * 2 != base.len() {
        return Ok(false);
    }
    let (network, mask) = base.split_at(address.len());
    let mut bytes = address.iter().zip(network).zip(mask);
    Ok(bytes.all(|((own, network), mask)| own & mask == network & mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_by_dns() {
        for (name, base) in [
            ("a.b.example", "B.example"),
            ("b.example", "b.example"),
            ("a.b.example", ".b.example"),
            ("anything", ""),
        ] {
            assert!(
                is_dns_within(name.as_bytes(), base.as_bytes()),
                "{name} {base}"
            );
        }
        for (name, base) in [
            ("ab.example", "b.example"),
            ("example", "b.example"),
            ("b.example", ".b.example"),
            ("a.b.example.", "b.example"),
        ] {
            assert!(
                !is_dns_within(name.as_bytes(), base.as_bytes()),
                "{name} {base}"
            );
        }
    }

    #[test]
    fn addresses_by_mailbox_host_and_domain() {
        let within = |name: &str, base: &str| is_email_within(name.as_bytes(), base.as_bytes());
        for (name, base) in [
            ("me@b.example", "B.example"),
            ("me@b.example", "me@B.example"),
            ("me@a.b.example", ".b.example"),
            ("me@b.example", "@b.example"),
            ("\"x@y\"@b.example", "b.example"),
        ] {
            assert_eq!(within(name, base), Ok(true), "{name} {base}");
        }
        for (name, base) in [
            ("me@a.b.example", "b.example"),
            ("ME@b.example", "me@b.example"),
            ("me@b.example", ".b.example"),
            ("me@b.example", ""),
        ] {
            assert_eq!(within(name, base), Ok(false), "{name} {base}");
        }
        assert_eq!(
            within("b.example", "b.example"),
            Err(VerifyError::NameSyntax)
        );
    }

    #[test]
    fn the_host_of_a_uri_is_the_only_one_that_could_be_read() {
        for (uri, host) in [
            ("https://h.example/x", "h.example"),
            ("https://h.example:8443", "h.example"),
            ("https://h.example/@x?y", "h.example"),
            ("spiffe://h.example/ns/a", "h.example"),
            ("https://[::1]:8/", "::1"),
        ] {
            assert_eq!(host_of(uri.as_bytes()), Some(host.as_bytes()), "{uri}");
        }
        for uri in [
            "https://u@h.example/",
            "https://good.example:x@h.example/",
            "https://h.example?x",
            "https://h.example#x",
            "urn:a:b",
            "//h/",
            "https:///x",
            "https://h:x/",
            "://h/",
            "",
            "https://[::1/",
        ] {
            assert_eq!(host_of(uri.as_bytes()), None, "{uri}");
        }
    }

    #[test]
    fn addresses_of_one_family_are_compared_under_the_mask() {
        let base = [10, 0, 0, 0, 255, 0, 0, 0];
        assert_eq!(is_ip_within(&[10, 1, 2, 3], &base), Ok(true));
        assert_eq!(is_ip_within(&[11, 1, 2, 3], &base), Ok(false));
        assert_eq!(is_ip_within(&[0; 16], &base), Ok(false));
        assert_eq!(
            is_ip_within(&[10, 1, 2], &base),
            Err(VerifyError::NameSyntax)
        );
        assert_eq!(
            is_ip_within(&[10, 1, 2, 3], &base[..4]),
            Err(VerifyError::NameSyntax)
        );
    }
}
