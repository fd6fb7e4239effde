//! SHA-crypt, the `$5$` and `$6$` password hashes of `crypt(3)` and
//! `openssl passwd -6` (Ulrich Drepper, "Unix crypt using SHA-256 and
//! SHA-512").

use aws_lc_rs::digest::{Algorithm, Context, Digest, SHA256, SHA512};

/// One of the two schemes.
struct Form {
    magic: &'static str,
    algorithm: &'static Algorithm,
    /// Bytes of the hash in the order they are written, three at a time.
    order: &'static [[usize; 3]],
    /// The bytes behind them.
    last: &'static [usize],
}

const SHA256_FORM: Form = Form {
    magic: "$5$",
    algorithm: &SHA256,
    order: &[
        [0, 10, 20],
        [21, 1, 11],
        [12, 22, 2],
        [3, 13, 23],
        [24, 4, 14],
        [15, 25, 5],
        [6, 16, 26],
        [27, 7, 17],
        [18, 28, 8],
        [9, 19, 29],
    ],
    last: &[31, 30],
};

const SHA512_FORM: Form = Form {
    magic: "$6$",
    algorithm: &SHA512,
    order: &[
        [0, 21, 42],
        [22, 43, 1],
        [44, 2, 23],
        [3, 24, 45],
        [25, 46, 4],
        [47, 5, 26],
        [6, 27, 48],
        [28, 49, 7],
        [50, 8, 29],
        [9, 30, 51],
        [31, 52, 10],
        [53, 11, 32],
        [12, 33, 54],
        [34, 55, 13],
        [56, 14, 35],
        [15, 36, 57],
        [37, 58, 16],
        [59, 17, 38],
        [18, 39, 60],
        [40, 61, 19],
        [62, 20, 41],
    ],
    last: &[63],
};

/// The longest salt, bytes; a longer one is truncated.
const SALT: usize = 16;
const DEFAULT_ROUNDS: u32 = 5000;

/// Hashes `password` with the scheme and salt of `stored`; `None` if it is neither scheme.
pub(super) fn hash(password: &[u8], stored: &str) -> Option<String> {
    let forms = [SHA256_FORM, SHA512_FORM];
    let form = forms.iter().find(|form| stored.starts_with(form.magic))?;
    let mut rest = &stored[form.magic.len()..];
    let mut prefix = form.magic.to_owned();
    let mut rounds = DEFAULT_ROUNDS;
    if let Some((number, after)) = rest
        .strip_prefix("rounds=")
        .and_then(|text| text.split_once('$'))
    {
        rounds = number.parse::<u32>().ok()?.clamp(1000, 999_999_999);
        prefix.push_str(&format!("rounds={rounds}$"));
        rest = after;
    }
    let salt = rest.split('$').next().unwrap_or_default().as_bytes();
    let salt = &salt[..salt.len().min(SALT)];
    let hash = digest_of(form.algorithm, password, salt, rounds);
    prefix.push_str(&String::from_utf8_lossy(salt));
    prefix.push('$');
    write_digits(form.order, form.last, &hash, &mut prefix);
    Some(prefix)
}

fn digest_of(algorithm: &'static Algorithm, password: &[u8], salt: &[u8], rounds: u32) -> Vec<u8> {
    let of = |parts: &[&[u8]]| -> Digest {
        let mut context = Context::new(algorithm);
        parts.iter().for_each(|part| context.update(part));
        context.finish()
    };
    let inner = of(&[password, salt, password]);
    let mut first = Context::new(algorithm);
    first.update(password);
    first.update(salt);
    first.update(&stretched(inner.as_ref(), password.len()));
    let mut length = password.len();
    while length > 0 {
        first.update(if length & 1 == 1 {
            inner.as_ref()
        } else {
            password
        });
        length >>= 1;
    }
    let first = first.finish();
    let password = stretched(of(&vec![password; password.len()]).as_ref(), password.len());
    let times = 16 + usize::from(first.as_ref()[0]);
    let salt = stretched(of(&vec![salt; times]).as_ref(), salt.len());
    let mut hash = first.as_ref().to_vec();
    for round in 0..rounds {
        let mut next = Context::new(algorithm);
        let odd = round & 1 == 1;
        next.update(if odd { &password } else { &hash });
        if round % 3 != 0 {
            next.update(&salt);
        }
        if round % 7 != 0 {
            next.update(&password);
        }
        next.update(if odd { &hash } else { &password });
        hash = next.finish().as_ref().to_vec();
    }
    hash
}

/// A hash repeated to a length.
fn stretched(hash: &[u8], length: usize) -> Vec<u8> {
    hash.iter().copied().cycle().take(length).collect()
}

/// Writes a hash in crypt's alphabet: bytes in the order given, three at a
/// time, and the last ones.
pub(super) fn write_digits(order: &[[usize; 3]], last: &[usize], hash: &[u8], out: &mut String) {
    const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for places in order.iter().map(|places| &places[..]).chain([last]) {
        let bits = |bits: u32, place: &usize| bits << 8 | u32::from(hash[*place]);
        let mut bits = places.iter().fold(0, bits);
        for _ in 0..=places.len() {
            out.push(char::from(DIGITS[(bits & 63) as usize]));
            bits >>= 6;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_openssl_and_crypt_write_is_made_again() {
        for (password, stored) in [
            (
                "secret",
                "$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.",
            ),
            (
                "secret",
                "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.",
            ),
            (
                "a password that is longer than one block of sixty-four bytes, really it is",
                "$6$rounds=1500$saltsaltsaltsalt$cBddtcJmeL03HbpHVfP5Ec.ynDa0t4cXJtbEk5YXdKCVqTVQycnUmo0zflc4uzgwIZFemP.3S/V1Nz0iG.qHq.",
            ),
            // A test vector of the specification.
            (
                "Hello world!",
                "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA",
            ),
        ] {
            let made = hash(password.as_bytes(), stored);
            assert_eq!(made.as_deref(), Some(stored), "{password}");
        }
    }

    #[test]
    fn other_forms_are_not_made() {
        assert_eq!(hash(b"x", "$1$salt$"), None);
        assert_eq!(hash(b"x", "$5$rounds=x$salt$"), None);
    }
}
