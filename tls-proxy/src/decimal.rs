//! Numbers and addresses as text, for the request path: the standard library's formatting takes
//! some ten times as long.

use std::io::Write as _;
use std::net::IpAddr;

use bytes::{BufMut, Bytes};

/// Digits of the longest number.
const MAX: usize = 20;

/// Appends a number.
pub(crate) fn write(value: u64, out: &mut impl BufMut) {
    write_padded(value, 1, out);
}

/// Appends a number, padded with zeros to `width` digits.
pub(crate) fn write_padded(value: u64, width: usize, out: &mut impl BufMut) {
    with_digits(value, width, |digits| out.put_slice(digits));
}

/// A number.
pub(crate) fn text(value: u64) -> Bytes {
    with_digits(value, 1, Bytes::copy_from_slice)
}

/// Appends an address.
pub(crate) fn write_ip(ip: IpAddr, out: &mut Vec<u8>) {
    let IpAddr::V4(ip) = ip else {
        // Writing into memory does not fail.
        let _ = write!(out, "{ip}");
        return;
    };
    for (place, octet) in ip.octets().into_iter().enumerate() {
        if place > 0 {
            out.push(b'.');
        }
        write(octet.into(), out);
    }
}

fn with_digits<T>(mut value: u64, width: usize, use_them: impl FnOnce(&[u8]) -> T) -> T {
    let mut digits = [b'0'; MAX];
    let mut start = MAX;
    while value > 0 {
        start -= 1;
        digits[start] += (value % 10) as u8;
        value /= 10;
    }
    use_them(&digits[start.min(MAX - width.min(MAX))..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for value in [0, 7, 10, 999, 1000, u64::MAX] {
            assert_eq!(&text(value)[..], value.to_string().as_bytes());
            let mut out = Vec::new();
            write_padded(value, 3, &mut out);
            assert_eq!(out, format!("{value:03}").as_bytes());
        }
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        for ip in ["0.0.0.0", "127.0.0.1", "255.10.99.100", "::1", "2001:db8::"] {
            let mut out = Vec::new();
            write_ip(ip.parse().expect("valid"), &mut out);
            assert_eq!(out, ip.as_bytes());
        }
    }
}
