//! Certificates and keys, made by openssl.

use std::process::Command;

use super::Place;

/// Options for a key.
const P256: &str = "ec -pkeyopt ec_paramgen_curve:P-256";

/// Runs openssl in the directory of a place.
pub(crate) fn openssl(place: &Place, words: &str) {
    let output = Command::new("openssl")
        .args(words.split_whitespace())
        .current_dir(place.folder())
        .output()
        .expect("openssl is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {words}: {said}");
}

/// `NAME.pem` and `NAME.key`, P-256, for the host NAME.
pub(crate) fn ecdsa(place: &Place, name: &str) {
    self_signed(place, name, P256);
}

/// The same, with a comment of so many bytes.
pub(crate) fn large(place: &Place, name: &str, size: usize) {
    let comment = "x".repeat(size);
    self_signed(place, name, &format!("{P256} -addext nsComment={comment}"));
}

/// `NAME.pem` and `NAME.key`, RSA, for the host NAME.
pub(crate) fn rsa(place: &Place, name: &str) {
    self_signed(place, name, "rsa:2048");
}

fn self_signed(place: &Place, name: &str, kind: &str) {
    openssl(
        place,
        &format!(
            "req -x509 -newkey {kind} -nodes -days 30 -keyout {name}.key -out {name}.pem \
             -subj /CN={name} -addext subjectAltName=DNS:{name}"
        ),
    );
}
