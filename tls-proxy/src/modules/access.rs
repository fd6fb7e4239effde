//! nginx's `ngx_http_access_module` and the core's `satisfy`: who may come in.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Contexts, Scope, Spec, auth_basic, auth_request};
use crate::conf::{Directive, Problem};
use crate::directive::arguments;
use crate::log::level::Level;
use crate::net::cidr::Network;
use crate::request::Request;
use crate::request::error_log;
use crate::request::response::Refusal;

/// What the modules keep for each block.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `allow` and `deny`, in order.
    rules: Arc<[Rule]>,
    /// A rule stood in this very block already.
    own: bool,
    /// `satisfy any`.
    any: bool,
    /// `auth_delay`: how long a 401 takes.
    delay: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rules: Arc::new([]),
            own: false,
            any: false,
            delay: Duration::ZERO,
        }
    }
}

impl Settings {
    /// What a block inside starts with.
    pub(crate) fn inherited(mut self) -> Self {
        self.own = false;
        self
    }
}

/// One line.
#[derive(Clone, Copy, Debug)]
struct Rule {
    allow: bool,
    whom: Whom,
}

/// Whom a line is about.
#[derive(Clone, Copy, Debug)]
enum Whom {
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
    .about("Lets in an address, a network, `unix:` or `all`; the first line that fits decides.")
    .repeats(),
    Spec::set("deny", PLACES, (1, 1), |scope, directive| {
        add(scope, directive, false)
    })
    .about("Keeps out an address, a network, `unix:` or `all`: 403.")
    .repeats(),
    Spec::set("satisfy", Contexts::ALL, (1, 1), |scope, directive| {
        let word = arguments::first(directive);
        scope.settings.access.any = arguments::choice(word, &[("all", false), ("any", true)])?;
        Ok(())
    })
    .default("all")
    .about("Whether all checks (addresses, passwords) must let a client in, or any."),
    Spec::set("auth_delay", Contexts::ALL, (1, 1), |scope, directive| {
        let word = arguments::first(directive);
        scope.settings.access.delay = arguments::time(directive, word)?;
        Ok(())
    })
    .default("0s")
    .about("How long a 401 is held back, so that its time tells nothing."),
];

fn add(scope: &mut Scope<'_>, directive: &Directive, allow: bool) -> Result<(), Problem> {
    let word = arguments::first(directive);
    let whom = match word.text.as_str() {
        "all" => Whom::All,
        "unix:" => Whom::Unix,
        text => {
            let invalid = || Problem::emerg(&word.at, format!("invalid parameter \"{text}\""));
            let (network, low) = Network::parse(text).ok_or_else(invalid)?;
            if low {
                let message = format!("low address bits of {text} are meaningless");
                scope.draft.problems.push(Problem::warn(&word.at, message));
            }
            Whom::Network(network)
        }
    };
    let access = &mut scope.settings.access;
    // The two directives are one list: either of them begins it anew.
    let inherited = if access.own { &access.rules[..] } else { &[] };
    let rules = inherited.iter().copied().chain([Rule { allow, whom }]);
    access.rules = rules.collect();
    access.own = true;
    Ok(())
}

/// The access phase, and the pause behind a 401.
pub(crate) async fn check(request: &mut Request) -> Result<(), Refusal> {
    let result = check_all(request).await;
    if matches!(&result, Err(refusal) if refusal.status == 401) {
        let delay = request.settings().access.delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
    result
}

/// Addresses first, then passwords, then whom another location lets in.
/// Requests on behalf of others have been through it.
async fn check_all(request: &mut Request) -> Result<(), Refusal> {
    let config = request.config.clone();
    let settings = &config.location(request.location).settings;
    if request.is_inner() {
        return Ok(());
    }
    let any = settings.access.any;
    let mut refused = None;
    for check in 0..3 {
        let result = match check {
            0 => {
                let address = (!request.is_unix()).then(|| request.peer.ip());
                decide(&settings.access.rules, address).map(|allowed| {
                    if allowed {
                        Ok(())
                    } else {
                        Err(Refusal::new(403))
                    }
                })
            }
            1 => match settings.auth_basic.active() {
                Some(basic) => Some(auth_basic::check(basic, request).await),
                None => None,
            },
            _ => auth_request::check(&settings.auth_request, request).await,
        };
        match result {
            None => {}
            Some(Ok(())) if any => {
                request.challenge = None;
                request.kept_fields.clear();
                return Ok(());
            }
            Some(Ok(())) => {}
            // A client that may still name itself is asked to.
            Some(Err(refusal)) if any && matches!(refusal.status, 401 | 403) => {
                refused = refused.filter(|before| *before == 401);
                refused = refused.or(Some(refusal.status));
            }
            Some(Err(_)) if check == 0 => return Err(forbid(request)),
            Some(Err(refusal)) => return Err(refusal),
        }
    }
    match refused {
        None => Ok(()),
        Some(403) => Err(forbid(request)),
        Some(status) => Err(Refusal::new(status)),
    }
}

fn forbid(request: &Request) -> Refusal {
    error_log::request(request, Level::Error, "access forbidden by rule");
    Refusal::new(403)
}

/// What the first rule that fits says; no address is a UNIX socket.
fn decide(rules: &[Rule], address: Option<IpAddr>) -> Option<bool> {
    let fits = |rule: &&Rule| match rule.whom {
        Whom::All => true,
        Whom::Unix => address.is_none(),
        Whom::Network(network) => address.is_some_and(|address| network.has(address)),
    };
    rules.iter().find(fits).map(|rule| rule.allow)
}
