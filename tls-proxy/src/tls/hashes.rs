//! The hashes of TLS 1.3 for rustls: of the handshake transcript, and HMAC for key
//! derivation (RFC 8446, section 7.1).
//!
//! A handshake derives some thirty keys from a dozen secrets. rustls' binding of aws-lc
//! hashes the secret for each of them; here it is hashed once, which leaves a third of the
//! blocks. A block costs the same in both libraries, but copying aws-lc's HMAC state costs
//! more than this saves.

use std::marker::PhantomData;

use hmac::{Hmac, KeyInit, Mac};
use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};
use rustls::crypto::hmac as keyed;
use sha2::{Digest, Sha256, Sha384};

/// A hash.
pub(super) struct Plain<D> {
    algorithm: HashAlgorithm,
    hash: PhantomData<fn() -> D>,
}

/// HMAC over a hash.
pub(super) struct Keyed<M>(PhantomData<fn() -> M>);

pub(super) static SHA256: Plain<Sha256> = Plain::new(HashAlgorithm::SHA256);
pub(super) static SHA384: Plain<Sha384> = Plain::new(HashAlgorithm::SHA384);
pub(super) static HMAC_SHA256: Keyed<Hmac<Sha256>> = Keyed(PhantomData);
pub(super) static HMAC_SHA384: Keyed<Hmac<Sha384>> = Keyed(PhantomData);

impl<D> Plain<D> {
    const fn new(algorithm: HashAlgorithm) -> Self {
        Self {
            algorithm,
            hash: PhantomData,
        }
    }
}

impl<D: Digest + Clone + Send + Sync + 'static> Hash for Plain<D> {
    fn start(&self) -> Box<dyn Context> {
        Box::new(Running(D::new()))
    }

    fn hash(&self, data: &[u8]) -> Output {
        Output::new(&D::digest(data))
    }

    fn output_len(&self) -> usize {
        <D as Digest>::output_size()
    }

    fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }
}

/// A hash in progress.
struct Running<D>(D);

impl<D: Digest + Clone + Send + Sync + 'static> Context for Running<D> {
    fn fork_finish(&self) -> Output {
        Output::new(&self.0.clone().finalize())
    }

    fn fork(&self) -> Box<dyn Context> {
        Box::new(Self(self.0.clone()))
    }

    fn finish(self: Box<Self>) -> Output {
        Output::new(&self.0.finalize())
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}

impl<M: Mac + KeyInit + Clone + Send + Sync + 'static> keyed::Hmac for Keyed<M> {
    fn with_key(&self, key: &[u8]) -> Box<dyn keyed::Key> {
        // RFC 2104, section 2: keys of any length are allowed.
        let key = <M as KeyInit>::new_from_slice(key).expect("HMAC takes every key");
        Box::new(Key(key))
    }

    fn hash_output_len(&self) -> usize {
        M::output_size()
    }
}

/// HMAC with the key already hashed.
struct Key<M>(M);

impl<M: Mac + Clone + Send + Sync> keyed::Key for Key<M> {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> keyed::Tag {
        let mut mac = self.0.clone();
        mac.update(first);
        for part in middle {
            mac.update(part);
        }
        mac.update(last);
        keyed::Tag::new(&mac.finalize().into_bytes())
    }

    fn tag_len(&self) -> usize {
        M::output_size()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{digest, hmac};

    use super::*;

    /// Compared with aws-lc, at all lengths around the block size.
    #[test]
    fn hashes_are_those_of_aws_lc() {
        let data: Vec<u8> = (0..600).map(|index| (index * 7) as u8).collect();
        let pairs: [(&dyn Hash, &digest::Algorithm); 2] =
            [(&SHA256, &digest::SHA256), (&SHA384, &digest::SHA384)];
        for (own, theirs) in pairs {
            for length in 0..data.len() {
                let (said, rest) = data[..length].split_at(length / 3);
                let mut begun = own.start();
                begun.update(said);
                let fork = begun.fork();
                assert_eq!(
                    begun.fork_finish().as_ref(),
                    digest::digest(theirs, said).as_ref()
                );
                begun.update(rest);
                let whole = digest::digest(theirs, &data[..length]);
                assert_eq!(begun.finish().as_ref(), whole.as_ref(), "{length}");
                assert_eq!(own.hash(&data[..length]).as_ref(), whole.as_ref());
                assert_eq!(fork.finish().as_ref(), own.hash(said).as_ref());
            }
        }
    }

    #[test]
    fn macs_are_those_of_aws_lc() {
        let data: Vec<u8> = (0..300).map(|index| (index * 5) as u8).collect();
        let pairs: [(&dyn keyed::Hmac, hmac::Algorithm); 2] = [
            (&HMAC_SHA256, hmac::HMAC_SHA256),
            (&HMAC_SHA384, hmac::HMAC_SHA384),
        ];
        for (own, theirs) in pairs {
            for length in 0..data.len() {
                let key = own.with_key(&data[..length / 2]);
                let (first, rest) = data[..length].split_at(length / 4);
                let (middle, last) = rest.split_at(rest.len() / 2);
                let key_there = hmac::Key::new(theirs, &data[..length / 2]);
                let there = hmac::sign(&key_there, &data[..length]);
                // Twice, to show that a key can be used again.
                for _ in 0..2 {
                    let tag = key.sign_concat(first, &[middle, &[]], last);
                    assert_eq!(tag.as_ref(), there.as_ref(), "{length}");
                }
                assert_eq!(key.tag_len(), own.hash_output_len());
                assert_eq!(key.tag_len(), there.as_ref().len());
            }
        }
    }
}
