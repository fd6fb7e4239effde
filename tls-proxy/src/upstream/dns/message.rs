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
/// Addresses that are read of one message; there is room for thousands.
pub(super) const MAX_ADDRESSES: usize = 1025;
/// Servers of a service that are kept of one message, and the bytes of their names: there is room
/// for thousands, and with pointers each may have 255 bytes.
pub(super) const MAX_SERVICES: usize = MAX_ADDRESSES - 1;
const MAX_SERVICE_NAMES: usize = 64 << 10;
/// After so many others are left out.
const SERVICES_AT_ONCE: usize = 128;
/// Labels and pointers of one name, as in nginx. A name has at most 127 labels.
const MAX_STEPS: usize = 128;

/// The longest time to live that is used, seconds: a week (RFC 8767, section 4).
const MAX_TTL: u32 = 7 * 24 * 60 * 60;

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

impl DnsResponse {
    fn add(&mut self, address: IpAddr) {
        if self.addresses.len() < MAX_ADDRESSES {
            self.addresses.push(address);
        }
    }

    /// Adds a service; of very many, those with the lowest priority value are kept.
    fn add_service(&mut self, service: Service) {
        self.services.push(service);
        if self.services.len().is_multiple_of(SERVICES_AT_ONCE) {
            self.keep_first_services();
        }
    }

    /// Sorts the services by priority, and leaves out those that are too many.
    pub(super) fn keep_first_services(&mut self) {
        self.services.sort_by_key(|service| service.priority);
        let mut names = 0;
        let fit = self.services.iter().take(MAX_SERVICES).take_while(|it| {
            names += it.target.len();
            names <= MAX_SERVICE_NAMES
        });
        let fit = fit.count();
        self.services.truncate(fit);
        self.services.shrink_to_fit();
    }
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

/// The time to live that is used, seconds: zero where the top bit is set (RFC 2181, section 8).
fn lifetime(ttl: u32) -> u32 {
    match ttl.leading_zeros() {
        0 => 0,
        _ => ttl.min(MAX_TTL),
    }
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
    /// case. Pointers lead backwards only, so they cannot loop, but thousands of them may stand
    /// in a row, and thousands of records may begin with the last one: their number is limited.
    fn name(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let (mut at, mut behind) = (self.at, None);
        for _ in 0..MAX_STEPS {
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
        None
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
        let ttl = lifetime(self.u32()?);
        let length = usize::from(self.u16()?);
        let start = self.at;
        if class != INTERNET || !names.contains(&owner) {
            return self.skip(length);
        }
        if kind == wanted.code() {
            match wanted {
                RecordType::A => {
                    let bytes = <[u8; 4]>::try_from(self.take(length)?).ok()?;
                    answer.add(Ipv4Addr::from(bytes).into());
                }
                RecordType::Aaaa => {
                    let bytes = <[u8; 16]>::try_from(self.take(length)?).ok()?;
                    answer.add(Ipv6Addr::from(bytes).into());
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
                    answer.add_service(service);
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
mod tests;
