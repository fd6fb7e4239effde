//! Lookups: the addresses of a name, the servers of a service, through aliases.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;

use super::message::{self, DnsResponse, RecordType, Service};
use super::query::{self, Error};

/// Aliases that are followed in turn.
const MAX_ALIASES: usize = 10;
/// Most servers of one name or service: a response has room for thousands of addresses, or of names
/// for a service. The rest is ignored.
pub(super) const MAX_SERVERS: usize = 1024;

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
    servers: &[SocketAddr],
    kinds: &[RecordType],
    limit: Duration,
) -> Result<Vec<(Service, Resolved)>, Error> {
    let name = message::encode_name(name).ok_or(Error::NotFound)?;
    timeout(limit, resolve_service(&name, servers, kinds)).await?
}

async fn resolve_service(
    name: &[u8],
    servers: &[SocketAddr],
    kinds: &[RecordType],
) -> Result<Vec<(Service, Resolved)>, Error> {
    let DnsResponse {
        mut services, ttl, ..
    } = follow(name, servers, RecordType::Srv).await?;
    // Those of a lower priority are left out first.
    services.sort_by_key(|service| service.priority);
    let (mut found, mut room) = (Vec::new(), MAX_SERVERS);
    for service in services.into_iter().take(MAX_SERVERS) {
        match resolve(&service.target, servers, kinds, true).await {
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
    servers: &[SocketAddr],
    kinds: &[RecordType],
    limit: Duration,
) -> Result<Resolved, Error> {
    timeout(limit, addresses(name, servers, kinds, true)).await?
}

/// The same without a time-out. The kinds are asked for one after the other unless `at_once`.
pub(super) async fn addresses(
    name: &str,
    servers: &[SocketAddr],
    kinds: &[RecordType],
    at_once: bool,
) -> Result<Resolved, Error> {
    let name = message::encode_name(name).ok_or(Error::NotFound)?;
    resolve(&name, servers, kinds, at_once).await
}

async fn resolve(
    name: &[u8],
    servers: &[SocketAddr],
    kinds: &[RecordType],
    at_once: bool,
) -> Result<Resolved, Error> {
    let of_kind = async |index: usize| match kinds.get(index) {
        Some(kind) => Some(follow(name, servers, *kind).await),
        None => None,
    };
    let (one, two) = match at_once {
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
    found.limit(MAX_SERVERS);
    Ok(found)
}

/// Follows aliases to records of this kind. The response has none if there are none.
async fn follow(
    name: &[u8],
    servers: &[SocketAddr],
    kind: RecordType,
) -> Result<DnsResponse, Error> {
    let mut name = name.to_vec();
    let mut ttl = u32::MAX;
    for _ in 0..MAX_ALIASES {
        let mut response = query::query(&name, servers, kind).await?;
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
