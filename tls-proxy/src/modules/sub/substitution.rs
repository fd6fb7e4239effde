//! A body in which texts are replaced.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};

use super::search::SearchResult;
use super::{Pairs, SearchedTexts};
use crate::admission::{Need, SMALL_BODY};
use crate::request::response::Content;
use crate::request::source::{FilterContext, Frame, Next, Source, UpstreamBody};

/// A body in which texts are replaced. What cannot be the beginning of one of them is passed on at
/// once.
pub(super) struct Substitution {
    inner: Content,
    all: Arc<Pairs>,
    found: SearchedTexts,
    /// What replaces each text, once one was found.
    values: Box<[Option<Bytes>]>,
    /// Bytes of the values that were computed for the request.
    computed: u64,
    need: Need,
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
    pub(super) fn new(inner: Content, all: Arc<Pairs>, found: SearchedTexts, once: bool) -> Self {
        let count = found.pairs.len();
        Self {
            inner,
            all,
            left: once.then_some(count),
            replaced: vec![false; count].into(),
            values: vec![None; count].into(),
            found,
            computed: 0,
            need: Need::default(),
            data: Bytes::new(),
            held: Vec::new(),
            next: None,
            end: None,
        }
    }

    /// The next bytes to pass on; `None` if more input is needed.
    fn advance(&mut self, request: &dyn FilterContext) -> Option<Bytes> {
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
            let search = &self.found.search;
            let found = search.find(&self.held, &self.data, &self.replaced);
            let before = self.take(found.start());
            match found {
                SearchResult::Whole { start: _, which } => {
                    self.skip(self.found.search.length(which));
                    self.next = Some(self.replacement(which, request));
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

    /// What replaces a text: the value that it has when the text is first found, as in nginx.
    fn replacement(&mut self, which: usize, request: &dyn FilterContext) -> Bytes {
        if let Some(value) = &self.values[which] {
            return value.clone();
        }
        let pair = &self.all.list[usize::from(self.found.pairs[which])];
        let value = match &pair.fixed {
            Some(fixed) => fixed.clone(),
            None => {
                let value = request.evaluate(&pair.replacement);
                let size = value.len() as u64;
                self.computed += size;
                // Clients choose the values of variables.
                if self.computed > SMALL_BODY {
                    self.need.add(size);
                }
                value
            }
        };
        self.values[which] = Some(value.clone());
        value
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
    fn poll_frame(&mut self, request: &dyn FilterContext, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            ready!(request.poll_memory(&mut self.need, cx));
            if let Some(data) = self.advance(request) {
                return Poll::Ready(Some(Ok(Frame::Data(data))));
            }
            if let Some(end) = self.end.take() {
                return Poll::Ready(end);
            }
            match ready!(self.inner.poll_frame(request, cx)) {
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
    use super::super::Pair;
    use super::*;
    use crate::modules::sub::search::Search;
    use crate::request::source::testing::{AnyRequest, Script, polls};
    use crate::variables::template::Template;

    fn replacing(steps: Vec<Option<Next>>) -> Substitution {
        let pairs = Pairs {
            list: vec![Pair {
                text: Template::default(),
                replacement: Template::default(),
                fixed: Some("none".into()),
            }],
            search: None,
        };
        let found = SearchedTexts {
            search: Arc::new(Search::new(vec!["secret".into()])),
            pairs: Box::new([0]),
        };
        let inner = Content::Stream(Box::new(Script::new(steps)));
        Substitution::new(inner, Arc::new(pairs), found, false)
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
        let Poll::Ready(Some(Ok(Frame::Data(sent)))) =
            replacing(steps).poll_frame(&AnyRequest, &mut cx)
        else {
            panic!("no data");
        };
        assert_eq!((sent.as_ptr(), sent.len()), (text.as_ptr(), text.len()));
    }
}
