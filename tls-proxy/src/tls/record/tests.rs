//! Two record layers connected to each other, and one that gets invalid input.
//! `tests/it/tls_records.rs` tests them against rustls and OpenSSL, with KeyUpdates.

use aws_lc_rs::aead::{self, AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305};

use super::control::*;
use super::*;

const ALGORITHMS: [&aead::Algorithm; 3] = [&AES_128_GCM, &AES_256_GCM, &CHACHA20_POLY1305];
const IV: [u8; aead::NONCE_LEN] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8];

/// Both ends have the same keys; the records that come next are numbered `sequence`.
fn layer(algorithm: &'static aead::Algorithm, tls13: bool, sequence: u64) -> RecordLayer {
    let key = &[7; 32][..algorithm.key_len()];
    let keys = || Keys::of(algorithm, key, &IV, sequence).expect("a key of the right length");
    RecordLayer {
        sealing: keys(),
        opening: keys(),
        tls13,
        limit: u64::MAX,
        next: None,
        message: [0; KEY_UPDATE],
        message_size: 0,
        update_due: false,
        empty_records: 0,
        warnings: 0,
        renegotiations: 0,
        key_updates: 0,
    }
}

/// An end that talks, and one that listens, of TLS 1.3.
fn pair() -> (RecordLayer, RecordLayer) {
    (layer(&AES_128_GCM, true, 0), layer(&AES_128_GCM, true, 0))
}

/// One record as somebody else might write it.
fn record(from: &mut RecordLayer, kind: ContentType, clear: &[u8]) -> Vec<u8> {
    let mut out = vec![0; clear.len() + ADDED];
    let size = from.seal_record(kind, clear, &mut out).expect("sealed");
    out.truncate(size);
    out
}

/// One record of TLS 1.3 with all that is encrypted in it.
fn inner(from: &mut RecordLayer, inner: &[u8]) -> Vec<u8> {
    let mut body = inner.to_vec();
    let head = header(23, inner.len() + TAG);
    let nonce = Nonce::assume_unique_for_key(from.sealing.nonce());
    from.sealing
        .key
        .seal_in_place_append_tag(nonce, Aad::from(head), &mut body)
        .expect("sealed");
    from.sealing.sequence += 1;
    [&head[..], &body].concat()
}

fn open(to: &mut RecordLayer, mut records: Vec<u8>) -> Result<Option<(Opened, usize)>, Error> {
    to.open(&mut records)
}

/// All data of some records.
fn read(to: &mut RecordLayer, mut records: Vec<u8>) -> Vec<u8> {
    let (mut used, mut data) = (0, Vec::new());
    while let Some((Opened::Data(clear), size)) = to.open(&mut records[used..]).expect("sound") {
        data.extend_from_slice(&records[used..][clear]);
        used += size;
    }
    assert_eq!(used, records.len());
    data
}

#[test]
fn what_is_sealed_is_opened_in_every_version_and_suite() {
    let data: Vec<u8> = (0..3 * FRAGMENT + 5).map(|at| (at % 251) as u8).collect();
    for (algorithm, tls13) in ALGORITHMS
        .iter()
        .flat_map(|own| [(own, false), (own, true)])
    {
        // As after a handshake, and as in a connection of some age.
        for sequence in [0, 1, 0x1_0000_0000] {
            let mut from = layer(algorithm, tls13, sequence);
            let mut to = layer(algorithm, tls13, sequence);
            for length in [
                1,
                2,
                15,
                16,
                17,
                FRAGMENT - 1,
                FRAGMENT,
                FRAGMENT + 1,
                data.len(),
            ] {
                let records = length.div_ceil(FRAGMENT);
                let mut out = vec![0; length + records * ADDED];
                let size = from.seal(&data[..length], &mut out).expect("sealed");
                out.truncate(size);
                assert!(
                    read(&mut to, out) == data[..length],
                    "{algorithm:?} {tls13} {length}"
                );
            }
        }
    }
}

