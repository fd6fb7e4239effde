//! Messages that are read, and those that are none.

use super::*;

fn answer(records: &[&[u8]]) -> Vec<u8> {
    let name = encode_name("a.example").expect("a name");
    let mut out = question(7, &name, RecordType::A);
    out[2] = 0x81;
    out[7] = records.len() as u8;
    for record in records {
        out.extend_from_slice(record);
    }
    out
}

const ADDRESS: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1];
const ALIAS: &[u8] = &[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 4, 1, b'b', 0xc0, 14];

fn read(message: &[u8]) -> Option<DnsResponse> {
    parse(message, 7, &encode_name("A.example.")?, RecordType::A)
}

#[test]
fn addresses_and_aliases_are_read() {
    let found = read(&answer(&[ALIAS, ADDRESS])).expect("an answer");
    assert_eq!(found.addresses, [IpAddr::from([10, 0, 0, 1])]);
    assert_eq!(found.ttl, 9);
    assert_eq!(found.alias, encode_name("b.example"));
}

#[test]
fn times_to_live_are_bounded() {
    for (ttl, used) in [
        (0, 0),
        (MAX_TTL - 1, MAX_TTL - 1),
        (MAX_TTL, MAX_TTL),
        (MAX_TTL + 1, MAX_TTL),
        (0x7fff_ffff, MAX_TTL),
        // RFC 2181, section 8.
        (0x8000_0000, 0),
        (u32::MAX, 0),
    ] {
        let with_ttl = |record: &[u8]| {
            let mut record = record.to_vec();
            record[6..10].copy_from_slice(&u32::to_be_bytes(ttl));
            record
        };
        for record in [with_ttl(ADDRESS), with_ttl(ALIAS)] {
            let found = read(&answer(&[&record])).expect("an answer");
            assert_eq!(found.ttl, used, "{ttl}");
        }
    }
}

#[test]
fn of_very_many_addresses_some_are_read() {
    let count = 4000_u16;
    let mut message = answer(&[]);
    message[6..8].copy_from_slice(&count.to_be_bytes());
    message.extend(ADDRESS.repeat(count.into()));
    let found = read(&message).expect("an answer");
    assert_eq!(found.addresses.len(), MAX_ADDRESSES);
    // The others are still checked.
    message.pop();
    assert!(read(&message).is_none());
}

#[test]
fn services_are_read() {
    let name = encode_name("_http._tcp.a.example").expect("a name");
    let mut message = question(7, &name, RecordType::Srv);
    message[2] = 0x81;
    message[7] = 1;
    // Priority 1, weight 5, port 8080, a target that ends with the question's last two labels.
    let record = [0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 9, 0, 10];
    let data = [0, 1, 0, 5, 0x1f, 0x90, 1, b'b', 0xc0, 23];
    message.extend([&record[..], &data].concat());
    let read = parse(&message, 7, &name, RecordType::Srv).expect("an answer");
    let expected = Service {
        priority: 1,
        weight: 5,
        port: 8080,
        target: encode_name("b.a.example").expect("a name"),
    };
    assert_eq!((read.services, read.ttl), (vec![expected], 9));
    // A wrong record length.
    message[name.len() + 12 + 4 + 11] = 9;
    assert_eq!(parse(&message, 7, &name, RecordType::Srv), None);
}

#[test]
fn of_very_many_services_the_first_by_priority_are_kept() {
    let name = encode_name("_http._tcp.a.example").expect("a name");
    let mut message = question(7, &name, RecordType::Srv);
    let count = 3 * MAX_SERVICES as u16;
    message[2] = 0x81;
    message[6..8].copy_from_slice(&count.to_be_bytes());
    for number in 0..count {
        // The last third comes first. The target is the root.
        let priority = u16::from(number < 2 * MAX_SERVICES as u16);
        message.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 9, 0, 7]);
        message.extend(priority.to_be_bytes());
        message.extend(number.to_be_bytes());
        message.extend([0x1f, 0x90, 0]);
    }
    let mut read = parse(&message, 7, &name, RecordType::Srv).expect("an answer");
    assert!(read.services.len() < MAX_SERVICES + SERVICES_AT_ONCE);
    read.keep_first_services();
    assert_eq!(read.services.len(), MAX_SERVICES);
    assert!(read.services.iter().all(|service| service.priority == 0));
    for service in &mut read.services {
        service.target = vec![b'a'; 255];
    }
    read.keep_first_services();
    assert_eq!(read.services.len(), MAX_SERVICE_NAMES / 255);
}

