//! `keepalive_disable`, `msie_padding` and whatever else in nginx's core module depends on the
//! browser.

use crate::conf::Problem;
use crate::config::spec::{Contexts, Effect, Spec};
use crate::directive::arguments;
use crate::modules::variables::{Evaluate, write};
use crate::request::user_agent;

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set(
        "keepalive_disable",
        Contexts::ALL,
        (1, 2),
        |scope, directive| {
            let mut set = scope.settings.core.keepalive_disable;
            if scope.first_here {
                (set.msie6, set.safari) = (false, false);
            }
            for word in &directive.args {
                match word.text.to_ascii_lowercase().as_str() {
                    "none" => {}
                    "msie6" => set.msie6 = true,
                    "safari" => set.safari = true,
                    _ => {
                        let known = ["none", "msie6", "safari"];
                        return Err(arguments::unknown_value(word, &known));
                    }
                }
            }
            scope.settings.core.keepalive_disable = set;
            Ok(())
        },
    )
    .default("msie6")
    .about(
        "Browsers whose connections are not kept: `msie6` after a POST, `safari` on a Mac; `none`.",
    )
    .repeats(),
    Spec::set("msie_padding", Contexts::ALL, (1, 1), |scope, directive| {
        scope.settings.core.msie_padding = arguments::flag(directive)?;
        Ok(())
    })
    .default("on")
    .about("Error pages are long enough for MSIE and Chrome to show them."),
    Spec::new(
        "msie_refresh",
        Contexts::ALL,
        (1, 1),
        Effect::Set(|_, directive| {
            let word = arguments::first(directive);
            if !arguments::flag(directive)? {
                return Ok(());
            }
            let message = "the \"msie_refresh on\" directive is not supported";
            Err(Problem::emerg(&word.at, message)
                .with_help("browsers follow redirects; remove the line"))
        }),
    )
    .default("off")
    .about("Only `off`: redirects are redirects for every browser."),
];

/// `$msie` of nginx's browser module.
pub(crate) const VARIABLES: &[(&str, Evaluate)] = &[("msie", |request, out| {
    write(
        Some(if user_agent::is_msie(request) {
            b"1"
        } else {
            b""
        }),
        out,
    )
})];
