//! nginx's `ngx_http_limit_req_module`: limits the request rate of a key.
//!
//! A zone is one table for all workers behind a lock, since a limit for each
//! worker would be no limit; only requests under a `limit_req` take it.

use std::sync::Arc;
use std::time::Duration;

use super::leaky_bucket::{self, Buckets, Measure};
use super::limit_rejection::{self, Rejection};
use super::limit_zone::{LimitZone, ZoneDefinition, Zones, zone_size};
use crate::admission::table_size::TableSizes;
use crate::conf::{Directive, Problem, Word, units};
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Scope, Spec};
use crate::directive::arguments;
use crate::log::level::Level;
use crate::modules::variables::{Evaluate, write};
use crate::request::Request;
use crate::request::error_log;
use crate::request::response::Refusal;
use crate::variables::template::Template;

/// One `limit_req`; excesses are thousandths of a request.
#[derive(Clone, Debug)]
struct Limit {
    zone: Arc<LimitZone<Buckets>>,
    burst: u64,
    delay: u64,
}

/// What the module keeps for each block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    limits: Arc<[Limit]>,
    rejection: Rejection,
}

/// The longest delay of all limits.
struct Wait<'a> {
    excess: u64,
    milliseconds: u64,
    zone: &'a LimitZone<Buckets>,
}

const ALL: Contexts = Contexts::ALL;

impl ModuleSettings for Settings {
    fn is_used(&self) -> bool {
        !self.limits.is_empty()
    }
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("limit_req_zone", Contexts::HTTP, (3, 3), add_zone)
        .about("A table of keys and their request rate: `KEY zone=NAME:SIZE rate=10r/s`.")
        .repeats(),
    Spec::set("limit_req", ALL, (1, 3), add_limit)
        .about("Limits the request rate by a zone; up to `burst=` more are delayed, or with `nodelay` pass at once.")
        .repeats(),
    Spec::set("limit_req_status", ALL, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().rejection.status = limit_rejection::status(directive)?;
        Ok(())
    })
    .default("503")
    .about("The status of rejected requests."),
    Spec::set("limit_req_log_level", ALL, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().rejection.level = limit_rejection::level(directive)?;
        Ok(())
    })
    .default("error")
    .about("The severity of rejections; delays are one lower."),
    Spec::set("limit_req_dry_run", ALL, (1, 1), |scope, directive| {
        scope.settings.of_mut::<Settings>().rejection.dry_run = arguments::flag(directive)?;
        Ok(())
    })
    .default("off")
    .about("Only counts and logs; rejects nothing."),
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
            _ => return Err(arguments::unknown_parameter(word, &["zone=", "rate="])),
        }
    }
    let ((name, size), word) = named.ok_or_else(|| without_zone(directive))?;
    let definition = ZoneDefinition {
        key,
        text: directive.args[0].text.as_str().into(),
        size: scope.draft.parts.get_mut::<TableSizes>().named(&name, size),
        rate,
    };
    let zone = scope
        .draft
        .parts
        .get_mut::<Zones>()
        .requests(&name, &word.at)?;
    zone.define("limit_req_zone", word, definition)
}

/// `10r/s`, `30r/m` or a number for a second, in thousandths of a request in
/// a second.
fn parse_rate(text: &str) -> Option<u64> {
    let (count, scale) = match (text.strip_suffix("r/s"), text.strip_suffix("r/m")) {
        (Some(count), _) => (count, 1),
        (_, Some(count)) => (count, 60),
        _ => (text, 1),
    };
    count_of(count)?.checked_mul(1000).map(|rate| rate / scale)
}

/// A number from 1; digits only.
fn count_of(text: &str) -> Option<u64> {
    units::parse_number(text).filter(|count| *count > 0)
}

fn without_zone(directive: &Directive) -> Problem {
    let name = &directive.name;
    let message = format!("\"{}\" must have \"zone\" parameter", name.text);
    Problem::emerg(&name.at, message)
}

/// Parameters of `limit_req`.
const LIMIT: &[&str] = &["burst=", "delay=", "nodelay", "zone="];

fn add_limit(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let (mut zone, mut burst, mut delay) = (None, 0, 0);
    let thousandths = |word: &Word, name: &str, value: &str| {
        let invalid = || {
            let message = format!("invalid {name} value \"{}\"", word.text);
            Problem::emerg(&word.at, message)
        };
        let count = count_of(value).and_then(|count| count.checked_mul(1000));
        count.ok_or_else(invalid)
    };
    for word in &directive.args {
        match word.text.split_once('=') {
            Some(("zone", name)) => {
                zone = Some(
                    scope
                        .draft
                        .parts
                        .get_mut::<Zones>()
                        .requests(name, &word.at)?,
                );
            }
            Some(("burst", value)) => burst = thousandths(word, "burst", value)?,
            Some(("delay", value)) => delay = thousandths(word, "delay", value)?,
            None if word.text == "nodelay" => delay = u64::MAX,
            _ => return Err(arguments::unknown_parameter(word, LIMIT)),
        }
    }
    let zone = zone.ok_or_else(|| without_zone(directive))?;
    let own = &mut scope.settings.of_mut::<Settings>().limits;
    let inherited = if scope.first_here { &[] } else { &own[..] };
    if inherited
        .iter()
        .any(|other| Arc::ptr_eq(&other.zone, &zone))
    {
        return Err(arguments::duplicate(directive));
    }
    let limit = Limit { zone, burst, delay };
    *own = inherited.iter().cloned().chain([limit]).collect();
    Ok(())
}

