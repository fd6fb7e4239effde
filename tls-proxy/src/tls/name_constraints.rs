//! nameConstraints (RFC 5280, section 4.2.1.10), applied as in OpenSSL.
//!
//! OpenSSL checks more than RFC 5280: an emailAddress in the subject against e-mail
//! constraints, and the common name of a peer's certificate without DNS alternative names
//! against DNS constraints, if it looks like a host name. `docs/client-certificates.md`
//! lists every kind.

use super::certificate::Certificate;
use super::der::{self, SEQUENCE, field, fields};
use super::distinguished_name::{COMMON_NAME, EMAIL_ADDRESS, IA5, attributes, text};
use super::general_name::{GeneralName, SMTP_UTF8_MAILBOX};
use super::subtree_match::matches;
use super::verify_error::VerifyError;

/// Comparisons of names with constraints for a pair of certificates, at most (OpenSSL's
/// limit).
const MAX_COMPARISONS: usize = 1 << 20;

/// The extension of one CA certificate.
#[derive(Debug)]
pub(super) struct NameConstraints {
    permitted: Vec<Subtree>,
    excluded: Vec<Subtree>,
}

#[derive(Debug)]
struct Subtree {
    base: GeneralName,
    /// It has a minimum other than 0 or a maximum, which are not supported.
    bounded: bool,
}

impl NameConstraints {
    /// Parses the extension; `None` if it is invalid.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let mut rest = der::first(value, SEQUENCE)?;
        let mut subtrees = |number| match rest.first() {
            Some(tag) if *tag == fields(number) => {
                let content = der::next(&mut rest, fields(number))?;
                der::all(content)?.iter().map(Subtree::parse).collect()
            }
            _ => Some(Vec::new()),
        };
        let (permitted, excluded) = (subtrees(0)?, subtrees(1)?);
        rest.is_empty().then_some(Self {
            permitted,
            excluded,
        })
    }

    /// Checks the names of a certificate below; `is_peer` if it is the peer's.
    pub(super) fn check(&self, below: &Certificate, is_peer: bool) -> Result<(), VerifyError> {
        let attributes = attributes(&below.raw_subject).ok_or(VerifyError::NameSyntax)?;
        let names = attributes.len() + below.extensions.alternative_names.len();
        let constraints = self.permitted.len() + self.excluded.len();
        if names.saturating_mul(constraints) > MAX_COMPARISONS {
            return Err(VerifyError::Unreadable);
        }
        if !below.subject.is_empty() {
            self.admit(&GeneralName::Directory(below.subject.clone()))?;
        }
        for own in attributes.iter().filter(|own| own.id == EMAIL_ADDRESS) {
            if own.tag != IA5 {
                return Err(VerifyError::NameSyntax);
            }
            self.admit(&GeneralName::Email(own.value.to_vec()))?;
        }
        let mut has_host = false;
        for name in &below.extensions.alternative_names {
            has_host |= matches!(name, GeneralName::Dns(_));
            self.admit(name)?;
        }
        if is_peer && !has_host {
            for own in attributes.iter().filter(|own| own.id == COMMON_NAME) {
                if let Some(host) = host_in(own.tag, own.value)? {
                    self.admit(&GeneralName::Dns(host))?;
                }
            }
        }
        Ok(())
    }

    /// Checks one name: it must be in a permitted subtree, if there is one of its type, and
    /// in no excluded one.
    fn admit(&self, name: &GeneralName) -> Result<(), VerifyError> {
        let mut permitted = None;
        for subtree in self.permitted.iter().filter(|it| it.is_about(name)) {
            subtree.check_bounds()?;
            permitted = Some(permitted == Some(true) || matches(name, &subtree.base)?);
        }
        if permitted == Some(false) {
            return Err(VerifyError::NotPermitted);
        }
        for subtree in self.excluded.iter().filter(|it| it.is_about(name)) {
            subtree.check_bounds()?;
            if matches(name, &subtree.base)? {
                return Err(VerifyError::Excluded);
            }
        }
        Ok(())
    }
}

impl Subtree {
    fn parse(one: &der::Element<'_>) -> Option<Self> {
        let content = (one.tag == SEQUENCE).then_some(one.content)?;
        let (base, mut rest) = der::element(content)?;
        let base = GeneralName::parse(&base)?;
        let minimum = der::optional(&mut rest, field(0));
        let maximum = der::optional(&mut rest, field(1));
        let none = minimum.is_none_or(|number| number.iter().all(|byte| *byte == 0));
        rest.is_empty().then_some(Self {
            base,
            bounded: maximum.is_some() || !none,
        })
    }

    fn check_bounds(&self) -> Result<(), VerifyError> {
        if self.bounded {
            Err(VerifyError::SubtreeBounds)
        } else {
            Ok(())
        }
    }

    /// Whether the subtree is of this type of name.
    fn is_about(&self, name: &GeneralName) -> bool {
        use GeneralName::{Email, Other, Uncompared};
        match (&self.base, name) {
            (Email(_), Other { id, .. }) => id == SMTP_UTF8_MAILBOX,
            (Other { .. }, Other { id, .. }) if id == SMTP_UTF8_MAILBOX => false,
            (Other { id, .. }, Other { id: own, .. }) => id == own,
            (Uncompared(tag, _), Uncompared(own, _)) => tag == own,
            (base, name) => std::mem::discriminant(base) == std::mem::discriminant(name),
        }
    }
}

/// A common name that could be a host name: several labels.
fn host_in(tag: u8, value: &[u8]) -> Result<Option<Vec<u8>>, VerifyError> {
    let text = text(tag, value).ok_or(VerifyError::NameSyntax)?;
    let host = text.trim_end_matches('\0').as_bytes();
    if host.contains(&0) {
        return Err(VerifyError::NameSyntax);
    }
    let is_inner = |index: usize| index > 0 && index + 1 < host.len();
    let is_fit = host.iter().enumerate().all(|(index, byte)| match byte {
        b'-' => is_inner(index),
        b'.' => {
            is_inner(index) && host[index - 1] != b'-' && !matches!(host[index + 1], b'.' | b'-')
        }
        other => other.is_ascii_alphanumeric() || *other == b'_',
    });
    Ok((is_fit && host.contains(&b'.')).then(|| host.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_names_that_look_like_hosts_are_held_against_dns() {
        const UTF8: u8 = 0x0c;
        let host = |value: &[u8]| host_in(UTF8, value);
        for (name, own) in [
            ("a.example", "a.example"),
            ("a_b.c", "a_b.c"),
            ("a.b\0", "a.b"),
        ] {
            assert_eq!(host(name.as_bytes()), Ok(Some(own.as_bytes().to_vec())));
        }
        for name in [
            "a", "a b.c", "*.a.b", "a.b.", ".a.b", "a..b", "a-.b", "a.-b", "\u{e4}.b", "",
        ] {
            assert_eq!(host(name.as_bytes()), Ok(None), "{name}");
        }
        assert_eq!(host(b"a.b\0c"), Err(VerifyError::NameSyntax));
        assert_eq!(host_in(4, b"a.b"), Err(VerifyError::NameSyntax));
    }
}
