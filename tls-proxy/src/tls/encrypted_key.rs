//! Encrypted private keys (`ssl_password_file`): PKCS#8 with PBES2 (RFC 8018), OpenSSL's
//! format since version 1.1.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptionContext, PaddedBlockDecryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use std::num::NonZeroU32;

use super::der::{self, INTEGER, OBJECT_ID, OCTET_STRING, SEQUENCE};

/// Why a key cannot be decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("its form is not understood")]
    Malformed,
    #[error("it is encrypted in a way that is not supported")]
    Unsupported,
    #[error("no password fits")]
    WrongPassword,
}

/// 1.2.840.113549.1.5.13 and .12.
const PBES2: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d";
const PBKDF2: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c";
/// 1.2.840.113549.2, the arc of the HMACs.
const HMAC: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x02";
/// 2.16.840.1.101.3.4.1, the arc of AES.
const AES: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01";

/// The key derivation and the cipher.
struct Scheme<'a> {
    salt: &'a [u8],
    rounds: NonZeroU32,
    hash: pbkdf2::Algorithm,
    cipher: &'static Algorithm,
    key_length: usize,
    iv: [u8; 16],
}

/// Decrypts an EncryptedPrivateKeyInfo (RFC 5958, section 3) with the first of `passwords`
/// that works.
pub(super) fn decrypt(info: &[u8], passwords: &[Vec<u8>]) -> Result<Vec<u8>, Error> {
    let mut rest = der::only(info, SEQUENCE).ok_or(Error::Malformed)?;
    let algorithm = der::next(&mut rest, SEQUENCE).ok_or(Error::Malformed)?;
    let sealed = der::next(&mut rest, OCTET_STRING).ok_or(Error::Malformed)?;
    let scheme = Scheme::parse(algorithm)?;
    let opened = passwords
        .iter()
        .find_map(|password| scheme.open(password, sealed));
    opened.ok_or(Error::WrongPassword)
}

impl<'a> Scheme<'a> {
    fn parse(mut algorithm: &'a [u8]) -> Result<Self, Error> {
        if der::next(&mut algorithm, OBJECT_ID) != Some(PBES2) {
            return Err(Error::Unsupported);
        }
        let malformed = Error::Malformed;
        let mut parts = der::next(&mut algorithm, SEQUENCE).ok_or(malformed)?;
        let mut derivation = der::next(&mut parts, SEQUENCE).ok_or(malformed)?;
        let mut cipher = der::next(&mut parts, SEQUENCE).ok_or(malformed)?;
        if der::next(&mut derivation, OBJECT_ID) != Some(PBKDF2) {
            return Err(Error::Unsupported);
        }
        let mut how = der::next(&mut derivation, SEQUENCE).ok_or(malformed)?;
        let salt = der::next(&mut how, OCTET_STRING).ok_or(malformed)?;
        let rounds = der::next(&mut how, INTEGER)
            .and_then(number)
            .ok_or(malformed)?;
        let _length = der::next(&mut how, INTEGER);
        let hash = der::next(&mut how, SEQUENCE).map(|mut it| der::next(&mut it, OBJECT_ID));
        let id = der::next(&mut cipher, OBJECT_ID).ok_or(malformed)?;
        let iv = der::next(&mut cipher, OCTET_STRING).and_then(|iv| iv.try_into().ok());
        let (cipher, key_length) = aes(id)?;
        Ok(Self {
            salt,
            rounds,
            hash: hmac(hash.flatten())?,
            cipher,
            key_length,
            iv: iv.ok_or(malformed)?,
        })
    }

    fn open(&self, password: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let mut key = [0; 32];
        let key = &mut key[..self.key_length];
        pbkdf2::derive(self.hash, self.rounds, self.salt, password, key);
        let key = UnboundCipherKey::new(self.cipher, key).ok()?;
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
        let mut bytes = sealed.to_vec();
        let context = DecryptionContext::Iv128(FixedLength::from(&self.iv));
        let plain = key.decrypt(&mut bytes, context).ok()?;
        // One of 256 wrong passwords leaves valid padding.
        der::only(plain, SEQUENCE)?;
        Some(plain.to_vec())
    }
}

/// A small positive INTEGER.
fn number(digits: &[u8]) -> Option<NonZeroU32> {
    let fits = (1..=4).contains(&digits.len()) && digits[0] < 0x80;
    let value = digits
        .iter()
        .fold(0, |sum, digit| (sum << 8) | u32::from(*digit));
    NonZeroU32::new(value).filter(|_| fits)
}

fn hmac(id: Option<&[u8]>) -> Result<pbkdf2::Algorithm, Error> {
    match id.map(|id| id.strip_prefix(HMAC)) {
        None | Some(Some([7])) => Ok(pbkdf2::PBKDF2_HMAC_SHA1),
        Some(Some([9])) => Ok(pbkdf2::PBKDF2_HMAC_SHA256),
        Some(Some([10])) => Ok(pbkdf2::PBKDF2_HMAC_SHA384),
        Some(Some([11])) => Ok(pbkdf2::PBKDF2_HMAC_SHA512),
        _ => Err(Error::Unsupported),
    }
}

fn aes(id: &[u8]) -> Result<(&'static Algorithm, usize), Error> {
    match id.strip_prefix(AES) {
        Some([2]) => Ok((&AES_128, 16)),
        Some([22]) => Ok((&AES_192, 24)),
        Some([42]) => Ok((&AES_256, 32)),
        _ => Err(Error::Unsupported),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused() {
        for bytes in [&b""[..], b"\x30\x00", b"\x30\x04\x30\x02\x04\x00"] {
            assert_eq!(decrypt(bytes, &[]), Err(Error::Malformed));
        }
        let other = b"\x30\x07\x30\x03\x06\x01\x2a\x04\x00";
        assert_eq!(decrypt(other, &[]), Err(Error::Unsupported));
    }
}
