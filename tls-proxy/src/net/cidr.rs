//! Networks in the configuration: `10.0.0.0/8`, `2001:db8::/32`, or a single address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::conf::units;

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Parses a network. The flag says that address bits outside the mask are set, which
    /// nginx warns about.
    pub(crate) fn parse(text: &str) -> Option<(Self, bool)> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address = parse_address(address)?;
        let most = width(address);
        let bits = match bits {
            None => most,
            Some(bits) => units::parse_integer(bits).filter(|bits| *bits <= most)?,
        };
        let own = Self { address, bits };
        let low = masked(address, bits) != number(address);
        Some((own, low))
    }

    /// The network with this prefix length that has the address; `None` if it is longer than that.
    pub(crate) fn around(address: IpAddr, bits: u8) -> Option<Self> {
        (bits <= width(address)).then(|| Self { address, bits }.masked())
    }

    /// The same network, without address bits outside the mask.
    pub(crate) fn masked(self) -> Self {
        let number = masked(self.address, self.bits);
        let address = match self.address {
            IpAddr::V4(_) => Ipv4Addr::from(number as u32).into(),
            IpAddr::V6(_) => Ipv6Addr::from(number).into(),
        };
        Self { address, ..self }
    }

    /// Whether the network contains the address.
    pub(crate) fn has(self, address: IpAddr) -> bool {
        // On a dual-stack socket an IPv4 client has an IPv4-mapped address.
        self.has_as_it_is(address.to_canonical())
    }

    /// The same for an IPv4-mapped address as one of IPv6.
    pub(crate) fn has_as_it_is(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_ipv4()
            && masked(address, self.bits) == masked(self.address, self.bits)
    }

    pub(crate) fn is_ipv4(self) -> bool {
        self.address.is_ipv4()
    }

    /// The prefix length: a longer one is more specific.
    pub(crate) fn bits(self) -> u8 {
        self.bits
    }
}

/// Parses an address like nginx: parts of an IPv4 address may have leading zeros and are
/// decimal nevertheless.
pub(crate) fn parse_address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse().ok().map(IpAddr::V6);
    }
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        let digits = part.trim_start_matches('0');
        let plain = part.bytes().all(|byte| byte.is_ascii_digit()) && digits.len() <= 3;
        let value: u16 = match digits {
            "" if plain => 0,
            digits if plain => digits.parse().ok()?,
            _ => return None,
        };
        *octet = u8::try_from(value).ok()?;
    }
    parts
        .next()
        .is_none()
        .then_some(IpAddr::V4(Ipv4Addr::from(octets)))
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn masked(address: IpAddr, bits: u8) -> u128 {
    let low = u32::from(width(address) - bits);
    number(address)
        .checked_shr(low)
        .unwrap_or(0)
        .checked_shl(low)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_what_its_mask_says() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("1.2.3.4", "1.2.3.4", true),
            ("1.2.3.4", "::ffff:1.2.3.4", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
        ] {
            let (own, _) = Network::parse(network).expect("valid");
            assert_eq!(
                own.has(address.parse().expect("valid")),
                expected,
                "{network} {address}"
            );
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "a",
            "1.2.3.4/33",
            "1.2.3/8",
            "::1/129",
            "1.2.3.4/-1",
            "1.2.3.4/",
            "1.2.3.4/8/9",
            "1.2.3.4/+8",
            "1.2.3.4.5",
            "256.0.0.1",
            "1.2.3.-4",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
        assert_eq!(parse_address("010.0.0.1"), "10.0.0.1".parse().ok());
        assert!(Network::parse("1.2.3.4/16").expect("valid").1);
        assert!(!Network::parse("1.2.0.0/16").expect("valid").1);
    }
}