#[test]
fn a_changed_bit_anywhere_ends_the_connection() {
    for (algorithm, tls13) in ALGORITHMS
        .iter()
        .flat_map(|own| [(own, false), (own, true)])
    {
        let whole = record(
            &mut layer(algorithm, tls13, 1),
            ContentType::ApplicationData,
            b"GET / HTTP/1.1",
        );
        for at in 0..whole.len() {
            let mut to = layer(algorithm, tls13, 1);
            let mut changed = whole.clone();
            changed[at] ^= 1;
            // A length that has grown wants more to come first.
            changed.resize(whole.len() + 256, 0);
            // TLS 1.3 ignores nothing either: a header is authenticated whole.
            assert!(to.open(&mut changed).is_err(), "{algorithm:?} {tls13} {at}");
        }
        // Nor is one taken twice, or out of turn.
        let mut to = layer(algorithm, tls13, 1);
        assert!(open(&mut to, whole.clone()).is_ok());
        assert_eq!(open(&mut to, whole), Err(Error::Decrypt));
    }
}

#[test]
fn a_record_is_waited_for_until_it_is_whole() {
    let (mut from, mut to) = pair();
    let whole = record(&mut from, ContentType::ApplicationData, b"all of it");
    for size in 0..whole.len() {
        assert_eq!(open(&mut to, whole[..size].to_vec()), Ok(None), "{size}");
    }
    assert!(matches!(
        open(&mut to, whole),
        Ok(Some((Opened::Data(_), _)))
    ));
}

#[test]
fn records_are_bounded() {
    let too_long = |tls13: bool, added: usize| {
        let mut to = layer(&AES_128_GCM, tls13, 0);
        open(&mut to, header(23, FRAGMENT + added + 1).to_vec())
    };
    assert_eq!(too_long(true, MAX_ADDED_TLS13), Err(Error::Oversized));
    assert_eq!(too_long(false, MAX_ADDED_TLS12), Err(Error::Oversized));
    // Padding counts (RFC 8446, section 5.4).
    let (mut from, mut to) = pair();
    let mut padded = vec![0; FRAGMENT + 1];
    padded[0] = 23;
    let fits = inner(&mut from, &padded);
    assert!(matches!(
        open(&mut to, fits),
        Ok(Some((Opened::Data(_), _)))
    ));
    padded.push(0);
    let longer = inner(&mut from, &padded);
    assert_eq!(open(&mut to, longer), Err(Error::Oversized));
}

#[test]
fn padding_is_taken_off_and_a_record_of_padding_alone_refused() {
    let (mut from, mut to) = pair();
    let padded = inner(&mut from, b"data\x17\0\0\0");
    assert_eq!(read(&mut to, padded), b"data");
    let empty = inner(&mut from, b"\x17\0\0\0");
    assert_eq!(read(&mut to, empty), b"");
    let nothing = inner(&mut from, &[0; 8]);
    assert_eq!(open(&mut to, nothing), Err(Error::Unexpected));
}

#[test]
fn what_may_not_come_is_refused_with_its_alert() {
    use AlertDescription as Alert;
    let (alert, handshake) = (ContentType::Alert, ContentType::Handshake);
    type Case = (
        bool,
        ContentType,
        &'static [u8],
        Error,
        Option<AlertDescription>,
    );
    let cases: [Case; 12] = [
        (
            true,
            alert,
            &[2, 0x2a],
            Error::Alert(Alert::BadCertificate),
            None,
        ),
        (
            true,
            alert,
            &[1, 0x2a],
            Error::MalformedAlert,
            Some(Alert::DecodeError),
        ),
        (
            true,
            alert,
            &[2],
            Error::MalformedAlert,
            Some(Alert::DecodeError),
        ),
        (
            true,
            alert,
            &[],
            Error::Unexpected,
            Some(Alert::UnexpectedMessage),
        ),
        (
            true,
            alert,
            &[3, 0],
            Error::MalformedAlert,
            Some(Alert::DecodeError),
        ),
        (
            true,
            handshake,
            &[],
            Error::Unexpected,
            Some(Alert::UnexpectedMessage),
        ),
        // A ClientHello, a KeyUpdate of no kind, one of two bytes, and one with more behind it.
        (
            true,
            handshake,
            &[1, 0, 0, 0],
            Error::Unexpected,
            Some(Alert::UnexpectedMessage),
        ),
        (
            true,
            handshake,
            &[24, 0, 0, 1, 2],
            Error::IllegalKeyUpdate,
            Some(Alert::IllegalParameter),
        ),
        (
            true,
            handshake,
            &[24, 0, 0, 2, 0],
            Error::IllegalKeyUpdate,
            Some(Alert::IllegalParameter),
        ),
        (
            true,
            handshake,
            &[24, 0, 0, 1, 0, 0],
            Error::Unexpected,
            Some(Alert::UnexpectedMessage),
        ),
        (
            true,
            ContentType::ChangeCipherSpec,
            &[1],
            Error::Unexpected,
            Some(Alert::UnexpectedMessage),
        ),
        (
            false,
            handshake,
            &[20, 0, 0, 0],
            Error::Unexpected,
            Some(Alert::UnexpectedMessage),
        ),
    ];
    for (tls13, kind, clear, error, alert) in cases {
        let mut from = layer(&AES_128_GCM, tls13, 0);
        let mut to = layer(&AES_128_GCM, tls13, 0);
        let sent = record(&mut from, kind, clear);
        assert_eq!(open(&mut to, sent), Err(error), "{kind:?} {clear:?}");
        assert_eq!(error.alert(), alert, "{kind:?} {clear:?}");
    }
    let (_, mut to) = pair();
    let clear_text = [&header(21, 2)[..], &[1, 0]].concat();
    assert_eq!(open(&mut to, clear_text), Err(Error::Unexpected));
}

