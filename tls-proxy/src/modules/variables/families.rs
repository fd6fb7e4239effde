//! Families of variables whose names hold that of a field, an argument or a cookie.

use super::{Family, write};
use crate::message::fields;
use crate::request::Request;

/// Families of variables, such as `$http_NAME`.
pub(super) const FAMILIES: &[Family] = &[
    family("http_", |request, name, out| {
        joined(request.head.fields.iter(), name, out)
    }),
    Family {
        cached: true,
        ..family("sent_http_", sent_field)
    },
    Family {
        cached: true,
        ..family("sent_trailer_", sent_trailer)
    },
    family("upstream_http_", upstream_field),
    family("upstream_cookie_", upstream_cookie),
    family("upstream_trailer_", upstream_trailer),
    family("arg_", argument),
    family("cookie_", cookie),
];

const fn family(
    prefix: &'static str,
    evaluate: fn(&Request, &[u8], &mut Vec<u8>) -> bool,
) -> Family {
    Family {
        prefix,
        evaluate,
        cached: false,
    }
}

/// `X-Foo` is `x_foo` in a variable's name.
fn is_called(field: &[u8], name: &[u8]) -> bool {
    field.len() == name.len()
        && field.iter().zip(name).all(|(own, named)| match own {
            b'-' => *named == b'_',
            _ => own.to_ascii_lowercase() == *named,
        })
}

/// All values of a field, joined with `, ` (`; ` for cookies).
pub(crate) fn joined<'a>(
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    name: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    let separator: &[u8] = if name == b"cookie" { b"; " } else { b", " };
    let named = fields.filter(|(own, _)| is_called(own, name));
    join(named.map(|(_, value)| value), separator, out)
}

/// Writes values one after the other; `false` if there are none.
pub(crate) fn join<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    separator: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    let mut found = false;
    for value in values {
        if found {
            out.extend_from_slice(separator);
        }
        out.extend_from_slice(value);
        found = true;
    }
    found
}

pub(crate) fn sent_field(request: &Request, name: &[u8], out: &mut Vec<u8>) -> bool {
    let sent = request.outcome.fields.iter().skip(request.own_fields.get());
    joined(sent.map(|(name, value)| (&name[..], &value[..])), name, out)
}

/// A trailer field of the response, the upstream's or this server's own.
pub(crate) fn sent_trailer(request: &Request, name: &[u8], out: &mut Vec<u8>) -> bool {
    joined(fields::of_lines(&request.outcome.trailers), name, out)
}

pub(crate) fn upstream_field(request: &Request, name: &[u8], out: &mut Vec<u8>) -> bool {
    request
        .upstream_fields
        .as_ref()
        .is_some_and(|fields| joined(fields.iter(), name, out))
}

/// A trailer field of the upstream's response.
pub(crate) fn upstream_trailer(request: &Request, name: &[u8], out: &mut Vec<u8>) -> bool {
    request
        .upstream_trailers
        .as_ref()
        .is_some_and(|fields| joined(fields.iter(), name, out))
}

/// A cookie that the upstream sets.
pub(crate) fn upstream_cookie(request: &Request, name: &[u8], out: &mut Vec<u8>) -> bool {
    let fields = request.upstream_fields.as_ref();
    let mut lines = fields
        .into_iter()
        .flat_map(|fields| fields.all(b"set-cookie"));
    let value = lines.find_map(|line| {
        let (own, rest) = line.split_at_checked(name.len())?;
        let value = without_blanks(without_blanks(rest).strip_prefix(b"=")?);
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        own.eq_ignore_ascii_case(name).then_some(&value[..end])
    });
    write(value, out)
}

pub(crate) fn argument(request: &Request, name: &[u8], out: &mut Vec<u8>) -> bool {
    let mut pairs = request.args.split(|byte| *byte == b'&');
    let value = pairs.find_map(|pair| {
        let (own, value) = pair.split_at_checked(name.len())?;
        own.eq_ignore_ascii_case(name)
            .then(|| value.strip_prefix(b"="))?
    });
    write(value, out)
}

pub(crate) fn cookie(request: &Request, name: &[u8], out: &mut Vec<u8>) -> bool {
    let mut lines = request.head.fields.all(b"cookie");
    write(lines.find_map(|line| cookie_in(line, name)), out)
}

/// A cookie of one `Cookie` field; nginx keeps blanks after a value, not those before it.
fn cookie_in<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = line;
    while !rest.is_empty() {
        let value = rest
            .split_at_checked(name.len())
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .and_then(|(_, behind)| without_blanks(behind).strip_prefix(b"="));
        if let Some(value) = value {
            let value = without_blanks(value);
            let end = memchr::memchr(b';', value).unwrap_or(value.len());
            return Some(&value[..end]);
        }
        let end = memchr::memchr(b';', rest).map_or(rest.len(), |end| end + 1);
        rest = without_blanks(&rest[end..]);
    }
    None
}

fn without_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| **byte == b' ').count();
    &text[blanks..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_match_their_variable_name() {
        assert!(is_called(b"X-Forwarded-For", b"x_forwarded_for"));
        assert!(!is_called(b"X-Forwarded", b"x_forwarded_for"));
    }

    #[test]
    fn cookies_are_found_as_nginx_finds_them() {
        for (line, value) in [
            ("a=1; b=2", Some("1")),
            ("b=2;a=1", Some("1")),
            ("xa=2; A=1", Some("1")),
            ("a; a=2", Some("2")),
            ("a = 1 ; b", Some("1 ")),
            ("a=1, a=2", Some("1, a=2")),
            ("b=\"x;a=1", Some("1")),
            ("ab=1", None),
        ] {
            let found = cookie_in(line.as_bytes(), b"a");
            assert_eq!(found, value.map(str::as_bytes), "{line}");
        }
    }
}
