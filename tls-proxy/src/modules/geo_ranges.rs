//! The ranges of IPv4 addresses in `geo`. They do not overlap; one inside another splits it.

use std::net::IpAddr;

use crate::net::cidr::parse_address;

/// A table from ranges to values, the lowest first.
#[derive(Debug, Default)]
pub(crate) struct Ranges(Vec<Range>);

#[derive(Debug)]
struct Range {
    from: u32,
    to: u32,
    value: Box<str>,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// It is not a range.
    Invalid,
    /// It overlaps another one in part.
    Overlaps,
}

impl Ranges {
    /// Gives a range its value.
    pub(crate) fn add(&mut self, text: &str, value: &str) -> Result<(), Error> {
        let (from, to) = parse(text).ok_or(Error::Invalid)?;
        let new = Range {
            from,
            to,
            value: value.into(),
        };
        let at = self.0.partition_point(|own| own.to < from);
        let Some(own) = self.0.get_mut(at).filter(|own| own.from <= to) else {
            self.0.insert(at, new);
            return Ok(());
        };
        if from < own.from || to > own.to {
            return Err(Error::Overlaps);
        }
        let part = |from, to| Range {
            from,
            to,
            value: own.value.clone(),
        };
        let before = (own.from < from).then(|| part(own.from, from - 1));
        let behind = (to < own.to).then(|| part(to + 1, own.to));
        let parts = before.into_iter().chain([new]).chain(behind);
        self.0.splice(at..=at, parts);
        Ok(())
    }

    /// Removes a range; `Ok(false)` if there is none with these ends.
    pub(crate) fn delete(&mut self, text: &str) -> Result<bool, Error> {
        let (from, to) = parse(text).ok_or(Error::Invalid)?;
        let count = self.0.len();
        self.0.retain(|own| (own.from, own.to) != (from, to));
        Ok(self.0.len() < count)
    }

    /// The value of the range that has the address.
    pub(crate) fn find(&self, address: IpAddr) -> Option<&str> {
        let IpAddr::V4(address) = address else {
            return None;
        };
        let address = u32::from(address);
        let at = self.0.partition_point(|own| own.to < address);
        let own = self.0.get(at).filter(|own| own.from <= address);
        own.map(|own| &*own.value)
    }
}

fn parse(text: &str) -> Option<(u32, u32)> {
    let (from, to) = text.split_once('-')?;
    let number = |text| match parse_address(text)? {
        IpAddr::V4(address) => Some(u32::from(address)),
        IpAddr::V6(_) => None,
    };
    let (from, to) = (number(from)?, number(to)?);
    (from <= to).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_both_ends() {
        let mut ranges = Ranges::default();
        assert_eq!(ranges.add("10.0.0.1-10.0.0.3", "r"), Ok(()));
        for (text, value) in [
            ("10.0.0.0", None),
            ("10.0.0.1", Some("r")),
            ("10.0.0.3", Some("r")),
            ("10.0.0.4", None),
            ("::1", None),
        ] {
            assert_eq!(ranges.find(text.parse().expect("valid")), value, "{text}");
        }
        for text in ["2.0.0.0-1.0.0.0", "1.0.0.0", "::1-::2", "1.0.0.0-"] {
            assert_eq!(ranges.add(text, ""), Err(Error::Invalid), "{text}");
        }
    }

    #[test]
    fn a_range_inside_another_one_takes_its_place() {
        let mut ranges = Ranges::default();
        assert_eq!(ranges.add("0.0.0.2-0.0.0.8", "a"), Ok(()));
        assert_eq!(ranges.add("0.0.0.4-0.0.0.5", "b"), Ok(()));
        assert_eq!(ranges.add("0.0.0.7-0.0.0.9", "c"), Err(Error::Overlaps));
        assert_eq!(ranges.add("0.0.0.1-0.0.0.2", "c"), Err(Error::Overlaps));
        let values = |ranges: &Ranges| -> String {
            let value = |last: u8| ranges.find(IpAddr::from([0, 0, 0, last])).unwrap_or("-");
            (1..10).map(|last| value(last).to_owned()).collect()
        };
        assert_eq!(values(&ranges), "-aabbaaa-");
        assert_eq!(ranges.delete("0.0.0.4-0.0.0.5"), Ok(true));
        assert_eq!(ranges.delete("0.0.0.1-0.0.0.9"), Ok(false));
        assert_eq!(values(&ranges), "-aa--aaa-");
    }
}
