//! Sessions with upstreams that are resumed (`proxy_ssl_session_reuse`): the last one of each
//! name, as nginx keeps the last one of each peer, and of a few names.
//!
//! A session has the certificates of its handshake, and the names may come from a stranger
//! (`proxy_ssl_name $host`).

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::{CertificateDer, ServerName};

/// Names whose sessions are kept.
const NAMES: usize = 8;
/// Sessions with more certificates are not kept, bytes.
const MOST_CERTIFICATES: usize = 8 * 1024;

/// The sessions of one `Connector`, for all workers. Only handshakes take the lock.
#[derive(Default)]
pub(super) struct UpstreamSessions(Mutex<Vec<Known>>);

/// What is kept of a name; the most recently used is last.
struct Known {
    name: ServerName<'static>,
    group: Option<NamedGroup>,
    /// It has too many certificates.
    is_large: bool,
    tls12: Option<Tls12ClientSessionValue>,
    tls13: Option<Tls13ClientSessionValue>,
}

impl UpstreamSessions {
    /// A server has shown these certificates in a handshake. Its session follows, if any.
    pub(super) fn note(
        &self,
        name: &ServerName<'_>,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) {
        let size = first.len() + others.iter().map(|own| own.len()).sum::<usize>();
        let is_large = size > MOST_CERTIFICATES;
        self.with(&name.to_owned(), |known| {
            known.is_large = is_large;
            if is_large {
                (known.tls12, known.tls13) = (None, None);
            }
        });
    }

    /// What is known of a name, instead of the name that was not used for the longest time.
    fn with<T>(&self, name: &ServerName<'static>, then: impl FnOnce(&mut Known) -> T) -> T {
        let mut all = self.lock();
        let known = match all.iter().position(|known| known.name == *name) {
            Some(index) => all.remove(index),
            None => {
                if all.len() == NAMES {
                    all.remove(0);
                }
                Known {
                    name: name.clone(),
                    group: None,
                    is_large: false,
                    tls12: None,
                    tls13: None,
                }
            }
        };
        all.push(known);
        let last = all.len() - 1;
        then(&mut all[last])
    }

    fn find<T>(
        &self,
        name: &ServerName<'_>,
        then: impl FnOnce(&mut Known) -> Option<T>,
    ) -> Option<T> {
        let mut all = self.lock();
        then(all.iter_mut().find(|known| known.name == *name)?)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for UpstreamSessions {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.with(&name, |known| known.group = Some(group));
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.find(name, |known| known.group)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.with(&name, |known| {
            known.tls12 = Some(session).filter(|_| !known.is_large);
        });
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.find(name, |known| known.tls12.clone())
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.find(name, |known| known.tls12.take());
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, session: Tls13ClientSessionValue) {
        self.with(&name, |known| {
            known.tls13 = Some(session).filter(|_| !known.is_large);
        });
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.find(name, |known| known.tls13.take())
    }
}

impl fmt::Debug for UpstreamSessions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "sessions of {} names", self.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> ServerName<'static> {
        ServerName::try_from(format!("n{number}.example")).expect("valid")
    }

    #[test]
    fn the_name_not_used_for_the_longest_time_makes_room() {
        let sessions = UpstreamSessions::default();
        for number in 0..NAMES {
            sessions.set_kx_hint(name(number), NamedGroup::X25519);
        }
        sessions.set_kx_hint(name(0), NamedGroup::secp256r1);
        sessions.set_kx_hint(name(NAMES), NamedGroup::X25519);
        assert_eq!(sessions.kx_hint(&name(0)), Some(NamedGroup::secp256r1));
        assert_eq!(sessions.kx_hint(&name(1)), None);
        assert_eq!(sessions.lock().len(), NAMES);
    }
}