impl Limit {
    /// The request's key and how it is counted; `None` if the key is empty.
    fn key(&self, request: &Request, now: u64) -> Option<(bytes::Bytes, Measure)> {
        let definition = self.zone.definition()?;
        let (rate, size) = (definition.rate, definition.size.allowed());
        let key = definition.key.evaluate(request);
        (!key.is_empty()).then_some((key, Measure { rate, size, now }))
    }

    /// The delay for an excess; `None` if the request passes at once.
    fn wait(&self, excess: u64, measure: Measure) -> Option<Wait<'_>> {
        let milliseconds =
            excess.saturating_sub(self.delay).saturating_mul(1000) / measure.rate.max(1);
        (milliseconds > 0).then_some(Wait {
            excess,
            milliseconds,
            zone: &self.zone,
        })
    }
}

/// Passes, delays or rejects the request.
pub(crate) async fn check(request: &mut Request) -> Result<(), Refusal> {
    let config = request.config.clone();
    let settings = config.location(request.location).settings.of::<Settings>();
    if request.limit_req_status.is_some() {
        return Ok(());
    }
    match settings.check(request) {
        Err((limit, excess)) => settings.reject(request, &limit.zone, excess),
        Ok(None) => Ok(()),
        Ok(Some(None)) => {
            request.limit_req_status = Some("PASSED");
            Ok(())
        }
        Ok(Some(Some(wait))) => settings.delay(request, wait).await,
    }
}

impl Settings {
    /// Checks every zone, as nginx does: all are looked at, the last one counts the request if it
    /// is within the limit, and only then the others count it. A rejected request is counted in
    /// none.
    ///
    /// `Ok(None)` if the key is empty in every zone.
    fn check(&self, request: &Request) -> Result<Option<Option<Wait<'_>>>, (&Limit, u64)> {
        let now = leaky_bucket::now();
        let mut seen = Vec::new();
        let mut longest = None;
        let mut asked = false;
        for (index, limit) in self.limits.iter().enumerate() {
            let Some((key, measure)) = limit.key(request, now) else {
                continue;
            };
            asked = true;
            let mut table = limit.zone.table();
            if index + 1 == self.limits.len() {
                let excess = table.take_up_to(&key, measure, limit.burst);
                longest = limit.wait(excess.map_err(|excess| (limit, excess))?, measure);
                continue;
            }
            let excess = table.look(&key, measure);
            if excess > limit.burst {
                return Err((limit, excess));
            }
            seen.push((limit, key, measure));
        }
        for (limit, key, measure) in seen.into_iter().rev() {
            let excess = limit.zone.table().take(&key, measure);
            let wait = limit.wait(excess, measure);
            let milliseconds = |wait: &Option<Wait<'_>>| wait.as_ref().map(|it| it.milliseconds);
            if milliseconds(&wait) > milliseconds(&longest) {
                longest = wait;
            }
        }
        Ok(asked.then_some(longest))
    }

    fn reject(
        &self,
        request: &mut Request,
        zone: &LimitZone<Buckets>,
        excess: u64,
    ) -> Result<(), Refusal> {
        let (whole, part, name) = (excess / 1000, excess % 1000, &zone.name);
        let dry = self.dry();
        let what = format!("limiting requests{dry}, excess: {whole}.{part:03} by zone \"{name}\"");
        error_log::request(request, self.rejection.level, what);
        self.rejection.refuse(&mut request.limit_req_status)
    }

    async fn delay(&self, request: &mut Request, wait: Wait<'_>) -> Result<(), Refusal> {
        let milder = match self.rejection.level {
            Level::Error => Level::Warn,
            Level::Warn => Level::Notice,
            _ => Level::Info,
        };
        let (whole, part) = (wait.excess / 1000, wait.excess % 1000);
        let (dry, name) = (self.dry(), &wait.zone.name);
        let what = format!("delaying request{dry}, excess: {whole}.{part:03}, by zone \"{name}\"");
        error_log::request(request, milder, what);
        if self.rejection.dry_run {
            request.limit_req_status = Some("DELAYED_DRY_RUN");
            return Ok(());
        }
        request.limit_req_status = Some("DELAYED");
        request.count_values(0)?;
        tokio::time::sleep(Duration::from_millis(wait.milliseconds)).await;
        Ok(())
    }

    fn dry(&self) -> &'static str {
        if self.rejection.dry_run {
            ", dry run"
        } else {
            ""
        }
    }
}

pub(crate) const VARIABLES: &[(&str, Evaluate)] = &[("limit_req_status", |request, out| {
    write(request.limit_req_status.map(str::as_bytes), out)
})];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second_or_minute() {
        for (text, rate) in [("10r/s", 10_000), ("30r/m", 500), ("10", 10_000)] {
            assert_eq!(parse_rate(text), Some(rate), "{text}");
        }
        for text in ["10r/h", "0r/s", "r/s", "-1r/s", "+1r/s", "1.5r/s", ""] {
            assert_eq!(parse_rate(text), None, "{text}");
        }
    }
}
