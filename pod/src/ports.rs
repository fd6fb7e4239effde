//! Advice for a port that cannot be bound.

use std::io;

/// The first port that every user may listen on by default
/// (`net.ipv4.ip_unprivileged_port_start`, which applies to IPv6 as well).
const UNPRIVILEGED: u16 = 1024;

/// What would permit this user to listen on `port`, if bind(2) failed because the
/// port is privileged.
#[must_use]
pub fn permission_hint(error: &io::Error, port: u16) -> Option<&'static str> {
    (error.kind() == io::ErrorKind::PermissionDenied && port < UNPRIVILEGED).then_some(
        "choose a port from 1024, or set the pod's sysctl net.ipv4.ip_unprivileged_port_start to 0",
    )
}

/// What to do if bind(2) of an address and `port` failed; `any` is the wildcard
/// address to suggest.
#[must_use]
pub fn bind_hint(error: &io::Error, port: u16, any: &str) -> Option<String> {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            Some("stop what listens there, or choose another port".to_owned())
        }
        io::ErrorKind::AddrNotAvailable => {
            Some(format!("choose an address of this host, or {any}"))
        }
        _ => permission_hint(error, port).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_privileged_port_that_is_denied_has_a_hint() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(permission_hint(&denied, 443).is_some_and(|hint| hint.contains("sysctl")));
        assert_eq!(permission_hint(&denied, 1024), None);
        assert_eq!(permission_hint(&io::ErrorKind::AddrInUse.into(), 443), None);
    }
}