#[test]
fn warnings_and_renegotiations_are_counted() {
    let mut from = layer(&CHACHA20_POLY1305, false, 0);
    let mut to = layer(&CHACHA20_POLY1305, false, 0);
    let renegotiate = [1, 0, 0, 0];
    let asked = record(&mut from, ContentType::Handshake, &renegotiate);
    let size = asked.len();
    assert_eq!(
        open(&mut to, asked),
        Ok(Some((Opened::Renegotiation, size)))
    );
    let again = record(&mut from, ContentType::Handshake, &renegotiate);
    assert_eq!(open(&mut to, again), Err(Error::TooMany));

    let (mut from, mut to) = pair();
    for _ in 0..MAX_WARNINGS {
        let canceled = record(&mut from, ContentType::Alert, &[1, 90]);
        assert!(matches!(
            open(&mut to, canceled),
            Ok(Some((Opened::Nothing, _)))
        ));
    }
    let canceled = record(&mut from, ContentType::Alert, &[1, 90]);
    assert_eq!(open(&mut to, canceled), Err(Error::TooMany));
}

#[test]
fn records_without_data_are_counted_until_there_is_some() {
    let data = ContentType::ApplicationData;
    let (mut from, mut to) = pair();
    for _ in 0..2 {
        for _ in 0..MAX_EMPTY_RECORDS {
            assert!(open(&mut to, record(&mut from, data, b"")).is_ok());
        }
        assert!(open(&mut to, record(&mut from, data, b"some")).is_ok());
    }
    for _ in 0..MAX_EMPTY_RECORDS {
        assert!(open(&mut to, record(&mut from, data, b"")).is_ok());
    }
    let empty = record(&mut from, data, b"");
    assert_eq!(open(&mut to, empty), Err(Error::TooMany));
}

#[test]
fn nothing_comes_between_the_parts_of_a_message() {
    for kind in [ContentType::ApplicationData, ContentType::Alert] {
        let (mut from, mut to) = pair();
        let part = record(&mut from, ContentType::Handshake, &[24, 0]);
        assert!(matches!(
            open(&mut to, part),
            Ok(Some((Opened::Nothing, _)))
        ));
        let other = record(&mut from, kind, &[1, 0]);
        assert_eq!(open(&mut to, other), Err(Error::Unexpected), "{kind:?}");
    }
}

#[test]
fn keys_of_tls_1_2_end_with_their_limit() {
    let mut from = layer(&AES_128_GCM, false, 1);
    from.limit = 3;
    let mut out = [0; 100];
    assert!(from.seal(b"1", &mut out).is_ok());
    assert!(from.seal(b"2", &mut out).is_ok());
    assert_eq!(from.seal(b"3", &mut out), Err(Error::Exhausted));
    // An alert may still be sent.
    assert!(
        from.seal_alert(AlertDescription::CloseNotify, &mut out)
            .is_ok()
    );
}
