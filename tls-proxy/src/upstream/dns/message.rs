//! DNS messages (RFC 1035, section 4) as pure functions: encodes queries and parses
//! answers. Nothing in an answer is trusted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest name, bytes on the wire (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 255;
const HEADER: usize = 12;
const INTERNET: u16 = 1;

/// The record types that are queried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordType {
    A,
    Aaaa,
    Srv,
}

impl RecordType {
    fn code(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
            Self::Srv => 33,
        }
    }
}

const CNAME: u16 = 5;
/// Aliases followed within one message.
const MAX_NAMES: usize = 16;

/// A server of a service (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// The lowest is used first.
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) port: u16,
    /// A name in wire form.
    pub(crate) target: Vec<u8>,
}

/// A server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DnsResponse {
    /// RCODE; 0 is success, 3 a name that does not exist.
    pub(crate) code: u8,
    /// The complete answer is available over TCP.
    pub(crate) truncated: bool,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) services: Vec<Service>,
    /// Seconds; the minimum of all records.
    pub(crate) ttl: u32,
    /// The name this one is an alias of, in wire form.
    pub(crate) alias: Option<Vec<u8>>,
}

/// A name in wire form; `None` if it is invalid.
pub(crate) fn encode_name(name: &str) -> Option<Vec<u8>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut out = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok()?;
        if !(1..=63).contains(&length) {
            return None;
        }
        out.push(length);
        out.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
    }
    out.push(0);
    (out.len() <= LONGEST_NAME).then_some(out)
}

/// A query with recursion desired; `name` in wire form.
pub(crate) fn question(id: u16, name: &[u8], kind: RecordType) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + name.len() + 4);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(name);
    out.extend_from_slice(&kind.code().to_be_bytes());
    out.extend_from_slice(&INTERNET.to_be_bytes());
    out
}

/// Parses the answer to a query; `None` if it belongs to another query or is invalid.
pub(crate) fn parse(message: &[u8], id: u16, name: &[u8], kind: RecordType) -> Option<DnsResponse> {
    let mut input = Reader { message, at: 0 };
    let is_answer = |flags: u16| flags & 0x8000 != 0 && flags & 0x7800 == 0;
    let (own, flags) = (input.u16()?, input.u16()?);
    let (questions, answers) = (input.u16()?, input.u16()?);
    input.skip(4)?;
    if own != id || !is_answer(flags) || questions != 1 {
        return None;
    }
    let asked = input.name()?;
    if asked != name || input.u16()? != kind.code() || input.u16()? != INTERNET {
        return None;
    }
    let mut names = vec![asked];
    let mut answer = DnsResponse {
        code: (flags & 0xf) as u8,
        truncated: flags & 0x200 != 0,
        addresses: Vec::new(),
        services: Vec::new(),
        ttl: u32::MAX,
        alias: None,
    };
    for _ in 0..answers {
        if input.record(kind, &mut names, &mut answer).is_none() {
            // A truncated message may end anywhere.
            return answer.truncated.then_some(answer);
        }
    }
    Some(answer)
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.message.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.take(length).map(drop)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?.first_chunk()?;
        Some(u16::from_be_bytes(*bytes))
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = self.take(4)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes))
    }

    /// A name with its pointers (RFC 1035, section 4.1.4) resolved, in wire form and lower
    /// case. Pointers lead backwards only, so they cannot loop.
    fn name(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let (mut at, mut behind) = (self.at, None);
        loop {
            let length = *self.message.get(at)?;
            match length {
                0 => {
                    out.push(0);
                    self.at = behind.unwrap_or(at + 1);
                    return Some(out);
                }
                1..=63 => {
                    let end = at + 1 + usize::from(length);
                    out.push(length);
                    out.extend(self.message.get(at + 1..end)?.to_ascii_lowercase());
                    at = end;
                }
                0xc0.. => {
                    let low = *self.message.get(at + 1)?;
                    let target = usize::from(length & 0x3f) << 8 | usize::from(low);
                    behind = behind.or(Some(at + 2));
                    if target >= at {
                        return None;
                    }
                    at = target;
                }
                _ => return None,
            }
            if out.len() >= LONGEST_NAME {
                return None;
            }
        }
    }

    /// Parses a record. `names` are the queried name and its aliases according to earlier
    /// records; records of other names are ignored.
    fn record(
        &mut self,
        wanted: RecordType,
        names: &mut Vec<Vec<u8>>,
        answer: &mut DnsResponse,
    ) -> Option<()> {
        let owner = self.name()?;
        let (kind, class) = (self.u16()?, self.u16()?);
        let ttl = self.u32()?;
        let length = usize::from(self.u16()?);
        let start = self.at;
        if class != INTERNET || !names.contains(&owner) {
            return self.skip(length);
        }
        if kind == wanted.code() {
            match wanted {
                RecordType::A => {
                    let bytes = <[u8; 4]>::try_from(self.take(length)?).ok()?;
                    answer.addresses.push(Ipv4Addr::from(bytes).into());
                }
                RecordType::Aaaa => {
                    let bytes = <[u8; 16]>::try_from(self.take(length)?).ok()?;
                    answer.addresses.push(Ipv6Addr::from(bytes).into());
                }
                RecordType::Srv => {
                    let service = Service {
                        priority: self.u16()?,
                        weight: self.u16()?,
                        port: self.u16()?,
                        target: self.name()?,
                    };
                    if self.at != start + length {
                        return None;
                    }
                    answer.services.push(service);
                }
            }
            answer.ttl = answer.ttl.min(ttl);
        } else if kind == CNAME {
            let alias = self.name()?;
            if self.at != start + length || names.len() >= MAX_NAMES {
                return None;
            }
            answer.ttl = answer.ttl.min(ttl);
            answer.alias = Some(alias.clone());
            names.push(alias);
        }
        self.at = start;
        self.skip(length)
    }
}

#[cfg(test)]
mod tests {
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
}
