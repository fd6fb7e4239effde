//! `least_conn`, `ip_hash`, `hash`, `random`.

use super::{Allowed, UpstreamDraft};
use crate::conf::{Directive, Problem};
use crate::config::method::{Method, Ring};
use crate::config::spec::{Contexts, Effect, Scope, Spec};
use crate::directive::arguments;
use crate::variables::template::Template;

const NO_TIMES: &str = "response times are not compared; use least_conn";

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set(
        "least_conn",
        Contexts::UPSTREAM,
        (0, 0),
        |scope, directive| choose(scope, directive, Method::LeastConnections, true),
    )
    .about("Prefers the server with the fewest requests in flight.")
    .repeats(),
    Spec::set("ip_hash", Contexts::UPSTREAM, (0, 0), |scope, directive| {
        choose(scope, directive, Method::IpHash, false)
    })
    .about("By the client's address (the first three bytes of IPv4).")
    .repeats(),
    Spec::set("hash", Contexts::UPSTREAM, (1, 2), |scope, directive| {
        let key = Template::compile(arguments::first(directive), &mut scope.draft.variables)?;
        let method = match directive.args.get(1) {
            None => Method::Hash(key),
            Some(word) if word.text == "consistent" => Method::Consistent(key, Ring::default()),
            Some(word) => return Err(arguments::unknown_parameter(word, &["consistent"])),
        };
        choose(scope, directive, method, false)
    })
    .about("By a key; `consistent`: most keys stay with their server when servers are added or removed.")
    .repeats(),
    Spec::set("random", Contexts::UPSTREAM, (0, 2), |scope, directive| {
        let words: Vec<_> = directive
            .args
            .iter()
            .map(|word| word.text.as_str())
            .collect();
        let two = match &words[..] {
            [] => false,
            ["two"] | ["two", "least_conn"] => true,
            [first, ..] => {
                let wrong = &directive.args[usize::from(*first == "two")];
                return Err(match wrong.text.starts_with("least_time") {
                    true => arguments::unsupported_parameter(wrong, NO_TIMES),
                    false => arguments::unknown_parameter(wrong, &["two", "least_conn"]),
                });
            }
        };
        choose(scope, directive, Method::Random { two }, false)
    })
    .about("At random, by weight; `two`: the less busy one of two.")
    .repeats(),
    Spec::new(
        "sticky",
        Contexts::UPSTREAM,
        (1, usize::MAX),
        Effect::Refused("sessions are not tied to a server; use ip_hash or hash"),
    ),
    Spec::new(
        "least_time",
        Contexts::UPSTREAM,
        (1, 2),
        Effect::Refused(NO_TIMES),
    ),
];

fn choose(
    scope: &mut Scope<'_>,
    directive: &Directive,
    method: Method,
    backup: bool,
) -> Result<(), Problem> {
    let own = scope.place.parts.get_mut::<UpstreamDraft>();
    if !matches!(own.group.method, Method::RoundRobin) {
        let message = "load balancing method redefined";
        let problem = Problem::warn(&directive.name.at, message);
        scope.draft.problems.push(problem);
    }
    own.group.method = method;
    own.allowed = Allowed { backup };
    Ok(())
}
