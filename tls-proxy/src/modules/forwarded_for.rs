//! The client's address as a chain of proxies reports it, for `real_ip_header` and the `proxy` of
//! `geo`.

use std::net::SocketAddr;

use crate::conf::units;
use crate::message::fields::Fields;
use crate::net::cidr::{Network, parse_address};

/// The proxies that are trusted to name the client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trust<'a> {
    pub(crate) proxies: &'a [Network],
    /// Trusted addresses in the field itself are skipped, too.
    pub(crate) recursive: bool,
}

impl Trust<'_> {
    pub(crate) fn has(&self, address: SocketAddr) -> bool {
        self.proxies.iter().any(|network| network.has(address.ip()))
    }

    /// Walks the values from the end while the sender is trusted; `None` if no trusted proxy names
    /// a client.
    pub(crate) fn client<'v>(
        &self,
        peer: SocketAddr,
        values: impl DoubleEndedIterator<Item = &'v [u8]>,
    ) -> Option<SocketAddr> {
        let mut words = values.rev().flat_map(words);
        let mut current = None;
        let mut speaker = peer;
        while self.has(speaker) {
            let Some(said) = words.next().and_then(parse) else {
                break;
            };
            speaker = said;
            current = Some(said);
            if !self.recursive {
                break;
            }
        }
        current
    }

    /// The client that `X-Forwarded-For` names; all such fields are one list.
    pub(crate) fn forwarded(&self, peer: SocketAddr, fields: &Fields) -> Option<SocketAddr> {
        let values: Vec<&[u8]> = fields.all(b"x-forwarded-for").collect();
        self.client(peer, values.into_iter())
    }
}

/// The elements of one field, the last one first. As in nginx, separators are skipped behind an element,
/// and not at the beginning of the field: such an element is none that can be trusted, and ends the list.
fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_separator = |byte: &u8| matches!(byte, b' ' | b',');
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let value = rest.take()?;
        let Some((_, others)) = value.split_first() else {
            return Some(value);
        };
        let end = others.iter().rposition(|byte| !is_separator(byte));
        let end = end.map_or(0, |last| last + 1);
        match others[..end].iter().rposition(is_separator) {
            Some(separator) => {
                rest = Some(&value[..separator + 1]);
                Some(&others[separator + 1..end])
            }
            None => Some(&value[..end + 1]),
        }
    })
}

/// An address, with a port or without (then 0); IPv6 with a port in brackets.
fn parse(word: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(word).ok()?;
    if let Some(address) = parse_address(text) {
        return Some(SocketAddr::new(address, 0));
    }
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    if let Some(bare) = bare.filter(|bare| bare.contains(':')) {
        return Some(SocketAddr::new(parse_address(bare)?, 0));
    }
    let (address, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:")?,
        None => text.split_once(':')?,
    };
    let port: u16 = units::parse_integer(port)?;
    (port > 0).then_some(SocketAddr::new(parse_address(address)?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(recursive: bool, values: &[&str]) -> Option<String> {
        let network = |text| Network::parse(text).expect("valid").0;
        let proxies = [network("127.0.0.1"), network("10.0.0.0/8")];
        let trust = Trust {
            proxies: &proxies,
            recursive,
        };
        let peer = "127.0.0.1:9".parse().expect("valid");
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        let found = trust.client(peer, values.into_iter());
        found.map(|address| address.to_string())
    }

    #[test]
    fn the_last_untrusted_speaker_is_the_client() {
        let chain = ["6.6.6.6, 1.2.3.4, 10.0.0.1"];
        assert_eq!(found(false, &chain).as_deref(), Some("10.0.0.1:0"));
        assert_eq!(found(true, &chain).as_deref(), Some("1.2.3.4:0"));
        assert_eq!(
            found(true, &["10.0.0.2", "10.0.0.1"]).as_deref(),
            Some("10.0.0.2:0")
        );
    }

    #[test]
    fn ports_stand_behind_addresses() {
        assert_eq!(found(false, &["1.2.3.4:5"]).as_deref(), Some("1.2.3.4:5"));
        assert_eq!(
            found(false, &["[2001:db8::1]:5"]).as_deref(),
            Some("[2001:db8::1]:5")
        );
        for text in [
            "garbage",
            "1.2.3.4:0",
            "1.2.3.4:",
            "[1.2.3.4]",
            "1.2.3.4:+5",
            "unix:x",
        ] {
            assert_eq!(found(false, &[text]), None, "{text}");
        }
    }
}
