//! nginx's `ngx_http_sub_filter_module`: replaces texts in a response's body.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};

use super::content_types::{ContentTypes, without_charset};
use super::sub_search::{Search, SearchResult};
use crate::admission::SMALL_BODY;
use crate::conf::{Directive, Problem, Word};
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, MANY, Scope, Spec};
use crate::directive::arguments;
use crate::request::Request;
use crate::request::response::{Content, Refusal, Response};
use crate::request::source::{Frame, Next, Source, UpstreamBody};
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
        |scope, directive| {
            let problems = &mut scope.draft.problems;
            scope
                .settings
                .of_mut::<Settings>()
                .types
                .add(directive, scope.first_here, problems);
            Ok(())
        },
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
pub(crate) fn apply(
    settings: &Settings,
    request: &mut Request,
    response: &mut Response,
) -> Result<(), Refusal> {
    let Some(pairs) = &settings.pairs else {
        return Ok(());
    };
    let kind = response.content_type.as_deref();
    let kind = match response.is_of_upstream() {
        true => kind.map(without_charset),
        false => kind,
    };
    if response.length == Some(0)
        || matches!(response.content, Content::Nothing | Content::Tunnel(_))
        || !settings.types.has(kind)
    {
        return Ok(());
    }
    if pairs.list.iter().any(Pair::has_variables) {
        response.show(request);
    }
    let Some((search, replacements, computed)) = pairs.compute(request) else {
        return Ok(());
    };
    // Up to the longest text may be held between two pieces, and clients choose the values of
    // variables. An error page is impossible if they do not fit: it would be searched, too.
    let held = (computed + 2 * search.longest()) as u64;
    if held > SMALL_BODY && !request.try_reserve(held) {
        return Err(Refusal::silent(503));
    }
    response.length = None;
    if settings.keeps_last_modified {
        response.weaken_etag();
    } else {
        let validator = |(name, _): &(Bytes, Bytes)| {
            name.eq_ignore_ascii_case(b"last-modified") || name.eq_ignore_ascii_case(b"etag")
        };
        response.fields.retain(|field| !validator(field));
    }
    if request.is_head() || !response.content.has_body() {
        return Ok(());
    }
    let inner = std::mem::replace(&mut response.content, Content::Empty);
    response.content = Content::Stream(Box::new(Substitution {
        inner,
        left: settings.once.then_some(replacements.len()),
        replaced: vec![false; replacements.len()].into(),
        search,
        replacements,
        data: Bytes::new(),
        held: Vec::new(),
        next: None,
        end: None,
    }));
    Ok(())
}

impl Pair {
    fn has_variables(&self) -> bool {
        self.text.has_variables() || self.fixed.is_none()
    }
}

impl Pairs {
    /// What is searched for in the response, what replaces each, and the bytes of that which were
    /// computed for the request; `None` if there is nothing to search for.
    fn compute(&self, request: &Request) -> Option<(Arc<Search>, Box<[Bytes]>, usize)> {
        let mut computed = 0;
        let value = |pair: &Pair| {
            let fixed = pair.fixed.clone();
            fixed.unwrap_or_else(|| {
                let value = pair.replacement.evaluate(request);
                computed += value.len();
                value
            })
        };
        if let Some(search) = &self.search {
            let values = self.list.iter().map(value).collect();
            return Some((search.clone(), values, computed));
        }
        let texts = self.list.iter().map(|pair| {
            let text = pair.text.evaluate(request).to_ascii_lowercase();
            (Bytes::from(text), pair)
        });
        let (texts, pairs): (Vec<_>, Vec<_>) = texts.filter(|(text, _)| !text.is_empty()).unzip();
        let values = pairs.into_iter().map(value).collect();
        (!texts.is_empty()).then(|| (Arc::new(Search::new(texts)), values, computed))
    }
}

/// A body in which texts are replaced. What cannot be the beginning of one of them is passed on at
/// once.
struct Substitution {
    inner: Content,
    search: Arc<Search>,
    replacements: Box<[Bytes]>,
    /// Which texts are no longer searched for (`sub_filter_once`).
    replaced: Box<[bool]>,
    /// How many are still searched for; `None` without `sub_filter_once`.
    left: Option<usize>,
    /// Bytes that may be the beginning of a text that continues in the next piece.
    held: Vec<u8>,
    /// What follows them and has not been searched.
    data: Bytes,
    /// The replacement of the text that was before `data`.
    next: Option<Bytes>,
    /// The end of the body, once it was reached.
    end: Option<Next>,
}

