//! nginx's `ngx_http_access_module` and the core's `satisfy`: access control by address.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::conf::{Directive, Problem};
use crate::config::settings::{Inside, ModuleSettings};
use crate::config::spec::{Contexts, Scope, Spec};
use crate::directive::arguments;
use crate::net::cidr::Network;
use crate::request::Request;
use crate::request::response::Refusal;

/// What the modules keep for each block.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `allow` and `deny`, in order. There may be ten thousands: they are not copied for each line.
    rules: Arc<Vec<AccessRule>>,
    /// This very block already has a rule.
    own: bool,
    /// `satisfy any`.
    pub(crate) any: bool,
    /// `auth_delay`: how long a 401 is delayed.
    pub(crate) delay: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rules: Arc::default(),
            own: false,
            any: false,
            delay: Duration::ZERO,
        }
    }
}

impl ModuleSettings for Settings {
    fn inside(&self, _: Inside) -> Option<Self> {
        self.own.then(|| Self {
            own: false,
            ..self.clone()
        })
    }

    fn is_used(&self) -> bool {
        !self.rules.is_empty()
    }
}

/// One line.
#[derive(Clone, Copy, Debug)]
struct AccessRule {
    allow: bool,
    whom: Clients,
}

/// The clients that a line applies to.
#[derive(Clone, Copy, Debug)]
enum Clients {
    All,
    /// Clients of UNIX sockets; there are none here.
    Unix,
    Network(Network),
}

const PLACES: Contexts = Contexts::ALL.or(Contexts::LIMIT_EXCEPT);

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("allow", PLACES, (1, 1), |scope, directive| {
        add(scope, directive, true)
    })
    .about("Allows an address, a network, `unix:` or `all`; the first line that matches decides.")
    .repeats(),
    Spec::set("deny", PLACES, (1, 1), |scope, directive| {
        add(scope, directive, false)
    })
    .about("Denies an address, a network, `unix:` or `all`: 403.")
    .repeats(),
    Spec::set("satisfy", Contexts::ALL, (1, 1), |scope, directive| {
        let word = arguments::first(directive);
        scope.settings.of_mut::<Settings>().any =
            arguments::choice(word, &[("all", false), ("any", true)])?;
        Ok(())
    })
    .default("all")
    .about("Whether all checks (addresses, passwords) must allow a client, or any."),
    Spec::set("auth_delay", Contexts::ALL, (1, 1), |scope, directive| {
        let word = arguments::first(directive);
        scope.settings.of_mut::<Settings>().delay = arguments::time(directive, word)?;
        Ok(())
    })
    .default("0s")
    .about("How long a 401 is delayed, against timing attacks."),
];

fn add(scope: &mut Scope<'_>, directive: &Directive, allow: bool) -> Result<(), Problem> {
    let word = arguments::first(directive);
    let whom = match word.text.as_str() {
        "all" => Clients::All,
        "unix:" => Clients::Unix,
        text => {
            let invalid = || Problem::emerg(&word.at, format!("invalid parameter \"{text}\""));
            let (network, low) = Network::parse(text).ok_or_else(invalid)?;
            if low {
                let message = format!("low address bits of {text} are meaningless");
                scope.draft.problems.push(Problem::warn(&word.at, message));
            }
            Clients::Network(network)
        }
    };
    let access = scope.settings.of_mut::<Settings>();
    // The two directives share one list: the first of either starts a new one.
    if !access.own {
        access.rules = Arc::default();
        access.own = true;
    }
    Arc::make_mut(&mut access.rules).push(AccessRule { allow, whom });
    Ok(())
}

/// Whether the client's address is allowed; `None` if no rule matches.
pub(crate) fn check(settings: &Settings, request: &Request) -> Option<Result<(), Refusal>> {
    let address = (!request.is_unix()).then(|| request.peer.ip());
    let allowed = decide(&settings.rules, address)?;
    Some(if allowed {
        Ok(())
    } else {
        Err(Refusal::new(403))
    })
}

/// The first rule that matches; no address means a UNIX socket. As in nginx, an IPv4-mapped address is
/// an IPv4 one if there is a rule that may be for those, and else an IPv6 one.
fn decide(rules: &[AccessRule], address: Option<IpAddr>) -> Option<bool> {
    let is_for_ipv4 = |rule: &AccessRule| match rule.whom {
        Clients::All => true,
        Clients::Unix => false,
        Clients::Network(network) => network.is_ipv4(),
    };
    let address = address.map(|address| match address.to_canonical() {
        IpAddr::V4(own) if rules.iter().any(is_for_ipv4) => own.into(),
        _ => address,
    });
    let fits = |rule: &&AccessRule| match rule.whom {
        Clients::All => true,
        Clients::Unix => address.is_none(),
        Clients::Network(network) => address.is_some_and(|address| network.has_as_it_is(address)),
    };
    rules.iter().find(fits).map(|rule| rule.allow)
}
