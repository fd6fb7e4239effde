//! nginx's `ngx_http_limit_req_module`: how often a key may come.
//!
//! A zone is one table for all workers behind a lock, since a limit for each
//! worker would be no limit; only requests under a `limit_req` take it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::limit_zone::{self, Answers, zone_size};
use super::{Contexts, MANY, Scope, Spec, arguments};
use crate::conf::{Directive, Problem, Word};
use crate::error_log::{self, Level, shown};
use crate::server::request::Request;
use crate::server::response::Refusal;
use crate::vars::template::Template;
use crate::vars::{Evaluate, write};

/// What a key costs in a zone, bytes.
const ENTRY: usize = 128;

/// One `limit_req_zone`.
#[derive(Debug)]
pub(crate) struct Zone {
    name: Box<str>,
    key: Template,
    /// Thousandths of a request in a second.
    rate: u64,
    most: usize,
    table: Mutex<HashMap<Bytes, Bucket>>,
}

/// What a key has used up.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of a request above the rate.
    excess: u64,
    at: Instant,
}

/// One `limit_req`.
#[derive(Clone, Debug)]
struct Limit {
    zone: Arc<Zone>,
    /// Thousandths of a request.
    burst: u64,
    delay: u64,
}

/// What the module keeps for each block.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    limits: Arc<[Limit]>,
    answers: Answers,
}

/// What a zone says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// At once, or after a wait of this excess.
    Passes(u64),
    Rejected(u64),
    Full,
}

const ALL: Contexts = Contexts::ALL;

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("limit_req_zone", Contexts::HTTP, (3, 3), add_zone)
        .about("A table of keys and how often each may come: `KEY zone=NAME:SIZE rate=10r/s`.")
        .repeats(),
    Spec::set("limit_req", ALL, (1, MANY), add_limit)
        .about("Limits requests by a zone; `burst=` more wait, or with `nodelay` pass at once.")
        .repeats(),
    Spec::set("limit_req_status", ALL, (1, 1), |scope, directive| {
        scope.settings.limit_req.answers.status = limit_zone::status(directive)?;
        Ok(())
    })
    .default("503")
    .about("The answer to requests beyond the limit."),
    Spec::set("limit_req_log_level", ALL, (1, 1), |scope, directive| {
        scope.settings.limit_req.answers.level = limit_zone::level(directive)?;
        Ok(())
    })
    .default("error")
    .about("The severity of rejections; waits are one lower."),
    Spec::set("limit_req_dry_run", ALL, (1, 1), |scope, directive| {
        scope.settings.limit_req.answers.dry_run = arguments::flag(directive)?;
        Ok(())
    })
    .default("off")
    .about("Only counts and logs."),
];

fn add_zone(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let key = Template::compile(&directive.args[0], &mut scope.draft.variables)?;
    let (mut named, mut rate) = (None, 1000);
    for word in &directive.args[1..] {
        match word.text.split_once('=') {
            Some(("zone", value)) => named = Some((zone_size(word, value)?, word)),
            Some(("rate", value)) => {
                let invalid =
                    || Problem::emerg(&word.at, format!("invalid rate \"{}\"", word.text));
                rate = parse_rate(value).ok_or_else(invalid)?;
            }
            _ => return Err(arguments::invalid_parameter(word)),
        }
    }
    let missing = || {
        Problem::emerg(
            &directive.name.at,
            "\"limit_req_zone\" must have \"zone\" parameter",
        )
    };
    let ((name, size), word) = named.ok_or_else(missing)?;
    let zones = &mut scope.draft.req_zones;
    if zones.iter().any(|zone| *zone.name == *name) {
        return Err(Problem::emerg(
            &word.at,
            format!("limit_req_zone \"{name}\" is already bound to key"),
        ));
    }
    zones.push(Arc::new(Zone {
        name: name.into(),
        key,
        rate,
        most: (size / ENTRY).max(1),
        table: Mutex::default(),
    }));
    Ok(())
}

