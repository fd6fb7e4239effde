//! Errors of certificate verification, in OpenSSL's words, which operators know
//! (`$ssl_client_verify`, the error log).

/// Why a certificate chain is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VerifyError {
    #[error("unable to get issuer certificate")]
    NoIssuer,
    #[error("unable to get certificate CRL")]
    NoCrl,
    #[error("certificate signature failure")]
    Signature,
    #[error("CRL signature failure")]
    CrlSignature,
    #[error("certificate is not yet valid")]
    NotYetValid,
    #[error("certificate has expired")]
    Expired,
    #[error("CRL is not yet valid")]
    CrlNotYetValid,
    #[error("CRL has expired")]
    CrlExpired,
    #[error("format error in certificate's notBefore field")]
    NotBeforeFormat,
    #[error("format error in certificate's notAfter field")]
    NotAfterFormat,
    #[error("format error in CRL's lastUpdate field")]
    CrlLastUpdateFormat,
    #[error("format error in CRL's nextUpdate field")]
    CrlNextUpdateFormat,
    #[error("self-signed certificate")]
    SelfSigned,
    #[error("self-signed certificate in certificate chain")]
    SelfSignedInChain,
    #[error("unable to get local issuer certificate")]
    NoLocalIssuer,
    #[error("unable to verify the first certificate")]
    FirstUnverified,
    #[error("certificate revoked")]
    Revoked,
    #[error("invalid CA certificate")]
    InvalidCa,
    #[error("path length constraint exceeded")]
    PathLength,
    #[error("unsuitable certificate purpose")]
    Purpose,
    #[error("key usage does not include certificate signing")]
    NoCertificateSigning,
    #[error("key usage does not include CRL signing")]
    NoCrlSigning,
    #[error("unhandled critical extension")]
    CriticalExtension,
    #[error("unhandled critical CRL extension")]
    CrlCriticalExtension,
    #[error("proxy certificates not allowed, please set the appropriate flag")]
    Proxy,
    #[error("permitted subtree violation")]
    NotPermitted,
    #[error("excluded subtree violation")]
    Excluded,
    #[error("name constraints minimum and maximum not supported")]
    SubtreeBounds,
    #[error("unsupported name constraint type")]
    ConstraintType,
    #[error("unsupported or invalid name syntax")]
    NameSyntax,
    #[error("CA certificate key too weak")]
    WeakKey,
    #[error("CA signature digest algorithm too weak")]
    WeakHash,
    #[error("unspecified certificate verification error")]
    Unreadable,
}

impl VerifyError {
    /// OpenSSL's error number.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Unreadable => 1,
            Self::NoIssuer => 2,
            Self::NoCrl => 3,
            Self::Signature => 7,
            Self::CrlSignature => 8,
            Self::NotYetValid => 9,
            Self::Expired => 10,
            Self::CrlNotYetValid => 11,
            Self::CrlExpired => 12,
            Self::NotBeforeFormat => 13,
            Self::NotAfterFormat => 14,
            Self::CrlLastUpdateFormat => 15,
            Self::CrlNextUpdateFormat => 16,
            Self::SelfSigned => 18,
            Self::SelfSignedInChain => 19,
            Self::NoLocalIssuer => 20,
            Self::FirstUnverified => 21,
            Self::Revoked => 23,
            Self::PathLength => 25,
            Self::Purpose => 26,
            Self::NoCertificateSigning => 32,
            Self::CriticalExtension => 34,
            Self::NoCrlSigning => 35,
            Self::CrlCriticalExtension => 36,
            Self::Proxy => 40,
            Self::NotPermitted => 47,
            Self::Excluded => 48,
            Self::SubtreeBounds => 49,
            Self::ConstraintType => 51,
            Self::NameSyntax => 53,
            Self::WeakKey => 67,
            Self::WeakHash => 68,
            Self::InvalidCa => 79,
        }
    }

    /// Whether only a trusted CA is missing (`ssl_verify_client optional_no_ca`).
    pub(crate) fn is_about_trust(self) -> bool {
        matches!(
            self,
            Self::SelfSigned
                | Self::SelfSignedInChain
                | Self::NoLocalIssuer
                | Self::FirstUnverified
        )
    }
}
