//! Certificates and keys, made by openssl.

use std::process::Command;

use super::Place;

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
    let kind = "ec -pkeyopt ec_paramgen_curve:P-256";
    self_signed(place, name, kind);
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
