//! OpenSSL's cipher list format (`openssl-ciphers(1)`): the TLS 1.2 suites that
//! `ssl_ciphers` selects, and their order. Unsupported suites are known too, since they
//! decide whether a list selects anything.

/// A TLS 1.2 suite with the properties that a list can select.
struct Suite {
    name: &'static str,
    exchange: &'static str,
    signer: &'static str,
    /// The cipher and its mode, by the names used in lists.
    cipher: &'static [&'static str],
    mac: &'static str,
    bits: u16,
}

const GCM128: &[&str] = &["AES", "AES128", "AESGCM"];
const GCM256: &[&str] = &["AES", "AES256", "AESGCM"];
const CBC128: &[&str] = &["AES", "AES128"];
const CBC256: &[&str] = &["AES", "AES256"];
const CHACHA: &[&str] = &["CHACHA20"];

const fn suite(
    name: &'static str,
    (exchange, signer): (&'static str, &'static str),
    cipher: &'static [&'static str],
    mac: &'static str,
    bits: u16,
) -> Suite {
    Suite {
        name,
        exchange,
        signer,
        cipher,
        mac,
        bits,
    }
}

const E_ECDSA: (&str, &str) = ("kECDHE", "aECDSA");
const E_RSA: (&str, &str) = ("kECDHE", "aRSA");
const DHE: (&str, &str) = ("kDHE", "aRSA");
const RSA: (&str, &str) = ("kRSA", "aRSA");

/// OpenSSL's order of preference.
#[rustfmt::skip]
const ALL: &[Suite] = &[
    suite("ECDHE-ECDSA-AES256-GCM-SHA384", E_ECDSA, GCM256, "AEAD", 256),
    suite("ECDHE-RSA-AES256-GCM-SHA384", E_RSA, GCM256, "AEAD", 256),
    suite("DHE-RSA-AES256-GCM-SHA384", DHE, GCM256, "AEAD", 256),
    suite("ECDHE-ECDSA-CHACHA20-POLY1305", E_ECDSA, CHACHA, "AEAD", 256),
    suite("ECDHE-RSA-CHACHA20-POLY1305", E_RSA, CHACHA, "AEAD", 256),
    suite("DHE-RSA-CHACHA20-POLY1305", DHE, CHACHA, "AEAD", 256),
    suite("ECDHE-ECDSA-AES128-GCM-SHA256", E_ECDSA, GCM128, "AEAD", 128),
    suite("ECDHE-RSA-AES128-GCM-SHA256", E_RSA, GCM128, "AEAD", 128),
    suite("DHE-RSA-AES128-GCM-SHA256", DHE, GCM128, "AEAD", 128),
    suite("ECDHE-ECDSA-AES256-SHA384", E_ECDSA, CBC256, "SHA384", 256),
    suite("ECDHE-RSA-AES256-SHA384", E_RSA, CBC256, "SHA384", 256),
    suite("DHE-RSA-AES256-SHA256", DHE, CBC256, "SHA256", 256),
    suite("ECDHE-ECDSA-AES128-SHA256", E_ECDSA, CBC128, "SHA256", 128),
    suite("ECDHE-RSA-AES128-SHA256", E_RSA, CBC128, "SHA256", 128),
    suite("DHE-RSA-AES128-SHA256", DHE, CBC128, "SHA256", 128),
    suite("ECDHE-ECDSA-AES256-SHA", E_ECDSA, CBC256, "SHA1", 256),
    suite("ECDHE-RSA-AES256-SHA", E_RSA, CBC256, "SHA1", 256),
    suite("DHE-RSA-AES256-SHA", DHE, CBC256, "SHA1", 256),
    suite("ECDHE-ECDSA-AES128-SHA", E_ECDSA, CBC128, "SHA1", 128),
    suite("ECDHE-RSA-AES128-SHA", E_RSA, CBC128, "SHA1", 128),
    suite("DHE-RSA-AES128-SHA", DHE, CBC128, "SHA1", 128),
    suite("AES256-GCM-SHA384", RSA, GCM256, "AEAD", 256),
    suite("AES128-GCM-SHA256", RSA, GCM128, "AEAD", 128),
    suite("AES256-SHA256", RSA, CBC256, "SHA256", 256),
    suite("AES128-SHA256", RSA, CBC128, "SHA256", 128),
    suite("AES256-SHA", RSA, CBC256, "SHA1", 256),
    suite("AES128-SHA", RSA, CBC128, "SHA1", 128),
];

