//! The password hashes that `htpasswd` writes.

use md5::{Digest as _, Md5};
use sha1::Sha1;

/// Whether `password` is the one that `stored` was made of. None where the
/// form is not known.
pub(crate) fn verify(password: &[u8], stored: &str) -> Option<bool> {
    if let Some(plain) = stored.strip_prefix("{PLAIN}") {
        return Some(same(password, plain.as_bytes()));
    }
    if let Some(encoded) = stored.strip_prefix("{SHA}") {
        return Some(same(
            base64(&Sha1::digest(password)).as_bytes(),
            encoded.as_bytes(),
        ));
    }
    if let Some(rest) = stored.strip_prefix("$apr1$") {
        let (salt, _) = rest.split_once('$')?;
        return Some(same(
            apr1(password, salt.as_bytes()).as_bytes(),
            stored.as_bytes(),
        ));
    }
    if stored.starts_with("$2") {
        return Some(bcrypt::verify(password, stored).unwrap_or(false));
    }
    None
}

/// Compares in a time that does not depend on where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && differing == 0
}

/// Base 64 (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            let shown = if digit <= group.len() {
                DIGITS[value as usize]
            } else {
                b'='
            };
            out.push(char::from(shown));
        }
    }
    out
}

/// Apache's variant of the MD5 crypt: a thousand rounds.
fn apr1(password: &[u8], salt: &[u8]) -> String {
    let salt = &salt[..salt.len().min(8)];
    let inner = Md5::new()
        .chain_update(password)
        .chain_update(salt)
        .chain_update(password)
        .finalize();
    let mut first = Md5::new();
    first.update(password);
    first.update(b"$apr1$");
    first.update(salt);
    for at in (0..password.len()).step_by(16) {
        first.update(&inner[..(password.len() - at).min(16)]);
    }
    let mut length = password.len();
    while length > 0 {
        first.update(if length & 1 == 1 {
            &[0][..]
        } else {
            &password[..1]
        });
        length >>= 1;
    }
    let mut hash = first.finalize();
    for round in 0..1000 {
        let mut next = Md5::new();
        next.update(if round & 1 == 1 { password } else { &hash[..] });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if round & 1 == 1 { &hash[..] } else { password });
        hash = next.finalize();
    }
    let salt = String::from_utf8_lossy(salt);
    format!("$apr1${salt}${}", apr1_digits(&hash))
}

/// The hash in crypt's own order and alphabet.
fn apr1_digits(hash: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const ORDER: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
    let mut out = String::new();
    let mut push = |mut bits: u32, digits: u32| {
        for _ in 0..digits {
            out.push(char::from(DIGITS[(bits & 63) as usize]));
            bits >>= 6;
        }
    };
    for [high, middle, low] in ORDER {
        let at = |index: usize| u32::from(hash[index]);
        push(at(high) << 16 | at(middle) << 8 | at(low), 4);
    }
    push(u32::from(hash[11]), 2);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_htpasswd_and_openssl_write_is_understood() {
        for (password, stored) in [
            ("password", "{PLAIN}password"),
            ("secret", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="),
            ("secret", "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"),
            (
                "a longer one than sixteen bytes",
                "$apr1$xy$MaDvWE0Pnmv/yAJ.0OLs.0",
            ),
        ] {
            assert_eq!(verify(password.as_bytes(), stored), Some(true), "{stored}");
            assert_eq!(verify(b"other", stored), Some(false), "{stored}");
        }
    }

    #[test]
    fn bcrypt_is_understood_and_the_unknown_is_not() {
        let stored = bcrypt::hash("secret", 4).expect("hashes");
        assert_eq!(verify(b"secret", &stored), Some(true));
        assert_eq!(verify(b"Secret", &stored), Some(false));
        assert_eq!(verify(b"secret", "$5$salt$hash"), None);
        assert_eq!(verify(b"secret", "xyz"), None);
        assert_eq!(verify(b"secret", "$apr1$"), None);
    }
}
