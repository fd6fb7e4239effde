//! Properties of any certificate chain and CRL, for fuzzing: see `properties.rs`.

use rustls::pki_types::{CertificateDer, UnixTime};
use std::sync::Arc;
use std::time::Duration;

use super::certificate::Certificate;
use super::crl::Crl;
use super::der::{self, BIT_STRING, INTEGER, OBJECT_ID, OCTET_STRING, SEQUENCE, SET, fields};
use super::distinguished_name::COMMON_NAME;
use super::name_constraints::NameConstraints;
use super::trust::{Purpose, Trust};

/// ecdsa-with-SHA256, and a P-256 key without a known private key.
const SIGNATURE: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const KEY: &[u8] = &[
    6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7,
];
const TIMES: &[u8] = b"\x17\x0d200101000000Z\x17\x0d490101000000Z";
const NOW: Duration = Duration::from_secs(1_800_000_000);

/// A chain without a valid signature is never accepted, and removing a constraint never
/// causes a rejection.
pub(crate) fn chain(data: &[u8]) {
    let mut pieces = Pieces(data);
    let [root, middle, leaf] = [pieces.next(), pieces.next(), pieces.next()];
    let [above, own] = [pieces.next(), pieces.next()];
    let (top, above) = (name(b"Root"), sequence(SEQUENCE, &[above]));
    let own = sequence(SEQUENCE, &[own]);
    let root = certificate(&top, &top, root);
    let shown = [
        certificate(&own, &above, leaf),
        certificate(&above, &top, middle),
    ];
    let lists = [
        list(&top, pieces.next(), pieces.next()),
        list(&above, pieces.next(), pieces.0),
    ];
    let lists: Arc<[_]> = lists
        .into_iter()
        .filter_map(|der| Crl::parse(der.into()))
        .collect();
    let _ = (Certificate::parse(data), Crl::parse(data.to_vec().into()));
    let known: Vec<_> = Certificate::parse(&root).into_iter().collect();
    let trust = Trust::new(known, lists, 3);
    let shown = shown.map(CertificateDer::from);
    for purpose in [Purpose::Client, Purpose::Server] {
        let verdict = trust.examine(&shown, purpose, UnixTime::since_unix_epoch(NOW));
        assert!(verdict.is_err(), "let in without a signature");
    }
    let raw = [CertificateDer::from(data), shown[1].clone()];
    let verdict = trust.examine(&raw, Purpose::Client, UnixTime::since_unix_epoch(NOW));
    assert!(verdict.is_err() || data == root.as_slice());
}

/// What more constraints accept, fewer accept too.
pub(crate) fn constraints(data: &[u8]) {
    let mut pieces = Pieces(data);
    let [permitted, excluded, subject] = [pieces.next(), pieces.next(), pieces.next()];
    let subject = sequence(SEQUENCE, &[subject]);
    let Some(leaf) = Certificate::parse(&certificate(&subject, &name(b"Root"), pieces.0)) else {
        return;
    };
    let admits = |permitted: &[u8], excluded: &[u8]| {
        let parts = [
            sequence(fields(0), &[permitted]),
            sequence(fields(1), &[excluded]),
        ];
        let value = sequence(SEQUENCE, &[&parts[0], &parts[1]]);
        NameConstraints::parse(&value).map(|own| own.check(&leaf, true).is_ok())
    };
    if admits(permitted, excluded) != Some(true) {
        return;
    }
    assert_eq!(admits(&[], excluded), Some(true));
    let parts = der::all(excluded).unwrap_or_default();
    for dropped in 0..parts.len() {
        let kept = parts
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != dropped);
        let kept: Vec<u8> = kept.flat_map(|(_, part)| part.whole.to_vec()).collect();
        assert_eq!(admits(permitted, &kept), Some(true));
    }
}

/// Pieces of the input, each preceded by its length in two bytes.
struct Pieces<'a>(&'a [u8]);

impl<'a> Pieces<'a> {
    fn next(&mut self) -> &'a [u8] {
        let Some((length, rest)) = self.0.split_first_chunk() else {
            return std::mem::take(&mut self.0);
        };
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (piece, rest) = rest.split_at(length);
        self.0 = rest;
        piece
    }
}

/// One element that contains others.
fn sequence(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(length) if length < 0x80 => out.push(length),
        _ => {
            out.push(0x84);
            out.extend_from_slice(
                &u32::try_from(content.len())
                    .unwrap_or(u32::MAX)
                    .to_be_bytes(),
            );
        }
    }
    out.extend_from_slice(&content);
    out
}

fn name(common: &[u8]) -> Vec<u8> {
    const UTF8_STRING: u8 = 0x0c;
    let own = [
        sequence(OBJECT_ID, &[COMMON_NAME]),
        sequence(UTF8_STRING, &[common]),
    ];
    let attribute = sequence(SEQUENCE, &[&own[0], &own[1]]);
    sequence(SEQUENCE, &[&sequence(SET, &[&attribute])])
}

/// A certificate with these names and extensions and an invalid signature.
fn certificate(subject: &[u8], issuer: &[u8], extensions: &[u8]) -> Vec<u8> {
    let algorithm = sequence(SEQUENCE, &[SIGNATURE]);
    let point = sequence(BIT_STRING, &[&[0, 4], &[7; 64]]);
    let key = sequence(SEQUENCE, &[&sequence(SEQUENCE, &[KEY]), &point]);
    let extensions = sequence(fields(3), &[&sequence(SEQUENCE, &[extensions])]);
    let body = sequence(
        SEQUENCE,
        &[
            &sequence(fields(0), &[&sequence(INTEGER, &[&[2]])]),
            &sequence(INTEGER, &[&[1]]),
            &algorithm,
            issuer,
            &sequence(SEQUENCE, &[TIMES]),
            subject,
            &key,
            &extensions,
        ],
    );
    let signature = sequence(BIT_STRING, &[&[0], &sequence(OCTET_STRING, &[b"nobody's"])]);
    sequence(SEQUENCE, &[&body, &algorithm, &signature])
}

/// A CRL with these entries and extensions.
fn list(issuer: &[u8], entries: &[u8], extensions: &[u8]) -> Vec<u8> {
    let algorithm = sequence(SEQUENCE, &[SIGNATURE]);
    let body = sequence(
        SEQUENCE,
        &[
            &sequence(INTEGER, &[&[1]]),
            &algorithm,
            issuer,
            TIMES,
            &sequence(SEQUENCE, &[entries]),
            &sequence(fields(0), &[&sequence(SEQUENCE, &[extensions])]),
        ],
    );
    let signature = sequence(BIT_STRING, &[&[0], b"nobody's"]);
    sequence(SEQUENCE, &[&body, &algorithm, &signature])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_here_can_be_read() {
        let top = name(b"Root");
        assert!(Certificate::parse(&certificate(&top, &top, b"")).is_some());
        assert!(Crl::parse(list(&top, b"", b"").into()).is_some());
    }
}
