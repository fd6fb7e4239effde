//! GeneralName (RFC 5280, section 4.2.1.6), as used in alternative names, name constraints
//! and distribution points.

use super::der::{self, OBJECT_ID, SEQUENCE, field, fields};
use super::distinguished_name::Name;

/// SmtpUTF8Mailbox (RFC 9598): an internationalized e-mail address.
pub(super) const SMTP_UTF8_MAILBOX: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 8, 9];

/// A name of any type. The bytes are those in the certificate; they need not be text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GeneralName {
    Other {
        id: Vec<u8>,
        value: Vec<u8>,
    },
    Email(Vec<u8>),
    Dns(Vec<u8>),
    Directory(Name),
    Uri(Vec<u8>),
    Ip(Vec<u8>),
    /// x400Address, ediPartyName, registeredID: never compared with a constraint. Tag and
    /// content.
    Uncompared(u8, Vec<u8>),
}

impl GeneralName {
    pub(super) fn parse(one: &der::Element<'_>) -> Option<Self> {
        let content = one.content;
        let own = content.to_vec();
        Some(match one.tag {
            tag if tag == fields(0) => {
                let mut rest = content;
                let id = der::next(&mut rest, OBJECT_ID)?.to_vec();
                let value = der::only(rest, fields(0))?;
                let (_, []) = der::element(value)? else {
                    return None;
                };
                let value = value.to_vec();
                Self::Other { id, value }
            }
            tag if tag == field(1) => Self::Email(own),
            tag if tag == field(2) => Self::Dns(own),
            tag if tag == fields(4) => Self::Directory(Name::parse(content)?),
            tag if tag == field(6) => Self::Uri(own),
            tag if tag == field(7) => Self::Ip(own),
            tag if tag == fields(3) || tag == fields(5) || tag == field(8) => {
                Self::Uncompared(tag, own)
            }
            _ => return None,
        })
    }

    /// GeneralNames, without the tag.
    pub(super) fn parse_all(content: &[u8]) -> Option<Vec<Self>> {
        der::all(content)?.iter().map(Self::parse).collect()
    }

    /// The extension subjectAltName.
    pub(super) fn parse_extension(value: &[u8]) -> Option<Vec<Self>> {
        Self::parse_all(der::first(value, SEQUENCE)?)
    }

    pub(super) fn directory(&self) -> Option<&Name> {
        match self {
            Self::Directory(name) => Some(name),
            _ => None,
        }
    }
}
