//! Numbers and addresses as text, for the path of a request: the standard library's formatting
//! takes some ten times as long.

use std::io::Write as _;
use std::net::IpAddr;

/// Appends a number.
pub fn write(value: u64, out: &mut Vec<u8>) {
    write_padded(value, 1, out);
}

/// Appends a number, padded with zeros to `width` digits.
#[inline]
pub fn write_padded(value: u64, width: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + digits(value).max(width), 0);
    fill(value, &mut out[start..]);
}

/// A number.
#[must_use]
pub fn text(value: u64) -> Vec<u8> {
    let mut out = vec![0; digits(value)];
    fill(value, &mut out);
    out
}

/// Writes the last digits of a number, as many as there is room for.
#[inline]
pub fn fill(mut value: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn digits(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Appends an address.
pub fn write_ip(ip: IpAddr, out: &mut Vec<u8>) {
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
