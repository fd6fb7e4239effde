//! nginx's `ngx_http_sub_filter_module`: replaces texts in a response's body.

mod search;
mod substitution;

use std::sync::Arc;

use bytes::Bytes;

use self::search::Search;
use self::substitution::Substitution;
use super::content_types::{ContentTypes, without_charset};
use crate::admission::SMALL_BODY;
use crate::conf::{Directive, Problem, Word};
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, MANY, Scope, Spec};
use crate::directive::arguments;
use crate::request::Request;
use crate::request::response::{self, Content, Refusal, Response};
use crate::variables::template::Template;

/// Most texts that one block searches for, as in nginx.
const MAX: usize = 255;

/// What the module keeps for each block.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `sub_filter`, in order; `None` if there are none.
    pairs: Option<Arc<Pairs>>,
    once: bool,
    types: ContentTypes,
    keeps_last_modified: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pairs: None,
            once: true,
            types: ContentTypes::default(),
            keeps_last_modified: false,
        }
    }
}

/// All `sub_filter` of a block.
#[derive(Clone, Debug)]
struct Pairs {
    list: Vec<Pair>,
    /// What is searched for; `None` if that depends on the request.
    search: Option<Arc<Search>>,
}

/// One `sub_filter`.
#[derive(Clone, Debug)]
struct Pair {
    text: Template,
    replacement: Template,
    /// The same, if it has no variables.
    fixed: Option<Bytes>,
}

impl ModuleSettings for Settings {
    fn is_used(&self) -> bool {
        self.pairs.is_some()
    }
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("sub_filter", Contexts::ALL, (2, 2), add_pair)
        .about(
            "Replaces a text in bodies, ignoring case, with another one; both may have variables.",
        )
        .repeats(),
    Spec::set(
        "sub_filter_types",
        Contexts::ALL,
        (1, MANY),
        |scope, directive| ContentTypes::add(scope, directive, |own: &mut Settings| &mut own.types),
    )
    .default("text/html")
    .about("Content types whose bodies are searched, besides text/html; `*` is all.")
    .repeats(),
    Spec::set(
        "sub_filter_once",
        Contexts::ALL,
        (1, 1),
        |scope, directive| {
            scope.settings.of_mut::<Settings>().once = arguments::flag(directive)?;
            Ok(())
        },
    )
    .default("on")
    .about("Each text is replaced once only."),
    Spec::set(
        "sub_filter_last_modified",
        Contexts::ALL,
        (1, 1),
        |scope, directive| {
            scope.settings.of_mut::<Settings>().keeps_last_modified = arguments::flag(directive)?;
            Ok(())
        },
    )
    .default("off")
    .about("Keeps `Last-Modified`, and `ETag` as a weak one; else both are removed."),
];

fn add_pair(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    let (word, replacement) = (&directive.args[0], &directive.args[1]);
    if word.text.is_empty() {
        return Err(Problem::emerg(&word.at, "empty search pattern"));
    }
    let own = &mut scope.settings.of_mut::<Settings>().pairs;
    let before = own.as_deref().filter(|_| !scope.first_here);
    let mut list = before.map_or_else(Vec::new, |before| before.list.clone());
    if list.len() == MAX {
        let message = format!("number of search patterns exceeds {MAX}");
        return Err(Problem::emerg(&word.at, message));
    }
    let lower = Word {
        text: word.text.to_ascii_lowercase(),
        ..word.clone()
    };
    let replacement = Template::compile(replacement, &mut scope.draft.variables)?;
    list.push(Pair {
        text: Template::compile(&lower, &mut scope.draft.variables)?,
        fixed: replacement.fixed(),
        replacement,
    });
    let texts: Option<Vec<Bytes>> = list.iter().map(|pair| pair.text.fixed()).collect();
    let search = texts.map(|texts| Arc::new(Search::new(texts)));
    *own = Some(Arc::new(Pairs { list, search }));
    Ok(())
}

/// Replaces the texts in a body of a listed type; its length and validators no longer
/// apply.
///
/// # Errors
/// There is no memory for texts that were computed for the response.
pub(crate) fn apply(
    settings: &Settings,
    request: &mut Request,
    response: &mut Response,
) -> Result<(), Refusal> {
    let Some(pairs) = &settings.pairs else {
        return Ok(());
    };
    let kind = response.content_type.as_deref();
    let kind = match response.is_of_upstream {
        true => kind.map(without_charset),
        false => kind,
    };
    if response.length == Some(0)
        || matches!(response.content, Content::Nothing | Content::Tunnel(_))
        || !settings.types.has(kind)
    {
        return Ok(());
    }
    if pairs.search.is_none() {
        if !request.computes_response {
            return Ok(());
        }
        response.show(request);
    }
    let Some(found) = pairs.compute(request) else {
        return Ok(());
    };
    let computed = match pairs.search {
        Some(_) => 0,
        None => found.search.size(),
    };
    if computed > SMALL_BODY as usize {
        let kept = request.keep_value(computed);
        kept.inspect_err(|_| request.computes_response = false)?;
    }
    response.length = None;
    if settings.keeps_last_modified {
        response.weaken_etag();
    } else {
        response::remove(&mut response.fields, b"last-modified");
        response::remove(&mut response.fields, b"etag");
    }
    if request.is_head() || !response.content.has_body() {
        return Ok(());
    }
    // Up to the longest text may be held between two pieces, in a buffer that grows, and clients
    // choose the values of variables.
    let held = 4 * found.search.longest() as u64;
    if held > SMALL_BODY {
        request.needs_for_filter(held);
    }
    response.filter(|inner| Substitution::new(inner, pairs.clone(), found, settings.once));
    Ok(())
}

/// The texts that are searched for in a response.
struct SearchedTexts {
    search: Arc<Search>,
    /// Which `sub_filter` each one is of: those whose text is empty are left out.
    pairs: Box<[u8]>,
}

impl Pairs {
    /// The texts that are searched for in the response; `None` if all are empty.
    fn compute(&self, request: &Request) -> Option<SearchedTexts> {
        let numbers = 0..self.list.len() as u8;
        if let Some(search) = &self.search {
            return Some(SearchedTexts {
                search: search.clone(),
                pairs: numbers.collect(),
            });
        }
        let texts = self.list.iter().map(|pair| {
            let text = pair.text.evaluate(request).to_ascii_lowercase();
            Bytes::from(text)
        });
        let texts = texts.zip(numbers).filter(|(text, _)| !text.is_empty());
        let (texts, pairs): (Vec<_>, Vec<_>) = texts.unzip();
        (!texts.is_empty()).then(|| SearchedTexts {
            search: Arc::new(Search::new(texts)),
            pairs: pairs.into(),
        })
    }
}