impl Substitution {
    /// The next bytes to pass on; `None` if more input is needed.
    fn advance(&mut self) -> Option<Bytes> {
        loop {
            if let Some(text) = self.next.take().filter(|text| !text.is_empty()) {
                return Some(text);
            }
            if self.data.is_empty() {
                return None;
            }
            if self.left == Some(0) {
                let size = self.held.len().max(self.data.len());
                return Some(self.take(size));
            }
            let found = self.search.find(&self.held, &self.data, &self.replaced);
            let before = self.take(found.start());
            match found {
                SearchResult::Whole { start: _, which } => {
                    self.skip(self.search.length(which));
                    self.next = Some(self.replacements[which].clone());
                    if let Some(left) = &mut self.left {
                        self.replaced[which] = true;
                        *left -= 1;
                    }
                }
                SearchResult::Beginning(_) => {
                    self.held.extend_from_slice(&self.data);
                    self.data = Bytes::new();
                }
                SearchResult::Nothing(_) => {}
            }
            if !before.is_empty() {
                return Some(before);
            }
        }
    }

    /// Takes the first bytes of the input, of the held ones while there are any.
    fn take(&mut self, size: usize) -> Bytes {
        if self.held.is_empty() {
            return self.data.split_to(size);
        }
        let rest = self.held.split_off(size.min(self.held.len()));
        std::mem::replace(&mut self.held, rest).into()
    }

    fn skip(&mut self, size: usize) {
        let of_held = size.min(self.held.len());
        self.held.drain(..of_held);
        self.data.advance(size - of_held);
    }
}

impl Source for Substitution {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            if let Some(data) = self.advance() {
                return Poll::Ready(Some(Ok(Frame::Data(data))));
            }
            if let Some(end) = self.end.take() {
                return Poll::Ready(end);
            }
            match ready!(self.inner.poll_frame(cx)) {
                Some(Ok(Frame::Data(data))) => self.data = data,
                Some(Err(cut)) => return Poll::Ready(Some(Err(cut))),
                // What is held at the end is passed on unreplaced, even if it is a text that
                // another one begins with: nginx does not search it again.
                end if !self.held.is_empty() => {
                    self.end = Some(end);
                    let held = std::mem::take(&mut self.held);
                    return Poll::Ready(Some(Ok(Frame::Data(held.into()))));
                }
                end => return Poll::Ready(end),
            }
        }
    }

    fn upstream_body(&mut self) -> Option<&mut dyn UpstreamBody> {
        self.inner.upstream_body()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::source::testing::{Script, polls};

    fn replacing(steps: Vec<Option<Next>>) -> Substitution {
        Substitution {
            inner: Content::Stream(Box::new(Script::new(steps))),
            search: Arc::new(Search::new(vec!["secret".into()])),
            replacements: Box::new(["none".into()]),
            replaced: Box::new([false]),
            left: None,
            held: Vec::new(),
            data: Bytes::new(),
            next: None,
            end: None,
        }
    }

    fn data(text: &'static str) -> Option<Next> {
        Some(Some(Ok(Frame::Data(text.into()))))
    }

    #[test]
    fn what_is_no_beginning_does_not_wait() {
        let steps = vec![
            data("data: s"),
            None,
            data("ec"),
            None,
            data("ret, sec"),
            None,
        ];
        // "data: ", nothing, "none", ", ", and what was held at the end.
        let expected = [Some(6), None, None, Some(4), Some(2), None, Some(3)];
        assert_eq!(polls(&mut replacing(steps)), expected);
    }

    #[test]
    fn a_body_without_the_text_is_not_copied() {
        let text = Bytes::from("nothing of it, really");
        let steps = vec![Some(Some(Ok(Frame::Data(text.clone()))))];
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(Some(Ok(Frame::Data(sent)))) = replacing(steps).poll_frame(&mut cx) else {
            panic!("no data");
        };
        assert_eq!((sent.as_ptr(), sent.len()), (text.as_ptr(), text.len()));
    }
}