/// `10r/s` or `30r/m`, in thousandths of a request in a second.
fn parse_rate(text: &str) -> Option<u64> {
    let (count, scale) = match (text.strip_suffix("r/s"), text.strip_suffix("r/m")) {
        (Some(count), _) => (count, 1),
        (_, Some(count)) => (count, 60),
        _ => return None,
    };
    let count: u64 = count.parse().ok().filter(|count| *count > 0)?;
    count.checked_mul(1000).map(|count| count / scale)
}

fn add_limit(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let (mut zone, mut burst, mut delay) = (None, 0, 0);
    let number = |word: &Word, value: &str| {
        let number: Option<u64> = value.parse().ok();
        number
            .and_then(|number| number.checked_mul(1000))
            .ok_or_else(|| Problem::emerg(&word.at, format!("invalid value in \"{}\"", word.text)))
    };
    for word in &directive.args {
        match word.text.split_once('=') {
            Some(("zone", name)) => {
                let found = scope
                    .draft
                    .req_zones
                    .iter()
                    .find(|zone| *zone.name == *name);
                zone = Some(found.cloned().ok_or_else(|| {
                    Problem::emerg(
                        &directive.name.at,
                        format!("zero size shared memory zone \"{name}\""),
                    )
                    .with_help("define it before with limit_req_zone")
                })?);
            }
            Some(("burst", value)) => burst = number(word, value)?,
            Some(("delay", value)) => delay = number(word, value)?,
            None if word.text == "nodelay" => delay = u64::MAX,
            _ => return Err(arguments::invalid_parameter(word)),
        }
    }
    let missing = || {
        Problem::emerg(
            &directive.name.at,
            "\"limit_req\" must have \"zone\" parameter",
        )
    };
    let limit = Limit {
        zone: zone.ok_or_else(missing)?,
        burst,
        delay,
    };
    let own = &mut scope.settings.limit_req.limits;
    let inherited = if scope.first_here { &[] } else { &own[..] };
    if inherited
        .iter()
        .any(|other| Arc::ptr_eq(&other.zone, &limit.zone))
    {
        return Err(Problem::emerg(
            &directive.name.at,
            "\"limit_req\" directive is duplicate",
        ));
    }
    *own = inherited.iter().cloned().chain([limit]).collect();
    Ok(())
}

impl Zone {
    /// Looks at a key, and counts the request where `count` says so.
    fn ask(&self, key: &Bytes, burst: u64, now: Instant, count: bool) -> Verdict {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let excess = match table.get(key) {
            Some(bucket) => {
                let passed = now.saturating_duration_since(bucket.at).as_millis() as u64;
                let drained = self.rate.saturating_mul(passed) / 1000;
                (bucket.excess + 1000).saturating_sub(drained)
            }
            None => 0,
        };
        if excess > burst {
            return Verdict::Rejected(excess);
        }
        if count {
            if table.len() >= self.most && !table.contains_key(key) {
                let drained = |bucket: &Bucket| {
                    let passed = now.saturating_duration_since(bucket.at).as_millis() as u64;
                    self.rate.saturating_mul(passed) / 1000 >= bucket.excess + 1000
                };
                table.retain(|_, bucket| !drained(bucket));
                if table.len() >= self.most {
                    return Verdict::Full;
                }
            }
            table.insert(Bytes::copy_from_slice(key), Bucket { excess, at: now });
        }
        Verdict::Passes(excess)
    }
}

