//! The password hashes that `htpasswd` and `openssl passwd` write.

use md5::{Digest as _, Md5};
use sha1::Sha1;

use super::sha_crypt;
use crate::message::base64;

/// The longest password that `crypt(3)` of nginx's image hashes, bytes: nginx leaves all but `{…}`
/// and `$apr1$` to it.
const LONGEST: usize = 511;

/// Whether `stored` is a hash of `password`. `None` for an unknown scheme.
pub(crate) fn verify(password: &[u8], stored: &str) -> Option<bool> {
    if let Some(plain) = stored.strip_prefix("{PLAIN}") {
        return Some(same(password, plain.as_bytes()));
    }
    if let Some(encoded) = stored.strip_prefix("{SHA}") {
        return Some(same(
            base64::encode(&Sha1::digest(password)).as_bytes(),
            encoded.as_bytes(),
        ));
    }
    if let Some(encoded) = stored.strip_prefix("{SSHA}") {
        return Some(verify_salted(password, encoded));
    }
    if stored.starts_with('$') && !stored.starts_with("$apr1$") && password.len() > LONGEST {
        return Some(false);
    }
    for magic in ["$apr1$", "$1$"] {
        if let Some(rest) = stored.strip_prefix(magic) {
            let (salt, _) = rest.split_once('$')?;
            let made = md5_crypt(magic, password, salt.as_bytes());
            return Some(same(made.as_bytes(), stored.as_bytes()));
        }
    }
    if let Some(made) = sha_crypt::hash(password, stored) {
        return Some(same(made.as_bytes(), stored.as_bytes()));
    }
    if stored.starts_with("$2") {
        return Some(bcrypt::verify(password, stored).unwrap_or(false));
    }
    None
}

/// `{SSHA}`: the hash with its salt behind it.
fn verify_salted(password: &[u8], encoded: &str) -> bool {
    let Some(decoded) = base64::decode(encoded.as_bytes()) else {
        return false;
    };
    let Some((hash, salt)) = decoded.split_at_checked(20) else {
        return false;
    };
    let own = Sha1::new().chain_update(password).chain_update(salt);
    same(&own.finalize(), hash)
}

/// Compares in constant time.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && differing == 0
}

/// The MD5 crypt, a thousand rounds; Apache's variant differs in its magic.
fn md5_crypt(magic: &str, password: &[u8], salt: &[u8]) -> String {
    let salt = &salt[..salt.len().min(8)];
    let inner = Md5::new()
        .chain_update(password)
        .chain_update(salt)
        .chain_update(password)
        .finalize();
    let mut first = Md5::new();
    first.update(password);
    first.update(magic.as_bytes());
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
    const ORDER: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
    let mut out = format!("{magic}{}$", String::from_utf8_lossy(salt));
    sha_crypt::write_digits(&ORDER, &[11], &hash, &mut out);
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
            ("secret", "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0"),
            ("secret", "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1"),
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
    fn a_password_is_as_long_as_crypt_permits() {
        let long = vec![b'x'; LONGEST + 1];
        let sha1 = base64::encode(&Sha1::digest(&long));
        for stored in [
            md5_crypt("$apr1$", &long, b"salt"),
            format!("{{SHA}}{sha1}"),
        ] {
            assert_eq!(verify(&long, &stored), Some(true), "{stored}");
        }
        for length in [LONGEST, LONGEST + 1] {
            let password = &long[..length];
            for stored in [
                md5_crypt("$1$", password, b"salt"),
                sha_crypt::hash(password, "$6$rounds=1000$salt$").expect("hashes"),
                bcrypt::hash_with_salt(&password[..72], 4, [7; 16])
                    .expect("hashes")
                    .to_string(),
            ] {
                let fits = length == LONGEST;
                assert_eq!(verify(password, &stored), Some(fits), "{stored}");
            }
        }
    }

    #[test]
    fn bcrypt_is_understood_and_the_unknown_is_not() {
        let stored = bcrypt::hash("secret", 4).expect("hashes");
        assert_eq!(verify(b"secret", &stored), Some(true));
        assert_eq!(verify(b"Secret", &stored), Some(false));
        assert_eq!(verify(b"secret", "$5$salt$hash"), Some(false));
        assert_eq!(verify(b"secret", "xyz"), None);
        assert_eq!(verify(b"secret", "$apr1$"), None);
    }
}
