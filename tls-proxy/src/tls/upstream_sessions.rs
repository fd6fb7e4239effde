//! Sessions with upstreams that are resumed (`proxy_ssl_session_reuse`), of a few names.
//!
//! A session has the certificates of its handshake, and the names may come from a stranger
//! (`proxy_ssl_name $host`). One of TLS 1.3 is used once, so there are as many as handshakes at the
//! same time.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::{CertificateDer, ServerName};

/// Names whose sessions are kept.
const NAMES: usize = 8;
/// Sessions of TLS 1.3, of all names.
const SESSIONS: usize = 16;
/// Sessions with more certificates are not kept, bytes.
const MOST_CERTIFICATES: usize = 8 * 1024;

/// The sessions of one `Connector`, for all workers. Only handshakes take the lock.
#[derive(Default)]
pub(super) struct UpstreamSessions(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// The most recently used is last.
    names: Vec<Known>,
    /// The newest is last.
    tls13: VecDeque<(ServerName<'static>, Tls13ClientSessionValue)>,
}

/// What is kept of a name.
struct Known {
    name: ServerName<'static>,
    group: Option<NamedGroup>,
    /// It has too many certificates.
    is_large: bool,
    tls12: Option<Tls12ClientSessionValue>,
}

impl Kept {
    /// What is known of a name; instead of the name that was not used for the longest time if
    /// nothing is.
    fn name(&mut self, name: &ServerName<'static>) -> &mut Known {
        let known = match self.names.iter().position(|known| known.name == *name) {
            Some(index) => self.names.remove(index),
            None => {
                if self.names.len() == NAMES {
                    let oldest = self.names.remove(0);
                    self.forget(&oldest.name);
                }
                Known {
                    name: name.clone(),
                    group: None,
                    is_large: false,
                    tls12: None,
                }
            }
        };
        let last = self.names.len();
        self.names.push(known);
        &mut self.names[last]
    }

    /// Forgets the oldest session of TLS 1.3 of the name that has most: a busy name does not push
    /// out those of others.
    fn make_room(&mut self) {
        let count =
            |name: &ServerName<'_>| self.tls13.iter().filter(|(own, _)| own == name).count();
        let places = (0..self.tls13.len()).rev();
        // The last one of the largest is the oldest.
        let crowded = places.max_by_key(|&place| count(&self.tls13[place].0));
        crowded.and_then(|place| self.tls13.remove(place));
    }

    fn find(&self, name: &ServerName<'_>) -> Option<&Known> {
        self.names.iter().find(|known| known.name == *name)
    }

    /// Forgets the sessions of TLS 1.3.
    fn forget(&mut self, name: &ServerName<'_>) {
        self.tls13.retain(|(own, _)| own != name);
    }
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
        let mut kept = self.lock();
        let known = kept.name(&name.to_owned());
        known.is_large = size > MOST_CERTIFICATES;
        if known.is_large {
            known.tls12 = None;
            kept.forget(name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for UpstreamSessions {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.lock().name(&name).group = Some(group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.lock().find(name)?.group
    }

    fn set_tls12_session(&self, name: ServerName<'static>, session: Tls12ClientSessionValue) {
        let mut kept = self.lock();
        let known = kept.name(&name);
        known.tls12 = Some(session).filter(|_| !known.is_large);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.lock().find(name)?.tls12.clone()
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        let mut kept = self.lock();
        if let Some(known) = kept.names.iter_mut().find(|known| known.name == *name) {
            known.tls12 = None;
        }
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, session: Tls13ClientSessionValue) {
        let mut kept = self.lock();
        // A name that is not known any more may have too many.
        if kept.find(&name).is_none_or(|known| known.is_large) {
            return;
        }
        if kept.tls13.len() == SESSIONS {
            kept.make_room();
        }
        kept.tls13.push_back((name, session));
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut kept = self.lock();
        let newest = kept.tls13.iter().rposition(|(own, _)| own == name)?;
        let (_, session) = kept.tls13.remove(newest)?;
        Some(session)
    }
}

impl fmt::Debug for UpstreamSessions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "sessions of {} names", self.lock().names.len())
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
        assert_eq!(sessions.lock().names.len(), NAMES);
    }
}
