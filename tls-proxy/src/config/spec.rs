//! What a directive is: its name, contexts, arguments and effect. Each module has a table of them.

use super::draft::{ConfigDraft, LocationDraft, LocationPattern, ServerDraft};
use super::parts::Parts;
use super::settings::Settings;
use crate::conf::{Directive, Problem};
use crate::directive::differs::Differs;
use crate::directive::value::Value;

/// The kinds of block a directive may stand in, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contexts(u16);

impl Contexts {
    /// Outside all blocks.
    pub(crate) const MAIN: Self = Self(1);
    /// `events {}`.
    pub(crate) const EVENTS: Self = Self(1 << 1);
    /// `http {}`.
    pub(crate) const HTTP: Self = Self(1 << 2);
    /// `server {}`.
    pub(crate) const SERVER: Self = Self(1 << 3);
    /// `location … {}`.
    pub(crate) const LOCATION: Self = Self(1 << 4);
    /// `upstream … {}`.
    pub(crate) const UPSTREAM: Self = Self(1 << 5);
    /// `if (…) {}` in a server.
    pub(crate) const IF_SERVER: Self = Self(1 << 6);
    /// `if (…) {}` in a location.
    pub(crate) const IF: Self = Self(1 << 7);
    /// `http`, `server` and `location`: most directives.
    pub(crate) const ALL: Self = Self(Self::HTTP.0 | Self::SERVER.0 | Self::LOCATION.0);

    /// `limit_except … {}`.
    pub(crate) const LIMIT_EXCEPT: Self = Self(1 << 8);
    const NAMES: [(Self, &str); 9] = [
        (Self::MAIN, "main"),
        (Self::EVENTS, "events"),
        (Self::HTTP, "http"),
        (Self::SERVER, "server"),
        (Self::LOCATION, "location"),
        (Self::UPSTREAM, "upstream"),
        (Self::IF_SERVER, "if in server"),
        (Self::IF, "if in location"),
        (Self::LIMIT_EXCEPT, "limit_except"),
    ];

    /// Both sets together.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the two share a context.
    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The contexts' names, in nginx's words.
    pub(crate) fn names(self) -> Vec<&'static str> {
        let own = Self::NAMES
            .iter()
            .filter(|(context, _)| self.meets(*context));
        own.map(|(_, name)| *name).collect()
    }
}

/// What a directive does here.
#[derive(Clone, Copy)]
pub(crate) enum Effect {
    /// Changes the settings of the block it stands in.
    Set(fn(&mut Scope<'_>, &Directive) -> Result<(), Problem>),
    /// Opens a block.
    Block(fn(&mut Scope<'_>, &Directive, &[Directive]) -> Result<(), Problem>),
    /// Accepted without effect; the text says why.
    Accepted(&'static str),
    /// Not supported; the text says what to do instead.
    Refused(&'static str),
}

/// One directive: everything about it that is not its effect on a request.
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) contexts: Contexts,
    /// Fewest and most arguments.
    pub(crate) arguments: (usize, usize),
    /// nginx's default, as its documentation writes it; empty for none.
    pub(crate) default: &'static str,
    /// One sentence for the documentation.
    pub(crate) about: &'static str,
    /// May stand several times in one block.
    pub(crate) repeats: bool,
    /// How the value of an accepted directive is checked.
    pub(crate) value: Value,
    pub(crate) effect: Effect,
    /// How its effect differs from nginx's.
    pub(crate) differs: Option<Differs>,
}

impl Spec {
    /// A directive that changes settings.
    pub(crate) const fn set(
        name: &'static str,
        contexts: Contexts,
        arguments: (usize, usize),
        set: fn(&mut Scope<'_>, &Directive) -> Result<(), Problem>,
    ) -> Self {
        Self::new(name, contexts, arguments, Effect::Set(set))
    }

    /// A directive with any effect.
    pub(crate) const fn new(
        name: &'static str,
        contexts: Contexts,
        arguments: (usize, usize),
        effect: Effect,
    ) -> Self {
        Self {
            name,
            contexts,
            arguments,
            default: "",
            about: "",
            repeats: false,
            value: Value::Any,
            effect,
            differs: None,
        }
    }

    /// With nginx's default value.
    pub(crate) const fn default(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    /// With its line in the documentation.
    pub(crate) const fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// Checked as in nginx, though it has no effect.
    pub(crate) const fn takes(self, value: Value) -> Self {
        Self { value, ..self }
    }

    /// Accepted, with another effect than in nginx: `-t` prints `words`, or the text of
    /// `Effect::Accepted` if they are empty, and the heading of `docs/differences.md` to read.
    pub(crate) const fn differs(
        self,
        when: fn(&Directive) -> bool,
        words: &'static str,
        read: &'static str,
    ) -> Self {
        let differs = Some(Differs { when, words, read });
        Self { differs, ..self }
    }

    /// May be repeated in one block.
    pub(crate) const fn repeats(self) -> Self {
        Self {
            repeats: true,
            ..self
        }
    }
}

/// No upper limit on arguments.
pub(crate) const MANY: usize = usize::MAX;

/// Tables of directives, each with its name in the documentation.
pub(crate) type SpecTables = &'static [(&'static str, &'static [Spec])];

/// How directives are looked up.
#[derive(Clone, Copy)]
pub(crate) struct Directives {
    /// By name and, where two modules share the name, by where it stands.
    pub(crate) find: fn(&str, Contexts) -> Option<&'static Spec>,
    /// The problem with an unknown directive.
    pub(crate) unknown: fn(&Directive, Contexts) -> Problem,
}

/// Where a directive stands while its effect is computed.
pub(crate) struct Scope<'a> {
    /// The kind of block.
    pub(crate) context: Contexts,
    /// The block's settings so far.
    pub(crate) settings: &'a mut Settings,
    /// What the whole configuration has collected so far.
    pub(crate) draft: &'a mut ConfigDraft,
    /// What the block collects besides settings.
    pub(crate) place: &'a mut BlockDraft,
    /// No directive of this name stood in this block before: a list that is
    /// inherited as a whole starts anew.
    pub(crate) first_here: bool,
    /// The directive's index in its block, for what runs in file order.
    pub(crate) order: usize,
}

/// What a block collects besides settings.
#[derive(Default)]
pub(crate) struct BlockDraft {
    pub(crate) server: ServerDraft,
    /// What modules collect.
    pub(crate) parts: Parts,
    /// What this location matches; `None` in a server.
    pub(crate) location: Option<LocationPattern>,
    /// Locations directly inside this server or location.
    pub(crate) locations: Vec<LocationDraft>,
}