#[test]
fn records_of_other_names_are_passed_over() {
    let other = [&[1, b'x', 0][..], &ADDRESS[2..]].concat();
    let found = read(&answer(&[&other])).expect("an answer");
    assert_eq!((found.addresses.len(), found.ttl), (0, u32::MAX));
    // Of the alias, whose name ends with the question's last label.
    let of_alias = [&[1, b'b', 0xc0, 14][..], &ADDRESS[2..]].concat();
    let found = read(&answer(&[ALIAS, &other, &of_alias])).expect("an answer");
    assert_eq!((found.addresses.len(), found.ttl), (1, 9));
}

#[test]
fn aliases_without_end_are_no_answer() {
    assert!(read(&answer(&[ALIAS; MAX_NAMES - 1])).is_some());
    assert!(read(&answer(&[ALIAS; MAX_NAMES])).is_none());
    let mut long = ALIAS.to_vec();
    long[11] = 3;
    assert!(read(&answer(&[&long])).is_none());
}

#[test]
fn answers_to_other_questions_are_none() {
    let good = answer(&[ADDRESS]);
    assert!(
        parse(
            &good,
            8,
            &encode_name("a.example").expect("name"),
            RecordType::A
        )
        .is_none()
    );
    assert!(
        parse(
            &good,
            7,
            &encode_name("b.example").expect("name"),
            RecordType::A
        )
        .is_none()
    );
    assert!(
        parse(
            &good,
            7,
            &encode_name("a.example").expect("name"),
            RecordType::Aaaa
        )
        .is_none()
    );
    let mut asks = good.clone();
    asks[2] = 1;
    assert!(read(&asks).is_none());
    let mut circle = good;
    let pointer = circle.len() - ADDRESS.len();
    circle[pointer + 1] = pointer as u8;
    assert!(read(&circle).is_none());
}

/// A text that holds pointers in a row, and the address of a name that begins with the last.
fn behind_pointers(count: usize) -> Vec<u8> {
    let mut message = answer(&[]);
    let mut to = 12;
    // Of the root: TXT, IN, nine seconds.
    message.extend([0, 0, 16, 0, 1, 0, 0, 0, 9]);
    message.extend((2 * count as u16).to_be_bytes());
    for _ in 0..count {
        let at = message.len();
        message.extend([0xc0 | (to >> 8) as u8, to as u8]);
        to = at;
    }
    message.extend([0xc0 | (to >> 8) as u8, to as u8]);
    message.extend(&ADDRESS[2..]);
    message[7] = 2;
    message
}

#[test]
fn a_name_behind_very_many_pointers_is_none() {
    // The pointer of the record itself, two labels and the end of the name.
    let found = read(&behind_pointers(MAX_STEPS - 4)).expect("an answer");
    assert_eq!(found.addresses, [IpAddr::from([10, 0, 0, 1])]);
    assert!(read(&behind_pointers(MAX_STEPS - 3)).is_none());
    assert!(read(&behind_pointers(8000)).is_none());
}

#[test]
fn names_that_are_none_are_not_asked_for() {
    let long = "a".repeat(64);
    for name in ["", ".", "a..b", long.as_str(), &"a.".repeat(140)] {
        assert!(encode_name(name).is_none(), "{name}");
    }
}

#[test]
fn any_bytes_are_read_without_harm() {
    let whole = answer(&[ALIAS, ADDRESS]);
    let mut state = 1_u64;
    for round in 0..50_000_usize {
        let mut bytes = whole.clone();
        for _ in 0..=round % 6 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] = (state >> 25) as u8;
        }
        bytes.truncate(bytes.len() - (state >> 40) as usize % 8);
        let _ = read(&bytes);
    }
    for end in 0..whole.len() {
        assert!(read(&whole[..end]).is_none(), "{end}");
    }
}
