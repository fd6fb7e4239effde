//! `proxy_buffers` and the like. Responses are streamed at the client's pace; what remains of the
//! sizes is the longest head, and nginx's rules for how they fit together.

use crate::conf::{Directive, Position, Problem};
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Scope, Spec};
use crate::directive::arguments;
use crate::directive::differs;

/// Sizes in bytes; `None` is nginx's default.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `proxy_buffer_size`: longest head of a response.
    pub head: usize,
    number: usize,
    each: usize,
    busy: Option<usize>,
    temp_write: Option<usize>,
    temp_most: Option<usize>,
    /// The last of the lines that set one of them.
    at: Option<Position>,
}

const PAGE: usize = 4 << 10;

impl Default for Settings {
    fn default() -> Self {
        Self {
            head: PAGE,
            number: 8,
            each: PAGE,
            busy: None,
            temp_write: None,
            temp_most: None,
            at: None,
        }
    }
}

const STREAMS: &str = "Checked; responses are streamed as they arrive, at the client's pace.";

/// A size in [`Settings`].
macro_rules! size {
    ($name:literal, $most:literal, $set:expr) => {
        Spec::set($name, Contexts::ALL, (1, $most), |scope, directive| {
            let size = arguments::size(directive, arguments::first(directive))?;
            let own = scope.settings.of_mut::<Settings>();
            own.at = Some(directive.name.at.clone());
            let set: fn(&mut Settings, usize) = $set;
            set(own, size);
            Ok(())
        })
    };
}

impl ModuleSettings for Settings {
    /// Checks that the sizes fit together; nginx does so at the end of `http`.
    fn check(&self, end: Option<&Position>) -> Option<Problem> {
        let (at, end) = (self.at.as_ref()?, end?);
        let largest = self.head.max(self.each);
        let of_all = self.each.saturating_mul(self.number.saturating_sub(1));
        let busy = self.busy.unwrap_or(2 * largest);
        let too_small = |name: &str, zero: &str| {
            format!(
                "\"{name}\" must be {zero}equal to or greater than the maximum of the value of \
                 \"proxy_buffer_size\" and one of the \"proxy_buffers\""
            )
        };
        let message = if self.number < 2 {
            "there must be at least 2 \"proxy_buffers\"".to_owned()
        } else if busy < largest {
            too_small("proxy_busy_buffers_size", "")
        } else if busy > of_all {
            "\"proxy_busy_buffers_size\" must be less than the size of all \"proxy_buffers\" \
             minus one buffer"
                .to_owned()
        } else if self.temp_write.is_some_and(|size| size < largest) {
            too_small("proxy_temp_file_write_size", "")
        } else if self
            .temp_most
            .is_some_and(|size| size > 0 && size < largest)
        {
            too_small(
                "proxy_max_temp_file_size",
                "equal to zero to disable temporary files usage or must be ",
            )
        } else {
            return None;
        };
        let mut problem = Problem::emerg(at, message);
        problem.line = Some(end.line);
        Some(problem)
    }
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    size!("proxy_buffer_size", 1, |own, size| own.head = size)
        .default("4k")
        .about("Largest head of an upstream's response; beyond it 502."),
    Spec::set("proxy_buffers", Contexts::ALL, (2, 2), set_buffers)
        .default("8 4k")
        .about(STREAMS),
    size!("proxy_busy_buffers_size", 1, |own, size| own.busy =
        Some(size))
    .default("8k")
    .about(STREAMS),
    size!("proxy_temp_file_write_size", 1, |own, size| own
        .temp_write =
        Some(size))
    .default("8k")
    .about(STREAMS),
    size!("proxy_max_temp_file_size", 1, |own, size| own.temp_most =
        Some(size))
    .differs(
        differs::not_off,
        "responses are streamed and never written to files",
        "responses-are-streamed",
    )
    .default("1024m")
    .about(STREAMS),
];

fn set_buffers(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let number = arguments::number(directive)?;
    let each = arguments::size(directive, &directive.args[1])?;
    if number == 0 || each == 0 {
        return Err(arguments::invalid(
            directive,
            &directive.args[0],
            "write a number and a size",
        ));
    }
    let own = scope.settings.of_mut::<Settings>();
    (own.number, own.each) = (number, each);
    own.at = Some(directive.name.at.clone());
    Ok(())
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn sizes_that_do_not_fit_together_are_told() {
        let fits = |change: fn(&mut Settings)| {
            let at = crate::conf::Position::in_a_test();
            let mut own = Settings {
                at: Some(at.clone()),
                ..Settings::default()
            };
            change(&mut own);
            own.check(Some(&at)).is_none()
        };
        assert!(fits(|_| {}));
        assert!(fits(|own| own.head = 8 << 10));
        assert!(!fits(|own| own.head = 64 << 10));
        assert!(!fits(|own| own.number = 1));
        assert!(!fits(|own| own.each = 1 << 10));
        assert!(!fits(|own| own.busy = Some(1 << 10)));
        assert!(!fits(|own| own.busy = Some(100 << 10)));
        assert!(!fits(|own| own.temp_write = Some(1)));
        assert!(!fits(|own| own.temp_most = Some(1)));
        assert!(fits(|own| own.temp_most = Some(0)));
    }
}