/// Lets the request pass, wait or go.
pub(crate) async fn check(request: &mut Request) -> Result<(), Refusal> {
    let config = request.config.clone();
    let settings = &config.location(request.location).settings.limit_req;
    if settings.limits.is_empty() || request.limit_req_status.is_some() {
        return Ok(());
    }
    let now = Instant::now();
    let mut wait = Duration::ZERO;
    let mut keys = Vec::new();
    for limit in settings.limits.iter() {
        let key = limit.zone.key.evaluate(request);
        if key.is_empty() {
            continue;
        }
        match limit.zone.ask(&key, limit.burst, now, false) {
            Verdict::Passes(excess) => {
                let late = excess.saturating_sub(limit.delay);
                wait = wait.max(Duration::from_millis(
                    late.saturating_mul(1000) / limit.zone.rate.max(1),
                ));
                keys.push((limit, key));
            }
            verdict => return settings.reject(request, &limit.zone, &key, verdict),
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    for (limit, key) in &keys {
        let verdict = limit.zone.ask(key, limit.burst, now, true);
        if !matches!(verdict, Verdict::Passes(_)) {
            return settings.reject(request, &limit.zone, key, verdict);
        }
    }
    request.limit_req_status = Some("PASSED");
    if !wait.is_zero() {
        settings.delay(request, keys[0].0, wait).await;
    }
    Ok(())
}

impl Settings {
    fn reject(
        &self,
        request: &mut Request,
        zone: &Zone,
        key: &[u8],
        verdict: Verdict,
    ) -> Result<(), Refusal> {
        let name = &zone.name;
        let dry = if self.answers.dry_run {
            ", dry run"
        } else {
            ""
        };
        let what = match verdict {
            Verdict::Rejected(excess) => {
                let (whole, part) = (excess / 1000, excess % 1000);
                format!("limiting requests{dry}, excess: {whole}.{part:03} by zone \"{name}\"")
            }
            _ => format!(
                "could not allocate a key \"{}\" in limit_req zone \"{name}\"",
                shown(key)
            ),
        };
        error_log::request(request, self.answers.level, what);
        request.limit_req_status = Some(if self.answers.dry_run {
            "REJECTED_DRY_RUN"
        } else {
            "REJECTED"
        });
        self.answers.refuse()
    }

    async fn delay(&self, request: &mut Request, limit: &Limit, wait: Duration) {
        let milder = match self.answers.level {
            Level::Error => Level::Warn,
            Level::Warn => Level::Notice,
            _ => Level::Info,
        };
        let dry = if self.answers.dry_run {
            ", dry run"
        } else {
            ""
        };
        let what = format!("delaying request{dry}, by zone \"{}\"", limit.zone.name);
        error_log::request(request, milder, what);
        if self.answers.dry_run {
            request.limit_req_status = Some("DELAYED_DRY_RUN");
            return;
        }
        request.limit_req_status = Some("DELAYED");
        tokio::time::sleep(wait).await;
    }
}

pub(crate) const VARIABLES: &[(&str, Evaluate)] = &[("limit_req_status", |request, out| {
    write(request.limit_req_status.map(str::as_bytes), out)
})];

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(most: usize) -> Zone {
        Zone {
            name: "z".into(),
            key: Template::default(),
            rate: 1000,
            most,
            table: Mutex::default(),
        }
    }

    #[test]
    fn rates_are_per_second_or_minute() {
        assert_eq!(parse_rate("10r/s"), Some(10_000));
        assert_eq!(parse_rate("30r/m"), Some(500));
        for text in ["10r/h", "0r/s", "r/s", "10", "-1r/s"] {
            assert_eq!(parse_rate(text), None, "{text}");
        }
    }

    #[test]
    fn a_bucket_fills_and_drains() {
        let (zone, key, now) = (zone(10), Bytes::from_static(b"k"), Instant::now());
        assert_eq!(zone.ask(&key, 1000, now, true), Verdict::Passes(0));
        assert_eq!(zone.ask(&key, 1000, now, true), Verdict::Passes(1000));
        assert_eq!(zone.ask(&key, 1000, now, true), Verdict::Rejected(2000));
        let later = now + Duration::from_secs(1);
        assert_eq!(zone.ask(&key, 1000, later, true), Verdict::Passes(1000));
    }

    #[test]
    fn a_full_zone_forgets_who_has_paid_and_refuses_the_rest() {
        let (zone, now) = (zone(1), Instant::now());
        let (one, other) = (Bytes::from_static(b"1"), Bytes::from_static(b"2"));
        assert_eq!(zone.ask(&one, 0, now, true), Verdict::Passes(0));
        assert_eq!(zone.ask(&other, 0, now, true), Verdict::Full);
        let later = now + Duration::from_secs(2);
        assert_eq!(zone.ask(&other, 0, later, true), Verdict::Passes(0));
    }
}
