//! Why a handshake failed, as a label of the metrics.

use std::io;

use rustls::{AlertDescription, Error, PeerIncompatible};

use super::accept;
use crate::metrics::labels::Handshake;

impl accept::Error {
    /// The label.
    pub(crate) fn reason(&self) -> Handshake {
        match self {
            Self::Rejected => Handshake::Rejected,
            Self::Handshake(error) => of_io(error),
        }
    }
}

fn of_io(error: &io::Error) -> Handshake {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(error) => of_tls(error),
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Handshake::ClientClosed,
            _ => Handshake::Other,
        },
    }
}

fn of_tls(error: &Error) -> Handshake {
    match error {
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::PeerIncompatible(why) => of_incompatible(why),
        Error::NoApplicationProtocol => Handshake::NoProtocol,
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented => {
            Handshake::ClientCertificate
        }
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_)
        | Error::PeerSentOversizedRecord
        | Error::DecryptError => Handshake::Malformed,
        _ => Handshake::Other,
    }
}

fn of_alert(alert: AlertDescription) -> Handshake {
    use AlertDescription as Alert;
    match alert {
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::BadCertificateStatusResponse => Handshake::CertificateRejected,
        Alert::ProtocolVersion => Handshake::ProtocolVersion,
        Alert::HandshakeFailure | Alert::InsufficientSecurity => Handshake::NoSharedCipher,
        Alert::CloseNotify | Alert::UserCanceled => Handshake::ClientClosed,
        _ => Handshake::Other,
    }
}

fn of_incompatible(why: &PeerIncompatible) -> Handshake {
    use PeerIncompatible as Why;
    match why {
        Why::ServerDoesNotSupportTls12Or13
        | Why::ServerTlsVersionIsDisabledByOurConfig
        | Why::SupportedVersionsExtensionRequired
        | Why::Tls12NotOffered
        | Why::Tls12NotOfferedOrEnabled
        | Why::Tls13RequiredForQuic => Handshake::ProtocolVersion,
        _ => Handshake::NoSharedCipher,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_word() {
        for (error, expected) in [
            (
                Error::AlertReceived(AlertDescription::UnknownCA),
                Handshake::CertificateRejected,
            ),
            (
                Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
                Handshake::NoSharedCipher,
            ),
            (
                Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled),
                Handshake::ProtocolVersion,
            ),
            (Error::NoApplicationProtocol, Handshake::NoProtocol),
            (Error::General("x".to_owned()), Handshake::Other),
        ] {
            let error = accept::Error::Handshake(io::Error::new(io::ErrorKind::InvalidData, error));
            assert_eq!(error.reason(), expected);
        }
        let gone = accept::Error::Handshake(io::ErrorKind::UnexpectedEof.into());
        assert_eq!(gone.reason(), Handshake::ClientClosed);
        assert_eq!(accept::Error::Rejected.reason(), Handshake::Rejected);
    }
}
