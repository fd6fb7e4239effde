//! Lookups: the addresses of a name, the servers of a service, through aliases.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::timeout;

use super::message::{self, DnsResponse, RecordType, Service};
use super::query::{self, Error};
use crate::config::resolver::{NameServers, Resolver, Turns};

/// Aliases that are followed in turn.
const MAX_ALIASES: usize = 10;
/// Most servers of one name or service: a response has room for thousands of addresses, or of names
/// for a service. The rest is ignored.
pub(super) const MAX_SERVERS: usize = message::MAX_ADDRESSES - 1;

/// Whom to ask, and for what.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    pub(super) turns: Turns<'a>,
    /// How long a response is waited for until the next server is asked.
    pub(super) patience: Duration,
    pub(super) kinds: &'a [RecordType],
    /// Addresses that are used.
    pub(super) most: usize,
    /// Whether all kinds are asked for at once, or one after the other.
    pub(super) at_once: bool,
}

impl<'a> Asking<'a> {
    /// Asks for as many servers as are used of any name, and all name servers within `limit`.
    pub(super) fn of(resolver: &'a Resolver, limit: Duration) -> Self {
        let kinds: &[_] = match (resolver.ipv4, resolver.ipv6) {
            (true, true) => &[RecordType::A, RecordType::Aaaa],
            (true, false) => &[RecordType::A],
            (false, _) => &[RecordType::Aaaa],
        };
        Self {
            turns: Turns::new(&resolver.servers),
            patience: patience(&resolver.servers, limit),
            kinds,
            most: MAX_SERVERS,
            at_once: true,
        }
    }
}

fn patience(servers: &NameServers, limit: Duration) -> Duration {
    const SHORTEST: Duration = Duration::from_millis(1);
    match servers.all.len() {
        0 | 1 => query::RETRY_AFTER,
        count => (limit / count as u32).clamp(SHORTEST, query::RETRY_AFTER),
    }
}

/// Addresses, and how long they are valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) ttl: Duration,
    /// There are more than are used.
    pub(crate) limited: bool,
}

impl Resolved {
    /// Leaves out the addresses behind the first `most`.
    fn limit(&mut self, most: usize) {
        if self.addresses.len() > most {
            self.limited = true;
            self.addresses.truncate(most);
            self.addresses.shrink_to_fit();
        }
    }
}

/// Looks up the servers of a service (RFC 2782) and their addresses, within `limit`.
pub(crate) async fn look_up_service(
    name: &str,
    asking: &Asking<'_>,
    limit: Duration,
) -> Result<Vec<(Service, Resolved)>, Error> {
    let name = message::encode_name(name).ok_or(Error::NotFound)?;
    timeout(limit, resolve_service(&name, asking)).await?
}

async fn resolve_service(
    name: &[u8],
    asking: &Asking<'_>,
) -> Result<Vec<(Service, Resolved)>, Error> {
    let mut response = follow(name, asking, RecordType::Srv).await?;
    // They are held until the addresses of all are known.
    response.keep_first_services();
    let DnsResponse { services, ttl, .. } = response;
    let (mut found, mut room) = (Vec::new(), MAX_SERVERS);
    for service in services {
        match resolve(&service.target, asking).await {
            Ok(mut own) => {
                own.ttl = own.ttl.min(Duration::from_secs(ttl.into()));
                own.limit(room);
                room -= own.addresses.len();
                found.push((service, own));
                if room == 0 {
                    break;
                }
            }
            // A server that does not exist any more.
            Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    match found.is_empty() {
        true => Err(Error::NotFound),
        false => Ok(found),
    }
}

/// Looks up the addresses of a name, within `limit`.
pub(crate) async fn look_up(
    name: &str,
    asking: &Asking<'_>,
    limit: Duration,
) -> Result<Resolved, Error> {
    timeout(limit, addresses(name, asking)).await?
}

/// The same without a time-out.
pub(super) async fn addresses(name: &str, asking: &Asking<'_>) -> Result<Resolved, Error> {
    let name = message::encode_name(name).ok_or(Error::NotFound)?;
    resolve(&name, asking).await
}

async fn resolve(name: &[u8], asking: &Asking<'_>) -> Result<Resolved, Error> {
    let of_kind = async |index: usize| {
        let kind = asking.kinds.get(index)?;
        let mut found = follow(name, asking, *kind).await;
        if let Ok(found) = &mut found {
            // They are held until the other kind is known. One more shows that there are more.
            found.addresses.truncate(asking.most + 1);
            found.addresses.shrink_to_fit();
        }
        Some(found)
    };
    let (one, two) = match asking.at_once {
        true => tokio::join!(of_kind(0), of_kind(1)),
        false => (of_kind(0).await, of_kind(1).await),
    };
    let mut found = Resolved {
        addresses: Vec::new(),
        ttl: Duration::MAX,
        limited: false,
    };
    let mut error = Error::NotFound;
    for result in [one, two].into_iter().flatten() {
        match result {
            Ok(more) => {
                found.addresses.extend(more.addresses);
                found.ttl = found.ttl.min(Duration::from_secs(more.ttl.into()));
            }
            Err(other) => error = other,
        }
    }
    if found.addresses.is_empty() {
        return Err(error);
    }
    found.limit(asking.most);
    Ok(found)
}

/// Follows aliases to records of this kind. The response has none if there are none.
async fn follow(name: &[u8], asking: &Asking<'_>, kind: RecordType) -> Result<DnsResponse, Error> {
    let mut name = name.to_vec();
    let mut ttl = u32::MAX;
    for _ in 0..MAX_ALIASES {
        let mut response = query::query(&name, asking, kind).await?;
        ttl = ttl.min(response.ttl);
        response.ttl = ttl;
        let is_empty = response.addresses.is_empty() && response.services.is_empty();
        match response.alias.take() {
            Some(alias) if is_empty => name = alias,
            _ => return Ok(response),
        }
    }
    Err(Error::NotFound)
}

#[cfg(test)]
mod tests;
