//! Certificates whose names contain variables (`ssl_certificate $ssl_server_name.crt`):
//! loaded during a handshake and cached according to `…_certificate_cache`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustls::sign::CertifiedKey;

use super::files::Files;
use super::keys;
use crate::conf::{Position, Problem};
use crate::tls::settings::{CertificateCache, File};

/// The certificates of a server or location whose names contain variables.
#[derive(Debug)]
pub(crate) struct NamedCertificates {
    /// Each with its key; one of the two may have a fixed name.
    pub(crate) pairs: Vec<(File, File)>,
    passwords: Option<File>,
    cache: Option<Cache>,
}

#[derive(Debug)]
struct Cache {
    bounds: CertificateCache,
    known: Mutex<HashMap<(PathBuf, PathBuf), CacheEntry>>,
}

#[derive(Debug)]
struct CacheEntry {
    own: Arc<CertifiedKey>,
    read: Instant,
    used: Instant,
}

impl NamedCertificates {
    pub(crate) fn new(
        pairs: Vec<(File, File)>,
        passwords: Option<File>,
        cache: Option<CertificateCache>,
    ) -> Self {
        let cache = cache.map(|bounds| Cache {
            bounds,
            known: Mutex::default(),
        });
        Self {
            pairs,
            passwords,
            cache,
        }
    }

    /// The certificate and key of these files, loaded or cached.
    pub(crate) fn load(
        &self,
        certificate: &Path,
        key: &Path,
        at: &Position,
    ) -> Result<Arc<CertifiedKey>, Problem> {
        let name = || (certificate.to_owned(), key.to_owned());
        let known = self.cache.as_ref().and_then(|cache| cache.find(&name()));
        if let Some(known) = known {
            return Ok(known);
        }
        let file = |path: &Path| File::fixed(path.to_owned(), at.clone());
        let passwords = self.passwords.as_ref();
        let files = &mut Files::default();
        let own = keys::load(&file(certificate), &file(key), passwords, files)?;
        let own = Arc::new(own);
        // Keys with a password are not cached, as in nginx.
        let mut is_open = || files.read(key).is_ok_and(|text| !keys::is_encrypted(&text));
        if let Some(cache) = &self.cache
            && is_open()
        {
            cache.keep(name(), own.clone());
        }
        Ok(own)
    }
}

impl Cache {
    fn find(&self, name: &(PathBuf, PathBuf)) -> Option<Arc<CertifiedKey>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let found = known.get_mut(name)?;
        if !self.lasts(found, now) {
            return None;
        }
        found.used = now;
        Some(found.own.clone())
    }

    fn keep(&self, name: (PathBuf, PathBuf), own: Arc<CertifiedKey>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        known.retain(|_, known| self.lasts(known, now));
        // nginx counts certificates and keys separately.
        while known.len() >= (self.bounds.most / 2).max(1) {
            let oldest = known.iter().min_by_key(|(_, known)| known.used);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else {
                break;
            };
            known.remove(&oldest);
        }
        let entry = CacheEntry {
            own,
            read: now,
            used: now,
        };
        known.insert(name, entry);
    }

    fn lasts(&self, known: &CacheEntry, now: Instant) -> bool {
        now.saturating_duration_since(known.read) <= self.bounds.valid
            && now.saturating_duration_since(known.used) <= self.bounds.inactive
    }
}
