//! One certificate, read once: what the verification of a chain asks of it.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{
    FromDer as _, ParsedExtension, X509Certificate, X509Extension, X509Name, X509Version,
};

/// A certificate of an authority or a peer.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) der: CertificateDer<'static>,
    /// Subject and issuer in a form that compares as RFC 5280, section 7.1
    /// says.
    pub(super) subject: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    /// The subject as it stands, for the list of authorities.
    pub(super) raw_subject: Vec<u8>,
    /// SubjectPublicKeyInfo.
    pub(super) key: Vec<u8>,
    pub(super) serial: Vec<u8>,
    /// Seconds since 1970.
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) version1: bool,
    /// basicConstraints: whether it is an authority.
    pub(super) authority: Option<bool>,
    pub(super) path_length: Option<u32>,
    pub(super) key_usage: Option<KeyUsage>,
    pub(super) extended: Option<ExtendedUsage>,
    /// subjectKeyIdentifier, and the authority's.
    key_id: Option<Vec<u8>>,
    authority_key_id: Option<Vec<u8>>,
    /// Has nameConstraints.
    pub(super) constrained: bool,
    /// Has a critical extension that is not understood here.
    pub(super) unhandled: bool,
}

/// keyUsage, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyUsage {
    pub(super) signs_certificates: bool,
    pub(super) signs_crls: bool,
    pub(super) signs_or_agrees: bool,
    pub(super) enciphers: bool,
}

/// extKeyUsage, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExtendedUsage {
    pub(super) client: bool,
    pub(super) server: bool,
}

impl Certificate {
    /// Reads a certificate of any version; `None` where it is none.
    pub(crate) fn parse(der: &[u8]) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut own = Self {
            der: CertificateDer::from(der.to_vec()),
            subject: canonical(parsed.subject()),
            issuer: canonical(parsed.issuer()),
            raw_subject: parsed.subject().as_raw().to_vec(),
            key: parsed.public_key().raw.to_vec(),
            serial: parsed.raw_serial().to_vec(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            version1: parsed.version() == X509Version::V1,
            authority: None,
            path_length: None,
            key_usage: None,
            extended: None,
            key_id: None,
            authority_key_id: None,
            constrained: false,
            unhandled: false,
        };
        for extension in parsed.extensions() {
            own.learn(extension);
        }
        Some(own)
    }

    fn learn(&mut self, extension: &X509Extension<'_>) {
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(it) => {
                self.authority = Some(it.ca);
                self.path_length = it.path_len_constraint;
            }
            ParsedExtension::KeyUsage(it) => {
                self.key_usage = Some(KeyUsage {
                    signs_certificates: it.key_cert_sign(),
                    signs_crls: it.crl_sign(),
                    signs_or_agrees: it.digital_signature() || it.key_agreement(),
                    enciphers: it.key_encipherment(),
                });
            }
            ParsedExtension::ExtendedKeyUsage(it) => {
                self.extended = Some(ExtendedUsage {
                    client: it.client_auth,
                    server: it.server_auth,
                });
            }
            ParsedExtension::NameConstraints(_) => self.constrained = true,
            ParsedExtension::SubjectKeyIdentifier(id) => self.key_id = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(it) => {
                self.authority_key_id = it.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            ParsedExtension::SubjectAlternativeName(_)
            | ParsedExtension::CertificatePolicies(_)
            | ParsedExtension::CRLDistributionPoints(_)
            | ParsedExtension::NSCertType(_) => {}
            // What is read wrongly must not be taken for absent.
            ParsedExtension::ParseError { .. } => self.unhandled = true,
            _ => self.unhandled |= extension.critical,
        }
    }

    /// Whether names and key identifiers say that `issuer` issued it.
    pub(super) fn may_be_issued_by(&self, issuer: &Self) -> bool {
        let ids = (&self.authority_key_id, &issuer.key_id);
        let another = matches!(ids, (Some(named), Some(own)) if named != own);
        self.issuer == issuer.subject && !another
    }

    /// Issued by its own subject.
    pub(super) fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whether it may sign certificates (RFC 5280, section 4.2.1.9). Roots
    /// older than version 3 say nothing of it.
    pub(super) fn is_authority(&self) -> bool {
        if self
            .key_usage
            .is_some_and(|usage| !usage.signs_certificates)
        {
            return false;
        }
        match self.authority {
            Some(authority) => authority,
            None => (self.version1 && self.is_self_issued()) || self.key_usage.is_some(),
        }
    }
}

/// A name in a form whose bytes are equal where names match: letters in lower
/// case, runs of spaces as one, whatever kind of string it was.
pub(super) fn canonical(name: &X509Name<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for part in name.iter_rdn() {
        out.push(b'/');
        for attribute in part.iter() {
            out.push(b'+');
            out.extend_from_slice(attribute.attr_type().as_bytes());
            out.push(b'=');
            let mut value = Vec::new();
            let words = attribute.attr_value().data.split(|byte| *byte == b' ');
            for word in words.filter(|word| !word.is_empty()) {
                value.extend(word.iter().map(u8::to_ascii_lowercase));
                value.push(b' ');
            }
            // The length first: no value can look like two.
            out.extend_from_slice(&value.len().to_be_bytes());
            out.extend_from_slice(&value);
        }
    }
    out
}
