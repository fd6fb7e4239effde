//! nginx's `ngx_http_split_clients_module`: a variable that takes its values with given
//! percentages.

use super::map::variable_name;
use crate::conf::{Directive, Problem, units};
use crate::config::spec::{Contexts, Effect, Scope, Spec};
use crate::modules::variables::{self, Computed};
use crate::request::Request;
use crate::variables::template::Template;

/// One `split_clients`.
#[derive(Debug)]
struct Split {
    key: Template,
    /// The end of each share in the hash's values; the last has the rest.
    shares: Vec<(Option<u32>, Template)>,
}

pub(crate) const DIRECTIVES: &[Spec] = &[Spec::new(
    "split_clients",
    Contexts::HTTP,
    (2, 2),
    Effect::Block(define),
)
.about("Defines a variable that takes its values with given percentages, by a hash of another one.")
.repeats()];

fn define(
    scope: &mut Scope<'_>,
    directive: &Directive,
    lines: &[Directive],
) -> Result<(), Problem> {
    let variables = &mut scope.draft.variables;
    let key = Template::compile(&directive.args[0], variables)?;
    let name = variable_name(&directive.args[1])?;
    let (mut shares, mut sum) = (Vec::new(), 0);
    for line in lines {
        // nginx ignores further words.
        let [value, ..] = &line.args[..] else {
            let message = "invalid number of the \"split_clients\" parameters";
            return Err(Problem::emerg(&line.name.at, message));
        };
        let value = Template::compile(value, variables)?;
        if line.name.text == "*" {
            sum = WHOLE;
            shares.push((None, value));
            continue;
        }
        let invalid = || {
            Problem::emerg(
                &line.name.at,
                format!("invalid percent value \"{}\"", line.name.text),
            )
        };
        let share = parse_percent(&line.name.text).ok_or_else(invalid)?;
        sum += share;
        if sum > WHOLE {
            return Err(Problem::emerg(
                &line.name.at,
                "percent total is greater than 100%",
            ));
        }
        let end = u64::from(u32::MAX) * sum / 10_000;
        shares.push((u32::try_from(end).ok(), value));
    }
    let split = Split { key, shares };
    variables::define(variables, name, &directive.args[1].at, split)
}

/// All shares together, in hundredths of a percent.
const WHOLE: u64 = 10_000;

/// `12.5%` in hundredths.
fn parse_percent(text: &str) -> Option<u64> {
    let (whole, part) = {
        let number = text.strip_suffix('%')?;
        number.split_once('.').unwrap_or((number, ""))
    };
    let whole = if whole.is_empty() && !part.is_empty() {
        "0"
    } else {
        whole
    };
    if part.len() > 2 {
        return None;
    }
    let part = units::parse_number(&format!("{part:0<2}"))?;
    let share = units::parse_number(whole)?.checked_mul(100)? + part;
    (1..=10_000).contains(&share).then_some(share)
}

impl Computed for Split {
    fn evaluate(&self, request: &Request, out: &mut Vec<u8>) -> bool {
        let hash = murmur2(&self.key.evaluate(request));
        let found = self
            .shares
            .iter()
            .find(|(end, _)| end.is_none_or(|end| hash < end));
        if let Some((_, value)) = found {
            value.write(request, out);
        }
        true
    }
}

/// MurmurHash2 with seed 0 (Austin Appleby's, public domain), as the shares of
/// existing configurations expect it.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(M);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(M) ^ mixed.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest
            .iter()
            .rev()
            .fold(0, |all, byte| all << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_two_decimals() {
        assert_eq!(parse_percent("50%"), Some(5000));
        assert_eq!(parse_percent("0.5%"), Some(50));
        assert_eq!(parse_percent("12.34%"), Some(1234));
        for text in ["50", "%", "0%", "101%", "1.234%", "-1%", "a%"] {
            assert_eq!(parse_percent(text), None, "{text}");
        }
    }
}
