//! Evaluates variables, templates and patterns for a request. What a configuration keeps of them
//! (`variables/`) is data that knows no request.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::{Computed, Evaluate, Family, Fixed};
use crate::admission::Need;
use crate::log::level::{self, Level};
use crate::pattern;
use crate::request::response::Refusal;
use crate::request::source::FilterContext;
use crate::request::{Request, error_log};
use crate::variables::matcher::Matcher;
use crate::variables::registry::{Registry, SlotVariable, Source};
use crate::variables::template::{Template, TemplatePart, Variable};

/// Initial capacity for a value, bytes.
const LIKELY_VALUE: usize = 64;

impl Variable {
    /// The function that computes it, if it is one of nginx's fixed variables.
    pub(crate) fn fixed(&self) -> Option<Evaluate> {
        let Self::Known(definition) = self else {
            return None;
        };
        definition.downcast().map(|(_, evaluate): &Fixed| *evaluate)
    }

    /// Whether it is nginx's fixed variable of this name.
    pub(crate) fn is_known(&self, name: &str) -> bool {
        let Self::Known(definition) = self else {
            return false;
        };
        let known = definition.downcast();
        known.is_some_and(|(own, _): &Fixed| *own == name)
    }

    /// Writes the value; `false` when there is none.
    pub(crate) fn evaluate(&self, request: &Request, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Known(_) => self.fixed().is_some_and(|evaluate| evaluate(request, out)),
            Self::Capture(group) => request.captured.write(*group, out),
            Self::User(slot) => match request.slots.value(*slot) {
                Some(value) => super::write(value.as_deref(), out),
                None => compute(&request.config.variables, *slot, request, out),
            },
        }
    }
}

impl Template {
    /// Writes the string for this request.
    pub(crate) fn write(&self, request: &Request, out: &mut Vec<u8>) {
        self.precompute(request);
        for part in self.parts() {
            match part {
                TemplatePart::Text(text) => out.extend_from_slice(text),
                TemplatePart::Variable(variable) => {
                    variable.evaluate(request, out);
                }
            }
        }
    }

    /// Evaluates first whatever may match a pattern: nginx measures the whole string before it
    /// writes any of it, so a `$1` in front refers to the groups of a `map` behind it.
    pub(crate) fn precompute(&self, request: &Request) {
        let is_group =
            |part: &TemplatePart| matches!(part, TemplatePart::Variable(Variable::Capture(_)));
        let Some(first) = self.parts().iter().position(is_group) else {
            return;
        };
        for part in &self.parts()[first..] {
            if let TemplatePart::Variable(variable @ Variable::User(_)) = part {
                variable.evaluate(request, &mut Vec::new());
            }
        }
    }

    /// The string for this request.
    pub(crate) fn evaluate(&self, request: &Request) -> Bytes {
        // A body is not copied, which may be large.
        if let (Some(body), [TemplatePart::Variable(variable)]) =
            (&request.whole_body, self.parts())
            && variable.is_known("request_body")
        {
            return body.clone();
        }
        let scratch = &request.connection.worker.scratch;
        let mut out = scratch.take();
        out.reserve(LIKELY_VALUE);
        self.write(request, &mut out);
        let value = Bytes::copy_from_slice(&out);
        scratch.give(out);
        value
    }

    /// The same for what the request keeps: an error if it is large and there is no memory for it.
    pub(crate) fn evaluate_kept(&self, request: &Request) -> Result<Bytes, Refusal> {
        let value = self.evaluate(request);
        request.keep_value(value.len())?;
        Ok(value)
    }
}

impl FilterContext for Request {
    fn evaluate(&self, template: &Template) -> Bytes {
        template.evaluate(self)
    }

    fn poll_memory(&self, need: &mut Need, cx: &mut Context<'_>) -> Poll<()> {
        let permit = self.permit.as_ref();
        permit.map_or(Poll::Ready(()), |permit| permit.poll_grow(need, cx))
    }
}

impl Matcher {
    /// Whether `subject` matches; if so, its groups become the request's. A match that exceeds the
    /// limits is logged and ends in 500, as in nginx.
    pub(crate) fn matches(&self, request: &Request, subject: &[u8]) -> Result<bool, Refusal> {
        self.search(request, subject).map_err(|_| Refusal::new(500))
    }

    /// The same, with the reason why that is not known. It has been logged.
    pub(crate) fn search(&self, request: &Request, subject: &[u8]) -> Result<bool, pattern::Error> {
        let groups = self.pattern().groups(subject, &request.patterns);
        let groups = groups.inspect_err(|runaway| {
            let (subject, text) = (level::shown(subject), self.pattern().text());
            let what = format!("pcre2_match() failed: {runaway} on \"{subject}\" using \"{text}\"");
            error_log::request(request, Level::Alert, what);
        })?;
        let Some(groups) = groups else {
            return Ok(false);
        };
        for (slot, group) in self.named() {
            let text = groups
                .get(*group)
                .and_then(|range| subject.get(range.clone()));
            let text = Bytes::copy_from_slice(text.unwrap_or_default());
            request.slots.set(*slot, text);
        }
        request.captured.keep(subject, groups);
        Ok(true)
    }
}

/// The value of a slot that nothing has been assigned to.
fn compute(registry: &Registry, slot: usize, request: &Request, out: &mut Vec<u8>) -> bool {
    let made = registry.made(slot);
    let from = out.len();
    match &made.source {
        Source::Unknown | Source::Captured => false,
        Source::Known(definition) => Variable::Known(*definition).evaluate(request, out),
        Source::Family(definition, name) => {
            let Some(family) = definition.downcast::<Family>() else {
                return false;
            };
            let found = (family.evaluate)(request, name, out);
            if family.cached {
                let value = found.then(|| Bytes::copy_from_slice(&out[from..]));
                request.slots.keep(slot, value);
            }
            found
        }
        Source::Set => {
            if request.settings().core.warns_of_unset {
                let what = format!("using uninitialized \"{}\" variable", made.name);
                error_log::request(request, Level::Warn, what);
            }
            request.slots.set(slot, Bytes::new());
            true
        }
        Source::Computed(definition) => {
            let Some(computed) = definition.downcast::<Box<dyn Computed>>() else {
                return false;
            };
            let found = deeper(request, made, || computed.evaluate(request, out));
            if found && !computed.is_volatile() {
                let value = Bytes::copy_from_slice(&out[from..]);
                request.slots.set(slot, value);
            }
            found
        }
    }
}

fn deeper(request: &Request, made: &SlotVariable, compute: impl FnOnce() -> bool) -> bool {
    request.slots.deeper(compute).unwrap_or_else(|| {
        let what = format!("cycle while evaluating variable \"{}\"", made.name);
        error_log::request(request, Level::Error, what);
        false
    })
}
