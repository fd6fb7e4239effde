//! Upstreams' values that `h2` may keep in its table of a connection (RFC 7541, section 2.3.2), until
//! others have taken their place. A slice would keep all that was read with the upstream's head.

use std::cell::RefCell;

use http::header::{HeaderName, HeaderValue, InvalidHeaderName, InvalidHeaderValue};

/// Whether `h2` may keep the value.
pub(super) fn is_remembered(name: &Result<HeaderName, InvalidHeaderName>, value: &[u8]) -> bool {
    /// Larger than the table.
    const TOO_LARGE: usize = 4096;
    let never = match name {
        Ok(name) => matches!(
            name.as_str(),
            "content-length" | "etag" | "location" | "set-cookie"
        ),
        Err(_) => true,
    };
    !never && value.len() < TOO_LARGE
}

/// Copies of the last responses' values: nearly always the next response has the same ones.
#[derive(Default)]
pub(super) struct RememberedValues(RefCell<Vec<HeaderValue>>);

impl RememberedValues {
    /// How many are kept.
    const MOST: usize = 8;
    /// And up to which size, bytes. They are part of the connection's memory.
    const LONGEST: usize = 64;

    /// A copy of `value`, which is the one at `index` of those of its response.
    pub(super) fn copy(
        &self,
        index: usize,
        value: &[u8],
    ) -> Result<HeaderValue, InvalidHeaderValue> {
        let mut values = self.0.borrow_mut();
        if let Some(last) = values.get(index)
            && last == value
        {
            return Ok(last.clone());
        }
        let copy = HeaderValue::from_bytes(value)?;
        let kept = match value.len() <= Self::LONGEST {
            true => copy.clone(),
            false => HeaderValue::from_static(""),
        };
        if index < values.len() {
            values[index] = kept;
        } else if index < Self::MOST {
            values.push(kept);
        }
        Ok(copy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copies `value` and returns where the copy is.
    fn copy(values: &RememberedValues, index: usize, value: &str) -> *const u8 {
        let copy = values.copy(index, value.as_bytes()).unwrap();
        assert_eq!(copy, value);
        copy.as_bytes().as_ptr()
    }

    #[test]
    fn a_value_is_copied_once_until_another_one_takes_its_place() {
        let values = RememberedValues::default();
        let (html, cached) = (copy(&values, 0, "text/html"), copy(&values, 1, "no-store"));
        for _ in 0..2 {
            assert_eq!(copy(&values, 0, "text/html"), html);
            assert_eq!(copy(&values, 1, "no-store"), cached);
        }
        copy(&values, 0, "text/css");
        assert_ne!(copy(&values, 0, "text/html"), html);
        assert_eq!(copy(&values, 1, "no-store"), cached);
    }

    #[test]
    fn few_and_short_values_are_kept() {
        let values = RememberedValues::default();
        let long = "x".repeat(RememberedValues::LONGEST + 1);
        for index in 0..100 {
            let value = if index % 2 == 0 { "short" } else { &long };
            copy(&values, index, value);
            copy(&values, index, value);
        }
        let kept = values.0.borrow();
        assert_eq!(kept.len(), RememberedValues::MOST);
        assert!(
            kept.iter()
                .all(|own| own.len() <= RememberedValues::LONGEST)
        );
    }

    #[test]
    fn an_invalid_value_is_no_value() {
        let values = RememberedValues::default();
        assert!(values.copy(0, b"a\0b").is_err());
        copy(&values, 0, "a");
    }
}
