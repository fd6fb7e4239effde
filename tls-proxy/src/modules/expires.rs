//! `expires` of nginx's headers module: how long a response may be cached.

use crate::conf::{Directive, Problem, units};
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Spec};
use crate::request::Request;
use crate::request::response::{self, Response};
use crate::time::http_date;
use crate::variables::registry::Registry;
use crate::variables::template::Template;

/// One `expires`.
#[derive(Clone, Debug, Default)]
pub(crate) enum Settings {
    /// Has variables, which are evaluated for each response.
    Computed {
        /// Whether `modified` stands before it.
        modified: bool,
        /// Evaluates to any value without variables.
        value: Template,
    },
    /// Nothing is added.
    #[default]
    Off,
    /// 1970, and `no-cache`.
    Epoch,
    /// 2037, and ten years.
    Max,
    /// Seconds after the request.
    Access(i64),
    /// Seconds after the file was modified.
    Modified(i64),
    /// At this time of the day, seconds.
    Daily(u64),
}

/// A hundred years, seconds: beyond it dates have five digits.
const LONGEST: u64 = 3_153_600_000;

impl ModuleSettings for Settings {
    fn is_used(&self) -> bool {
        !matches!(self, Self::Off)
    }
}

pub(crate) const DIRECTIVES: &[Spec] = &[Spec::set(
    "expires",
    Contexts::ALL.or(Contexts::IF),
    (1, 2),
    |scope, directive| {
        *scope.settings.of_mut::<Settings>() = compile(directive, &mut scope.draft.variables)?;
        Ok(())
    },
)
.default("off")
.about("Adds `Expires` and `Cache-Control`: a time, `modified` and a time, `@` and a time of day, `epoch`, `max`, `off`.")];

fn compile(directive: &Directive, variables: &mut Registry) -> Result<Settings, Problem> {
    let (word, modified) = match &directive.args[..] {
        [word] => (word, false),
        [mode, word] if mode.text == "modified" => (word, true),
        args => {
            let at = args.first().unwrap_or(&directive.name);
            return Err(Problem::emerg(&at.at, "invalid value"));
        }
    };
    if word.text.contains('$') {
        let value = Template::compile(word, variables)?;
        return Ok(Settings::Computed { modified, value });
    }
    parse(&word.text, modified).ok_or_else(|| Problem::emerg(&word.at, "invalid value"))
}

/// Reads a value without variables.
fn parse(text: &str, modified: bool) -> Option<Settings> {
    match text {
        "epoch" if !modified => return Some(Settings::Epoch),
        "max" if !modified => return Some(Settings::Max),
        "off" if !modified => return Some(Settings::Off),
        _ => {}
    }
    let seconds = |text: &str| units::parse_time_s(text).map(|time| time.min(LONGEST));
    if let Some(time) = text.strip_prefix('@') {
        let time = seconds(time).filter(|time| *time <= 86_400 && !modified);
        return time.map(Settings::Daily);
    }
    let (text, sign) = match text.strip_prefix('-') {
        Some(text) => (text, -1),
        None => (text.strip_prefix('+').unwrap_or(text), 1),
    };
    let time = sign * seconds(text).and_then(|time| i64::try_from(time).ok())?;
    Some(if modified {
        Settings::Modified(time)
    } else {
        Settings::Access(time)
    })
}

/// Adds the fields to a cacheable response.
pub(crate) fn apply(settings: &Settings, request: &mut Request, response: &mut Response) {
    if !matches!(
        response.status,
        200 | 201 | 204 | 206 | 301..=304 | 307 | 308
    ) {
        return;
    }
    let (now, _) = request.connection.worker.clock.unix_now();
    // An invalid value counts as `off`, as in nginx.
    let settings = match settings {
        Settings::Computed { modified, value } => {
            response.show(request);
            let value = value.evaluate(request);
            let text = std::str::from_utf8(&value).ok();
            &text
                .and_then(|text| parse(text, *modified))
                .unwrap_or_default()
        }
        fixed => fixed,
    };
    let changed = match settings {
        Settings::Modified(_) => response.last_modified(),
        _ => None,
    };
    let Some((expires, control)) = fields(settings, now, changed) else {
        return;
    };
    let expires = expires.map_or("Thu, 31 Dec 2037 23:55:55 GMT".into(), http_date::format);
    response::remove(&mut response.fields, b"expires");
    response::remove(&mut response.fields, b"cache-control");
    response.fields.push(("Expires".into(), expires));
    response
        .fields
        .push(("Cache-Control".into(), control.into()));
}

/// `Expires` (`None` is `max`), and `Cache-Control`.
fn fields(settings: &Settings, now: u64, changed: Option<u64>) -> Option<(Option<u64>, String)> {
    let after = |from: u64, seconds: i64| {
        let at = from.saturating_add_signed(seconds);
        let age = at as i64 - now as i64;
        let control = if age < 0 || seconds < 0 {
            "no-cache".to_owned()
        } else {
            format!("max-age={age}")
        };
        (Some(at), control)
    };
    Some(match *settings {
        Settings::Off | Settings::Computed { .. } => return None,
        Settings::Epoch => (Some(1), "no-cache".to_owned()),
        Settings::Max => (None, "max-age=315360000".to_owned()),
        Settings::Access(0) => (Some(now), "max-age=0".to_owned()),
        Settings::Access(seconds) => after(now, seconds),
        Settings::Modified(seconds) => match changed {
            Some(changed) => after(changed, seconds),
            None => after(now, seconds),
        },
        Settings::Daily(second) => {
            let today = now - now % 86_400 + second;
            let at = if today <= now { today + 86_400 } else { today };
            (Some(at), format!("max-age={}", at - now))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_dates_and_ages() {
        let now = 86_400 * 10 + 100;
        for (settings, changed, expected) in [
            (Settings::Access(60), None, (Some(now + 60), "max-age=60")),
            (Settings::Access(-1), None, (Some(now - 1), "no-cache")),
            (
                Settings::Modified(60),
                Some(now - 100),
                (Some(now - 40), "no-cache"),
            ),
            (
                Settings::Modified(160),
                Some(now - 100),
                (Some(now + 60), "max-age=60"),
            ),
            (Settings::Daily(200), None, (Some(now + 100), "max-age=100")),
            (
                Settings::Daily(50),
                None,
                (Some(now + 86_350), "max-age=86350"),
            ),
            (Settings::Max, None, (None, "max-age=315360000")),
        ] {
            let (at, control) = fields(&settings, now, changed).expect("not off");
            assert_eq!((at, control.as_str()), expected, "{settings:?}");
        }
    }
}