impl Suite {
    /// Whether a word of a list matches it.
    fn is(&self, word: &str) -> bool {
        let known = |words: &[&str]| words.contains(&word);
        match word {
            "ALL" | "HIGH" | "DEFAULT" | "COMPLEMENTOFALL" => word != "COMPLEMENTOFALL",
            "kECDHE" | "kEECDH" | "ECDHE" | "EECDH" | "ECDH" => self.exchange == "kECDHE",
            "kDHE" | "kEDH" | "DHE" | "EDH" | "DH" => self.exchange == "kDHE",
            "kRSA" | "RSA" => self.exchange == "kRSA",
            "aECDSA" | "ECDSA" => self.signer == "aECDSA",
            "aRSA" => self.signer == "aRSA",
            "SHA" | "SHA1" => self.mac == "SHA1",
            "SHA256" | "SHA384" => self.mac == word,
            "TLSv1.2" => self.mac != "SHA1",
            "SSLv3" => self.mac == "SHA1" && self.exchange != "kECDHE",
            "TLSv1" | "TLSv1.0" => self.mac == "SHA1" && self.exchange == "kECDHE",
            _ => self.name == word || known(self.cipher),
        }
    }

    /// Whether all words joined by `+` match it.
    fn is_all(&self, words: &str) -> bool {
        words.split('+').all(|word| self.is(word))
    }
}

/// The suites selected by `list`, in order; `None` if it is invalid or selects nothing,
/// which OpenSSL rejects.
pub(super) fn select(list: &str) -> Option<Vec<&'static str>> {
    // The suites that are not removed permanently, and whether each is selected.
    let mut order: Vec<(&Suite, bool)> = ALL.iter().map(|suite| (suite, false)).collect();
    for word in list.split([':', ' ', ',', ';']).filter(|it| !it.is_empty()) {
        let (sign, words) = match word.as_bytes()[0] {
            sign @ (b'!' | b'-' | b'+') => (sign, &word[1..]),
            b'@' if word == "@STRENGTH" => {
                let bits = |(suite, _): &(&Suite, bool)| std::cmp::Reverse(suite.bits);
                order.sort_by_key(bits);
                continue;
            }
            b'@' if word.starts_with("@SECLEVEL=") => continue,
            b'@' => return None,
            _ => (0, word),
        };
        let (meant, others): (Vec<_>, Vec<_>) = order.into_iter().partition(|(suite, is_in)| {
            let applies = match sign {
                b'!' => true,
                b'-' | b'+' => *is_in,
                _ => !is_in,
            };
            applies && suite.is_all(words)
        });
        let mark = |is_in| meant.iter().map(move |(suite, _)| (*suite, is_in));
        order = match sign {
            b'!' => others,
            // Deselected, and first in order if selected again.
            b'-' => mark(false).chain(others.iter().copied()).collect(),
            _ => others.iter().copied().chain(mark(true)).collect(),
        };
    }
    let selected: Vec<_> = order
        .into_iter()
        .filter(|(_, is_in)| *is_in)
        .map(|(suite, _)| suite.name)
        .collect();
    (!selected.is_empty()).then_some(selected)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECDSA: [&str; 3] = [
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
    ];

    fn ecdsa(list: &str) -> Vec<&'static str> {
        let mut selected = select(list).unwrap();
        selected.retain(|name| ECDSA.contains(name));
        selected
    }

    #[test]
    fn words_select_and_order_as_openssl_does() {
        let [aes256, chacha, aes128] = ECDSA;
        assert_eq!(ecdsa("HIGH:!aNULL:!MD5"), ECDSA);
        assert_eq!(ecdsa("EECDH+AESGCM:EDH+AESGCM"), [aes256, aes128]);
        assert_eq!(
            ecdsa("ECDHE+CHACHA20:ECDHE+AESGCM:-AES256:!SHA1"),
            [chacha, aes128]
        );
        assert_eq!(ecdsa("ALL:+AES256"), [chacha, aes128, aes256]);
        assert_eq!(ecdsa("AES128:AES256:@STRENGTH"), [aes256, aes128]);
        assert_eq!(ecdsa("ALL:-CHACHA20:ALL"), [aes256, aes128, chacha]);
        assert_eq!(ecdsa("ALL:!CHACHA20:CHACHA20"), [aes256, aes128]);
        assert_eq!(ecdsa(aes128), [aes128]);
        assert_eq!(select("AES128-SHA NOSUCH").unwrap(), ["AES128-SHA"]);
    }

    #[test]
    fn lists_that_select_nothing_are_none() {
        for list in [
            "",
            "NOSUCH",
            "RC4-MD5",
            "TLS_AES_128_GCM_SHA256",
            "ALL:!ALL",
            "@X",
        ] {
            assert_eq!(select(list), None, "{list}");
        }
    }
}
